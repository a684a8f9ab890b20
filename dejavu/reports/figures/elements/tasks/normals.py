"""Surface normals: a colour for every direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..colours import colour_normals, sphere
from ..pictures import Block
from ..style import DPI, MUTED
from . import Key, TaskImages, draw_unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOM = 200
BALL = 110  # pixels


def picture(array: np.ndarray, shown: TaskImages, palette: np.ndarray) -> np.ndarray:
    """Return unit vectors (H, W, 3) in colours."""
    return colour_normals(array)


def classes(shown: TaskImages, block: Block) -> set[int]:
    """Return no classes."""
    return set()


def draw_key(figure: Figure, key: Key) -> None:
    """Draw a ball that faces the camera: each colour is the direction of a surface."""
    width, height = figure.get_size_inches() * DPI
    left, bottom = key.corner[0] + 26, key.corner[1] - BALL - 26
    figure.figimage(sphere(BALL), left, bottom)
    centre = left + BALL / 2, bottom + BALL / 2
    words = {
        "up": (centre[0], bottom + BALL + 12, "center", 0),
        "down": (centre[0], bottom - 13, "center", 0),
        "left": (left - 11, centre[1], "center", 90),
        "right": (left + BALL + 12, centre[1], "center", 90),
    }
    for text, (x, y, side, turned) in words.items():
        figure.text(
            x / width, y / height, text, ha=side, va="center", rotation=turned, fontsize=7.5, color=MUTED
        )
    figure.text(centre[0] / width, centre[1] / height, "to the\ncamera", ha="center", va="center", fontsize=7)
    if key.unknown:
        draw_unknown(figure, (key.corner[0], bottom - 50))
