"""What the kinds of fusion share: the call, the enlarging of masks, and the codes of segments."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import DejavuError
from ...tasks.predictions import Queries
from ...tasks.segments import MOST, VOID

Size = tuple[int, int]


class QueryFusion(ABC):
    """A rule by which the queries of one image become its panoptic map. Its fields are its thresholds."""

    def __call__(self, queries: Queries, shown: Size, size: Size, things: Sequence[bool]) -> np.ndarray:
        """Return the panoptic map of one image, uint16 codes (H, W) of tasks/segments.py.

        Args:
            queries: class logits (1, Q, K + 1) and mask logits (1, Q, h, w) of one image.
            shown: height and width of the network's input. Masks are enlarged to this size first, then to
                `size`, as in the public code.
            size: height H and width W of the map.
            things: for each of the K classes True if it is a thing class. Segments of a thing class are
                numbered in the order of their queries.

        Raises DejavuError if `things` and the prediction differ in the number of classes.
        """
        classes, masks = queries.classes[0].float(), queries.masks[0]
        if len(things) != classes.shape[1] - 1:
            raise DejavuError(
                f"the prediction has {classes.shape[1] - 1} classes, and `things` knows {len(things)}"
            )
        return self.fuse(classes, masks, shown, size, things).cpu().numpy().astype(np.uint16)

    @abstractmethod
    def fuse(self, classes: Tensor, masks: Tensor, shown: Size, size: Size, things: Sequence[bool]) -> Tensor:
        """Return the codes (H, W), int64, of class logits (Q, K + 1), float32, and mask logits (Q, h, w)."""


def enlarged(masks: Tensor, shown: Size, size: Size) -> Tensor:
    """Resize masks (Q, h, w) to the network's input, and from there to the image, (Q, H, W)."""
    for target in (shown, size):
        if masks.shape[1:] != target:
            masks = F.interpolate(masks[None], size=target, mode="bilinear", align_corners=False)[0]
    return masks


def segment_codes(labels: Tensor, remain: Tensor, things: Sequence[bool]) -> Tensor:
    """Return the code of each query's segment, int64 (Q,); VOID for those that do not remain.

    labels (Q,) are classes, remain (Q,) is boolean. Queries of one stuff class have one code.
    """
    codes, counts = np.full(len(labels), VOID, np.int64), np.zeros(len(things), np.int64)
    for query, (label, remains) in enumerate(zip(labels.tolist(), remain.tolist(), strict=True)):
        if not remains:
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
    return torch.from_numpy(codes).to(labels.device)
