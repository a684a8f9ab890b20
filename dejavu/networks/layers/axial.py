"""Axial attention: each pixel attends the pixels of its column, then those of its row.

Wang et al., ECCV 2020, as MaX-DeepLab has it: relative positions act on queries, keys and values, each term
has a BatchNorm of its own, and logits are not divided by the root of the number of channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cut_normal import cut_normal

HEADS = 8
SPAN = 255  # relative positions 1 - SPAN to SPAN - 1 have a vector each; farther ones share the outermost


class AxialAttention(nn.Module):
    """Attention along one axis of a map.

    Args:
        channels: of the input.
        keys: channels of queries and keys, all heads together.
        values: channels of values and output, all heads together.
    """

    def __init__(self, channels: int, keys: int, values: int) -> None:
        super().__init__()
        self.sizes = (keys, keys, values)
        self.project = nn.Conv2d(channels, sum(self.sizes), 1, bias=False)
        cut_normal(self.project.weight, channels**-0.5)
        self.project_norm = nn.BatchNorm2d(sum(self.sizes))
        # Vectors that all heads share, one for each relative position of key and query.
        tables = [nn.Parameter(torch.empty(2 * SPAN - 1, size // HEADS)) for size in self.sizes]
        self.query_table, self.key_table, self.value_table = tables
        for table in tables:
            cut_normal(table, 1.0)
        self.logit_norm = nn.BatchNorm2d(3 * HEADS)  # of contents, of the query's positions, of the key's
        self.value_norm = nn.BatchNorm1d(2 * values)  # of contents, of positions

    def forward(self, x: Tensor) -> Tensor:
        """Attend along the height: (N, C, L, W) to (N, values, L, W), each column on its own."""
        count, _, length, lines = x.shape
        projected = self.project_norm(self.project(x)).permute(0, 3, 1, 2).flatten(0, 1)  # (N * W, ., L)
        query, key, value = (
            part.unflatten(1, (HEADS, -1)).transpose(2, 3) for part in projected.split(self.sizes, 1)
        )  # (N * W, heads, L, d)
        relative = positions(length, x.device)
        terms = [
            torch.matmul(query, key.transpose(2, 3)),
            torch.einsum("bhld,lmd->bhlm", query, self.query_table[relative]),
            torch.einsum("bhmd,lmd->bhlm", key, self.key_table[relative]),
        ]
        logits = self.logit_norm(torch.cat(terms, 1)).unflatten(1, (3, HEADS)).sum(1)
        weights = logits.softmax(-1)  # (N * W, heads, L, L)
        retrieved = [
            torch.matmul(weights, value),
            torch.einsum("bhlm,lmd->bhld", weights, self.value_table[relative]),
        ]
        joined = torch.cat([part.transpose(2, 3).flatten(1, 2) for part in retrieved], 1)  # (N * W, 2 V, L)
        out = self.value_norm(joined).unflatten(1, (2, -1)).sum(1)
        return out.unflatten(0, (count, lines)).permute(0, 2, 3, 1)


class AxialAttention2d(nn.Module):
    """Attention along the height, then along the width: (N, C, H, W) to (N, values, H, W)."""

    def __init__(self, channels: int, keys: int, values: int) -> None:
        super().__init__()
        self.height = AxialAttention(channels, keys, values)
        self.width = AxialAttention(values, keys, values)

    def forward(self, x: Tensor) -> Tensor:
        return self.width(self.height(x).transpose(2, 3)).transpose(2, 3)


def positions(length: int, device: torch.device | None = None) -> Tensor:
    """Rows of the tables for each query (first index) and key (second), int64.

    >>> (positions(3) - positions(3)[0, 0]).tolist()
    [[0, 1, 2], [-1, 0, 1], [-2, -1, 0]]
    """
    steps = torch.arange(length, device=device)
    return (steps[None] - steps[:, None] + SPAN - 1).clamp(0, 2 * SPAN - 2)
