"""MaX-DeepLab's losses against their definitions, one pixel and one slot at a time."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor

from dejavu.networks.layers.slot_loss import (
    Truth,
    instance_loss,
    mask_id_loss,
    match,
    pq_loss,
    semantic_loss,
)

K, SLOTS, PIXELS, FEATURES = 4, 5, 40, 6
VOID = -1
CROWDED = -2


def sample(seed: int, segments: int = 3) -> tuple[Tensor, Tensor, list[int], Truth]:
    """Class logits, log masks, each pixel's segment (or VOID, or CROWDED), and the truth made of them."""
    torch.manual_seed(seed)
    classes = 2 * torch.randn(SLOTS, K + 1)
    log_masks = (2 * torch.randn(SLOTS, PIXELS)).log_softmax(0)
    owner = torch.randint(-2, segments, (PIXELS,)).tolist()
    owner[:segments] = range(segments)
    masks = torch.tensor([[float(one == number) for one in owner] for number in range(segments)])
    labelled = torch.tensor([float(one != VOID) for one in owner])
    return (
        classes,
        log_masks,
        owner,
        Truth(masks.view(segments, PIXELS), torch.randint(K, (segments,)), labelled),
    )


def probability(logits: Tensor, kind: int) -> float:
    exponentials = [math.exp(value) for value in logits.tolist()]
    return exponentials[kind] / sum(exponentials)


def slow_dice(masks: Tensor, slot: int, segment: int, owner: list[int]) -> float:
    """Intersection over the mean of areas; the slot's area is that of its labelled pixels."""
    inside = sum(float(masks[slot, p]) for p in range(PIXELS) if owner[p] == segment)
    area = sum(float(masks[slot, p]) for p in range(PIXELS) if owner[p] != VOID)
    return inside / ((area + owner.count(segment)) / 2 + 1e-5)


def slow_match(classes: Tensor, masks: Tensor, owner: list[int], truth: Truth) -> dict[int, int]:
    """The slot of each segment, of all assignments the best."""
    kinds = truth.classes.tolist()
    quality = [
        [probability(classes[slot], kind) * slow_dice(masks, slot, segment, owner) for slot in range(SLOTS)]
        for segment, kind in enumerate(kinds)
    ]
    every = permutations(range(SLOTS), len(kinds))
    best = max(every, key=lambda chosen: sum(quality[segment][slot] for segment, slot in enumerate(chosen)))
    return dict(enumerate(best))


def slow_pq(classes: Tensor, masks: Tensor, owner: list[int], truth: Truth, pairs: dict[int, int]) -> float:
    total, kinds = 0.0, truth.classes.tolist()
    for segment, slot in pairs.items():
        inside = sum(float(masks[slot, p]) for p in range(PIXELS) if owner[p] == segment)
        area = sum(float(masks[slot, p]) for p in range(PIXELS) if owner[p] >= 0)
        of_mask = 1 - (2 * inside + 1) / (area + owner.count(segment) + 1)
        of_class = -math.log(probability(classes[slot], kinds[segment]))
        similar = slow_dice(masks, slot, segment, owner)
        total += 0.75 * (probability(classes[slot], kinds[segment]) * of_mask + similar * of_class)
    for slot in set(range(SLOTS)) - set(pairs.values()):
        total -= 0.25 * math.log(probability(classes[slot], K))
    return total / SLOTS


every_seed = pytest.mark.parametrize("seed", range(5))


@every_seed
def test_matching_is_the_best_of_all_assignments(seed: int) -> None:
    classes, log_masks, owner, truth = sample(seed)
    found = match(classes, log_masks.exp(), truth)
    pairs = slow_match(classes, log_masks.exp(), owner, truth)
    assert dict(zip(found.segments.tolist(), found.slots.tolist(), strict=True)) == pairs
    for number, (segment, slot) in enumerate(sorted(pairs.items())):
        kind = int(truth.classes[segment])
        assert found.dice[number].item() == pytest.approx(
            slow_dice(log_masks.exp(), slot, segment, owner), rel=1e-5
        )
        assert found.probability[number].item() == pytest.approx(probability(classes[slot], kind), rel=1e-5)


@every_seed
def test_the_pq_style_loss_is_its_definition(seed: int) -> None:
    classes, log_masks, owner, truth = sample(seed)
    matched = match(classes, log_masks.exp(), truth)
    pairs = slow_match(classes, log_masks.exp(), owner, truth)
    expected = slow_pq(classes, log_masks.exp(), owner, truth, pairs)
    assert pq_loss(classes, log_masks.exp(), truth, matched).item() == pytest.approx(expected, rel=1e-5)


def test_the_pq_style_loss_is_the_gradient_of_the_product() -> None:
    """Of masks: that of - class probability x Dice with the first factor held fixed (the paper's eq. 10)."""
    classes, log_masks, _, truth = sample(1, segments=1)
    truth = truth._replace(labelled=truth.masks.sum(0))
    classes, masks = classes.requires_grad_(), log_masks.exp().requires_grad_()
    matched = match(classes, masks, truth)
    (slot,), (kind,) = matched.slots, truth.classes
    pq_loss(classes, masks, truth, matched).backward()
    found = masks.grad.clone()
    masks.grad, probabilities = None, classes.detach().softmax(-1)
    inside = masks[slot] * truth.masks.sum(0)
    dice = (2 * (inside * truth.masks[0]).sum() + 1) / (inside.sum() + truth.masks.sum() + 1)
    (-0.75 / SLOTS * probabilities[slot, kind] * dice).backward()
    torch.testing.assert_close(found, masks.grad)


@every_seed
def test_mask_id_cross_entropy_is_its_definition(seed: int) -> None:
    classes, log_masks, owner, truth = sample(seed)
    pairs = slow_match(classes, log_masks.exp(), owner, truth)
    losses = [-float(log_masks[pairs[one], p]) for p, one in enumerate(owner) if one >= 0]
    found = mask_id_loss(log_masks, truth, match(classes, log_masks.exp(), truth))
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@every_seed
@pytest.mark.parametrize("things", [0, 2, K])
def test_instance_discrimination_is_its_definition(seed: int, things: int) -> None:
    _, _, owner, truth = sample(seed)
    features = torch.nn.functional.normalize(torch.randn(FEATURES, PIXELS), dim=0)
    means = []
    for segment in range(len(truth.classes)):
        mean = sum(features[:, p] for p in range(PIXELS) if owner[p] == segment) / owner.count(segment)
        means.append(mean / mean.norm())
    losses = []
    for p, one in enumerate(owner):
        if one >= 0 and truth.classes[one] < things:
            logits = torch.stack([features[:, p] @ mean / 0.3 for mean in means])
            losses.append(-math.log(probability(logits, one)))
    expected = sum(losses) / len(losses) if losses else 0.0
    assert instance_loss(features, truth, things).item() == pytest.approx(expected, rel=1e-4)


@every_seed
def test_the_semantic_loss_is_its_definition(seed: int) -> None:
    torch.manual_seed(seed)
    logits, classes = torch.randn(K, PIXELS), torch.randint(K, (PIXELS,))
    classes[::3] = 255
    weight = torch.rand(PIXELS)
    losses = [
        float(weight[p]) * -math.log(probability(logits[:, p], int(classes[p])))
        for p in range(PIXELS)
        if classes[p] != 255
    ]
    expected = sum(losses) / len(losses)
    assert semantic_loss(logits, classes, weight, 255).item() == pytest.approx(expected, rel=1e-5)


def test_without_segments_all_slots_are_nothing() -> None:
    classes, log_masks, _, truth = sample(0)
    empty = Truth(truth.masks[:0], truth.classes[:0], torch.zeros(PIXELS))
    matched = match(classes, log_masks.exp(), empty)
    assert len(matched.slots) == 0
    expected = -0.25 * sum(math.log(probability(logits, K)) for logits in classes) / SLOTS
    assert pq_loss(classes, log_masks.exp(), empty, matched).item() == pytest.approx(expected, rel=1e-5)
    features = torch.randn(FEATURES, PIXELS)
    assert mask_id_loss(log_masks, empty, matched) == 0 and instance_loss(features, empty, K) == 0
    ignored = torch.full((PIXELS,), 255)
    assert semantic_loss(torch.randn(K, PIXELS), ignored, torch.ones(PIXELS), 255) == 0


def test_more_segments_than_slots_leave_the_worst_out() -> None:
    classes, log_masks, _, truth = sample(2, segments=SLOTS + 2)
    matched = match(classes, log_masks.exp(), truth)
    assert (
        sorted(matched.slots.tolist()) == list(range(SLOTS)) and len(set(matched.segments.tolist())) == SLOTS
    )
    assert pq_loss(classes, log_masks.exp(), truth, matched).isfinite()
    assert mask_id_loss(log_masks, truth, matched).isfinite()
