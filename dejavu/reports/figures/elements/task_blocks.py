"""Qualitative figures of a table's tasks: the panel, and the paper's teaser.

Each task has one block of pictures, with the key to its colours beside it; tasks/ draws both.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ....tasks import describe
from .colours import has_unknown
from .pictures import GAP, HEAD, LEFT, Block, compose, widest_picture, write_names
from .style import DPI, MUTED, new_figure, style
from .tasks import LINE, Key, PanelRow, TaskImages, drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL = {
    "input": "image",
    "ground truth": "truth",
    "baseline": "before",
    "DejaVu": "after",
    "redacted": "redacted",
    "regenerated": "regenerated",
}
"""Six columns of the paper, with their fields of `PanelRow`."""
PANOPTIC = {name: PANEL[name] for name in ("input", "ground truth", "baseline", "DejaVu")}
"""Columns of the paper for panoptic segmentation."""
TEASER = {
    "initial prediction": "before",
    "redacted input": "redacted",
    "regenerated input": "regenerated",
    "improved prediction": "after",
}
"""Columns of the paper's first figure."""
KEY, COLUMN = 190, 130  # pixels: width of a key, and of a further column
LETTER, ROOMY = 9, 130  # pixels: of one letter of a class name, and of the text in a normal column
BETWEEN = 14  # pixels between blocks


def block(shown: TaskImages, columns: Mapping[str, str], palette: np.ndarray) -> Block:
    """Return the pictures of a task in their colours; class maps are coloured later by the panel."""

    def coloured(row: PanelRow, name: str) -> np.ndarray:
        array: np.ndarray = getattr(row, name)
        of_task = name in ("truth", "before", "after")
        return drawing(shown.task).picture(array, shown, palette) if of_task else array

    rows = [[coloured(row, name) for name in columns.values()] for row in shown.rows]
    return Block(list(columns), [row.name for row in shown.rows], rows, _groups(shown, columns))


def _groups(shown: TaskImages, columns: Mapping[str, str]) -> list[tuple[str, int]]:
    """Return column groups: the task over the common columns, the pair over its own."""
    title = describe(shown.task).title
    common = sum(name in ("image", "truth") for name in columns.values())
    if not common:
        return [(title, len(columns))]
    return [(title, common), (shown.title, len(columns) - common)]


@dataclass(frozen=True)
class TaskBlocks:
    """Tasks with one block each, below each other; palette (K, 3) uint8 RGB of the K classes."""

    tasks: Sequence[TaskImages]
    columns: Mapping[str, str]
    palette: np.ndarray
    classes: Sequence[str]
    title: str
    subtitle: str


def draw_tasks(data: TaskBlocks) -> Figure:
    """Draw the blocks of the tasks below each other, each with the key to its colours."""
    tasks, columns, palette, classes = data.tasks, data.columns, data.palette, data.classes
    blocks = [block(shown, columns, palette) for shown in tasks]
    cell = widest_picture(blocks)
    composed = [compose(one, palette, cell) for one in blocks]
    widest = max(picture.shape[1] for picture, _ in composed)
    keys = [drawing(shown.task).classes(shown, one) for shown, one in zip(tasks, blocks, strict=True)]
    wide = max(_key_width(used, classes, picture) for used, (picture, _) in zip(keys, composed, strict=True))
    width = LEFT + widest + 2 * GAP + wide
    subtitle = textwrap.fill(data.subtitle, int(width / DPI / 0.068))
    head = HEAD + 22 * subtitle.count("\n")
    rooms = [
        max(drawing(shown.task).ROOM, picture.shape[0])
        for shown, (picture, _) in zip(tasks, composed, strict=True)
    ]
    height = head + sum(rooms) + sum(one.head for one in blocks) + BETWEEN * (len(blocks) - 1) + 18
    with style():
        figure = new_figure(width / DPI, height / DPI)
        top = height - head
        for shown, one, (picture, heights), used, room in zip(
            tasks, blocks, composed, keys, rooms, strict=True
        ):
            top -= one.head
            figure.figimage(picture, LEFT, top - picture.shape[0])
            write_names(figure, one, heights, cell, top)
            corner = (LEFT + widest + 2 * GAP, top)
            unknown = "truth" in columns.values() and has_unknown([row.truth for row in shown.rows])
            drawing(shown.task).draw_key(figure, Key(shown, corner, room, unknown, palette, classes, used))
            top -= room + BETWEEN
        figure.text(LEFT / width, 1 - 14 / height, data.title, va="top", fontsize=11, fontweight="bold")
        figure.text(LEFT / width, 1 - 50 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        return figure


def _key_width(used: set[int], classes: Sequence[str], picture: np.ndarray) -> int:
    """Return the width of a key in pixels: many classes need more columns, long names wider ones."""
    longest = max((len(classes[number]) for number in used if number < len(classes)), default=0)
    more = max(0, longest * LETTER - ROOMY)
    columns = max(1, -(-len(used) * LINE // max(LINE, picture.shape[0])))
    return KEY + more + (COLUMN + more) * (columns - 1)
