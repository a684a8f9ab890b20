"""Depth: errors in metres, and errors relative to the true depth.

Two protocols meet here, and they pool differently:
- `depth_aerr`, the table's depth error on NYUD-v2 (multi-task protocol of MTPSL): absolute errors
  summed over all valid pixels of the set, divided by their number;
- all others, as on KITTI (Eigen et al., NIPS 2014; evaluation of monodepth2, ICCV 2019): computed for
  every image, then averaged over the images that have a valid pixel.

The caps, the crop and the median scaling are KITTI's; NYUD-v2 has none of them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DejavuError, nearest
from . import Scoring
from .image_pairs import all_finite, images

CROPS: dict[str, tuple[float, float, float, float]] = {
    "none": (0.0, 1.0, 0.0, 1.0),
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}
"""First row, last row, first column, last column as shares of the image, rounded down to pixels: Garg et al.,
ECCV 2016, and Eigen et al.'s crop of KITTI, as monodepth's evaluation writes them down."""

FLOOR = 1e-3
"""metres; a prediction below is lifted to it in logarithms and ratios, where 0 or less has no meaning"""

RATIO = 1.25
PER_IMAGE = ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "delta1", "delta2", "delta3")


class DepthMetrics:
    """Depth errors over a set, fed in images or batches. Of a ground truth, 0 marks a pixel without depth.

    Args:
        minimum, maximum: metres; only pixels whose true depth lies strictly between them are scored,
            and predictions are clipped to them.
        crop: a key of `CROPS`: only pixels inside are scored.
        median_scaling: multiply every prediction by the ratio of the medians of its image's scored
            pixels first, for methods that know depth up to a factor only.

    >>> metrics = DepthMetrics()
    >>> metrics.update([[2.0, 4.0, 0.0]], [[3.0, 4.0, 7.0]])
    >>> [metrics.compute()[key] for key in ("depth_aerr", "abs_rel", "delta1")]
    [0.5, 0.25, 0.5]
    """

    def __init__(
        self,
        minimum: float = 0.0,
        maximum: float = math.inf,
        crop: str = "none",
        median_scaling: bool = False,
    ) -> None:
        if not 0 <= minimum < maximum:
            raise DejavuError(
                f"depth is scored from {minimum} to {maximum} m, but the minimum must be at least 0 "
                "and less than the maximum"
            )
        if crop not in CROPS:
            raise DejavuError(f"unknown crop '{crop}', {nearest(crop, CROPS)}")
        self.minimum, self.maximum = minimum, maximum
        self.crop = crop
        self.median_scaling = median_scaling
        self.pixels = 0
        self.images = 0
        self.absolute = 0.0
        self.sums = np.zeros(len(PER_IMAGE))

    def update(self, truth: ArrayLike, prediction: ArrayLike, mask: ArrayLike | None = None) -> None:
        """Count depth maps (H, W) or (N, H, W) in metres; `mask`, bool, leaves out pixels that are False.

        An image without a pixel to score is skipped. Raises DejavuError for unequal shapes, for a
        ground truth below 0 or not finite, and where the prediction is not finite at a scored pixel; then
        nothing of the batch is counted.
        """
        errors = [self._image_errors(*image) for image in images(truth, prediction, mask, "a depth map")]
        for pixels, absolute, values in (one for one in errors if one is not None):
            self.pixels += pixels
            self.images += 1
            self.absolute += absolute
            self.sums += values

    def _image_errors(
        self, truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None
    ) -> tuple[int, float, np.ndarray] | None:
        """One image's number of scored pixels, their summed absolute error, and the values of `PER_IMAGE`."""
        _check(truth)
        known, guess = self._scored(truth, prediction, mask)
        if not known.size:
            return None
        if self.median_scaling:
            guess *= _ratio(known, guess)
        if (self.minimum, self.maximum) != (0.0, math.inf):
            np.clip(guess, self.minimum, self.maximum, out=guess)
        return known.size, *_errors(known, guess)

    def compute(self) -> dict[str, float]:
        """Compute the metrics, keyed as in `dejavu.metrics.METRICS`; the deltas are shares of 1.

        Raises DejavuError when not a single pixel was counted.
        """
        if not self.pixels:
            where = "" if self.crop == "none" else f" inside the crop '{self.crop}'"
            raise DejavuError(
                "nothing was scored: no pixel of the ground truth has a depth between "
                f"{self.minimum} and {self.maximum} m{where}"
            )
        means = (self.sums / self.images).tolist()
        return {"depth_aerr": self.absolute / self.pixels, **dict(zip(PER_IMAGE, means, strict=True))}

    def _scored(
        self, truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the values (M,) of the scored pixels, in double precision; copies."""
        window = crop_window(self.crop, *truth.shape)
        truth, prediction = truth[window], prediction[window]
        valid = truth > self.minimum
        if self.maximum != math.inf:
            valid &= truth < self.maximum
        if mask is not None:
            valid &= mask[window]
        if valid.all():
            known, guess = truth.astype(np.float64).ravel(), prediction.astype(np.float64).ravel()
        else:
            indices = np.flatnonzero(valid)
            known, guess = (values.ravel()[indices].astype(np.float64) for values in (truth, prediction))
        if not all_finite(guess):
            missing = int((~np.isfinite(guess)).sum())
            raise DejavuError(
                f"the prediction has no depth (no finite number) at {missing} of the {guess.size} pixels "
                "that are scored"
            )
        return known, guess


def crop_window(crop: str, height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns that a crop keeps.

    >>> crop_window("garg", 375, 1242)
    (slice(153, 371, None), slice(44, 1197, None))
    """
    top, bottom, left, right = CROPS[crop]
    return slice(int(top * height), int(bottom * height)), slice(int(left * width), int(right * width))


def _check(truth: np.ndarray) -> None:
    if truth.size and not (truth.min() >= 0 and truth.max() < math.inf):  # NaN, too
        wrong = int((~np.isfinite(truth) | (truth < 0)).sum())
        raise DejavuError(
            f"the ground truth holds {wrong} values that are negative or not finite; "
            "a pixel without depth is 0"
        )


def _ratio(known: np.ndarray, guess: np.ndarray) -> float:
    median = float(np.median(guess))
    if median <= 0:
        raise DejavuError(
            f"the prediction's median depth is {median} m, but median scaling needs one above 0"
        )
    return float(np.median(known)) / median


def _errors(known: np.ndarray, guess: np.ndarray) -> tuple[float, np.ndarray]:
    """Sum the absolute errors of one image's scored pixels (M,), and compute the values of `PER_IMAGE`.

    `guess` is overwritten: memory that is used again is faster than new memory.
    """
    first, second = known - guess, np.empty_like(known)
    absolute = float(np.abs(first, out=second).sum())
    abs_rel = np.divide(second, known, out=second).mean()
    squared = np.square(first, out=first).mean()
    sq_rel = np.divide(first, known, out=first).mean()
    positive = np.maximum(guess, FLOOR, out=guess)
    logarithm = np.subtract(np.log(positive, out=first), np.log(known, out=second), out=first)
    log10 = np.abs(logarithm, out=second).mean() / math.log(10)
    squared_log = np.square(logarithm, out=first).mean()
    ratio = np.maximum(
        np.divide(known, positive, out=first), np.divide(positive, known, out=second), out=first
    )
    deltas = [np.count_nonzero(ratio < RATIO**power) / known.size for power in (1, 2, 3)]
    return absolute, np.array([abs_rel, sq_rel, math.sqrt(squared), math.sqrt(squared_log), log10, *deltas])


def collector(scoring: Scoring) -> DepthMetrics:
    """Build the collector of all metrics of the task."""
    return DepthMetrics(**(scoring.depth or {}))
