"""The loss of each task."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compute.processes import across
from ..errors import DejavuError
from .predictions import as_tensor


def task_loss(
    task: str, prediction: Any, target: Tensor, ignore_index: int = 255, weight: Tensor | None = None
) -> Tensor:
    """The loss of a task's prediction (N, C, h, w), at the target's resolution.

    Args:
        target: labels (N, H, W); depth (N, H, W) in metres, 0 is unknown; normals (N, 3, H, W), 0 is unknown.

    Raises DejavuError for a panoptic prediction, whose loss is that of its network.
    """
    if task == "panoptic":
        raise DejavuError("a panoptic prediction's loss is its network's own: give the network a `criterion`")
    maps = as_tensor(prediction, task)
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))  # under autocast they are bfloat16
    if task == "semantic":
        return semantic_loss(maps, target, ignore_index, weight)
    return {"depth": depth_loss, "normals": normals_loss}[task](maps, target)


def semantic_loss(
    logits: Tensor,
    labels: Tensor,
    ignore_index: int = 255,
    weight: Tensor | None = None,
    align_corners: bool = False,
) -> Tensor:
    """Cross-entropy at the labels' resolution.

    logits (N, K, h, w) are upsampled bilinearly to the size of labels (N, H, W), as HRNet's recipe does.
    A batch with every pixel ignored costs 0, where torch's mean would be NaN.
    """
    return cross_entropy(upsample(logits, labels, align_corners), labels, ignore_index, weight)


def upsample(logits: Tensor, labels: Tensor, align_corners: bool = False) -> Tensor:
    """logits (N, K, h, w) at the size of labels (N, H, W), bilinearly: (N, K, H, W)."""
    return F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=align_corners)


def cross_entropy(
    logits: Tensor, labels: Tensor, ignore_index: int = 255, weight: Tensor | None = None
) -> Tensor:
    """Mean over the pixels that are not ignored, weighted by their class; 0 where there are none.

    logits (N, K, H, W), labels (N, H, W), weight (K,).
    """
    total = F.cross_entropy(logits, labels, weight=weight, ignore_index=ignore_index, reduction="sum")
    valid = labels != ignore_index
    if weight is None:
        return total / across(valid.sum())
    return total / across((weight[labels.where(valid, 0)] * valid).sum(), torch.finfo(weight.dtype).tiny)


def depth_loss(prediction: Tensor, depth: Tensor) -> Tensor:
    """Mean absolute error in metres over the pixels of known depth, as in MTAN's protocol.

    prediction (N, 1, h, w), upsampled bilinearly; depth (N, H, W), 0 is unknown.
    """
    full = F.interpolate(prediction, size=depth.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    valid = depth > 0
    return ((full - depth).abs() * valid).sum() / across(valid.sum())


def normals_loss(prediction: Tensor, normals: Tensor) -> Tensor:
    """Mean of 1 - cosine over the pixels of known normals, as in MTAN's protocol up to a constant.

    prediction (N, 3, h, w) of any length, upsampled bilinearly; normals (N, 3, H, W), 0 is unknown.
    """
    full = F.interpolate(prediction, size=normals.shape[-2:], mode="bilinear", align_corners=False)
    valid = normals.square().sum(1) > 0.25  # unit vectors or zeros: between them there is nothing
    cosine = (F.normalize(full, dim=1, eps=1e-6) * normals).sum(1)
    return ((1 - cosine) * valid).sum() / across(valid.sum())
