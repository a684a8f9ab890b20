"""What a task's loss is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def semantic_loss(
    logits: Tensor, labels: Tensor, ignore_index: int = 255, weight: Tensor | None = None
) -> Tensor:
    """Cross-entropy at the labels' resolution.

    logits (N, K, h, w) are upsampled bilinearly to the size of labels (N, H, W), as HRNet's recipe does.
    A batch with every pixel ignored costs 0, where torch's mean would be NaN.
    """
    logits = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
    total = F.cross_entropy(logits, labels, weight=weight, ignore_index=ignore_index, reduction="sum")
    valid = labels != ignore_index
    if weight is None:
        return total / valid.sum().clamp(min=1)
    return total / (weight[labels.where(valid, 0)] * valid).sum().clamp(min=torch.finfo(weight.dtype).tiny)
