"""Mask2Former's inference, with every step on all queries at once.

Cheng et al., CVPR 2022, and MaskFormer before it: a query counts if its class is likely enough and is not
"no object". Each pixel goes to the query with the largest product of mask and class probability at this
pixel, if its mask covers the pixel. A query is dropped if other queries cover too much of its mask; its
pixels are void then. Queries of the same stuff class are one segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...registry import Share
from ...tasks.segments import VOID
from .base import QueryFusion, Size, enlarged, segment_codes


@dataclass(frozen=True)
class Mask2FormerFusion(QueryFusion):
    """Mask2Former's and MaskFormer's fusion.

    Args:
        threshold: queries whose class is less likely are left out.
        overlap: queries are left out if less than this share of their mask is still free.
    """

    threshold: Share = 0.8
    overlap: Share = 0.8

    def fuse(self, classes: Tensor, masks: Tensor, shown: Size, size: Size, things: Sequence[bool]) -> Tensor:
        scores, labels = classes.softmax(-1).max(-1)  # (Q,)
        kept = (labels < len(things)) & (scores > self.threshold)
        if not kept.any():
            return labels.new_full(size, VOID)
        scores, labels = scores[kept], labels[kept]
        probabilities = enlarged(masks[kept].float(), shown, size).sigmoid_()  # (Q', H, W)
        owner = (probabilities * scores[:, None, None]).argmax(0)  # (H, W)
        covered = probabilities >= 0.5
        inside = covered.gather(0, owner[None])[0]
        areas = owner.flatten().bincount(minlength=len(labels))
        remain = (areas / covered.sum((1, 2)).clamp(min=1)) >= self.overlap
        visible = owner[inside].bincount(minlength=len(labels)) > 0
        return segment_codes(labels, remain & visible, things)[owner].where(inside, VOID)
