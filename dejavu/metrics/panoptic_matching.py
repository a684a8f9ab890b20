"""Matching of predicted and true segments: the counts of one image from which PQ is computed.

All pixels are read once, to find the runs in which neither map changes; all further steps work on the pairs
of segments that share pixels, of which there are few.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import DejavuError

LARGEST = 2**31 - 1
"""the largest id of a segment: two of them fit into 64 bits"""


class Known(NamedTuple):
    """The class of each segment of a map, and whether it is a crowd, as arrays (S,)."""

    category: np.ndarray
    """the class, int; -1 is void, which is no segment"""
    crowd: np.ndarray
    """bool"""


Describe = Callable[[np.ndarray], Known]
"""Describes the ids (S,) that occur in a map."""


class Counts(NamedTuple):
    """Counts for each class, as arrays (C,)."""

    iou: np.ndarray
    """the sum of the IoU of matched segments, float64"""
    tp: np.ndarray
    """segments that a prediction matches, int64"""
    fp: np.ndarray
    """predicted segments that match none"""
    fn: np.ndarray
    """segments that no prediction matches"""

    @classmethod
    def none(cls, num_classes: int) -> Counts:
        """Counts of 0."""
        return cls(np.zeros(num_classes), *(np.zeros(num_classes, np.int64) for _ in range(3)))

    def plus(self, other: Counts) -> Counts:
        """Add the counts of both."""
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def overlaps(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of ids that share pixels: ground truth's (P,), prediction's (P,), and pixels (P,), int64.

    Raises DejavuError for ids that are no whole numbers, or not from 0 to `LARGEST`.

    >>> [array.tolist() for array in overlaps(np.array([[7, 7, 0]]), np.array([[1, 2, 1]]))]
    [[0, 7, 7], [1, 1, 2], [1, 1, 1]]
    """
    first, second = (np.ravel(ids) for ids in (truth, prediction))
    begins = np.flatnonzero((first[1:] != first[:-1]) | (second[1:] != second[:-1])) + 1
    begins = np.concatenate([np.zeros(min(first.size, 1), np.intp), begins])  # of runs
    lengths = np.diff(begins, append=first.size)
    first, second = _checked(first[begins], "ground truth"), _checked(second[begins], "prediction")
    keys = first << 32 | second
    pairs = np.unique(keys)  # and not its inverse, which would sort all runs
    return pairs >> 32, pairs & LARGEST, total(np.searchsorted(pairs, keys), lengths, len(pairs))


def match(
    truth: np.ndarray, prediction: np.ndarray, of_truth: Describe, of_prediction: Describe, num_classes: int
) -> Counts:
    """Match the segments of two maps of ids (H, W) of one image: see `dejavu.metrics.panoptic` for the rules.

    Raises DejavuError as `overlaps` does.
    """
    first, second, shared = overlaps(truth, prediction)
    ids, t = np.unique(first, return_inverse=True)  # t: (P,), the index of each pair's segment
    guesses, p = np.unique(second, return_inverse=True)
    real, guess = of_truth(ids), of_prediction(guesses)
    void, crowd = real.category[t] < 0, real.crowd[t]
    same = ~void & (real.category[t] == guess.category[p])

    area, guess_area = total(t, shared, len(ids)), total(p, shared, len(guesses))
    unknown = total(p, shared * void, len(guesses))  # a prediction's pixels that are void in the ground truth
    excused = unknown + total(p, shared * (same & crowd), len(guesses))

    union = area[t] + guess_area[p] - shared - unknown[p]
    hit = same & ~crowd & (2 * shared > union)  # no segment can be in two such pairs
    missed = (real.category >= 0) & ~real.crowd
    missed[t[hit]] = False
    false = (guess.category >= 0) & (2 * excused <= guess_area)
    false[p[hit]] = False
    matched, wrong, lost = real.category[t[hit]], guess.category[false], real.category[missed]
    tp, fp, fn = (np.bincount(kind, minlength=num_classes) for kind in (matched, wrong, lost))
    return Counts(np.bincount(matched, shared[hit] / union[hit], num_classes), tp, fp, fn)


def total(group: np.ndarray, pixels: np.ndarray, groups: int) -> np.ndarray:
    """Count the pixels of each group, int64 (G,)."""
    # bincount adds weights up in double precision: exact for fewer than 2^53 pixels.
    return np.bincount(group, pixels, groups).astype(np.int64)


def _checked(ids: np.ndarray, what: str) -> np.ndarray:
    if ids.dtype.kind not in "iu":
        raise DejavuError(f"the {what} has type {ids.dtype}, but a panoptic map holds integers")
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= LARGEST:
        raise DejavuError(f"the {what} holds {ids.min()} to {ids.max()}, and 0 to {LARGEST} are possible")
    return ids.astype(np.int64)
