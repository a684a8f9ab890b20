"""Counts of the ground truth of one split: in its arrays, and of classes also in its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...tasks.segments import CROWD, VOID
from ..dataset import IGNORE
from .store import UNKNOWN


class Counts:
    """Counts of a split, fed one image at a time."""

    def __init__(self, targets: Sequence[str]) -> None:
        """`targets` are the split's arrays other than images; the first is labels."""
        self.images = 0
        self.pixels = np.zeros(256, np.int64)
        """of each train id, in the arrays"""
        self.in_files = np.zeros(256, bool)
        """True for each train id of which the label files have a pixel"""
        self.known = dict.fromkeys(targets[1:], 0)
        """pixels with ground truth, by array"""
        self.lost = dict.fromkeys(targets, 0)
        """images whose files have ground truth of which resizing has left nothing, by array"""
        self.segments = {"count": 0, "crowds": 0}
        self.depths: list[float] = []

    def add(
        self, arrays: Mapping[str, np.ndarray], in_file: np.ndarray | None = None, lost: Sequence[str] = ()
    ) -> None:
        """Count an image's arrays (H, W, ...) by their names.

        `in_file`, bool (256,), has the train ids of its label file, if resizing has changed the label, and
        `lost` names the arrays that resizing has left without ground truth.
        """
        self.images += 1
        pixels = np.bincount(arrays["labels"].ravel(), minlength=256)
        self.pixels += pixels
        self.in_files |= (pixels > 0) if in_file is None else in_file
        for kind in lost:
            self.lost[kind] += 1
        for kind in self.known:
            self.known[kind] += known(kind, arrays[kind])
        if "depth" in self.known:
            metres = arrays["depth"][arrays["depth"] > 0]
            self.depths += [float(metres.min()), float(metres.max())] if metres.size else []
        if "panoptic" in self.known:
            row = arrays["panoptic"].ravel()
            codes = np.unique(row[np.flatnonzero(np.diff(row, prepend=~row[:1]))])  # where runs begin: few
            codes = codes[codes != VOID]
            self.segments["count"] += len(codes)
            self.segments["crowds"] += int((codes & 255 == CROWD).sum())

    def known_share(self, kind: str) -> float:
        """Return the share of pixels that have ground truth in an array."""
        total = int(self.pixels.sum())
        return (total - int(self.pixels[IGNORE]) if kind == "labels" else self.known[kind]) / total

    def has_truth(self, kind: str) -> bool:
        """Return whether an array has ground truth anywhere; for segments, one that is no crowd."""
        if kind == "panoptic":
            return self.segments["count"] > self.segments["crowds"]
        return self.known_share(kind) > 0

    def in_report(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return the shares of the classes' and of ignored pixels, for the split's entry in the report."""
        shares = self.pixels / self.pixels.sum()
        return {
            "pixel_shares": {name: round(float(shares[n]), 6) for n, name in enumerate(classes)},
            "ignored_share": round(float(shares[IGNORE]), 6),
        }


def known(kind: str, array: np.ndarray) -> int:
    """Count the pixels (H, W) of an array (H, W, ...) that have ground truth."""
    return int((array.reshape(*array.shape[:2], -1) != UNKNOWN[kind]).any(axis=-1).sum())
