"""Pictures in rows and columns: images, class maps in their colours, titles, names and the key to classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .style import DPI, MUTED

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

GAP = 8  # white pixels between two pictures
LEFT, HEAD = 34, 84  # pixels: left of the pictures, and above the first block
TITLES = 22  # pixels of a line of titles above a block
# Pixels of the longer side after zooming a small picture, and after thinning a large one.
SMALL, LARGE = 300, 256
IGNORED = (0, 0, 0)


@dataclass(frozen=True)
class Block:
    """Grid of pictures: one row for each image, one column for each kind of picture.

    `rows`: the pictures of each image, one a column: (H, W, 3) uint8 RGB, or (H, W) uint8 classes. Images
    may differ in size and shape. `groups`: titles with their number of columns, '' for no title.
    """

    columns: Sequence[str]
    names: Sequence[str]
    rows: Sequence[Sequence[np.ndarray]]
    groups: Sequence[tuple[str, int]] = ()

    @property
    def head(self) -> int:
        """Pixels of the titles above the block."""
        return TITLES * (1 + bool(self.groups)) + 6


def colour_classes(classes: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Map (H, W) classes to (H, W, 3) uint8 RGB; values without a colour in the palette (K, 3) are black.

    >>> colour_classes(np.array([[1, 255]]), np.array([[9, 9, 9], [128, 64, 128]])).tolist()
    [[[128, 64, 128], [0, 0, 0]]]
    """
    table = np.full((256, 3), IGNORED, np.uint8)
    table[: len(palette)] = palette
    return table[classes]


def compose(block: Block, palette: np.ndarray, width: int = 0) -> tuple[np.ndarray, list[int]]:
    """Return a block's pictures with white gaps, (height, width, 3) uint8, and the height of every row.

    Each picture is zoomed or thinned by a whole number and centred in a cell. A cell is as wide as the widest
    picture (at least `width`) and as high as the highest picture of its row.
    """
    drawn = [[_coloured(fitted(picture), palette) for picture in row] for row in block.rows]
    width = max(width, *(picture.shape[1] for row in drawn for picture in row))
    heights = [max(picture.shape[0] for picture in row) for row in drawn]
    lines = [
        _joined([_centred(picture, tall, width) for picture in row], axis=1)
        for row, tall in zip(drawn, heights, strict=True)
    ]
    return _joined(lines, axis=0), heights


def widest_picture(blocks: Sequence[Block]) -> int:
    """Return the width in pixels of the widest drawn picture."""
    return max(fitted(picture).shape[1] for block in blocks for row in block.rows for picture in row)


def classes_in(blocks: Sequence[Block]) -> set[int]:
    """Return all classes of all maps."""
    maps = [picture for block in blocks for row in block.rows for picture in row if picture.ndim == 2]
    return {int(value) for picture in maps for value in np.unique(picture)}


def class_patches(
    palette: np.ndarray, classes: Sequence[str], used: set[int], rest: str = "ignored"
) -> list[Patch]:
    """Return the entries of a key: the used classes in their colours, and pixels without a class."""
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=palette[i] / 255, edgecolor="#bbbbbb", linewidth=0.5, label=classes[i])
        for i in range(len(classes))
        if i in used
    ]
    if any(value >= len(classes) for value in used):
        patches.append(Patch(facecolor="black", label=rest))
    return patches


def write_names(figure: Figure, block: Block, heights: Sequence[int], cell: int, top: int) -> None:
    """Write titles above columns and groups, and names beside rows; `top` is the pictures' upper edge."""
    width, height = figure.get_size_inches() * DPI
    for column, name in enumerate(block.columns):
        x = LEFT + column * (cell + GAP) + cell / 2
        figure.text(x / width, (top + 8) / height, name, ha="center", fontsize=9.5)
    begin = 0
    for name, count in block.groups:
        x = LEFT + begin * (cell + GAP) + (count * (cell + GAP) - GAP) / 2
        y = (top + 8 + TITLES) / height
        figure.text(x / width, y, name, ha="center", fontsize=9.5, fontweight="bold")
        begin += count
    for name, tall in zip(block.names, heights, strict=True):
        # Names differ at their ends.
        shown = name if len(name) * 9 < tall else f"…{name[-max(1, tall // 9 - 1) :]}"
        x, y = LEFT / 2 / width, (top - tall / 2) / height
        figure.text(x, y, shown, rotation=90, ha="center", va="center", fontsize=6.5, color=MUTED)
        top -= tall + GAP


def fitted(picture: np.ndarray) -> np.ndarray:
    """Zoom small pictures and thin large ones by a whole number, without new class colours.

    Thinning averages a photograph, but selects pixels of a class map.
    """
    height, width = picture.shape[:2]
    side = max(height, width)
    step = side // LARGE if side >= 2 * LARGE else 1
    if step > 1:
        picture = picture[: height // step * step, : width // step * step]
        if picture.ndim == 2:
            return picture[step // 2 :: step, step // 2 :: step]
        blocks = picture.reshape(height // step, step, width // step, step, 3)
        return np.rint(blocks.mean((1, 3))).astype(np.uint8)
    zoom = max(1, round(SMALL / side))
    return picture.repeat(zoom, 0).repeat(zoom, 1)


def _coloured(picture: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return a picture unchanged, or classes in their colours: (H, W, 3) uint8."""
    return (colour_classes(picture, palette) if picture.ndim == 2 else picture).astype(np.uint8)


def _centred(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a picture centred in a white cell."""
    cell = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    cell[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return cell


def _joined(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 255, np.uint8)
    alternating = [array for picture in pictures for array in (picture, gap)][:-1]
    return np.concatenate(alternating, axis)
