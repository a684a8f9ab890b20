"""Panoptic segmentation: panoptic, segmentation and recognition quality (PQ, SQ, RQ).

Kirillov et al., "Panoptic Segmentation", CVPR 2019 (arXiv 1801.00868), counted as COCO's evaluation does
(https://github.com/cocodataset/panopticapi). In each image:
- pixels that are void in the ground truth are taken out of a union: area of the prediction + area of the
  segment - shared pixels - void pixels of the prediction;
- a segment matches the prediction of its class with which its IoU is above 0.5; there is one at most;
- a crowd is neither matched nor missed; every other segment without a match is missed;
- a prediction without a match is false, unless more than half of it is void or crowds of its class.

PQ of a class is sum of IoU / (tp + fp / 2 + fn / 2) over the set, SQ the mean IoU of the matches (0 without
any), RQ is tp / (tp + fp / 2 + fn / 2). Means are over the classes that have a tp, fp or fn.
Two crowds of a class in one image, which COCO has not, count as one; panopticapi forgets all but the last.

Ours, and not torchmetrics' PanopticQuality: that one (1.9) agrees where there is neither crowd nor void, and
so the tests compare with it there, but it knows no crowds, also takes pixels out of a union that the
*prediction* leaves void, and does not count a segment as missed that the prediction leaves half void. A
network whose predictions leave out what it is unsure of would gain by that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DejavuError
from ..tasks.segments import VOID, Segment, is_crowd
from . import Scoring
from .image_pairs import images
from .panoptic_matching import Counts, Known, match
from .ratios import json_number, mean, percent

KINDS = ("", "_th", "_st")
"""Suffixes of keys: of all classes, of things, of stuff."""


class PanopticQuality:
    """PQ, SQ and RQ of a set, in constant memory: only counts by class are kept of an image.

    >>> quality = PanopticQuality([True, False], ["car", "sky"])
    >>> quality.update([[0, 0, 1, 256]], [[0, 0, 256, 256]])  # two cars, and sky; codes of tasks/segments.py
    >>> scores = quality.compute()
    >>> scores["classes"]["car"]["tp"], scores["classes"]["car"]["fn"], round(scores["pq_th"], 2)
    (1, 1, 66.67)
    """

    def __init__(self, things: Sequence[bool], class_names: Sequence[str] | None = None) -> None:
        """`things`: for each class whether it can be counted. Raises DejavuError unless the names fit it."""
        self.things = np.array(things, bool)
        self.names = [str(name) for name in class_names or range(len(self.things))]
        count = len(self.names)
        if not count or len(set(self.names)) != count:
            raise DejavuError(f"different class names are needed, one at least, not {self.names}")
        if len(self.things) != count:
            raise DejavuError(f"'things' needs a value for each of {count} classes, not {len(self.things)}")
        self.counts = Counts.none(count)

    def update(self, truth: ArrayLike, prediction: ArrayLike, mask: ArrayLike | None = None) -> None:
        """Count maps of codes (tasks/segments.py), (H, W) or (N, H, W); a predicted crowd is a segment.

        Pixels where `mask` (bool) is False are void. Raises DejavuError for other shapes, types and classes.
        """
        described = partial(self._coded, "ground truth"), partial(self._coded, "prediction")
        counts = self.counts
        for real, guess, scored in images(truth, prediction, mask, "a panoptic map"):
            codes = real if scored is None else np.where(scored, real, np.uint16(VOID))
            counts = counts.plus(match(codes, guess, *described, len(self.names)))
        self.counts = counts

    def update_ids(
        self,
        truth: np.ndarray,
        prediction: np.ndarray,
        segments: Mapping[int, Segment],
        predicted: Mapping[int, Segment],
    ) -> None:
        """Count an image's maps of ids (H, W), 0 to 2^31 - 1, with the description of each map's segments.

        Ids without a description are void. Raises DejavuError for unequal shapes, other ids and classes.
        """
        if np.ndim(truth) != 2:
            raise DejavuError(f"a map of segment ids is (H, W), not {np.shape(truth)}")
        ((real, guess, _),) = images(truth, prediction, None, "a map of segment ids")
        described = (
            partial(self._listed, "ground truth", segments),
            partial(self._listed, "prediction", predicted),
        )
        self.counts = self.counts.plus(match(real, guess, *described, len(self.names)))

    def merge(self, other: PanopticQuality) -> None:
        """Add the counts of other images of the same set."""
        if self.names != other.names or (self.things != other.things).any():
            raise DejavuError("panoptic qualities merge only with equal classes")
        self.counts = self.counts.plus(other.counts)

    @property
    def per_class(self) -> dict[str, np.ndarray]:
        """PQ, SQ and RQ of each class in percent (C,); NaN for a class that occurs nowhere."""
        iou, tp, fp, fn = self.counts
        whole = tp + (fp + fn) / 2
        sq = np.where(whole > 0, percent(iou, np.maximum(tp, 1)), np.nan)
        return {"pq": percent(iou, whole), "sq": sq, "rq": percent(tp, whole)}

    def compute(self) -> dict[str, Any]:
        """Compute the metrics in percent, ready for JSON; null where there is nothing to divide by.

        Keys: those of `dejavu.metrics.METRICS`, and `classes`: pq, sq, rq, tp, fp and fn of each by its name.
        Raises DejavuError where the ground truth has no segment, or crowds alone.
        """
        if not (self.counts.tp.any() or self.counts.fn.any()):
            raise DejavuError(
                "nothing was scored: the ground truth has no segment, all of it is void or a crowd"
            )
        chosen = dict(zip(KINDS, (np.ones_like(self.things), self.things, ~self.things), strict=True))
        each = self.per_class
        means = {
            f"{key}{kind}": json_number(mean(values[chosen[kind]]))
            for kind in KINDS
            for key, values in each.items()
        }
        columns: dict[str, list[Any]] = {key: list(map(json_number, each[key])) for key in each}
        columns |= {key: getattr(self.counts, key).tolist() for key in ("tp", "fp", "fn")}
        lines = zip(*columns.values(), strict=True)
        classes = {
            name: dict(zip(columns, line, strict=True)) for name, line in zip(self.names, lines, strict=True)
        }
        return {**means, "classes": classes}

    def _coded(self, what: str, codes: np.ndarray) -> Known:
        """Describe segments by their codes."""
        category = np.where(codes == VOID, -1, codes >> 8)
        self._check(what, category)
        return Known(category, is_crowd(codes))

    def _listed(self, what: str, segments: Mapping[int, Segment], ids: np.ndarray) -> Known:
        """Describe segments by a list of them."""
        void = Segment(-1)
        listed = [segments.get(id_, void) for id_ in ids.tolist()]
        category = np.array([segment.category for segment in listed], np.int64)
        self._check(what, category)
        return Known(category, np.array([segment.crowd for segment in listed], bool))

    def _check(self, what: str, category: np.ndarray) -> None:
        if category.size and category.max() >= len(self.names):
            raise DejavuError(
                f"the {what} has a segment of class {category.max()}, but a class is 0..{len(self.names) - 1}"
            )


def collector(scoring: Scoring) -> PanopticQuality:
    """Build the collector of all metrics of the task."""
    return PanopticQuality(scoring.things, scoring.classes)
