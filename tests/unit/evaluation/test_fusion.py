"""Queries -> panoptic map, against the definition written query by query, and against transformers'."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Mask2FormerImageProcessorPil

from dejavu.config import Fusion
from dejavu.errors import DejavuError
from dejavu.evaluation.fusion import fuse
from dejavu.tasks.predictions import Queries
from dejavu.tasks.segments import VOID, classes_of

THINGS = (True, False, True, False)
K = len(THINGS)


def queries(seed: int, count: int = 12, size: tuple[int, int] = (12, 16), sure: float = 4.0) -> Queries:
    """Smooth random masks, and classes of which some are likely."""
    numbers = torch.Generator().manual_seed(seed)
    classes = torch.randn(1, count, K + 1, generator=numbers) * sure
    coarse = torch.randn(1, count, 4, 5, generator=numbers) * 6
    return Queries(classes, F.interpolate(coarse, size=size, mode="bilinear"))


def by_definition(one: Queries, size: tuple[int, int], fusion: Fusion) -> list[tuple[int, np.ndarray]]:
    """Mask2Former's inference as its paper and code describe it: (class, mask) of each segment."""
    masks = F.interpolate(one.masks, size=size, mode="bilinear", align_corners=False)[0].sigmoid()
    kept = []
    for scores, mask in zip(one.classes[0].softmax(-1), masks, strict=True):
        score, label = float(scores.max()), int(scores.argmax())
        if label != K and score > fusion.threshold:
            kept.append((score, label, mask))
    found: list[tuple[int, np.ndarray]] = []
    stuff: dict[int, int] = {}
    for place, (_, label, mask) in enumerate(kept):
        best = torch.stack([score * other for score, _, other in kept]).argmax(0)
        owned = best == place
        final = owned & (mask >= 0.5)
        original = int((mask >= 0.5).sum())
        if not owned.any() or not original or not final.any():
            continue
        if int(owned.sum()) / original < fusion.overlap:
            continue
        if not THINGS[label] and label in stuff:
            earlier = found[stuff[label]]
            found[stuff[label]] = (label, earlier[1] | final.numpy())
            continue
        stuff[label] = len(found)
        found.append((label, final.numpy()))
    return found


def as_segments(codes: np.ndarray) -> set[tuple[int, bytes]]:
    return {
        (int(code) >> 8, np.packbits(codes == code).tobytes()) for code in np.unique(codes) if code != VOID
    }


@pytest.mark.parametrize("threshold", [0.3, 0.8])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("seed", range(10))
def test_it_is_the_definition(seed: int, overlap: float, threshold: float) -> None:
    one, fusion = queries(seed), Fusion(threshold=threshold, overlap=overlap)
    expected = by_definition(one, (24, 32), fusion)
    codes = fuse(one, (24, 32), (24, 32), THINGS, fusion)
    assert codes.dtype == np.uint16 and codes.shape == (24, 32)
    assert as_segments(codes) == {(label, np.packbits(mask).tobytes()) for label, mask in expected}
    if overlap == 0.0 and threshold == 0.3:
        assert len(expected) >= 2  # there is something to tell apart


def test_transformers_agrees() -> None:
    """On masks that cover every pixel: transformers leaves pixels to a query that does not cover them."""
    processor = Mask2FormerImageProcessorPil()
    compared = 0
    for seed in range(8):
        size = (384, 384)  # to which transformers brings masks
        _, masks = queries(seed, 6, size)
        labels = torch.randint(K, (1, 6), generator=torch.Generator().manual_seed(seed))
        covering = masks - masks.amax(1, keepdim=True) + 4
        one = Queries(F.one_hot(labels, K + 1) * 5.0, covering)
        theirs = processor.post_process_panoptic_segmentation(
            SimpleNamespace(class_queries_logits=one.classes, masks_queries_logits=one.masks),  # type: ignore[arg-type]
            threshold=0.5,
            overlap_mask_area_threshold=0.3,
            label_ids_to_fuse={number for number in range(K) if not THINGS[number]},
            target_sizes=[size],
        )[0]
        ids = theirs["segmentation"].numpy()
        expected = {
            (segment["label_id"], np.packbits(ids == segment["id"]).tobytes())
            for segment in theirs["segments_info"]
        }
        assert as_segments(fuse(one, size, size, THINGS, Fusion(threshold=0.5, overlap=0.3))) == expected
        compared += len(expected)
    assert compared >= 12


def covering(count: int, label: int, size: tuple[int, int] = (4, 8)) -> Queries:
    """Queries of one class that share the columns among them."""
    classes = torch.full((1, count, K + 1), -20.0)
    classes[..., label] = 20.0
    masks = torch.full((1, count, *size), -20.0)
    for number in range(count):
        masks[0, number, :, number * size[1] // count : (number + 1) * size[1] // count] = 20.0
    return Queries(classes, masks)


def test_things_are_told_apart_and_stuff_is_one() -> None:
    assert fuse(covering(2, 2), (4, 8), (4, 8), THINGS)[0].tolist() == [512] * 4 + [513] * 4
    assert fuse(covering(2, 1), (4, 8), (4, 8), THINGS)[0].tolist() == [256] * 8


def test_a_query_that_is_mostly_covered_is_dropped() -> None:
    """Of two equal masks the surer one has all; what the other had is not left over for it."""
    one = covering(1, 2)
    classes = torch.cat([one.classes, one.classes * 0.1], 1)
    two = Queries(classes, one.masks.repeat(1, 2, 1, 1))
    assert np.unique(fuse(two, (4, 8), (4, 8), THINGS)).tolist() == [512]


def test_nothing_sure_is_an_empty_prediction() -> None:
    one = queries(0)
    nothing = fuse(Queries(one.classes * 0, one.masks), (24, 32), (24, 32), THINGS)
    assert (nothing == VOID).all() and (classes_of(nothing) == 255).all()


def test_more_things_than_codes_are_void() -> None:
    many = covering(260, 0, (1, 260))
    with pytest.warns(UserWarning, match="more than 255 things of one class .* are void"):
        codes = fuse(many, (1, 260), (1, 260), THINGS, Fusion(threshold=0.5, overlap=0.5))[0]
    assert codes[:255].tolist() == list(range(255)) and (codes[255:] == VOID).all()


def test_masks_go_by_the_size_that_was_seen() -> None:
    """Enlarged twice, as in the public code, is not the same as once."""
    one = queries(3, size=(3, 4))

    def full(masks: Tensor, *sizes: tuple[int, int]) -> Tensor:
        for size in sizes:
            masks = F.interpolate(masks, size=size, mode="bilinear", align_corners=False)
        return masks

    fusion = Fusion(threshold=0.3, overlap=0.0)
    twice = Queries(one.classes, full(one.masks, (12, 16), (15, 20)))
    seen = fuse(one, (12, 16), (15, 20), THINGS, fusion)
    assert (seen == fuse(twice, (15, 20), (15, 20), THINGS, fusion)).all()


def test_things_must_be_as_many_as_classes() -> None:
    with pytest.raises(DejavuError, match="4 classes, and `things` knows 3"):
        fuse(queries(0), (12, 16), (12, 16), THINGS[:3])
