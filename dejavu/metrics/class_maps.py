"""Checks of a pair of class maps before it is counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DejavuError
from .image_pairs import checked_mask


def scored(
    label: ArrayLike,
    prediction: ArrayLike,
    num_classes: int,
    ignore_index: int,
    mask: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check a ground truth and a prediction of the same shape, and select the pixels that count.

    Returns both as integer arrays and a boolean array, True where the label is not `ignore_index` and `mask`,
    if there is one, is True.
    A prediction may hold anything where the label is ignored (so a ground truth scores 100 against
    itself), and a class 0..num_classes-1 everywhere else.

    Raises DejavuError for arrays that are not integers, for unequal shapes, for values outside the classes,
    and for a mask that is not bool.
    """
    label, prediction = _integers(label, "label"), _integers(prediction, "prediction")
    if label.shape != prediction.shape:
        raise DejavuError(
            f"the prediction's shape {prediction.shape} differs from the label's {label.shape}; "
            "predict at the label's size"
        )
    valid = label != ignore_index
    if (chosen := checked_mask(mask, label.shape)) is not None:
        valid &= chosen
    _in_range(label, valid, "label", num_classes, f" or {ignore_index} where it is ignored")
    _in_range(prediction, valid, "prediction", num_classes, "")
    return label, prediction, valid


def compact(values: np.ndarray, valid: np.ndarray, num_classes: int) -> np.ndarray:
    """Classes in the narrowest type that holds `num_classes`, the value of pixels that do not count.

    >>> compact(np.array([[2, 1, 255]]), np.array([[True, True, False]]), 3)
    array([[2, 1, 3]], dtype=uint8)
    """
    filled = np.full(values.shape, num_classes, np.min_scalar_type(num_classes))
    np.copyto(filled, values, where=valid, casting="unsafe")
    return filled


def table(first: np.ndarray, second: np.ndarray, num_classes: int) -> np.ndarray:
    """Count how often each pair of values 0..num_classes occurs at the same pixel: int64 (K + 1, K + 1)."""
    side = num_classes + 1
    index = np.multiply(first, side, dtype=np.min_scalar_type(side * side))
    index += second
    return np.bincount(index.ravel(), minlength=side * side).reshape(side, side)


def _integers(values: ArrayLike, what: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iub":
        raise DejavuError(f"the {what} has type {array.dtype}, but class maps are integers")
    # bool and uint64 do not mix with signed integers as counts need it.
    return array.astype(np.int64) if array.dtype in (np.bool_, np.uint64) else array


def _in_range(values: np.ndarray, valid: np.ndarray, what: str, num_classes: int, otherwise: str) -> None:
    # The extremes of the whole array settle nearly every case without a temporary copy.
    if not values.size or (values.min() >= 0 and values.max() < num_classes):
        return
    wrong = values[valid & ((values < 0) | (values >= num_classes))]
    if wrong.size:
        raise DejavuError(
            f"the {what} holds the value {wrong[0]} ({wrong.size} pixels out of range), "
            f"but a class is 0..{num_classes - 1}{otherwise}"
        )
