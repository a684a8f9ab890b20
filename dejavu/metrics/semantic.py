"""Semantic segmentation: one confusion matrix for the whole set, and the metrics that follow from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DejavuError
from . import Scoring
from .boundary import BoundaryIoU
from .class_maps import compact, scored, table
from .ratios import json_number, mean, percent


class ConfusionMatrix:
    """Pixel counts over a whole set: `matrix[i, j]` pixels of class i were predicted as j (int64).

    Its metrics are pooled over the set, never averaged over images, as in the official scripts
    of Cityscapes and ADE20K. A class that occurs neither in the ground truth nor in the
    predictions has no IoU (NaN) and is left out of the mean; one that is only predicted has IoU 0.
    The same holds for `ignore_index` where it is one of the classes.

    >>> counts = ConfusionMatrix(3)
    >>> counts.update([[0, 0, 1, 255]], [[0, 1, 1, 2]])
    >>> counts.iou_per_class.tolist(), counts.mIoU
    ([50.0, 50.0, nan], 50.0)
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        if num_classes < 1:
            raise DejavuError(f"the number of classes is {num_classes}; it must be at least 1")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.matrix = np.zeros((num_classes, num_classes), np.int64)

    def update(self, label: ArrayLike, prediction: ArrayLike, mask: ArrayLike | None = None) -> None:
        """Count class maps of one shape, any: checked as in `class_maps.scored`."""
        label, prediction, valid = scored(label, prediction, self.num_classes, self.ignore_index, mask)
        self.count(*(compact(values, valid, self.num_classes) for values in (label, prediction)))

    def count(self, label: np.ndarray, prediction: np.ndarray) -> None:
        """Count class maps as `class_maps.compact` makes them."""
        self.matrix += table(label, prediction, self.num_classes)[:-1, :-1]

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of other images of the same set."""
        if (self.num_classes, self.ignore_index) != (other.num_classes, other.ignore_index):
            raise DejavuError("confusion matrices merge only with equal num_classes and ignore_index")
        self.matrix += other.matrix

    @property
    def iou_per_class(self) -> np.ndarray:
        """Intersection over union of each class in percent (C,)."""
        hit = self.matrix.diagonal()
        return self._per_class(hit, self.matrix.sum(0) + self.matrix.sum(1) - hit)

    @property
    def accuracy_per_class(self) -> np.ndarray:
        """Share of each class's pixels that were predicted right, in percent (C,); NaN where it has none."""
        return self._per_class(self.matrix.diagonal(), self.matrix.sum(1))

    @property
    def mIoU(self) -> float:
        """Mean IoU in percent."""
        return mean(self.iou_per_class)

    @property
    def mean_accuracy(self) -> float:
        """Mean class accuracy in percent, over the classes of the ground truth."""
        return mean(self.accuracy_per_class)

    @property
    def pixel_accuracy(self) -> float:
        """Share of all counted pixels that are right, in percent."""
        return float(percent(self.matrix.trace(), self.matrix.sum()))

    def _per_class(self, counts: np.ndarray, totals: np.ndarray) -> np.ndarray:
        values = percent(counts, totals)
        if 0 <= self.ignore_index < self.num_classes:
            values[self.ignore_index] = np.nan
        return values


class SemanticMetrics:
    """All metrics of semantic segmentation, pooled over the set."""

    def __init__(
        self, num_classes: int, ignore_index: int = 255, class_names: Sequence[str] | None = None
    ) -> None:
        self.regions = ConfusionMatrix(num_classes, ignore_index)
        self.boundaries = BoundaryIoU(num_classes, ignore_index)
        self.names = [str(name) for name in class_names or range(num_classes)]
        if len(set(self.names)) != num_classes or len(self.names) != num_classes:
            raise DejavuError(f"{num_classes} different class names are needed, not {self.names}")

    def update(self, label: ArrayLike, prediction: ArrayLike, mask: ArrayLike | None = None) -> None:
        """Count class maps (H, W) or (N, H, W), checked as in `class_maps.scored`.

        `mask`, bool of that shape, leaves out pixels that are False, as if their label were ignored.
        """
        classes = self.regions.num_classes
        label, prediction, valid = scored(label, prediction, classes, self.regions.ignore_index, mask)
        counted = [compact(values, valid, classes) for values in (label, prediction)]
        self.boundaries.count(*counted)
        self.regions.count(*counted)

    def compute(self) -> dict[str, object]:
        """Compute the metrics in percent, ready for JSON; null where there is nothing to divide by.

        Keys: those of `dejavu.metrics.METRICS`, and `iou` with one number a class.
        Raises DejavuError when not a single pixel was counted.
        """
        regions = self.regions
        if not regions.matrix.any():
            raise DejavuError(f"nothing was scored: every label is {regions.ignore_index}, which is ignored")
        return {
            "miou": json_number(regions.mIoU),
            "boundary_miou": json_number(self.boundaries.mIoU),
            "pixel_accuracy": json_number(regions.pixel_accuracy),
            "mean_accuracy": json_number(regions.mean_accuracy),
            "iou": dict(zip(self.names, map(json_number, regions.iou_per_class), strict=True)),
        }


def collector(scoring: Scoring) -> SemanticMetrics:
    """Build the collector of all metrics of the task."""
    return SemanticMetrics(len(scoring.classes), scoring.ignore_index, scoring.classes)


class MainMetric(ConfusionMatrix):
    """mIoU alone."""

    def compute(self) -> dict[str, float]:
        return {"miou": self.mIoU}


def main_collector(scoring: Scoring) -> MainMetric:
    """mIoU without the boundaries, which cost most of the time."""
    return MainMetric(len(scoring.classes), scoring.ignore_index)
