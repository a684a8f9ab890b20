"""Colours for classes that have none: as different as possible, and always the same."""

from __future__ import annotations

from functools import cache

import numpy as np

_STEP = 15  # between the colours to choose from: 18 levels a channel
_TAKEN = ((0, 0, 0), (255, 255, 255))  # black and white stay free for what is not a class

Colour = tuple[int, int, int]


@cache
def distinct(count: int) -> tuple[Colour, ...]:
    """`count` colours (RGB) that differ from each other, and from black and white, as much as possible.

    Each is the colour of the grid that is farthest from all before it, so fewer are the first of more. The
    distance is a common weighting of squared RGB differences by the mean red, in whole numbers: no rounding
    can choose another colour on another machine. Raises ValueError for more colours than the grid has.

    >>> distinct(3)
    ((0, 255, 45), (210, 0, 255), (255, 120, 0))
    """
    levels = np.arange(0, 256, _STEP)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    if count > len(grid) - len(_TAKEN):
        raise ValueError(f"there are {len(grid) - len(_TAKEN)} colours to choose from, and not {count}")
    nearest = np.minimum(*(_distance(grid, np.array(colour)) for colour in _TAKEN))
    chosen = []
    for _ in range(count):
        farthest = grid[int(nearest.argmax())]
        chosen.append((int(farthest[0]), int(farthest[1]), int(farthest[2])))
        nearest = np.minimum(nearest, _distance(grid, farthest))
    return tuple(chosen)


def _distance(colours: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Return how different `colours` (N, 3) look from `one` (3,), int64 (N,)."""
    red = colours[:, 0] + one[0]  # twice the mean
    square = (colours - one) ** 2
    weighted: np.ndarray = (1024 + red) * square[:, 0] + 2048 * square[:, 1] + (1534 - red) * square[:, 2]
    return weighted
