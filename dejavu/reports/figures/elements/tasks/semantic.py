"""Segmentations: classes in the colours of the palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..pictures import Block, class_patches, classes_in
from . import Key, TaskImages, draw_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOM = 0


def picture(array: np.ndarray, shown: TaskImages, palette: np.ndarray) -> np.ndarray:
    """Return classes (H, W) unchanged."""
    return array


def classes(shown: TaskImages, block: Block) -> set[int]:
    """Return the classes of the drawn pictures."""
    return classes_in([block])


def draw_key(figure: Figure, key: Key) -> None:
    """Draw the colours of the classes."""
    patches = class_patches(key.palette, key.names, key.classes, "ignored")
    draw_classes(figure, patches, key.corner, key.tall)
