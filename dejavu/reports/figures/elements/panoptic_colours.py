"""Panoptic maps as pictures: the class's colour, a shade of it for each thing, lines between segments."""

from __future__ import annotations

import numpy as np

from ....tasks.segments import CROWD, VOID, classes_of, is_crowd

LINE = (255, 255, 255)
SHADES = (0.0, -0.25, 0.3, -0.45, 0.5)  # for the things of a class: shares of black (negative) or white
STRIPE = 4  # pixels: width of the hatching of crowds


def colour_segments(codes: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Map codes (H, W) of tasks/segments.py to (H, W, 3) uint8 RGB; palette (K, 3) RGB of the classes.

    The first segment of a class has the class's colour, further ones are mixed with black and white in turn.
    A white line separates segments; void is black, and crowds are hatched.

    >>> picture = colour_segments(np.array([[0, 0, 0, VOID]], np.uint16), np.array([[10, 20, 30]]))
    >>> picture.tolist()
    [[[10, 20, 30], [10, 20, 30], [255, 255, 255], [0, 0, 0]]]
    """
    codes = np.asarray(codes).astype(np.int64)
    colours = np.zeros((codes.max(initial=0) + 1, 3), np.uint8)
    for code in np.unique(codes[codes != VOID]).tolist():
        colours[code] = shade(palette[code >> 8], code & 255)
    picture = colours[codes]
    rows, columns = np.indices(codes.shape)
    picture[is_crowd(codes) & ((rows + columns) // STRIPE % 2 == 0)] = LINE
    picture[_edges(codes)] = LINE
    picture[codes == VOID] = 0
    return picture


def shade(colour: np.ndarray, number: int) -> np.ndarray:
    """Return the colour (3,) of the segment with this number in a class.

    >>> [shade(np.array([100]), number).tolist() for number in range(5)]
    [[100], [75], [146], [55], [178]]
    """
    share = 0.0 if number == CROWD else SHADES[number % len(SHADES)]
    other = 255 if share > 0 else 0
    return np.rint(np.asarray(colour) * (1 - abs(share)) + other * abs(share)).astype(np.uint8)


def classes_in(maps: list[np.ndarray]) -> set[int]:
    """Return the classes of all segments of maps (H, W) of codes; 255 stands for void."""
    return {int(value) for codes in maps for value in np.unique(classes_of(np.asarray(codes)))}


def _edges(codes: np.ndarray) -> np.ndarray:
    """Return the pixels whose right or lower neighbour belongs to another segment, bool (H, W)."""
    edges = np.zeros(codes.shape, bool)
    edges[:, :-1] |= codes[:, :-1] != codes[:, 1:]
    edges[:-1] |= codes[:-1] != codes[1:]
    return edges
