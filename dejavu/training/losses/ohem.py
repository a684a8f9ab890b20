"""Online hard example mining: only the pixels with the most uncertain predictions are in the loss.

It follows HRNet's recipe (HRNet/HRNet-Semantic-Segmentation, lib/core/criterion.py), after Yuan et al.'s OCR.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...compute.processes import across


def ohem_loss(
    logits: Tensor,
    labels: Tensor,
    threshold: float,
    min_kept: int,
    ignore_index: int = 255,
    weight: Tensor | None = None,
) -> Tensor:
    """Return the mean cross-entropy of the hard pixels, each times the weight of its class.

    The sum is divided by the number of these pixels, as published, and not by the sum of their weights. The
    loss is 0 where every pixel is ignored.

    logits (N, K, H, W), labels (N, H, W), weight (K,).
    """
    known = logits.log_softmax(1)  # (N, K, H, W)
    losses = F.nll_loss(known, labels, weight=weight, ignore_index=ignore_index, reduction="none")
    valid = labels != ignore_index
    own = known.detach().gather(1, labels.where(valid, 0)[:, None])[:, 0].exp()
    kept = hard_pixels(own, valid, threshold, min_kept)  # (N, H, W)
    return (losses * kept).sum() / across(kept.sum())


def hard_pixels(own: Tensor, valid: Tensor, threshold: float, min_kept: int) -> Tensor:
    """Select the pixels of the loss: (N, H, W), bool.

    They are the pixels of a probability below the threshold, and always the `min_kept` hardest of the batch,
    or all where it has fewer. Pixels as hard as the last of these are kept, too.

    own (N, H, W), the probability of each pixel's true class; valid (N, H, W), True if it is not ignored.

    >>> own, valid = torch.tensor([0.1, 0.5, 0.8, 0.9]), torch.tensor([True, False, True, True])
    >>> hard_pixels(own, valid, 0.7, 2).tolist()
    [True, False, True, False]
    """
    ranked = own.where(valid, torch.inf).flatten().sort().values
    # The position stays a tensor: as a number it would stall a GPU in every step.
    position = (valid.sum().clamp(max=min_kept) - 1).clamp(min=0)
    hardest = ranked.gather(0, position[None])
    return valid & ((own < threshold) | (own <= hardest))
