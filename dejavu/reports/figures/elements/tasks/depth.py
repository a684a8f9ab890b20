"""Depth: a common scale in metres for truth and predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..colours import COLOURMAP, colour_depth, depth_limits
from ..pictures import Block
from ..style import DPI
from . import LINE, Key, TaskImages, draw_unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOM = 170
BAR = (16, 300)  # pixels: width and largest height of the scale


def picture(array: np.ndarray, shown: TaskImages, palette: np.ndarray) -> np.ndarray:
    """Return metres (H, W) in colours."""
    return colour_depth(array, limits(shown))


def classes(shown: TaskImages, block: Block) -> set[int]:
    """Return no classes."""
    return set()


def limits(shown: TaskImages) -> tuple[float, float]:
    """Return the smallest and largest true depth, the limits of the colours."""
    return depth_limits([row.truth for row in shown.rows])


def draw_key(figure: Figure, key: Key) -> None:
    """Draw a scale in metres; an end is pointed if a prediction lies beyond it."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    width, height = figure.get_size_inches() * DPI
    corner, rows = key.corner, key.shown.rows
    low, high = limits(key.shown)
    predicted = np.concatenate([array.ravel() for row in rows for array in (row.before, row.after)])
    below, above = bool((predicted < low).any()), bool((predicted > high).any())
    long = min(BAR[1], key.tall - 2 * LINE)
    bottom = corner[1] - long - 4
    axes = figure.add_axes((corner[0] / width, bottom / height, BAR[0] / width, long / height))
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    bar = figure.colorbar(
        ScalarMappable(Normalize(low, high), COLOURMAP), cax=axes, extend=ends[below, above], extendfrac=0.04
    )
    bar.ax.invert_yaxis()  # near is at the top
    bar.set_label("depth (m)", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    if key.unknown:
        draw_unknown(figure, (corner[0], bottom - 34))
