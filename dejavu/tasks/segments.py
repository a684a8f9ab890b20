"""Panoptic maps as one array: for each pixel its class and the number of its segment within the class.

A code is `class * 256 + number`, uint16. Numbers 0 to 254 are the segments of a class in one image; 255 is
`CROWD`, a group of things that are not annotated one by one. `VOID`, 65535, belongs to no segment: its class
is 255, the `IGNORE` of label maps. So an image with all its segments is an array like any other: it is
resized, cropped and stored as labels are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import DejavuError

CROWD = 255
"""the number of a group of things"""
VOID = 65535
"""the code of pixels without a segment"""
MOST = 255
"""segments that a class may have in one image, and classes that there may be"""


class Segment(NamedTuple):
    """One segment of an image."""

    category: int
    """the class, 0 to 254"""
    crowd: bool = False


def encode(
    ids: np.ndarray, segments: Mapping[int, Segment], names: Sequence[str] | None = None
) -> np.ndarray:
    """Encode a map of segment ids (H, W) as codes, uint16 (H, W); ids without a segment are void.

    The segments of a class are numbered from 0 in the order of `segments`; its crowds share one code. `names`
    are those of the classes, for the sentence of an error.

    Raises DejavuError for a class beyond 254, or more than 255 segments of one class.

    >>> encode(np.array([[7, 9, 0]]), {7: Segment(2), 9: Segment(2), 0: Segment(1, crowd=True)}).tolist()
    [[512, 513, 511]]
    """
    table = np.array(sorted(segments), np.int64)
    codes, counts = dict.fromkeys(segments, VOID), dict.fromkeys(range(MOST), 0)
    for id_, segment in segments.items():
        if not 0 <= segment.category < MOST:
            raise DejavuError(f"segment {id_} has the class {segment.category}, not one of 0 to {MOST - 1}")
        number = CROWD if segment.crowd else counts[segment.category]
        counts[segment.category] += not segment.crowd
        codes[id_] = segment.category * 256 + number
    for category, count in counts.items():
        if count > MOST:
            name = f"class {category}" if names is None else f"'{names[category]}'"
            raise DejavuError(
                f"it has {count} segments of {name}, more than {MOST} of one class in an image: mark those "
                "that need not be separated as one segment with iscrowd 1"
            )
    if not len(table):
        return np.full(ids.shape, VOID, np.uint16)
    coded = np.array([codes[id_] for id_ in table.tolist()], np.uint16)
    indices = np.searchsorted(table, ids).clip(max=len(table) - 1)
    return np.where(table[indices] == ids, coded[indices], np.uint16(VOID))


def classes_of(codes: np.ndarray) -> np.ndarray:
    """Return the class of each code, uint8; 255 of void. A crowd's is the class of its things.

    >>> classes_of(np.array([512, 511, VOID], np.uint16)).tolist()
    [2, 1, 255]
    """
    return (codes >> 8).astype(np.uint8)


def is_crowd(codes: np.ndarray) -> np.ndarray:
    """Return True for each code of a crowd, bool.

    >>> is_crowd(np.array([512, 511, VOID], np.uint16)).tolist()
    [False, True, False]
    """
    return (codes & 255 == CROWD) & (codes != VOID)
