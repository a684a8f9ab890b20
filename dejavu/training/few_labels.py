"""Training of one task with the labels of a share of the images; the loss of DejaVu sees them all."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from torch import Tensor


def with_labels(count: int, share: float) -> np.ndarray:
    """Choose the images of a training set whose labels are learnt from: (count,) bool.

    Every k-th image in the set's order, from the first one on, for a share of 1/k; images at even distances
    for any other share. The choice depends on nothing else: a row and its base, and all seeds, have the same
    labels.

    >>> with_labels(8, 0.25).nonzero()[0], with_labels(367, 0.125).sum()
    (array([0, 4]), np.int64(46))
    """
    exact = Fraction(str(share))
    chosen = np.zeros(count, bool)
    chosen[[number * exact.denominator // exact.numerator for number in range(-(-count * exact // 1))]] = True
    return chosen


def hide(target: Tensor | list[Tensor], known: np.ndarray, unknown: int) -> Tensor | list[Tensor]:
    """Replace the targets of images without labels by the value of unknown pixels.

    Args:
        target: (N, ...) of one size, or N tensors of their own sizes; they are not changed.
        known: (N,) bool.
        unknown: the value of pixels without ground truth.

    >>> import torch
    >>> hide(torch.tensor([[1, 2], [3, 4]]), np.array([True, False]), 255).tolist()
    [[1, 2], [255, 255]]
    """
    if isinstance(target, list):
        pairs = zip(target, known, strict=True)
        return [one if has else one.new_full(one.shape, unknown) for one, has in pairs]
    hidden = target.clone()
    hidden[np.flatnonzero(~known)] = unknown
    return hidden
