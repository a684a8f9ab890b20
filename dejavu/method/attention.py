"""Shared attention (DejaVu-SA): one attention map with two uses.

    A = softmax(Q K^T / sqrt(d))      Q, K from the base network's features
    refining      X' = X + up(out(A V(X)))       inside the base network: it stays at inference
    regenerating  R  = A V_R(I_R)                in training only: more condition for the CRM

A cell that the redacted image lacks is filled from the cells that A attends to, so the DejaVu loss teaches A
to follow the image's structure, and the prediction is made with the same A.

A is never stored where torch has a fused kernel: at stride 8 of 512x1024 it has 8192 x 8192 entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import DejavuError, check_number


class Shared(NamedTuple):
    """The shared attention map, softmax(query key^T / sqrt(d)) over T = h' w' cells, as its two factors."""

    query: Tensor  # (N, heads, T, d)
    key: Tensor  # (N, heads, T, d)
    size: tuple[int, int]  # (h', w')

    def detach(self) -> Shared:
        """The same attention map, without gradient."""
        return Shared(self.query.detach(), self.key.detach(), self.size)


def shared_of(prediction: Any, detach: bool) -> Shared:
    """Return the attention that a network returned beside its prediction. Raises DejavuError without one."""
    attention = prediction.get("attention") if isinstance(prediction, Mapping) else None
    if attention is None:
        raise DejavuError(
            "the prediction lacks the attention that DejaVu-SA shares: make it with the network in "
            "training mode"
        )
    return attention.detach() if detach else attention


class SharedAttention(nn.Module):
    """The half that refines features, in the base network.

    Features are averaged to a coarser grid, reduced by a 3x3 convolution and attended; the result is
    interpolated to their grid and added. The last projection starts at 0: at first the network is the plain
    one, to the bit, and the other parameters get gradient from the second step on (query and key from the
    first, where the regenerating half is used).

    Args:
        channels: C of the features.
        dim: d of queries and keys, per head.
        value_dim: dimension of values, per head; None is `dim`.
        heads: number of attention maps.
        width: channels of the reduced features, of which queries, keys and values are made.
        stride: side of an attention cell in pixels of the image, a multiple of `feature_stride`.
        feature_stride: side of a feature in pixels of the image.

    Raises:
        DejavuError: an argument below 1, or a stride that is no multiple.

    >>> import torch
    >>> features = torch.rand(2, 30, 9, 14)
    >>> refined, shared = SharedAttention(30, dim=8)(features)
    >>> refined.shape, shared.query.shape, shared.size
    (torch.Size([2, 30, 9, 14]), torch.Size([2, 1, 35, 8]), (5, 7))
    """

    def __init__(
        self,
        channels: int,
        dim: int = 16,
        value_dim: int | None = None,
        heads: int = 1,
        width: int = 48,
        stride: int = 8,
        feature_stride: int = 4,
    ) -> None:
        super().__init__()
        value_dim = dim if value_dim is None else value_dim
        sizes = {"channels": channels, "dim": dim, "value_dim": value_dim, "heads": heads, "width": width}
        for key, value in (sizes | {"stride": stride, "feature_stride": feature_stride}).items():
            check_number(f"attention: {key}", value, 1, whole=True)
        if stride % feature_stride:
            raise DejavuError(f"attention_stride: must be a multiple of {feature_stride}, not {stride}")
        self.heads, self.dim, self.value_dim, self.stride = heads, dim, value_dim, stride
        self.pool = stride // feature_stride  # side of the square of features that one cell averages
        self.reduce = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        # No biases: a key's cancels in the softmax, the others in the BatchNorm of a head behind.
        self.query = nn.Conv2d(width, heads * dim, 1, bias=False)
        self.key = nn.Conv2d(width, heads * dim, 1, bias=False)
        self.value = nn.Conv2d(width, heads * value_dim, 1, bias=False)
        self.out = nn.Conv2d(heads * value_dim, channels, 1, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, features: Tensor) -> tuple[Tensor, Shared]:
        """Refine features (N, C, h, w), any h and w: return the refined ones and their attention."""
        if features.ndim != 4 or features.shape[1] != self.out.out_channels:
            raise DejavuError(
                f"the attention's features must be (N, {self.out.out_channels}, h, w), not "
                f"{tuple(features.shape)}"
            )
        pooled = F.avg_pool2d(features, self.pool, ceil_mode=True) if self.pool > 1 else features
        reduced = self.reduce(pooled)  # (N, width, h', w')
        shared = Shared(
            to_tokens(self.query(reduced), self.heads),
            to_tokens(self.key(reduced), self.heads),
            (reduced.shape[-2], reduced.shape[-1]),
        )
        context = to_maps(attend(shared, to_tokens(self.value(reduced), self.heads)), shared.size)
        return features + self._enlarge(self.out(context), features), shared

    def _enlarge(self, maps: Tensor, features: Tensor) -> Tensor:
        """Resize (N, C, h', w') to (N, C, h, w), each cell at its averaged features, cut at the border."""
        if self.pool == 1:
            return maps
        size = maps.shape[-2] * self.pool, maps.shape[-1] * self.pool
        maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
        return maps[..., : features.shape[-2], : features.shape[-1]]


class SharedRegeneration(nn.Module):
    """The half that regenerates, in training only and outside of the base network.

    The redacted image is folded to the attention's grid, projected to values, and attended with the map that
    the prediction was made with. Gradient goes through queries and keys into the network, and no other way:
    not to its values, its output projection or its classifier.

    Args:
        channels: channels of the condition that it adds; a multiple of `heads`.
        stride: side of an attention cell in pixels of the image.
        heads: number of attention maps.
        image_channels: channels of the image; 3 for RGB.

    Raises:
        DejavuError: an argument below 1, or channels that the heads do not divide.

    >>> import torch
    >>> _, shared = SharedAttention(30)(torch.rand(2, 30, 16, 24))  # stride 4 of 64 x 96
    >>> SharedRegeneration(16)(torch.rand(2, 3, 61, 96), shared).shape
    torch.Size([2, 16, 8, 12])
    """

    def __init__(
        self, channels: int = 16, *, stride: int = 8, heads: int = 1, image_channels: int = 3
    ) -> None:
        super().__init__()
        sizes = {"channels": channels, "stride": stride, "heads": heads, "image_channels": image_channels}
        for key, value in sizes.items():
            check_number(f"shared attention: {key}", value, 1, whole=True)
        if channels % heads:
            raise DejavuError(
                f"shared attention: channels must be a multiple of the {heads} heads, not {channels}"
            )
        self.channels, self.stride, self.heads, self.image_channels = channels, stride, heads, image_channels
        self.value = nn.Conv2d(image_channels * stride**2, channels, 1)

    def forward(self, redacted: Tensor, shared: Shared) -> Tensor:
        """Attend redacted images (N, 3, H, W): returns (N, channels, H/stride, W/stride), rounded up.

        The attention's grid may be larger, where the network pads its input; the padding is cut off.

        Raises DejavuError when images and attention do not fit together.
        """
        self._check(redacted, shared)
        height, width = redacted.shape[-2:]
        rows, columns = shared.size
        # Padded like the network's input, so that the padded cells have the same content.
        below, right = rows * self.stride - height, columns * self.stride - width
        if below or right:
            redacted = F.pad(redacted, (0, right, 0, below), mode="replicate")
        folded = F.pixel_unshuffle(redacted, self.stride)  # (N, 3 s^2, h', w')
        maps = to_maps(attend(shared, to_tokens(self.value(folded), self.heads)), shared.size)
        return maps[..., : -(-height // self.stride), : -(-width // self.stride)]

    def _check(self, redacted: Tensor, shared: Shared) -> None:
        (n, channels, height, width), (rows, columns) = redacted.shape, shared.size
        if channels != self.image_channels:
            raise DejavuError(
                f"images must have the {self.image_channels} channels that the shared attention was built "
                f"for, not {channels}"
            )
        if tuple(shared.query.shape[:2]) != (n, self.heads):
            raise DejavuError(
                f"the network's attention must be of {n} images and {self.heads} heads, "
                f"not {shared.query.shape[0]} and {shared.query.shape[1]}"
            )
        if rows * self.stride < height or columns * self.stride < width:
            raise DejavuError(
                f"the network's attention has {rows} x {columns} cells, too few at stride {self.stride} "
                f"for images of {height} x {width}"
            )


def attend(shared: Shared, value: Tensor) -> Tensor:
    """Compute softmax(Q K^T / sqrt(d)) V: values (N, heads, T, v) to (N, heads, T, v), any v."""
    dim, value_dim = shared.query.shape[-1], value.shape[-1]
    # The fused kernels need equal dimensions: added zeros change no product, and the scale stays that of d.
    query, key, value = (_widen(one, max(dim, value_dim)) for one in (shared.query, shared.key, value))
    return F.scaled_dot_product_attention(query, key, value, scale=dim**-0.5)[..., :value_dim]


def to_tokens(maps: Tensor, heads: int) -> Tensor:
    """Reshape (N, heads d, h, w) to (N, heads, h w, d), contiguous, as the fused kernels need it."""
    return maps.unflatten(1, (heads, -1)).flatten(3).transpose(2, 3).contiguous()


def to_maps(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Reshape (N, heads, h w, d) to (N, heads d, h, w)."""
    return tokens.transpose(2, 3).flatten(1, 2).unflatten(2, size)


def _widen(tokens: Tensor, dim: int) -> Tensor:
    return tokens if tokens.shape[-1] == dim else F.pad(tokens, (0, dim - tokens.shape[-1]))
