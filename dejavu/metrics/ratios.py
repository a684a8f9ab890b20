"""Counts to percentages, where a class may be absent."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def percent(counts: ArrayLike, totals: ArrayLike) -> np.ndarray:
    """100 * counts / totals in double precision; NaN where a total is 0.

    >>> percent([1, 0, 0], [4, 4, 0]).tolist()
    [25.0, 0.0, nan]
    """
    counts, totals = np.asarray(counts, np.float64), np.asarray(totals, np.float64)
    return np.divide(100 * counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


def mean(values: np.ndarray) -> float:
    """Return the mean of the values that are not NaN; NaN if all are."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else math.nan


def json_number(value: float) -> float | None:
    """Return a plain float of full precision, None (null) for NaN, which JSON does not have."""
    return None if math.isnan(value) else float(value)
