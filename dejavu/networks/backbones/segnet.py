"""SegNet (Badrinarayanan, Kendall, Cipolla, TPAMI 2017) as multi-task learning on NYUD-v2 has it.

An encoder and a decoder of five stages; the decoder puts every value where the encoder's pooling had the
largest one. Sizes: lorenmt/mtan and VICO-UoE/MTPSL ("standard"), where stages have VGG16's two or three
convolutions, with a bias, and no dropout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.normalisation import Renormalise
from ..layers.per_task import PerTask
from ..layers.sizes import fewer, scaled

FILTERS = (64, 128, 256, 512, 512)  # channels of the encoder's stages at width 1
CONVOLUTIONS = (2, 2, 3, 3, 3)  # a stage, in the encoder and the decoder
MULTIPLE = 32  # input sides are padded to multiples of it: five poolings


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 convolution, BatchNorm and ReLU: (N, inputs, h, w) to (N, outputs, h, w)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def head(inputs: int, outputs: int) -> nn.Sequential:
    """Build a task's prediction layers: a 3x3 and a 1x1 convolution, without an activation between them."""
    return nn.Sequential(nn.Conv2d(inputs, inputs, 3, padding=1), nn.Conv2d(inputs, outputs, 1))


def predict(heads: Mapping[str, nn.Module], x: Tensor, joined: bool) -> dict[str, Tensor]:
    """Apply heads, as `head` makes them, to the features (N, C, h, w) that they share; returns maps by name.

    joined: all heads as one 3x3 convolution. There is no activation between a head's two convolutions, so the
    second one's product with the first one's weights is that convolution, exactly: a tenth of the heads'
    work, and no map of C channels for each task is kept. Their parameters learn as they would otherwise.
    """
    if not joined:
        return {task: one(x) for task, one in heads.items()}
    weights, biases = zip(*(_product(one) for one in heads.values()), strict=True)
    maps = F.conv2d(x, torch.cat(weights), torch.cat(biases), padding=1)
    pieces = maps.split([len(bias) for bias in biases], 1)
    return dict(zip(heads, pieces, strict=True))


def _product(head: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight (K, C, 3, 3) and bias (K,) of the one convolution that a head's two come to."""
    assert isinstance(head, nn.Sequential)
    first, second = head[0], head[1]
    assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d)
    assert first.bias is not None and second.bias is not None
    mixing = second.weight[:, :, 0, 0]  # (K, C)
    weight = torch.einsum("km,mcyx->kcyx", mixing, first.weight)
    return weight, torch.addmv(second.bias, mixing, first.bias)


class Stage(nn.Module):
    """Convolutions of one resolution. The first one, which changes the channels, is never left out."""

    def __init__(self, inputs: int, outputs: int, convolutions: int) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs)
        self.others = nn.Sequential(*[convolution(outputs, outputs) for _ in range(convolutions - 1)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, inputs, h, w) to the first and the last convolution's output, (N, outputs, h, w) each."""
        first = self.first(x)
        return first, self.others(first)

    @property
    def last(self) -> nn.Conv2d:
        """The stage's last convolution."""
        return [layer for layer in self.modules() if isinstance(layer, nn.Conv2d)][-1]


class Trunk(nn.Module):
    """The stages that all tasks share; `encoder` from fine to coarse, `decoder` from coarse to fine.

    Args:
        width: scales the filters.
        depth: scales the number of a stage's convolutions, at least one; all five stages stay.
    """

    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        self.filters = tuple(scaled(count, width) for count in FILTERS)
        finer = (self.filters[0], *self.filters[:-1])  # what a stage of the decoder hands to the next one
        counts = [fewer(count, depth) for count in CONVOLUTIONS]
        down = zip((3, *self.filters), self.filters, counts, strict=False)
        up = zip(self.filters, finer, counts, strict=True)
        self.encoder = nn.ModuleList([Stage(*sizes) for sizes in down])
        self.decoder = nn.ModuleList([Stage(*sizes) for sizes in reversed(list(up))])

    @property
    def last(self) -> nn.Conv2d:
        """The last convolution of the decoder."""
        stage = self.decoder[-1]
        assert isinstance(stage, Stage)
        return stage.last


class TrunkNetwork(PerTask):
    """A network of one task or more on the trunk.

    Args:
        num_classes: K of a single task, or each task's channels, such as {"semantic": 13, "depth": 1}.
        width: scales every channel count.
        depth: scales the number of a stage's convolutions.
        unit: undo ImageNet's normalisation first.
    """

    stride = 1

    def __init__(
        self, num_classes: int | Mapping[str, int], width: float = 1.0, depth: float = 1.0, unit: bool = True
    ) -> None:
        super().__init__(num_classes)
        self.unit = Renormalise() if unit else nn.Identity()
        self.trunk = Trunk(width, depth)
        self.feature_channels = self.trunk.filters[-1]

    @property
    def last_shared(self) -> nn.Module:
        """The last module that all tasks share: the last convolution of the trunk's decoder."""
        return self.trunk.last


class Pooled(NamedTuple):
    """Largest values of 2x2 pixels, and their indices in the map (H, W), counted along its rows."""

    values: Tensor  # (N, C, H/2, W/2)
    indices: Tensor  # (N, C, H/2, W/2), int64


def pool(x: Tensor) -> Pooled:
    """Maxima of 2x2 pixels of (N, C, H, W), H and W even; of equal ones the first."""
    return Pooled(*F.max_pool2d(x, 2, return_indices=True))


def unpool(values: Tensor, indices: Tensor) -> Tensor:
    """Put values (N, C, h, w) at the indices that `pool` returned, zeros elsewhere: (N, C, 2h, 2w).

    The same as F.max_unpool2d, which torch's deterministic mode refuses, because indices might repeat. In
    memory the result is channels-last. Of such maps nothing is copied, which torch's backward pass does.

    >>> pooled = pool(torch.tensor([[[[1.0, 5.0, 2.0, 2.0], [3.0, 4.0, 2.0, 2.0]]]]))
    >>> unpool(pooled.values, pooled.indices)
    tensor([[[[0., 5., 2., 0.],
              [0., 0., 0., 0.]]]])
    """
    count, channels, height, width = values.shape
    values, indices = (x.permute(0, 2, 3, 1).flatten(1, 2) for x in (values, indices))  # (N, h * w, C)
    spread = values.new_zeros(count, 4 * height * width, channels).scatter_(1, indices, values)
    return spread.unflatten(1, (2 * height, 2 * width)).permute(0, 3, 1, 2)


def start(network: nn.Module) -> None:
    """Initial weights of the public code: Xavier's normal distribution, no bias."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
