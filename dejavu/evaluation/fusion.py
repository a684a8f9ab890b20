"""Queries -> one panoptic map: Mask2Former's inference, with every step on all queries at once.

Cheng et al., CVPR 2022, and MaskFormer before it: a query counts if its class is likely enough and is not
"no object". Each pixel goes to the query with the largest product of mask and class probability at this
pixel, if its mask covers the pixel. A query is dropped if other queries cover too much of its mask; its
pixels are void then. Queries of the same stuff class are one segment.
"""

from __future__ import annotations

import warnings
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
        queries: class logits (1, Q, K + 1) and mask logits (1, Q, h, w) of one image.
        shown: height and width of the network's input. Masks are enlarged to this size first, then to
            `size`, as in the public code.
        size: height H and width W of the map.
        things: for each of the K classes True if it is a thing class. Segments of a thing class are numbered
            in the order of their queries.
        fusion: thresholds of the configuration.

    Raises DejavuError if `things` and the prediction differ in the number of classes.
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
    visible = owner[inside].bincount(minlength=len(labels)) > 0
    codes = torch.from_numpy(_codes(labels.cpu().numpy(), (remain & visible).cpu().numpy(), things))
    fused = codes.to(owner.device)[owner].where(inside, VOID)
    return fused.cpu().numpy().astype(np.uint16)


def _enlarged(masks: Tensor, shown: Size, size: Size) -> Tensor:
    """Resize mask logits (Q, h, w) to the size of the image, (Q, H, W)."""
    for target in (shown, size):
        if masks.shape[1:] != target:
            masks = F.interpolate(masks[None], size=target, mode="bilinear", align_corners=False)[0]
    return masks


def _codes(labels: np.ndarray, remain: np.ndarray, things: Sequence[bool]) -> np.ndarray:
    """Return the code of each query's segment, int64; VOID for those that do not remain."""
    codes, counts = np.full(len(labels), VOID, np.int64), np.zeros(len(things), np.int64)
    for query, label in enumerate(labels.tolist()):
        if not remain[query]:
            continue
        number = int(counts[label]) if things[label] else 0
        counts[label] += 1
        if number < MOST:  # further things of a class have no code: they are void
            codes[query] = label * 256 + number
    if counts[np.array(things, bool)].max(initial=0) > MOST:
        warnings.warn(
            f"more than {MOST} things of one class are predicted in an image: further ones are void",
            stacklevel=2,
        )
    return codes
