"""Surface normals: the angle between the true and the predicted direction.

Mean, median and shares within 11.25, 22.5 and 30 degrees (Fouhey et al., ICCV 2013), pooled over the
valid pixels of the set. The multi-task protocol on NYUD-v2 writes the angle as the acos of a clamped
dot product, which in single precision knows no angle between 0 and 0.02 degrees; atan2 of the cross
product's length and the dot product is the same angle, exact everywhere, and needs no unit vectors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DejavuError

WITHIN = {"normal_within_11": 11.25, "normal_within_22": 22.5, "normal_within_30": 30.0}
"""degrees; an angle counts when it is smaller"""

BINS = 180_000
"""Thousandths of a degree: the angles of a whole set are too many to keep for their median."""


class NormalMetrics:
    """Angles over a set, image by image. Of a ground truth, the 0-vector marks a pixel without normal.

    >>> metrics = NormalMetrics()
    >>> metrics.update([[[0, 0, 1], [0, 1, 0], [0, 0, 0]]], [[[0, 0, 2], [1, 0, 0], [1, 0, 0]]])
    >>> metrics.compute()["normal_merr"]
    45.0
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.sums = np.zeros(BINS)
        self.within = np.zeros(len(WITHIN), np.int64)

    def update(self, truth: ArrayLike, prediction: ArrayLike) -> None:
        """Count one image: vectors (H, W, 3) of any length in the same frame.

        A predicted 0-vector counts 90 degrees, as its dot product says. Raises DejavuError for shapes
        that are unequal or no normal maps, for a ground truth that is not finite, and where the
        prediction is not finite at a scored pixel.
        """
        found = _angles(*_scored(np.asarray(truth), np.asarray(prediction)))
        place = np.minimum((found * (BINS / 180)).astype(np.int64), BINS - 1)
        self.counts += np.bincount(place, minlength=BINS)
        self.sums += np.bincount(place, found, minlength=BINS)
        self.within += [int((found < limit).sum()) for limit in WITHIN.values()]

    @property
    def median(self) -> float:
        """The median angle in degrees, right to half a thousandth; of an even count the middle two's mean."""
        ends = self.counts.cumsum()
        total = int(ends[-1])
        # The bin of the k-th smallest angle (k from 1) is the first that ends at k or later.
        middle = np.searchsorted(ends, [(total + 1) // 2, total // 2 + 1])
        return float((self.sums[middle] / self.counts[middle]).mean())

    def compute(self) -> dict[str, float]:
        """The metrics in degrees and percent, keyed as in `dejavu.metrics.METRICS`.

        Raises DejavuError when not a single pixel was counted.
        """
        total = int(self.counts.sum())
        if not total:
            raise DejavuError("nothing was scored: no pixel of the ground truth has a normal")
        return {
            "normal_merr": float(self.sums.sum()) / total,
            "normal_median": self.median,
            **dict(zip(WITHIN, (100 * self.within / total).tolist(), strict=True)),
        }


def angles(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """Degrees (...) between vectors (..., 3) of any length, in double precision; 90 where one is 0.

    >>> angles([1, 0, 0], [[1, 1, 0], [0, 0, -3], [-1, 0, 0]]).tolist()
    [45.0, 90.0, 180.0]
    """
    return _angles(_components(first), _components(second))


def _components(vectors: ArrayLike) -> np.ndarray:
    """(..., 3) -> (3, ...), each component in one piece, on which arithmetic is faster."""
    return np.ascontiguousarray(np.moveaxis(np.asarray(vectors, np.float64), -1, 0))


def _angles(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """As `angles`, of vectors (3, ...)."""
    (a, b, c), (x, y, z) = first, second
    across = np.sqrt((b * z - c * y) ** 2 + (c * x - a * z) ** 2 + (a * y - b * x) ** 2)
    along = a * x + b * y + c * z
    return np.where((across == 0) & (along == 0), 90.0, np.degrees(np.arctan2(across, along)))


def _scored(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vectors (3, M) of the pixels that count."""
    if truth.ndim != 3 or truth.shape[-1] != 3:
        raise DejavuError(f"a normal map is (H, W, 3), not {truth.shape}: update with one image at a time")
    if truth.shape != prediction.shape:
        raise DejavuError(
            f"the prediction's shape {prediction.shape} differs from the ground truth's {truth.shape}; "
            "predict at the ground truth's size"
        )
    known, guess = (_components(vectors).reshape(3, -1) for vectors in (truth, prediction))
    if wrong := int((~np.isfinite(known).all(0)).sum()):
        raise DejavuError(
            f"the ground truth is not finite at {wrong} pixels; a pixel without normal is the 0-vector"
        )
    valid = known.any(0)
    known, guess = known.compress(valid, 1), guess.compress(valid, 1)
    if missing := int((~np.isfinite(guess).all(0)).sum()):
        raise DejavuError(
            f"the prediction has no normal (no finite numbers) at {missing} of the {guess.shape[1]} pixels "
            "that are scored"
        )
    return known, guess
