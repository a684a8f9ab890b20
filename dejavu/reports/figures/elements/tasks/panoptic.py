"""Panoptic maps: a shade of the class's colour for each thing, with lines between segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import panoptic_colours
from ..pictures import Block, class_patches, fitted
from . import Key, TaskImages, draw_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOM = 0


def picture(array: np.ndarray, shown: TaskImages, palette: np.ndarray) -> np.ndarray:
    """Return codes (H, W) in colours, at the drawn size, so that lines between segments are thin."""
    return panoptic_colours.colour_segments(fitted(array), palette)


def classes(shown: TaskImages, block: Block) -> set[int]:
    """Return the classes of all segments."""
    return panoptic_colours.classes_in(shown.maps)


def draw_key(figure: Figure, key: Key) -> None:
    """Draw the colours of the classes."""
    patches = class_patches(key.palette, key.names, key.classes, "no segment")
    draw_classes(figure, patches, key.corner, key.tall)
