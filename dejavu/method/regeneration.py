"""Conditional regeneration modules (CRM): they restore the redacted image from the prediction.

A CRM works at the stride s of the prediction head. The image is folded into channels (pixel-unshuffle),
so that nothing of it is thrown away, and unfolded at the end:

    (N, 3, H, W) -> (N, 3 s^2, H/s, W/s) -> [ + condition (N, C, H/s, W/s) ] -> convolutions -> (N, 3, H, W)

At full resolution the same convolutions would cost more than the network that they train.
It exists in training only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import DejavuError, check_number, nearest
from ..registry import PositiveInt, Registry
from .redaction.base import check_images

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(1, channels),
    "none": nn.Identity,
}


class CRM(nn.Module, ABC):
    """Base of both modules: folding, and `depth` convolutions 3x3, conv-norm-ReLU, the last one plain.

    Args:
        condition_channels: C of the condition.
        stride: s, of the grid that the CRM works on.
        image_channels: channels of the image; 3 for RGB.
        width: channels between the convolutions.
        depth: number of convolutions.
        norm: "batch", "group" (one group) or "none".
    """

    def __init__(
        self,
        condition_channels: int,
        stride: int,
        image_channels: int = 3,
        *,
        width: PositiveInt = 32,
        depth: PositiveInt = 3,
        norm: Literal["batch", "group", "none"] = "batch",
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise DejavuError(f"regenerator.norm: unknown norm {norm!r}, {nearest(norm, NORMS)}")
        sizes = {"condition_channels": condition_channels, "stride": stride, "image_channels": image_channels}
        for key, value in (sizes | {"width": width, "depth": depth}).items():
            check_number(f"regenerator.{key}", value, 1, whole=True)
        stride, width, image_channels = int(stride), int(width), int(image_channels)  # torch wants no numpy
        self.condition_channels, self.stride, self.image_channels = condition_channels, stride, image_channels
        folded = image_channels * stride**2
        widths = [folded + condition_channels, *[width] * (depth - 1)]
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [
                nn.Conv2d(before, after, 3, padding=1, bias=norm == "none"),
                NORMS[norm](after),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], folded, 3, padding=1))

    def forward(self, redacted: Tensor, condition: Tensor) -> list[Tensor]:
        """Regenerate images (N, 3, H, W) from redacted ones and a condition (N, C, any, any).

        Returns every step's images, the final ones last. Any H and W will do.
        """
        self._check(redacted, condition)
        height, width = redacted.shape[-2:]
        if height % self.stride or width % self.stride:
            redacted = F.pad(redacted, (0, -width % self.stride, 0, -height % self.stride))
        folded = F.pixel_unshuffle(redacted, self.stride)  # (N, 3 s^2, H/s, W/s)
        steps = self.regenerate(folded, to_grid(condition, self.grid(redacted)))
        return [F.pixel_shuffle(step, self.stride)[..., :height, :width] for step in steps]  # (N, 3, H, W)

    def _check(self, redacted: Tensor, condition: Tensor) -> None:
        """Raise DejavuError for images or a condition that the convolutions could not take."""
        check_images(redacted)
        if redacted.shape[1] != self.image_channels:
            raise DejavuError(
                f"images must have the {self.image_channels} channels that the regenerator was built for, "
                f"not {redacted.shape[1]}: others need regenerator=ForwardCRM(condition_channels, stride, "
                "image_channels)"
            )
        expected = (len(redacted), self.condition_channels)
        if not isinstance(condition, Tensor) or condition.ndim != 4 or condition.shape[:2] != expected:
            given = tuple(condition.shape) if isinstance(condition, Tensor) else type(condition).__name__
            raise DejavuError(
                f"the condition must be {expected[0]} x {expected[1]} maps (N, C, h, w), not {given}"
            )
        rows, columns = self.grid(redacted)
        one = len(redacted) * rows * columns == 1  # a value a channel, whose deviation is 0
        if one and any(type(layer) is nn.BatchNorm2d and layer.training for layer in self.modules()):
            raise DejavuError(
                f"regenerator.norm: 'batch' has one value a channel to normalise, since one image of "
                f"{redacted.shape[-2]} x {redacted.shape[-1]} is one cell at stride {self.stride}: choose "
                "'group', or give larger batches or images"
            )
        weight = next(self.parameters(), None)
        if weight is not None:
            check_kind(weight, {"images": redacted, "the prediction": condition})

    def grid(self, images: Tensor) -> tuple[int, int]:
        """Return height and width of the grid that images (N, 3, H, W) are folded to."""
        return -(-images.shape[-2] // self.stride), -(-images.shape[-1] // self.stride)

    def step(self, folded: Tensor, condition: Tensor) -> Tensor:
        """Apply the convolutions once: (N, 3 s^2, h, w) and (N, C, h, w) to (N, 3 s^2, h, w)."""
        return self.layers(torch.cat([folded, condition], 1))

    @abstractmethod
    def regenerate(self, redacted: Tensor, condition: Tensor) -> list[Tensor]:
        """Compute every step's folded image from the folded redacted one and the condition on its grid."""


class ForwardCRM(CRM):
    """CRM-F: one pass. I_G = f(I_R, C)."""

    def regenerate(self, redacted: Tensor, condition: Tensor) -> list[Tensor]:
        return [self.step(redacted, condition)]


class RecursiveCRM(CRM):
    """CRM-R: the regenerated image is the next input, with the same weights each time.

    G_0 = I_R and G_t = G_{t-1} + f(G_{t-1}, C), t = 1..recursions. The slides show an elementwise
    addition at each step and leave open what is added; as a residual it starts from the kept pixels.
    """

    def __init__(
        self,
        condition_channels: int,
        stride: int,
        image_channels: int = 3,
        *,
        recursions: PositiveInt = 3,
        **crm: object,
    ) -> None:
        super().__init__(condition_channels, stride, image_channels, **crm)  # type: ignore[arg-type]
        check_number("regenerator.recursions", recursions, 1, whole=True)
        self.recursions = recursions

    def regenerate(self, redacted: Tensor, condition: Tensor) -> list[Tensor]:
        steps = [redacted]
        for _ in range(self.recursions):
            steps.append(steps[-1] + self.step(steps[-1], condition))
        return steps[1:]


REGISTRY: Registry[CRM] = Registry("regeneration", {"crm_f": ForwardCRM, "crm_r": RecursiveCRM})
names, build = REGISTRY.names, REGISTRY.build


def to_grid(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (N, C, h, w) to a grid: by averages where it is coarser, bilinearly where it is finer."""
    height, width = maps.shape[-2:]
    if (height, width) == tuple(size):
        return maps
    if height < size[0] or width < size[1]:
        return F.interpolate(maps, size, mode="bilinear", align_corners=False)
    window = -(-height // size[0]), -(-width // size[1])
    if (-(-height // window[0]), -(-width // window[1])) == tuple(size):
        # The cells that pixel-unshuffle makes, cut off by the border in the same way.
        return F.avg_pool2d(maps, window, ceil_mode=True)
    return F.adaptive_avg_pool2d(maps, size)


def check_kind(weight: Tensor, inputs: Mapping[str, Tensor]) -> None:
    """Raise DejavuError unless named inputs are on a weight's device, and their number type is its own."""
    for name, values in inputs.items():
        if values.device != weight.device:
            raise DejavuError(
                f"the regenerator is on {weight.device} and {name} on {values.device}: move both by "
                f"model.to({str(values.device)!r}), which moves the network, too"
            )
    kinds = [values.dtype for values in inputs.values()]
    mixed = reduce(torch.promote_types, kinds)
    here = weight.device.type
    low = here != "meta" and torch.is_autocast_enabled(here) and torch.float64 not in (mixed, weight.dtype)
    if not low and mixed != weight.dtype:
        listed = " and ".join(f"{name} {kind}" for name, kind in zip(inputs, kinds, strict=True))
        raise DejavuError(
            f"the regenerator is {weight.dtype}, but {listed}: convert the images, or all of it by "
            f"model.to({mixed})"
        )
