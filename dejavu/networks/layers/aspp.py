"""DeepLab's semantic head: atrous spatial pyramid pooling, and finer maps joined on the way up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cut_normal import cut_normal, he_normal
from .residual import conv_norm

RATES = (6, 12, 18)
DROPOUT = 0.1


def separable(inputs: int, outputs: int) -> nn.Sequential:
    """Depthwise 5x5 and 1x1 convolutions, each with BatchNorm and ReLU."""
    return nn.Sequential(conv_norm(inputs, inputs, 5, groups=inputs), conv_norm(inputs, outputs))


def prediction_head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Build separable layers to `hidden` channels and a 1x1 convolution with a bias."""
    last = nn.Conv2d(hidden, outputs, 1)
    cut_normal(last.weight, 0.01)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(separable(inputs, hidden), last)


class ASPP(nn.Module):
    """A 1x1 convolution, three dilated ones and the map's mean, joined: (N, inputs, h, w) to (N, C, h, w)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [conv_norm(inputs, channels)] + [conv_norm(inputs, channels, 3, dilation=rate) for rate in RATES]
        )
        self.mean = nn.Conv2d(inputs, channels, 1, bias=False)
        he_normal(self.mean.weight)
        self.mean_norm = nn.BatchNorm2d(channels)
        self.join = conv_norm((len(RATES) + 2) * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        # Spread over the map before its norm: the statistics are the same, and one image is enough for them.
        mean = self.mean(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        branches = [branch(x) for branch in self.branches]
        joined = self.join(torch.cat([*branches, self.mean_norm(mean).relu()], 1))
        return F.dropout(joined, DROPOUT, self.training)


class SemanticDecoder(nn.Module):
    """ASPP of a coarse map, then finer maps, reduced and concatenated, from coarse to fine.

    Args:
        inputs: channels of the coarse map.
        low: of each finer map its channels, and to how many it is reduced.
        channels: of ASPP and of the output.
    """

    def __init__(self, inputs: int, low: Sequence[tuple[int, int]], channels: int) -> None:
        super().__init__()
        self.aspp = ASPP(inputs, channels)
        self.reduce = nn.ModuleList([conv_norm(before, after) for before, after in low])
        self.join = nn.ModuleList([separable(channels + after, channels) for _, after in low])

    def forward(self, coarse: Tensor, low: Sequence[Tensor]) -> Tensor:
        """Maps (N, C, h, w), `low` from coarse to fine, to one of the size of the finest."""
        x = self.aspp(coarse)
        for reduce, join, finer in zip(self.reduce, self.join, low, strict=True):
            x = F.interpolate(x, size=finer.shape[2:], mode="bilinear", align_corners=True)
            x = join(torch.cat([x, reduce(finer)], 1))
        return x
