"""K-Net's inference, with every step on all kernels at once.

Zhang et al., NeurIPS 2021. Each pixel goes to the kernel with the largest product of mask and class score,
whether or not the mask covers it. A kernel is dropped if it owns too little of its mask, and one of a thing
if its score is low; its pixels are void then. Stuff needs no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...registry import Share
from .base import QueryFusion, Size, enlarged, segment_codes


@dataclass(frozen=True)
class KNetFusion(QueryFusion):
    """K-Net's fusion. Class logits are the logarithms of the scores, as its network returns them.

    Args:
        threshold: things with a smaller score are left out.
        overlap: kernels are left out that own less than this share of their mask's size.
    """

    threshold: Share = 0.3
    overlap: Share = 0.6

    def fuse(self, classes: Tensor, masks: Tensor, shown: Size, size: Size, things: Sequence[bool]) -> Tensor:
        scores, labels = classes[:, :-1].exp().max(-1)  # (Q,)
        probabilities = enlarged(masks.float().sigmoid(), shown, size)  # (Q, H, W)
        owner = (probabilities * scores[:, None, None]).argmax(0)  # (H, W)
        owned = owner.flatten().bincount(minlength=len(labels))
        covered = (probabilities >= 0.5).sum((1, 2))
        remain = (owned > 0) & (covered > 0) & (owned >= self.overlap * covered)
        remain &= (scores >= self.threshold) | ~torch.tensor(things, device=labels.device)[labels]
        return segment_codes(labels, remain, things)[owner]
