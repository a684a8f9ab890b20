"""K-Net's losses and its matching of kernels to segments.

Zhang et al., NeurIPS 2021; conventions as in ZwwWayne/K-Net, configs/det: things are matched, and a kernel of
stuff always has its own class.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from ...compute.processes import across
from .mask_sets import segment_masks

DICE, RANK, CLASS = 4.0, 0.1, 2.0  # weights; those of the other losses are 1
CLASS_COST = 2.0
ALPHA, GAMMA = 0.25, 2.0
EPS = 1e-3  # of Dice's denominator, for each of its two sums


class Truth(NamedTuple):
    """The segments of one image at the masks' size; soft, since they are resized bilinearly."""

    things: Tensor
    """(T, h, w), one an object"""
    labels: Tensor
    """the class of each object, (T,)"""
    stuff: Tensor
    """(S, h, w), one each class of stuff that is in the image"""
    kinds: Tensor
    """the class of each, less the number of thing classes, (S,), rising"""


class Owners(NamedTuple):
    """The kernels of one image that have a segment to learn, in rising order."""

    kernels: Tensor
    """indices, (P,)"""
    masks: Tensor
    """their segments, (P, h, w)"""
    labels: Tensor
    """and classes, (P,)"""


def truths(codes: Tensor, ignore_index: int, things: int, size: tuple[int, int]) -> list[Truth]:
    """Return the segments of each panoptic map (N, H, W); the first `things` classes are things.

    Crowds, void and segments of the class `ignore_index` belong to no mask.
    """
    result = []
    for masks, classes in zip(*segment_masks(codes, ignore_index), strict=True):
        small = masks.new_zeros(0, *size)
        if len(masks):
            small = F.interpolate(masks[None], size=size, mode="bilinear", align_corners=False)[0]
        thing = classes < things
        kinds, number = torch.unique(classes[~thing] - things, return_inverse=True)
        stuff = small.new_zeros(len(kinds), *size).index_add(0, number, small[~thing])
        result.append(Truth(small[thing], classes[thing], stuff, kinds))
    return result


def match(masks: Tensor, scores: Tensor | None, truth: Truth) -> Owners:
    """Give each object of an image one kernel by the Hungarian algorithm; the cheapest sum of costs wins.

    masks: logits (Q, h, w) of the kernels of things.
    scores: their logits of the thing classes (Q, things); None where there are none yet.
    """
    cost = matching_cost(masks, scores, truth).detach().cpu()
    kernels, objects = (torch.as_tensor(found, device=masks.device) for found in linear_sum_assignment(cost))
    return Owners(kernels, truth.things[objects], truth.labels[objects])


def matching_cost(masks: Tensor, scores: Tensor | None, truth: Truth) -> Tensor:
    """Cost of each pair of a kernel and an object, (Q, T): focal 2, Dice 4, share of wrong pixels 1.

    Constants that all pairs have are left out.
    """
    found, true = masks.sigmoid().flatten(1), truth.things.flatten(1)
    squares = found.square().sum(1)[:, None] + true.square().sum(1) + 2 * EPS
    cost = -DICE * 2 * (found @ true.T) / squares
    cost = cost - (found @ true.T + (1 - found) @ (1 - true).T) / found.shape[1]
    if scores is None:
        return cost
    p = scores.sigmoid()[:, truth.labels]
    positive = -ALPHA * (1 - p) ** GAMMA * (p + 1e-12).log()
    negative = -(1 - ALPHA) * p**GAMMA * (1 - p + 1e-12).log()
    return cost + CLASS_COST * (positive - negative)


def with_stuff(owners: Owners, truth: Truth, queries: int, things: int) -> Owners:
    """Add the kernels of stuff, which follow the `queries` of things: those whose class is in the image."""
    return Owners(
        torch.cat([owners.kernels, queries + truth.kinds]),
        torch.cat([owners.masks, truth.stuff]),
        torch.cat([owners.labels, things + truth.kinds]),
    )


def mask_loss(masks: Tensor, owners: list[Owners]) -> Tensor:
    """Cross-entropy (1), Dice (4) and rank (0.1) of masks, logits (N, Q, h, w): a scalar.

    The first two are means over the segments of the whole batch. The rank asks of each pixel which kernel's
    mask is the largest there; its mean is over all pixels, and those of no segment cost 0.
    """
    true = torch.cat([owner.masks for owner in owners])
    found = torch.cat([image[owner.kernels] for image, owner in zip(masks, owners, strict=True)])
    segments = across(torch.tensor(float(len(true)), device=masks.device))
    cross_entropy = F.binary_cross_entropy_with_logits(found, true, reduction="none").mean((1, 2)).sum()
    probabilities = found.sigmoid()
    squares = probabilities.square().sum((1, 2)) + true.square().sum((1, 2)) + 2 * EPS
    dice = (1 - 2 * (probabilities * true).sum((1, 2)) / squares).sum()
    return (cross_entropy + DICE * dice) / segments + RANK * _rank(masks, owners)


def _rank(masks: Tensor, owners: list[Owners]) -> Tensor:
    targets = torch.stack([_topmost(owner.masks, owner.kernels, -1) for owner in owners])
    pixels = masks.flatten(2).transpose(1, 2).flatten(0, 1)  # (N h w, Q)
    total = F.cross_entropy(pixels, targets.flatten(), ignore_index=-1, reduction="sum")
    return total / targets.numel()


def class_loss(scores: Tensor, asked: Tensor, owners: list[Owners]) -> Tensor:
    """Focal loss (2) of class logits (N, Q, K), divided by the segments of the whole batch: a scalar.

    asked: (Q, K), the classes that a kernel may have. A kernel without a segment has none of them.
    """
    true = torch.zeros_like(scores)
    for image, owner in zip(true, owners, strict=True):
        image[owner.kernels, owner.labels] = 1
    segments = across(torch.tensor(float(sum(len(owner.kernels) for owner in owners)), device=scores.device))
    losses = sigmoid_focal_loss(scores, true, ALPHA, GAMMA)
    return CLASS * (losses * asked).sum() / segments


def segmentation_loss(classes: Tensor, owners: list[Owners], all_truth: list[Truth], things: int) -> Tensor:
    """Focal loss of a dense segmentation (N, K, h, w), divided by the labelled pixels of the batch: a scalar.

    Pixels without a segment have no class, and neither have objects without a kernel.
    """
    targets = []
    for owner, truth in zip(owners, all_truth, strict=True):
        masks, labels = torch.cat([truth.stuff, owner.masks]), torch.cat([things + truth.kinds, owner.labels])
        targets.append(_topmost(masks, labels, classes.shape[1]))
    target = torch.stack(targets)
    labelled = across((target < classes.shape[1]).sum().float())
    true = F.one_hot(target, classes.shape[1] + 1)[..., :-1].permute(0, 3, 1, 2).to(classes.dtype)
    return sigmoid_focal_loss(classes, true, ALPHA, GAMMA, reduction="sum") / labelled


def _topmost(masks: Tensor, values: Tensor, none: int) -> Tensor:
    """Return for each pixel the value of the last mask (P, h, w) that is not 0 there: (h, w); else `none`."""
    order = torch.arange(1, len(masks) + 1, device=masks.device)[:, None, None]
    below = values.new_full((1, *masks.shape[1:]), 0)
    last = torch.cat([below, torch.where(masks > 0, order, 0)]).amax(0)
    return torch.cat([values.new_full((1,), none), values])[last]
