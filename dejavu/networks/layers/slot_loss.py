"""MaX-DeepLab's losses of one image (Wang et al., CVPR 2021, section 3.4 and appendix).

A slot is a class and a mask; at each pixel the masks of all slots sum to 1. Segments are matched to slots by
the product of the two similarities that the panoptic quality (PQ) is made of.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

POSITIVE = 0.75  # alpha of the PQ-style loss; slots without a segment weigh 1 - POSITIVE
WEIGHTS = {"pq": 3.0, "mask_id": 0.3, "instance": 1.0, "semantic": 1.0}
TEMPERATURE = 0.3  # of the instance discrimination
LEAST = 1e-5  # of the weights by a similarity, and added to the areas of the matching's Dice


class Truth(NamedTuple):
    """An image's segments at P pixels."""

    masks: Tensor
    """(G, P), 0 or 1; no pixel belongs to two"""
    classes: Tensor
    """(G,)"""
    labelled: Tensor
    """(P,), 1 unless the pixel is void; crowds are labelled, though no mask has them"""


class Matched(NamedTuple):
    """Pairs of segments and slots, and their similarities, without a gradient."""

    segments: Tensor
    """(M,)"""
    slots: Tensor
    """(M,)"""
    dice: Tensor
    """(M,), of the masks"""
    probability: Tensor
    """(M,), of the segment's class"""


def match(classes: Tensor, masks: Tensor, truth: Truth) -> Matched:
    """Match segments to slots so that the sum of Dice times class probability is largest.

    classes: logits (Q, K + 1), the last one "no object"; masks: probabilities (Q, P). Where there are more
    segments than slots, those that fit worst have none.
    """
    with torch.no_grad():
        seen = masks * truth.labelled
        areas = truth.masks.sum(1)[:, None] + seen.sum(1)[None]  # (G, Q)
        dice = truth.masks @ seen.T / (areas / 2 + LEAST)
        probability = classes.softmax(-1)[:, truth.classes].T  # (G, Q)
        rows, columns = linear_sum_assignment((dice * probability).double().cpu().numpy(), maximize=True)
        segments, slots = (torch.as_tensor(index, device=masks.device) for index in (rows, columns))
        return Matched(segments, slots, dice[segments, slots], probability[segments, slots])


def pq_loss(classes: Tensor, masks: Tensor, truth: Truth, matched: Matched) -> Tensor:
    """Compute the PQ-style loss, without its weight: a scalar.

    POSITIVE times the mean over slots of, where a segment is matched, class probability times Dice loss plus
    Dice times cross-entropy, the factors without a gradient; and (1 - POSITIVE) times the cross-entropy of
    "no object" of the others. Masks are compared at the pixels that some segment has.
    """
    inside = masks[matched.slots] * truth.masks.sum(0)  # (M, P)
    target = truth.masks[matched.segments]
    overlap = 2 * (inside * target).sum(1) + 1
    dice_loss = 1 - overlap / (inside.sum(1) + target.sum(1) + 1)
    nothing = classes.shape[1] - 1
    expected = torch.full((len(classes),), nothing, device=classes.device)
    expected[matched.slots] = truth.classes[matched.segments]
    weight = torch.full_like(classes[:, 0], 1 - POSITIVE)
    weight[matched.slots] = POSITIVE * matched.dice.clamp(min=LEAST)
    of_classes = (weight * F.cross_entropy(classes, expected, reduction="none")).sum()
    of_masks = POSITIVE * (matched.probability.clamp(min=LEAST) * dice_loss).sum()
    return (of_classes + of_masks) / len(classes)


def mask_id_loss(log_masks: Tensor, truth: Truth, matched: Matched) -> Tensor:
    """Compute the mean cross-entropy of the slot over the pixels of matched segments; 0 without any.

    log_masks: logarithms of the masks' probabilities, (Q, P).
    """
    target = truth.masks[matched.segments]
    return -(log_masks[matched.slots] * target).sum() / target.sum().clamp(min=1)


def instance_loss(features: Tensor, truth: Truth, things: int) -> Tensor:
    """Compute the mean cross-entropy of the segment over the pixels of things; 0 without any.

    The logits of a pixel are the products of its feature with the normalised mean feature of each segment,
    divided by TEMPERATURE.

    features: (C, P), of length 1; things: classes below this number are things.
    """
    means = F.normalize(truth.masks @ features.T, dim=1)  # (G, C)
    chosen = truth.masks * (truth.classes < things)[:, None]
    logits = means @ features / TEMPERATURE  # (G, P)
    return -(logits.log_softmax(0) * chosen).sum() / chosen.sum().clamp(min=1)


def semantic_loss(logits: Tensor, classes: Tensor, weight: Tensor, ignore_index: int) -> Tensor:
    """Compute the mean over pixels that are not ignored of weight times cross-entropy; 0 without any.

    logits (K, P), classes (P,), weight (P,).
    """
    losses = F.cross_entropy(logits.T, classes, ignore_index=ignore_index, reduction="none")
    return (weight * losses).sum() / (classes != ignore_index).sum().clamp(min=1)
