"""Qualitative figures of a table's tasks: the panel, and the paper's teaser.

One block of pictures a task, with the key to its colours beside it; tasks/ draws both.
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
from .tasks import LINE, Key, Part, Seen, drawing

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
"""The paper's six columns, and which of `Seen` each shows."""
PANOPTIC = {name: PANEL[name] for name in ("input", "ground truth", "baseline", "DejaVu")}
"""Of a panoptic table the paper shows these."""
TEASER = {
    "initial prediction": "before",
    "redacted input": "redacted",
    "regenerated input": "regenerated",
    "improved prediction": "after",
}
"""The paper's first figure."""
KEY, COLUMN = 190, 130  # pixels: width of a key, and of a further column
LETTER, ROOMY = 9, 130  # pixels: of a letter of a class's name, and for how many a column has room anyway
BETWEEN = 14  # pixels between blocks


def block(part: Part, columns: Mapping[str, str], palette: np.ndarray) -> Block:
    """A task's pictures in their colours; classes stay classes, which the panel colours."""

    def coloured(seen: Seen, name: str) -> np.ndarray:
        array: np.ndarray = getattr(seen, name)
        of_task = name in ("truth", "before", "after")
        return drawing(part.task).picture(array, part, palette) if of_task else array

    rows = [[coloured(seen, name) for name in columns.values()] for seen in part.images]
    return Block(list(columns), [seen.name for seen in part.images], rows, _groups(part, columns))


def _groups(part: Part, columns: Mapping[str, str]) -> list[tuple[str, int]]:
    """The task stands over the columns that every network would have, the pair over its own."""
    title = describe(part.task).title
    common = sum(name in ("image", "truth") for name in columns.values())
    if not common:
        return [(title, len(columns))]
    return [(title, common), (part.title, len(columns) - common)]


@dataclass(frozen=True)
class TaskBlocks:
    """Tasks whose blocks stand below each other; palette (K, 3) uint8 RGB of the K classes."""

    parts: Sequence[Part]
    columns: Mapping[str, str]
    palette: np.ndarray
    classes: Sequence[str]
    title: str
    subtitle: str


def draw_tasks(data: TaskBlocks) -> Figure:
    """The tasks' blocks below each other, each with the key to its colours."""
    parts, columns, palette, classes = data.parts, data.columns, data.palette, data.classes
    blocks = [block(part, columns, palette) for part in parts]
    cell = widest_picture(blocks)
    composed = [compose(one, palette, cell) for one in blocks]
    widest = max(picture.shape[1] for picture, _ in composed)
    keys = [drawing(part.task).classes(part, one) for part, one in zip(parts, blocks, strict=True)]
    wide = max(_key_width(seen, classes, picture) for seen, (picture, _) in zip(keys, composed, strict=True))
    width = LEFT + widest + 2 * GAP + wide
    subtitle = textwrap.fill(data.subtitle, int(width / DPI / 0.068))
    head = HEAD + 22 * subtitle.count("\n")
    rooms = [
        max(drawing(part.task).ROOM, found[0].shape[0]) for part, found in zip(parts, composed, strict=True)
    ]
    height = head + sum(rooms) + sum(one.head for one in blocks) + BETWEEN * (len(blocks) - 1) + 18
    with style():
        figure = new_figure(width / DPI, height / DPI)
        top = height - head
        for part, one, (picture, heights), used, room in zip(
            parts, blocks, composed, keys, rooms, strict=True
        ):
            top -= one.head
            figure.figimage(picture, LEFT, top - picture.shape[0])
            write_names(figure, one, heights, cell, top)
            place = (LEFT + widest + 2 * GAP, top)
            unknown = "truth" in columns.values() and has_unknown([seen.truth for seen in part.images])
            drawing(part.task).draw_key(figure, Key(part, place, room, unknown, palette, classes, used))
            top -= room + BETWEEN
        figure.text(LEFT / width, 1 - 14 / height, data.title, va="top", fontsize=11, fontweight="bold")
        figure.text(LEFT / width, 1 - 50 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        return figure


def _key_width(seen: set[int], classes: Sequence[str], picture: np.ndarray) -> int:
    """Pixels: of many classes the key has several columns, of long names wide ones."""
    longest = max((len(classes[number]) for number in seen if number < len(classes)), default=0)
    more = max(0, longest * LETTER - ROOMY)
    columns = max(1, -(-len(seen) * LINE // max(LINE, picture.shape[0])))
    return KEY + more + (COLUMN + more) * (columns - 1)
