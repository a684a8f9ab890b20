"""Boundary IoU: the quality of the borders between classes.

Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021
(arXiv 2103.16562): the IoU of the two masks, each reduced to its band within d pixels of its own
contour, d = 2 % of the image's diagonal. Chosen over the trimap mIoU, which uses the ground truth's
contours alone: it misses an invented region elsewhere, and has a free parameter that papers set
differently.

Details that the paper leaves to its code, or leaves out:
- distance is the chessboard distance (their erosion uses a 3x3 square), d is rounded, at least 1;
- the image's edge is a contour, as in their code;
- an ignored area makes no contour, for nobody knows what is there: a pixel is in its class's band
  when a pixel of another class lies within d (otherwise all of a Cityscapes street above the
  ignored bonnet of the recording car would count as a contour that every network meets);
- it is pooled over the set per class, like mIoU; the paper pools no semantic classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DejavuError
from .class_maps import compact, scored, table
from .ratios import mean, percent

BAND = 0.02
"""The band's width as a share of the image's diagonal (Cheng et al., section 5)."""


class BoundaryIoU:
    """Pixel counts in the bands around all contours, per class, over a whole set."""

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.intersection = np.zeros(num_classes, np.int64)
        self.union = np.zeros(num_classes, np.int64)

    def update(self, label: ArrayLike, prediction: ArrayLike, mask: ArrayLike | None = None) -> None:
        """Count class maps (H, W) or (N, H, W), checked as in `class_maps.scored`."""
        label, prediction, valid = scored(label, prediction, self.num_classes, self.ignore_index, mask)
        self.count(*(compact(values, valid, self.num_classes) for values in (label, prediction)))

    def count(self, label: np.ndarray, prediction: np.ndarray) -> None:
        """Count class maps (H, W) or (N, H, W) as `class_maps.compact` makes them."""
        if label.ndim not in (2, 3):
            raise DejavuError(f"a class map is (H, W), or (N, H, W) for a batch, not {label.shape}")
        if label.ndim == 3:
            for one in zip(label, prediction, strict=True):
                self.count(*one)
            return
        counted = self.num_classes
        # One array for both: half as many steps, each on twice as much.
        both = np.stack([label, prediction])
        outside = ~band(both, band_width(*label.shape), counted)
        both[outside] = counted
        counts = table(both[0], both[1], counted)
        truth, guess, hit = counts.sum(1), counts.sum(0), counts.diagonal()
        self.intersection += hit[:counted]
        self.union += (truth + guess - hit)[:counted]

    @property
    def iou_per_class(self) -> np.ndarray:
        """Boundary IoU of each class in percent (C,); NaN for a class that occurs nowhere."""
        values = percent(self.intersection, self.union)
        if 0 <= self.ignore_index < self.num_classes:
            values[self.ignore_index] = np.nan
        return values

    @property
    def mIoU(self) -> float:
        """Boundary IoU in percent, mean over the classes that occur."""
        return mean(self.iou_per_class)


def band_width(height: int, width: int) -> int:
    """Return the band's width in pixels for an image of this size.

    >>> band_width(360, 480), band_width(1024, 2048), band_width(8, 8)
    (12, 46, 1)
    """
    return max(1, round(BAND * math.hypot(height, width)))


def band(classes: np.ndarray, width: int, num_classes: int) -> np.ndarray:
    """True where a pixel lies within `width` pixels of another class, or of the image's edge (N, H, W).

    All classes are searched at once: the highest and the lowest class in the square of 2 * width + 1
    pixels around a pixel, which takes log2(width) steps. Pixels of the value `num_classes` do not count, and
    the result at their own positions means nothing.

    >>> band(np.zeros((1, 3, 5), np.uint8), 1, num_classes=2).astype(int)
    array([[[1, 1, 1, 1, 1],
            [1, 0, 0, 0, 1],
            [1, 1, 1, 1, 1]]])
    """
    near = np.ones(classes.shape, bool)
    size = 2 * width + 1
    if min(classes.shape[-2:]) >= size:  # the squares of all other pixels reach over the edge
        lowest = _windowed(classes, size, np.minimum)
        counted = np.where(classes == num_classes, np.zeros((), classes.dtype), classes)
        highest = _windowed(counted, size, np.maximum)
        np.not_equal(lowest, highest, out=near[..., width:-width, width:-width])
    return near


def _windowed(values: np.ndarray, size: int, extreme: Callable[..., np.ndarray]) -> np.ndarray:
    """Return the extreme of every size x size window that lies inside `values` (N, H, W)."""
    for rest in ((slice(None),), ()):  # rows first, then columns
        reach = 1  # rows that `values` already covers; doubled, then the remainder
        while reach < size:
            step = min(reach, size - reach)
            values = extreme(values[..., :-step, *rest], values[..., step:, *rest])
            reach += step
    return values
