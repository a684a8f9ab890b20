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
from . import Scoring
from .image_pairs import all_finite, images

WITHIN = {"normal_within_11": 11.25, "normal_within_22": 22.5, "normal_within_30": 30.0}
"""degrees; an angle counts when it is smaller"""

BINS = 180_000
"""Thousandths of a degree: the angles of a whole set are too many to keep for their median."""

BLOCK = 8192
"""pixels whose angles are computed at a time, so that they stay in the processor's cache"""


class NormalMetrics:
    """Angles over a set, fed in images or batches. A true 0-vector marks a pixel without normal.

    >>> metrics = NormalMetrics()
    >>> metrics.update([[[0, 0, 1], [0, 1, 0], [0, 0, 0]]], [[[0, 0, 2], [1, 0, 0], [1, 0, 0]]])
    >>> metrics.compute()["normal_merr"]
    45.0
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.sums = np.zeros(BINS)
        self.within = np.zeros(len(WITHIN), np.int64)

    def update(self, truth: ArrayLike, prediction: ArrayLike, mask: ArrayLike | None = None) -> None:
        """Count vectors (H, W, 3) or (N, H, W, 3) of any length in the same frame.

        `mask`, bool (H, W) or (N, H, W), leaves out pixels that are False. A predicted 0-vector counts 90
        degrees, as its dot product says. Raises DejavuError for shapes that are unequal or no normal maps,
        for a ground truth that is not finite, and where the prediction is not finite at a scored pixel; then
        nothing of the batch is counted.
        """
        batch = images(truth, prediction, mask, "a normal map", vectors=True)
        for degrees in [_image_angles(*image) for image in batch]:
            bins = (degrees * (BINS / 180)).astype(np.int64)
            np.minimum(bins, BINS - 1, out=bins)
            self.counts += np.bincount(bins, minlength=BINS)
            self.sums += np.bincount(bins, degrees, minlength=BINS)
            self.within += [np.count_nonzero(degrees < limit) for limit in WITHIN.values()]

    @property
    def median(self) -> float:
        """Return the median angle in degrees, exact to 0.0005; of an even count the mean of the two."""
        ends = self.counts.cumsum()
        total = int(ends[-1])
        # The bin of the k-th smallest angle (k from 1) is the first that ends at k or later.
        middle = np.searchsorted(ends, [(total + 1) // 2, total // 2 + 1])
        return float((self.sums[middle] / self.counts[middle]).mean())

    def compute(self) -> dict[str, float]:
        """Compute the metrics in degrees and percent, keyed as in `dejavu.metrics.METRICS`.

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
    degrees, along = _angles(*map(_components, np.broadcast_arrays(first, second)))
    return np.where((degrees == 0) & (along == 0), 90.0, degrees)


def _components(vectors: ArrayLike) -> np.ndarray:
    """(..., 3) -> (3, ...), each component in one piece, on which arithmetic is faster."""
    return np.ascontiguousarray(np.moveaxis(np.asarray(vectors, np.float64), -1, 0))


def _angles(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Degrees (...) between vectors (3, ...) and their dot product; 0 of both where one is the 0-vector.

    Results are written into existing arrays: new memory would take half as long again.
    """
    (a, b, c), (x, y, z) = first, second
    across, spare = np.zeros(a.shape), np.empty(a.shape)
    for p, q, r, s in ((b, z, c, y), (c, x, a, z), (a, y, b, x)):
        component = np.multiply(p, q)
        component -= np.multiply(r, s, out=spare)
        across += np.multiply(component, component, out=component)
    along = np.multiply(a, x)
    along += np.multiply(b, y, out=spare)
    along += np.multiply(c, z, out=spare)
    np.arctan2(np.sqrt(across, out=across), along, out=across)
    return np.multiply(across, 180 / np.pi, out=across), along


def _image_angles(truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Compute the angles (M,) of the pixels of one image that count, in degrees."""
    rows = max(1, BLOCK // max(1, truth.shape[1]))
    blocks = []
    for start in range(0, len(truth), rows):
        block = slice(start, start + rows)
        known, guess = (_components(vectors[block]) for vectors in (truth, prediction))
        valid = known.any(0) if mask is None else known.any(0) & mask[block]
        with np.errstate(invalid="ignore", over="ignore"):  # pixels that are not scored may hold anything
            degrees, along = _angles(known, guess)
        if not all_finite(along):  # as where any component is not
            _check(truth, prediction, mask)
        # Angles of all pixels, of which those that count are picked last: from one array, and not from six.
        chosen = degrees[valid]
        if not chosen.all():
            chosen[(chosen == 0) & (along[valid] == 0)] = 90
        blocks.append(chosen)
    return np.concatenate(blocks) if blocks else np.zeros(0)


def _check(truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None) -> None:
    """Raise DejavuError where a ground truth (H, W, 3), or a prediction at a scored pixel, is not finite."""
    if wrong := int((~np.isfinite(truth).all(-1)).sum()):
        raise DejavuError(
            f"the ground truth is not finite at {wrong} pixels; a pixel without normal is the 0-vector"
        )
    valid = truth.any(-1) if mask is None else truth.any(-1) & mask
    if missing := int((~np.isfinite(prediction[valid]).all(-1)).sum()):
        raise DejavuError(
            f"the prediction has no normal (no finite numbers) at {missing} of the {int(valid.sum())} pixels "
            "that are scored"
        )


def collector(scoring: Scoring) -> NormalMetrics:
    """Build the collector of all metrics of the task."""
    return NormalMetrics()
