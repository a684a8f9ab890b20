"""Blocks of MaX-DeepLab's pixel path, and the steps of its decoder.

Maps go from block to block before their ReLU: each block begins with it, on both of its branches. The last
norm of a residual branch starts at zero, so that a network begins as its shortcuts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn

from .axial import AxialAttention2d
from .cut_normal import he_normal

Kind = Literal["basic", "bottleneck", "axial"]


class Expansion(NamedTuple):
    """Channels of an axial block's layers, as multiples of its filters."""

    inner: int
    keys: int
    values: int


def conv_norm(
    inputs: int,
    outputs: int,
    side: int = 1,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    relu: bool = True,
    zero: bool = False,
) -> nn.Sequential:
    """Convolution without a bias, BatchNorm and, if `relu`, ReLU; `zero`: the norm's weight starts at 0."""
    padding = dilation * (side // 2)
    conv = nn.Conv2d(inputs, outputs, side, stride, padding, dilation, groups, bias=False)
    he_normal(conv.weight)
    norm = nn.BatchNorm2d(outputs)
    if zero:
        nn.init.zeros_(norm.weight)
    layers: dict[str, nn.Module] = {"conv": conv, "norm": norm}
    return nn.Sequential(OrderedDict(layers | ({"relu": nn.ReLU(inplace=True)} if relu else {})))


class Block(nn.Module):
    """A residual block, (N, inputs, h, w) to (N, 4 * filters, h / stride, w / stride), rounded up.

    basic: two 3x3 convolutions. bottleneck: 1x1, 3x3, 1x1. axial: axial attention between two of 1x1.
    """

    def __init__(
        self,
        kind: Kind,
        inputs: int,
        filters: int,
        expansion: Expansion,
        stride: int = 1,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        outputs = 4 * filters
        layers: list[nn.Module]
        if kind == "basic":
            layers = [conv_norm(inputs, outputs, 3, stride=stride)]
            last = conv_norm(outputs, outputs, 3, relu=False, zero=True)
        elif kind == "bottleneck":
            layers = [conv_norm(inputs, filters), conv_norm(filters, filters, 3, stride=stride)]
            last = conv_norm(filters, outputs, relu=False, zero=True)
        else:
            assert stride == 1
            inner, keys, values = (factor * filters for factor in expansion)
            attention = AxialAttention2d(inner, keys, values)
            layers = [
                conv_norm(inputs, inner),
                nn.Sequential(OrderedDict(attention=attention, relu=nn.ReLU())),
            ]
            last = conv_norm(values, outputs, relu=False, zero=True)
        names = ("first", "middle")[: len(layers)]
        self.body = nn.Sequential(OrderedDict([*zip(names, layers, strict=True), ("last", last)]))
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = conv_norm(inputs, outputs, stride=stride, relu=False)
        self.drop = DropPath(drop)

    def forward(self, x: Tensor) -> Tensor:
        x = x.relu()
        return self.shortcut(x) + self.drop(self.body(x))


class Fuse(nn.Module):
    """A map brought to another stride and number of channels, plus earlier maps of that stride.

    down: from half of that stride, by a strided convolution; otherwise it is enlarged bilinearly, corners
    aligned.
    """

    def __init__(self, inputs: int, outputs: int, down: bool) -> None:
        super().__init__()
        self.project = conv_norm(inputs, outputs, stride=2 if down else 1, relu=False)
        self.down = down

    def forward(self, x: Tensor, others: Sequence[Tensor]) -> Tensor:
        """x (N, inputs, h, w) and others (N, outputs, h', w') to (N, outputs, h', w')."""
        x = self.project(x.relu())
        if not self.down:
            x = F.interpolate(x, size=others[0].shape[-2:], mode="bilinear", align_corners=True)
        return sum(others, x)


class Step(nn.Module):
    """A step of the decoder: `fuse`, unless another has done it, and blocks, which their owner applies."""

    def __init__(self, fuse: Fuse | None, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.fuse = fuse
        self.blocks = nn.ModuleList(blocks)
