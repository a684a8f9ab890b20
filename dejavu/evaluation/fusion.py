"""Queries -> one panoptic map: Mask2Former's inference, with every step on all queries at once.

Cheng et al., CVPR 2022, and MaskFormer before it: a query counts if its class is likely enough and is not
"no object". Each pixel goes to the query whose mask times class probability is largest there, if that mask
covers it. A query that others have covered too much of is dropped, and what it has is void; queries of the
same stuff are one segment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import Fusion
from ..errors import DejavuError
from ..tasks.predictions import Queries
from ..tasks.segments import MOST, VOID

Size = tuple[int, int]
DEFAULT = Fusion()


def fuse(
    queries: Queries, shown: Size, size: Size, things: Sequence[bool], fusion: Fusion = DEFAULT
) -> np.ndarray:
    """The panoptic map of one image, uint16 codes (H, W) of tasks/segments.py.

    Args:
        queries: of one image, (1, Q, K + 1) and (1, Q, h, w).
        shown: height and width of the image as the network saw it. Masks are enlarged to that first, then
            to `size`, as in the public code.
        size: H and W.
        things: of each of the K classes, whether it is of things. Segments of a thing class are numbered in
            the order of their queries.
        fusion: thresholds.

    Raises DejavuError where `things` are not as many as the classes.
    """
    classes, masks = queries.classes[0].float(), queries.masks[0]
    if len(things) != classes.shape[1] - 1:
        raise DejavuError(
            f"the prediction has {classes.shape[1] - 1} classes, and `things` knows {len(things)}"
        )
    scores, labels = classes.softmax(-1).max(-1)  # (Q,)
    kept = (labels < len(things)) & (scores > fusion.threshold)
    if not kept.any():
        return np.full(size, VOID, np.uint16)
    scores, labels = scores[kept], labels[kept]
    probabilities = _enlarged(masks[kept].float(), shown, size).sigmoid_()  # (Q', H, W)
    owner = (probabilities * scores[:, None, None]).argmax(0)  # (H, W)
    covered = probabilities >= 0.5
    inside = covered.gather(0, owner[None])[0]
    areas = owner.flatten().bincount(minlength=len(labels))
    remain = (areas / covered.sum((1, 2)).clamp(min=1)) >= fusion.overlap
    there = owner[inside].bincount(minlength=len(labels)) > 0
    codes = torch.from_numpy(_codes(labels.cpu().numpy(), (remain & there).cpu().numpy(), things))
    found = codes.to(owner.device)[owner].where(inside, VOID)
    return found.cpu().numpy().astype(np.uint16)


def _enlarged(masks: Tensor, shown: Size, size: Size) -> Tensor:
    """Mask logits (Q, h, w) at the size of the image (Q, H, W)."""
    for wanted in (shown, size):
        if masks.shape[1:] != wanted:
            masks = F.interpolate(masks[None], size=wanted, mode="bilinear", align_corners=False)[0]
    return masks


def _codes(labels: np.ndarray, remain: np.ndarray, things: Sequence[bool]) -> np.ndarray:
    """Return the code of each query's segment, int64; VOID for those that do not remain."""
    codes, counts = np.full(len(labels), VOID, np.int64), np.zeros(len(things), np.int64)
    for query, label in enumerate(labels.tolist()):
        if not remain[query]:
            continue
        number = int(counts[label]) if things[label] else 0
        counts[label] += 1
        if number < MOST:  # more things of a class than there are codes: the rest is void
            codes[query] = label * 256 + number
    return codes
