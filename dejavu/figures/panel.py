"""The qualitative panel: what the networks saw, what they said, and what was regenerated from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .style import DPI, MUTED, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("input", "ground truth", "baseline", "DejaVu", "redacted", "regenerated")
GAP = 8  # white pixels between two pictures
IGNORED = (0, 0, 0)


@dataclass(frozen=True)
class PanelRow:
    """One image of the panel.

    `image`, `redacted`, `regenerated`: (H, W, 3) uint8 RGB; `label`, `baseline`, `dejavu`: (H, W) classes.
    """

    name: str
    image: np.ndarray
    label: np.ndarray
    baseline: np.ndarray
    dejavu: np.ndarray
    redacted: np.ndarray
    regenerated: np.ndarray


def colour_classes(classes: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """(H, W) classes -> (H, W, 3) uint8 RGB; whatever is not in the palette (K, 3) is ignored: black.

    >>> colour_classes(np.array([[1, 255]]), np.array([[9, 9, 9], [128, 64, 128]])).tolist()
    [[[128, 64, 128], [0, 0, 0]]]
    """
    table = np.full((256, 3), IGNORED, np.uint8)
    table[: len(palette)] = palette
    return table[classes]


def compose(rows: Sequence[PanelRow], palette: np.ndarray) -> np.ndarray:
    """All pictures in COLUMNS' order with white gaps, (height, width, 3) uint8, pixel for pixel."""
    lines = []
    for row in rows:
        pictures = [_fitted(row.image)]
        pictures += [
            colour_classes(_fitted(classes), palette) for classes in (row.label, row.baseline, row.dejavu)
        ]
        pictures += [_fitted(row.redacted), _fitted(row.regenerated)]
        lines.append(_joined([picture.astype(np.uint8) for picture in pictures], axis=1))
    return _joined(lines, axis=0)


def draw_panel(
    rows: Sequence[PanelRow], palette: np.ndarray, classes: Sequence[str], title: str, subtitle: str
) -> Figure:
    """The panel with its head, column titles, image names and the classes that occur in it."""
    from matplotlib.patches import Patch

    picture = compose(rows, palette)
    seen = {
        value for row in rows for part in (row.label, row.baseline, row.dejavu) for value in np.unique(part)
    }
    patches = [
        Patch(facecolor=palette[i] / 255, edgecolor="#bbbbbb", linewidth=0.5, label=classes[i])
        for i in range(len(classes))
        if i in seen
    ]
    if any(value >= len(classes) for value in seen):
        patches.append(Patch(facecolor="black", label="ignored"))
    lines = -(-len(patches) // max(1, picture.shape[1] // 165))  # a class name is about 165 pixels long
    left, head, foot = 34, 118, 28 * lines + 22
    width, height = picture.shape[1] + left + GAP, picture.shape[0] + head + foot
    with style():
        figure = new_figure(width / DPI, height / DPI)
        figure.figimage(picture, left, foot)
        _write(figure, rows, picture, left, foot)
        figure.text(left / width, 1 - 14 / height, title, va="top", fontsize=11, fontweight="bold")
        figure.text(left / width, 1 - 50 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        figure.legend(
            handles=patches,
            loc="lower center",
            ncols=-(-len(patches) // lines),
            fontsize=8.5,
            handlelength=1.1,
            handleheight=1.1,
            columnspacing=1.4,
            borderaxespad=0.3,
        )
        return figure


def _write(figure: Figure, rows: Sequence[PanelRow], picture: np.ndarray, left: int, foot: int) -> None:
    """Titles above the columns, names beside the rows."""
    width, height = figure.get_size_inches() * DPI
    cell = (picture.shape[1] + GAP) / len(COLUMNS)
    for column, name in enumerate(COLUMNS):
        x = left + column * cell + (cell - GAP) / 2
        figure.text(x / width, (foot + picture.shape[0] + 8) / height, name, ha="center", fontsize=9.5)
    top = foot + picture.shape[0]
    for row in rows:
        tall = _fitted(row.image).shape[0]
        name = (
            row.name if len(row.name) * 9 < tall else f"…{row.name[-(tall // 9 - 1) :]}"
        )  # names differ at their ends
        y = (top - tall / 2) / height
        figure.text(
            left / 2 / width, y, name, rotation=90, ha="center", va="center", fontsize=6.5, color=MUTED
        )
        top -= tall + GAP


def _fitted(picture: np.ndarray, small: int = 300, large: int = 256) -> np.ndarray:
    """Whole-number zoom of small pictures, whole-number thinning of wide ones: no colour is invented.

    A photograph that is thinned is averaged; classes cannot be.
    """
    height, width = picture.shape[:2]
    step = width // large if width >= 2 * large else 1
    if step > 1:
        picture = picture[: height // step * step, : width // step * step]
        if picture.ndim == 2:
            return picture[step // 2 :: step, step // 2 :: step]
        blocks = picture.reshape(height // step, step, width // step, step, 3)
        return np.rint(blocks.mean((1, 3))).astype(np.uint8)
    zoom = max(1, round(small / width))
    return picture.repeat(zoom, 0).repeat(zoom, 1)


def _joined(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)][:-1]
    return np.concatenate(parts, axis)
