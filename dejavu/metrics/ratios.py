"""Counts to percentages, where a class may be absent."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def percent(part: ArrayLike, whole: ArrayLike) -> np.ndarray:
    """100 * part / whole in double precision; NaN where `whole` is 0.

    >>> percent([1, 0, 0], [4, 4, 0]).tolist()
    [25.0, 0.0, nan]
    """
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(100 * part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def mean(values: np.ndarray) -> float:
    """The mean of what is not NaN; NaN if nothing is left."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else math.nan


def json_number(value: float) -> float | None:
    """A plain float of full precision, None (null) for NaN, which JSON does not have."""
    return None if math.isnan(value) else float(value)
