"""Deformable attention: each query looks at a few points of each map, at learnt offsets from its own.

Zhu et al., Deformable DETR, ICLR 2021. Values may be narrower than queries, as in ViT-Adapter (Chen et al.,
ICLR 2023), which no layer of transformers offers; its function takes any number of channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.models.mask2former.modeling_mask2former import multi_scale_deformable_attention

Size = tuple[int, int]


class DeformableAttention(nn.Module):
    """Attention of queries to `points` points a head in each of `levels` maps.

    Args:
        channels: C of queries, maps and output, a multiple of `heads`.
        heads: number of attention heads.
        levels: number of maps.
        points: number of points of each head in each map.
        ratio: channels of all heads' values as a share of C.
    """

    def __init__(self, channels: int, heads: int, levels: int, points: int = 4, ratio: float = 0.5) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        inner = int(channels / heads * ratio) * heads
        self.offsets = nn.Linear(channels, heads * levels * points * 2)
        self.weights = nn.Linear(channels, heads * levels * points)
        self.values = nn.Linear(channels, inner)
        self.output = nn.Linear(inner, channels)
        self.start()

    def start(self) -> None:
        """Set the published initial values: a head's points lie 1, 2, ... cells away in its direction."""
        for layer in (self.offsets, self.weights):
            nn.init.zeros_(layer.weight)
        for layer in (self.values, self.output):
            nn.init.xavier_uniform_(layer.weight)
        for layer in (self.weights, self.values, self.output):
            nn.init.zeros_(layer.bias)
        angles = torch.arange(self.heads, device=self.offsets.bias.device) * (2 * math.pi / self.heads)
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions = directions / directions.abs().amax(-1, keepdim=True)  # (heads, 2), on a square
        steps = torch.arange(1, self.points + 1, device=angles.device)
        offsets = directions[:, None, None] * steps[:, None]  # (heads, 1, points, 2)
        with torch.no_grad():
            self.offsets.bias.copy_(offsets.expand(-1, self.levels, -1, -1).flatten())

    def forward(self, queries: Tensor, references: Tensor, maps: Tensor, sizes: Sequence[Size]) -> Tensor:
        """Attend: queries (N, Q, C) -> (N, Q, C).

        Args:
            queries: of these, offsets and weights are linear functions.
            references: each query's own point (Q, 2), x and y as shares of the sides.
            maps: the cells of all maps, row by row, one map after another (N, S, C).
            sizes: height and width of each map; S is the sum of their products.
        """
        offsets = self.offsets(queries).unflatten(2, (self.heads, self.levels, self.points, 2))
        weights = self.weights(queries).unflatten(2, (self.heads, self.levels * self.points)).softmax(-1)
        cells = references.new_tensor([(width, height) for height, width in sizes])  # (levels, 2)
        locations = references[:, None, None, None] + offsets / cells[:, None]
        values = self.values(maps).unflatten(2, (self.heads, -1))
        attended = multi_scale_deformable_attention(
            values, list(sizes), locations, weights.unflatten(3, (self.levels, self.points))
        )
        return self.output(attended)


def centres(sizes: Sequence[Size], like: Tensor) -> Tensor:
    """Return the centres of the cells of maps of these sizes, row by row, one map after another.

    (sum of h * w, 2), x and y as shares of the sides, on the device of `like`, in full precision.
    """
    return torch.cat(
        [
            torch.cartesian_prod(_shares(height, like), _shares(width, like)).flip(-1)
            for height, width in sizes
        ]
    )


def split(cells: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
    """Return the maps (N, C, h, w) whose cells these are, row by row, one map after another (N, S, C)."""
    parts = cells.split([height * width for height, width in sizes], 1)
    return [part.transpose(1, 2).unflatten(2, size) for part, size in zip(parts, sizes, strict=True)]


def join(maps: Sequence[Tensor]) -> Tensor:
    """Return the cells (N, S, C) of maps (N, C, h, w): the inverse of `split`."""
    return torch.cat([one.flatten(2).transpose(1, 2) for one in maps], 1)


def _shares(side: int, like: Tensor) -> Tensor:
    return (torch.arange(side, dtype=torch.float32, device=like.device) + 0.5) / side
