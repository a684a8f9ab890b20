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
SMALL, LARGE = 300, 256  # pixels that a small picture's longer side is zoomed to, and a wide one's thinned to
IGNORED = (0, 0, 0)


@dataclass(frozen=True)
class Block:
    """Images below each other, and what is shown of each beside each other.

    `rows`: the pictures of each image, one a column: (H, W, 3) uint8 RGB, or (H, W) uint8 classes. Images
    may differ in size and shape. `groups`: titles over so many columns each, '' for none.
    """

    columns: Sequence[str]
    names: Sequence[str]
    rows: Sequence[Sequence[np.ndarray]]
    groups: Sequence[tuple[str, int]] = ()

    @property
    def head(self) -> int:
        """Pixels of the titles above it."""
        return TITLES * (1 + bool(self.groups)) + 6


def colour_classes(classes: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """(H, W) classes -> (H, W, 3) uint8 RGB; whatever is not in the palette (K, 3) is ignored: black.

    >>> colour_classes(np.array([[1, 255]]), np.array([[9, 9, 9], [128, 64, 128]])).tolist()
    [[[128, 64, 128], [0, 0, 0]]]
    """
    table = np.full((256, 3), IGNORED, np.uint8)
    table[: len(palette)] = palette
    return table[classes]


def compose(block: Block, palette: np.ndarray, width: int = 0) -> tuple[np.ndarray, list[int]]:
    """A block's pictures with white gaps, (height, width, 3) uint8, and the height of every row.

    Each picture is zoomed or thinned by a whole number and stands in the middle of a cell, which is as wide
    as the widest picture (at least `width`), and as high as the highest of its row.
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
    """Pixels of the widest picture as it is drawn."""
    return max(fitted(picture).shape[1] for block in blocks for row in block.rows for picture in row)


def classes_in(blocks: Sequence[Block]) -> set[int]:
    """All classes of all maps."""
    maps = [picture for block in blocks for row in block.rows for picture in row if picture.ndim == 2]
    return {int(value) for picture in maps for value in np.unique(picture)}


def class_patches(
    palette: np.ndarray, classes: Sequence[str], used: set[int], rest: str = "ignored"
) -> list[Patch]:
    """The entries of a key: the classes in use, in their colours, and pixels of no class."""
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
    """Titles above the columns and groups, names beside the rows; `top` is the pictures' upper edge."""
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
    """Whole-number zoom of small pictures, whole-number thinning of large ones: no colour is invented.

    A photograph that is thinned is averaged; classes cannot be.
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
    """Pictures as they are, classes in their colours: (H, W, 3) uint8."""
    return (colour_classes(picture, palette) if picture.ndim == 2 else picture).astype(np.uint8)


def _centred(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """In the middle of a white cell."""
    cell = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    cell[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return cell


def _joined(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)][:-1]
    return np.concatenate(parts, axis)
