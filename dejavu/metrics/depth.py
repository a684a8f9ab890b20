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
    """Depth errors over a set, image by image. Of a ground truth, 0 marks a pixel without depth.

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

    def update(self, truth: ArrayLike, prediction: ArrayLike) -> None:
        """Count one image: depth maps (H, W) in metres.

        An image without a pixel to score is passed over. Raises DejavuError for unequal shapes, for a
        ground truth below 0 or not finite, and where the prediction is not finite at a scored pixel.
        """
        known, guess = self._scored(*_maps(truth, prediction))
        if not known.size:
            return
        if self.median_scaling:
            guess = guess * _ratio(known, guess)
        if (self.minimum, self.maximum) != (0.0, math.inf):
            guess = guess.clip(self.minimum, self.maximum)
        self.pixels += known.size
        self.images += 1
        self.absolute += float(np.abs(known - guess).sum())
        self.sums += _of_image(known, guess)

    def compute(self) -> dict[str, float]:
        """The metrics, keyed as in `dejavu.metrics.METRICS`; the deltas are shares of 1.

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

    def _scored(self, truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values (M,) of the pixels that count, in double precision."""
        window = crop_window(self.crop, *truth.shape)
        truth, prediction = truth[window], prediction[window]
        valid = (truth > self.minimum) & (truth < self.maximum)
        known, guess = truth[valid].astype(np.float64), prediction[valid].astype(np.float64)
        if missing := int((~np.isfinite(guess)).sum()):
            raise DejavuError(
                f"the prediction has no depth (no finite number) at {missing} of the {guess.size} pixels "
                "that are scored"
            )
        return known, guess


def crop_window(crop: str, height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns that a crop keeps.

    >>> crop_window("garg", 375, 1242)
    (slice(153, 371, None), slice(44, 1197, None))
    """
    top, bottom, left, right = CROPS[crop]
    return slice(int(top * height), int(bottom * height)), slice(int(left * width), int(right * width))


def _maps(truth: ArrayLike, prediction: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.ndim != 2:
        raise DejavuError(f"a depth map is (H, W), not {truth.shape}: update with one image at a time")
    if truth.shape != prediction.shape:
        raise DejavuError(
            f"the prediction's shape {prediction.shape} differs from the ground truth's {truth.shape}; "
            "predict at the ground truth's size"
        )
    if wrong := int((~(np.isfinite(truth) & (truth >= 0))).sum()):
        raise DejavuError(
            f"the ground truth holds {wrong} values that are negative or not finite; "
            "a pixel without depth is 0"
        )
    return truth, prediction


def _ratio(known: np.ndarray, guess: np.ndarray) -> float:
    median = float(np.median(guess))
    if median <= 0:
        raise DejavuError(
            f"the prediction's median depth is {median} m, but median scaling needs one above 0"
        )
    return float(np.median(known)) / median


def _of_image(known: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """The values of `PER_IMAGE` for one image's scored pixels (M,)."""
    error = known - guess
    positive = np.maximum(guess, FLOOR)
    logarithm = np.log(positive) - np.log(known)
    ratio = np.maximum(known / positive, positive / known)
    return np.array(
        [
            (np.abs(error) / known).mean(),
            (error**2 / known).mean(),
            math.sqrt((error**2).mean()),
            math.sqrt((logarithm**2).mean()),
            np.abs(logarithm).mean() / math.log(10),
            *((ratio < RATIO**power).mean() for power in (1, 2, 3)),
        ]
    )
