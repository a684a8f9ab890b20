"""Deformable attention against a loop over every query, head, map and point."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from dejavu.networks.layers.deformable import DeformableAttention, centres, join, split

SIZES = [(4, 6), (2, 3)]
CHANNELS, HEADS, POINTS = 16, 4, 2


def attention(ratio: float = 0.5) -> DeformableAttention:
    """With weights that reach over a map's border, and differ between heads, maps and points."""
    torch.manual_seed(0)
    module = DeformableAttention(CHANNELS, HEADS, len(SIZES), POINTS, ratio).double()
    for layer in (module.offsets, module.weights):
        nn.init.normal_(layer.weight, std=0.3)
    return module


def pixel(image: Tensor, x: float, y: float) -> Tensor:
    """A map (C, h, w) at a point in pixels, between their centres; zeros lie around it."""
    total = torch.zeros(image.shape[0], dtype=image.dtype)
    left, top = math.floor(x), math.floor(y)
    for column, horizontal in ((left, left + 1 - x), (left + 1, x - left)):
        for row, vertical in ((top, top + 1 - y), (top + 1, y - top)):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                total += horizontal * vertical * image[:, row, column]
    return total


def naive(module: DeformableAttention, query: Tensor, reference: Tensor, maps: list[Tensor]) -> Tensor:
    """One query (C,) at a point (2,) of one image's maps (C, h, w)."""
    offsets = module.offsets(query).view(HEADS, len(maps), POINTS, 2)
    weights = module.weights(query).view(HEADS, -1).softmax(-1).view(HEADS, len(maps), POINTS)
    heads = []
    for head in range(HEADS):
        total = 0
        for level, one in enumerate(maps):
            values = torch.einsum("oc,chw->ohw", module.values.weight, one)
            values = (values + module.values.bias[:, None, None]).chunk(HEADS)[head]
            for point in range(POINTS):
                x, y = offsets[head, level, point].tolist()
                x += float(reference[0]) * one.shape[2] - 0.5
                y += float(reference[1]) * one.shape[1] - 0.5
                total += weights[head, level, point] * pixel(values, x, y)
        heads.append(total)
    return module.output(torch.cat(heads))


@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_it_is_a_weighted_sum_of_points_between_pixels(ratio: float) -> None:
    module = attention(ratio)
    assert module.values.out_features == CHANNELS * ratio
    maps = [torch.randn(2, CHANNELS, *size, dtype=torch.float64) for size in SIZES]
    queries, references = torch.randn(2, 5, CHANNELS).double(), torch.rand(5, 2).double()
    with torch.no_grad():
        ours = module(queries, references, join(maps), SIZES)
        for image in range(2):
            for number in range(5):
                own = [one[image] for one in maps]
                expected = naive(module, queries[image, number], references[number], own)
                torch.testing.assert_close(ours[image, number], expected, rtol=0, atol=1e-6)


def test_it_starts_in_eight_directions() -> None:
    """Head k's points are 1, 2, ... cells away, whatever the query, and weigh the same."""
    module = DeformableAttention(64, 8, 1, points=3)
    offsets = module.offsets.bias.view(8, 3, 2)
    diagonal = torch.tensor([1.0, 1.0])
    for head, direction in ((0, torch.tensor([1.0, 0.0])), (1, diagonal), (5, -diagonal)):
        for point in range(3):
            torch.testing.assert_close(offsets[head, point], (point + 1) * direction, atol=1e-6, rtol=0)
    assert not module.offsets.weight.any() and not module.weights.weight.any()


def test_centres_are_where_their_cells_are() -> None:
    found = centres(SIZES, torch.zeros(1))
    assert found.shape == (24 + 6, 2)
    torch.testing.assert_close(found[0], torch.tensor([0.5 / 6, 0.5 / 4]))
    torch.testing.assert_close(found[24 + 4], torch.tensor([1.5 / 3, 1.5 / 2]))  # second row, second column


def test_splitting_undoes_joining() -> None:
    maps = [torch.randn(2, 3, *size) for size in SIZES]
    assert all(map(torch.equal, split(join(maps), SIZES), maps))
