"""MaX-DeepLab's fusion against the steps of its public code's description, a pixel at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dejavu.evaluation.fusion import MaxDeepLabFusion
from dejavu.evaluation.fusion.max_deeplab import corners_enlarged
from dejavu.networks.max_deeplab import as_sigmoid
from dejavu.tasks.predictions import Queries
from dejavu.tasks.segments import VOID

THINGS = (True, False, True, False)
K, SLOTS = len(THINGS), 8
SIZE = (24, 32)


def slots(seed: int, sure: float = 3.0) -> tuple[Tensor, Tensor]:
    """Class logits (Q, K + 1) and smooth mask logits of a softmax (Q, 6, 8)."""
    numbers = torch.Generator().manual_seed(seed)
    classes = sure * torch.randn(SLOTS, K + 1, generator=numbers)
    coarse = 4 * torch.randn(1, SLOTS, 3, 4, generator=numbers)
    return classes, F.interpolate(coarse, size=(6, 8), mode="bilinear")[0]


def slow(classes: Tensor, masks: Tensor, fusion: MaxDeepLabFusion) -> np.ndarray:
    """The map of SIZE, from mask logits that lie at every fourth pixel."""
    scores = classes.softmax(-1).numpy()
    kinds, confidences = scores[:, :K].argmax(1), scores[:, :K].max(1)
    owners = np.full(SIZE, -1)
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            (top, down), (left, right) = (y // 4, y % 4 / 4), (x // 4, x % 4 / 4)
            rows, columns = [top, min(top + 1, 5)], [left, min(left + 1, 7)]
            square = masks[:, rows][:, :, columns]
            vertical = (1 - down) * square[:, 0] + down * square[:, 1]
            logits = ((1 - right) * vertical[:, 0] + right * vertical[:, 1]).double().numpy()
            best = int(logits.argmax())
            kept = confidences >= fusion.threshold
            if kept[best]:
                probability = 1 / np.exp(logits[kept] - logits[best]).sum()
                owners[y, x] = best if probability > fusion.pixel else -1
    share = (33 / 1025) ** 2
    codes, numbers = np.full(SIZE, VOID), dict.fromkeys(range(K), 0)
    for slot in range(SLOTS):
        kind = int(kinds[slot])
        mine = owners == slot
        alike = mine if THINGS[kind] else np.isin(owners, np.flatnonzero(kinds == kind))
        limit = share * (fusion.things if THINGS[kind] else fusion.stuff)
        if mine.any() and alike.sum() >= limit:
            codes[mine] = kind * 256 + (numbers[kind] if THINGS[kind] else 0)
            numbers[kind] += 1
    return codes


@pytest.mark.parametrize(
    "fusion",
    [
        MaxDeepLabFusion(),
        MaxDeepLabFusion(threshold=0.3, pixel=0.0, things=0, stuff=0),
        MaxDeepLabFusion(threshold=0.4, pixel=0.6, things=20_000, stuff=60_000),
    ],
    ids=["published", "everything", "strict"],
)
@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_published_order_of_steps(seed: int, fusion: MaxDeepLabFusion) -> None:
    classes, masks = slots(seed)
    found = fusion(Queries(classes[None], as_sigmoid(masks[None])), SIZE, SIZE, THINGS)
    assert found.dtype == np.uint16 and (found == slow(classes, masks, fusion)).all()
    if fusion.threshold == 0.3:
        assert len(np.unique(found)) > 2


def test_nothing_sure_is_void() -> None:
    classes, masks = slots(0, sure=0.0)
    assert (MaxDeepLabFusion()(Queries(classes[None], masks[None]), SIZE, (48, 64), THINGS) == VOID).all()


def test_areas_follow_the_square_of_the_long_side() -> None:
    """256 pixels of 1025 and 100 of 641 are the two published limits of things."""
    for side, limit in ((1024, 256), (640, 100)):
        for area, stays in ((limit + 1, True), (limit - 1, False)):
            classes = torch.full((1, 2, K + 1), -9.0)
            classes[0, 0, 0], classes[0, 1, 1] = 9.0, 9.0
            logits = torch.full((1, 2, 8, side), -9.0)
            logits[0, 1] = 9.0
            logits[0, :, 0, :area] = logits[0, :, 0, :area].flip(0)
            fusion = MaxDeepLabFusion(stuff=0)
            found = fusion(Queries(classes, logits), (8, side), (8, side), THINGS)
            assert ((found == 0).sum() == area) == stays and (found[1:] == 256).all()


def test_cells_lie_at_the_pixels_that_they_were_taken_from() -> None:
    """At a row of every fourth pixel, whatever the image's size; the last ones go on."""
    for size in ((33, 70), (24, 32), (17, 29)):
        steps = [torch.arange(0, side, 4) for side in size]
        rows, columns = torch.meshgrid(*steps, indexing="ij")
        maps = torch.stack([rows, columns]).float()
        full = corners_enlarged(maps, size)
        assert full.shape == (2, *size)
        torch.testing.assert_close(full[:, ::4, ::4], maps)
        torch.testing.assert_close(full[0, :, 0], torch.arange(size[0]).clamp(max=int(rows.max())).float())


def test_the_map_is_resized_by_the_nearest_pixel() -> None:
    classes, masks = slots(1)
    queries = Queries(classes[None], as_sigmoid(masks[None]))
    fusion = MaxDeepLabFusion(threshold=0.3, pixel=0.0, things=0, stuff=0)
    small, large = (fusion(queries, SIZE, size, THINGS) for size in (SIZE, (48, 64)))
    assert (large == small.repeat(2, 0).repeat(2, 1)).all()
