"""Queries -> panoptic map, against the definition written query by query, and against transformers'."""

from __future__ import annotations

from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Mask2FormerImageProcessorPil

from dejavu import networks, registry
from dejavu.config import Fusion
from dejavu.errors import DejavuError
from dejavu.evaluation.fusion import KNetFusion, Mask2FormerFusion, QueryFusion, build, fusion_of, names
from dejavu.tasks.predictions import Queries
from dejavu.tasks.segments import VOID, classes_of

THINGS = (True, False, True, False)
K = len(THINGS)
fuse = Mask2FormerFusion()


def queries(
    seed: int, count: int = 12, size: tuple[int, int] = (12, 16), sure: float = 4.0, level: float = 0.0
) -> Queries:
    """Smooth random masks about a level, and classes of which some are likely."""
    numbers = torch.Generator().manual_seed(seed)
    classes = torch.randn(1, count, K + 1, generator=numbers) * sure
    coarse = torch.randn(1, count, 4, 5, generator=numbers) * 6 + level
    return Queries(classes, F.interpolate(coarse, size=size, mode="bilinear"))


def by_definition(
    one: Queries, size: tuple[int, int], fusion: Mask2FormerFusion
) -> list[tuple[int, np.ndarray]]:
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
    one, fusion = queries(seed), Mask2FormerFusion(threshold, overlap)
    expected = by_definition(one, (24, 32), fusion)
    codes = fusion(one, (24, 32), (24, 32), THINGS)
    assert codes.dtype == np.uint16 and codes.shape == (24, 32)
    assert as_segments(codes) == {(label, np.packbits(mask).tobytes()) for label, mask in expected}
    if overlap == 0.0 and threshold == 0.3:
        assert len(expected) >= 2  # there is something to tell apart


# Hashes of six maps each, from the code as it was before there were other kinds of fusion. No decision in
# these maps is closer than 3e-5, so that another processor's rounding cannot change it.
EARLIER = [
    (0.3, 0.0, (15, 20), (0, 1, 4, 5, 9, 10), "187a1ca15cfc5ac7"),
    (0.3, 0.3, (24, 32), (0, 1, 2, 3, 4, 5), "5a9ff9fb2b2ce559"),
    (0.5, 0.5, (33, 47), (0, 2, 4, 5, 6, 7), "27a7e6c27a4c9ac0"),
    (0.8, 0.8, (12, 16), (0, 1, 3, 4, 5, 7), "76d2e3d8ee4e716a"),
    (0.8, 0.8, (24, 32), (0, 1, 2, 3, 4, 5), "292c78e48f27eedb"),
]


@pytest.mark.parametrize("case", EARLIER, ids=str)
def test_maps_are_what_they_were(case: tuple[float, float, tuple[int, int], tuple[int, ...], str]) -> None:
    threshold, overlap, size, seeds, expected = case
    chosen = Fusion(name="mask2former", threshold=threshold, overlap=overlap)
    fusion, digest = fusion_of(torch.nn.Identity(), chosen), sha256()
    for seed in seeds:
        codes = fusion(queries(seed, sure=8.0, level=-4.0), (24, 32), size, THINGS)
        digest.update(codes.astype("<u2").tobytes())
    assert digest.hexdigest()[:16] == expected


def knet_by_definition(one: Queries, size: tuple[int, int], fusion: KNetFusion) -> set[tuple[int, bytes]]:
    """K-Net's inference as its public code describes it, kernel by kernel."""
    masks = F.interpolate(one.masks.sigmoid(), size=size, mode="bilinear", align_corners=False)[0]
    scores, labels = one.classes[0, :, :-1].exp().max(1)
    owner = torch.stack([score * mask for score, mask in zip(scores, masks, strict=True)]).argmax(0)
    segments = set()
    for kernel in scores.argsort(descending=True).tolist():
        label, owned, size_ = int(labels[kernel]), owner == kernel, int((masks[kernel] >= 0.5).sum())
        if THINGS[label] and scores[kernel] < fusion.threshold:
            continue
        if owned.any() and size_ and int(owned.sum()) / size_ >= fusion.overlap:
            segments.add((label, np.packbits(owned.numpy()).tobytes()))
    return segments


@pytest.mark.parametrize("fusion", [KNetFusion(), KNetFusion(0.0, 0.2), KNetFusion(0.9, 0.9)], ids=str)
def test_knets_is_its_definition(fusion: KNetFusion) -> None:
    """Kernels of things first, then one of each class of stuff, as its network has them."""
    things, compared = 6, set()
    for seed in range(8):
        one = queries(seed, things + 2, level=-2.0)
        scores = F.logsigmoid(one.classes[0, :, :K] / 4)
        allowed = torch.tensor([THINGS] * things + [[False, True, False, False], [False, False, False, True]])
        classes = torch.cat([scores.masked_fill(~allowed, -1e4), torch.zeros(things + 2, 1)], 1)[None]
        one = Queries(classes, one.masks)
        expected = knet_by_definition(one, (24, 32), fusion)
        assert as_segments(fusion(one, (24, 32), (24, 32), THINGS)) == expected
        compared |= {label for label, _ in expected}
    assert len(compared) >= 2


def test_knets_pixels_need_no_cover_and_stuff_no_score() -> None:
    one = covering(2, 2)
    low = torch.full((1, 2, K + 1), -1e4)
    low[0, 0, 1], low[0, 1, 2] = -5.0, -0.01  # stuff with a score of e^-5, and a thing of 0.99
    half = Queries(low, one.masks)
    assert KNetFusion()(half, (4, 8), (4, 8), THINGS)[0].tolist() == [256] * 4 + [512] * 4
    uncovered = Queries(
        low, torch.where(one.masks < 0, -0.5, one.masks)
    )  # the thing's mask is the larger one
    assert KNetFusion(overlap=0.0)(uncovered, (4, 8), (4, 8), THINGS)[0, :4].tolist() == [512] * 4


class TestFusionOf:
    def test_a_network_names_its_kind(self) -> None:
        network = torch.nn.Identity()
        assert fusion_of(network) == Mask2FormerFusion()
        for name in names():
            network.fusion = name
            assert isinstance(fusion_of(network), QueryFusion)

    def test_a_protocol_chooses_another_kind_or_thresholds(self) -> None:
        network = torch.nn.Identity()
        network.fusion = "another"
        assert fusion_of(network, Fusion(name="mask2former", overlap=0.5)) == Mask2FormerFusion(overlap=0.5)

    def test_an_unknown_kind_or_option_is_named(self) -> None:
        network = torch.nn.Identity()
        network.fusion = "mask2fromer"
        with pytest.raises(DejavuError, match="unknown fusion 'mask2fromer', did you mean 'mask2former'"):
            fusion_of(network)
        with pytest.raises(DejavuError, match="'mask2former' has no such option, did you mean 'overlap'"):
            fusion_of(network, Fusion(name="mask2former", overlay=0.5))


@pytest.mark.parametrize("name", [name for name in registry.modules("networks") if registry.only_task(name)])
def test_every_panoptic_network_names_a_known_kind(name: str) -> None:
    assert fusion_of(networks.build(name, 4, 0.25, 0.25)) in map(build, names())


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
        assert as_segments(Mask2FormerFusion(0.5, 0.3)(one, size, size, THINGS)) == expected
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
        codes = Mask2FormerFusion(0.5, 0.5)(many, (1, 260), (1, 260), THINGS)[0]
    assert codes[:255].tolist() == list(range(255)) and (codes[255:] == VOID).all()


def test_masks_go_by_the_size_that_was_seen() -> None:
    """Enlarged twice, as in the public code, is not the same as once."""
    one = queries(3, size=(3, 4))

    def full(masks: Tensor, *sizes: tuple[int, int]) -> Tensor:
        for size in sizes:
            masks = F.interpolate(masks, size=size, mode="bilinear", align_corners=False)
        return masks

    fusion = Mask2FormerFusion(0.3, 0.0)
    twice = Queries(one.classes, full(one.masks, (12, 16), (15, 20)))
    seen = fusion(one, (12, 16), (15, 20), THINGS)
    assert (seen == fusion(twice, (15, 20), (15, 20), THINGS)).all()


def test_things_must_be_as_many_as_classes() -> None:
    with pytest.raises(DejavuError, match="4 classes, and `things` knows 3"):
        fuse(queries(0), (12, 16), (12, 16), THINGS[:3])
