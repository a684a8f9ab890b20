"""Checks of a ground truth, a prediction and a mask, of one image or of a batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DejavuError

Images = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]


def images(
    truth: ArrayLike, prediction: ArrayLike, mask: ArrayLike | None, what: str, vectors: bool = False
) -> Images:
    """Split a batch into its images: ground truth and prediction (H, W), mask (H, W) or None.

    `truth` is (H, W) or (N, H, W), with 3 more components a pixel for `vectors`; `prediction` has its shape,
    and `mask`, bool, that of its pixels. Each image is counted on its own: so a batch gives the same bits as
    its images one by one, and one image's values stay in the processor's cache.

    Raises DejavuError for other shapes, and for a mask that is not bool.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if not (truth.ndim in (3, 4) and truth.shape[-1] == 3 if vectors else truth.ndim in (2, 3)):
        single = "(H, W, 3)" if vectors else "(H, W)"
        raise DejavuError(f"{what} is {single}, or (N, {single[1:]} for a batch, not {truth.shape}")
    if truth.shape != prediction.shape:
        raise DejavuError(
            f"the prediction's shape {prediction.shape} differs from the ground truth's {truth.shape}; "
            "predict at the ground truth's size"
        )
    pixels = truth.shape[:-1] if vectors else truth.shape
    mask = checked_mask(mask, pixels)
    if len(pixels) == 2:
        return iter([(truth, prediction, mask)])
    masks = [None] * len(truth) if mask is None else mask
    return zip(truth, prediction, masks, strict=True)


def checked_mask(mask: ArrayLike | None, pixels: tuple[int, ...]) -> np.ndarray | None:
    """Return a mask as an array: bool, of the shape of the pixels, True where they are scored."""
    if mask is None:
        return None
    mask = np.asarray(mask)
    if mask.dtype != np.bool_ or mask.shape != pixels:
        raise DejavuError(
            f"the mask is {mask.dtype} {mask.shape}, and bool {pixels} is needed, True where one is scored"
        )
    return mask


def all_finite(values: np.ndarray) -> bool:
    """Return True if all values are finite; the sum is tested first."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum(dtype=np.float64)
    return bool(np.isfinite(total) or np.isfinite(values).all())
