"""ViT-Adapter on BEiT: a pyramid of convolutional features exchanges with the blocks of a plain transformer.

Chen et al., ICLR 2023. Layout: czczup/ViT-Adapter, BEiTAdapter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn

from ..layers.convolution import convolution
from ..layers.deformable import DeformableAttention, Size, centres, join, split
from .beit import LAYER_SCALE, GridBeit, position_index

INTERACTIONS = 4
SHARE = 0.25  # hidden channels of the extractors' feed-forward layers
EPSILON = 1e-6  # of layer norms
STRIDES = (8, 16, 32)  # of the maps that exchange with the transformer


class BeitAdapter(nn.Module):
    """A BEiT of 4 b blocks and its adapter: four maps of BEiT's channels at strides 4, 8, 16 and 32.

    Args:
        beit: the transformer.
        prior: channels of the spatial prior's first convolutions.
        drop_path: chance that an extractor's feed-forward layer is left out in training, the same for all.
    """

    def __init__(self, beit: GridBeit, prior: int, drop_path: float) -> None:
        super().__init__()
        width, heads = beit.embed_dim, beit.heads
        self.channels = [width] * 4
        self.beit = beit
        self.prior = SpatialPrior(prior, width)
        self.level_embed = nn.Parameter(torch.empty(len(STRIDES), width))
        self.injectors = nn.ModuleList([Injector(width, heads) for _ in range(INTERACTIONS)])
        extractors = [1] * (INTERACTIONS - 1) + [3]
        self.extractors: Any = nn.ModuleList(
            [
                nn.ModuleList([Extractor(width, heads, drop_path) for _ in range(count)])
                for count in extractors
            ]
        )
        self.up = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.norms = nn.ModuleList([nn.BatchNorm2d(width) for _ in self.channels])
        for part in (self.prior, self.injectors, self.extractors, self.up):
            part.apply(_start)
        nn.init.normal_(self.level_embed)

    def forward(self, images: Tensor) -> SimpleNamespace:
        """Return `feature_maps`, (N, C, H/4, W/4) to (N, C, H/32, W/32); H and W are multiples of 32."""
        height, width = images.shape[-2:]
        sizes = [(height // stride, width // stride) for stride in STRIDES]
        finest, *maps = self.prior(images)
        pyramid = join(
            [one + level[:, None, None] for one, level in zip(maps, self.level_embed, strict=True)]
        )
        pyramid, stages = self._interact(images, pyramid, sizes)
        c2, c3, c4 = split(pyramid, sizes)
        c1 = self.up(c2) + finest
        x1, x2, x3, x4 = stages
        summed = (c1 + _resize(x1, 4), c2 + _resize(x2, 2), c3 + x3, c4 + _resize(x4, 0.5))
        return SimpleNamespace(feature_maps=[norm(x) for norm, x in zip(self.norms, summed, strict=True)])

    def _interact(
        self, images: Tensor, pyramid: Tensor, sizes: Sequence[Size]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the pyramid's cells (N, S, C) after all interactions, and BEiT's map after each."""
        patches, grid = self.beit.tokens(images)
        token = self.beit.cls_token.expand(patches.shape[0], -1, -1)
        index = position_index(grid, images)
        own, others = centres([grid], images), centres(sizes, images)
        share = len(self.beit.blocks) // INTERACTIONS
        stages = []
        for number in range(INTERACTIONS):
            patches = self.injectors[number](patches, own, pyramid, sizes)
            tokens = torch.cat([token, patches], 1)
            for block in range(number * share, (number + 1) * share):
                tokens = self.beit.block(block, tokens, index, grid)
            token, patches = tokens[:, :1], tokens[:, 1:]
            for extractor in self.extractors[number]:
                pyramid = extractor(pyramid, others, patches, grid, sizes)
            stages += split(patches, [grid])
        return pyramid, stages


class SpatialPrior(nn.Module):
    """Convolutions of the image to four maps at strides 4, 8, 16 and 32."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            convolution(3, channels, 3, 2),
            convolution(channels, channels, 3),
            convolution(channels, channels, 3),
            nn.MaxPool2d(3, 2, 1),
        )
        widths = [channels, 2 * channels, 4 * channels, 4 * channels]
        self.steps = nn.ModuleList(
            [convolution(before, after, 3, 2) for before, after in zip(widths, widths[1:], strict=False)]
        )
        self.projections = nn.ModuleList([nn.Conv2d(width, outputs, 1) for width in widths])

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) to (N, C, H/4, W/4), ..., (N, C, H/32, W/32)."""
        maps = [self.stem(images)]
        for step in self.steps:
            maps.append(step(maps[-1]))
        return [project(x) for project, x in zip(self.projections, maps, strict=True)]


class Injector(nn.Module):
    """Patches attend to the pyramid; what they gain is scaled, from almost nothing on."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(channels, eps=EPSILON)
        self.map_norm = nn.LayerNorm(channels, eps=EPSILON)
        self.attention = DeformableAttention(channels, heads, len(STRIDES))
        self.gamma = nn.Parameter(torch.full((channels,), LAYER_SCALE))

    def forward(self, patches: Tensor, points: Tensor, pyramid: Tensor, sizes: Sequence[Size]) -> Tensor:
        """patches (N, h * w, C) at `points` (h * w, 2), pyramid (N, S, C) -> patches."""
        gain = self.attention(self.query_norm(patches), points, self.map_norm(pyramid), sizes)
        return patches + self.gamma * gain


class Extractor(nn.Module):
    """The pyramid attends to the patches, and goes through a feed-forward layer with a convolution."""

    def __init__(self, channels: int, heads: int, drop_path: float) -> None:
        super().__init__()
        hidden = int(channels * SHARE)
        self.query_norm = nn.LayerNorm(channels, eps=EPSILON)
        self.map_norm = nn.LayerNorm(channels, eps=EPSILON)
        self.attention = DeformableAttention(channels, heads, 1)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.widen = nn.Linear(channels, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.narrow = nn.Linear(hidden, channels)
        self.drop_path = DropPath(drop_path)

    def forward(
        self, pyramid: Tensor, points: Tensor, patches: Tensor, grid: Size, sizes: Sequence[Size]
    ) -> Tensor:
        """pyramid (N, S, C) at `points` (S, 2), patches (N, h * w, C) of a `grid` (h, w) -> pyramid."""
        gain = self.attention(self.query_norm(pyramid), points, self.map_norm(patches), [grid])
        pyramid = pyramid + gain
        maps = split(self.widen(self.norm(pyramid)), sizes)
        hidden = F.gelu(join([self.depthwise(x) for x in maps]))
        return pyramid + self.drop_path(self.narrow(hidden))


def _resize(x: Tensor, scale: float) -> Tensor:
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def _start(layer: nn.Module) -> None:
    """Set the published initial values."""
    if isinstance(layer, DeformableAttention):  # comes after its own linear layers
        layer.start()
    elif isinstance(layer, nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        fan = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
        nn.init.normal_(layer.weight, std=math.sqrt(2 / fan))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
