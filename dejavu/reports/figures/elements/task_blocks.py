"""Qualitative figures of several tasks: the panel, and the paper's teaser.

One block of pictures a task, with the key to its colours beside it: classes, a scale of metres that truth and
predictions share, or the directions of normals.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import panoptic_colours
from .colours import COLOURMAP, UNKNOWN, colour_depth, colour_normals, depth_limits, has_unknown, sphere
from .pictures import (
    GAP,
    HEAD,
    LEFT,
    Block,
    class_patches,
    classes_in,
    compose,
    fitted,
    widest_picture,
    write_names,
)
from .style import DPI, MUTED, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

NAMES = {
    "semantic": "segmentation",
    "panoptic": "panoptic segmentation",
    "depth": "depth",
    "normals": "surface normals",
}
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
KEY, COLUMN, LINE = 190, 130, 24  # pixels: width of a key, of a further column, and from class to class
LETTER, ROOMY = 9, 130  # pixels: of a letter of a class's name, and for how many a column has room anyway
BETWEEN = 14  # pixels between blocks
BALL = 110  # pixels: the key of normals
BAR = (16, 300)  # pixels: width, and the most height, of the key of depth
ROOM = {
    "semantic": 0,
    "panoptic": 0,
    "depth": 170,
    "normals": 200,
}  # pixels that a key needs, however low the pictures are


@dataclass(frozen=True)
class Seen:
    """One image and all that is shown of it.

    `image`, `redacted`, `regenerated`: (H, W, 3) uint8 RGB. `truth`, `before` (the baseline's prediction) and
    `after` (DejaVu's): classes (H, W) uint8; panoptic codes (H, W) uint16; depth (H, W) in metres, 0 =
    unknown; or normals (H, W, 3), unit vectors, 0-vector = unknown.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    before: np.ndarray
    after: np.ndarray
    redacted: np.ndarray
    regenerated: np.ndarray


@dataclass(frozen=True)
class Part:
    """One task: whose predictions are shown, and of which images."""

    task: str
    title: str
    images: Sequence[Seen]

    @property
    def maps(self) -> list[np.ndarray]:
        """Truths and predictions."""
        return [array for seen in self.images for array in (seen.truth, seen.before, seen.after)]

    @property
    def limits(self) -> tuple[float, float]:
        """Of the colours of depth: what is known to be there, whatever was predicted."""
        return depth_limits([seen.truth for seen in self.images])


def block(part: Part, columns: Mapping[str, str], palette: np.ndarray) -> Block:
    """A task's pictures in their colours; classes stay classes, which the panel colours."""

    def coloured(seen: Seen, name: str) -> np.ndarray:
        picture: np.ndarray = getattr(seen, name)
        if name not in ("truth", "before", "after") or part.task == "semantic":
            return picture
        if part.task == "panoptic":
            # At the size that is drawn, so that lines between segments are thin.
            return panoptic_colours.colour_segments(fitted(picture), palette)
        return colour_depth(picture, part.limits) if part.task == "depth" else colour_normals(picture)

    rows = [[coloured(seen, name) for name in columns.values()] for seen in part.images]
    return Block(list(columns), [seen.name for seen in part.images], rows, _groups(part, columns))


def _groups(part: Part, columns: Mapping[str, str]) -> list[tuple[str, int]]:
    """The task stands over the columns that every network would have, the pair over its own."""
    common = sum(name in ("image", "truth") for name in columns.values())
    if not common:
        return [(NAMES[part.task], len(columns))]
    return [(NAMES[part.task], common), (part.title, len(columns) - common)]


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
    keys = [
        panoptic_colours.classes_in(part.maps) if part.task == "panoptic" else classes_in([one])
        for part, one in zip(parts, blocks, strict=True)
    ]
    wide = max(_key_width(seen, classes, picture) for seen, (picture, _) in zip(keys, composed, strict=True))
    width = LEFT + widest + 2 * GAP + wide
    subtitle = textwrap.fill(data.subtitle, int(width / DPI / 0.068))
    head = HEAD + 22 * subtitle.count("\n")
    rooms = [max(ROOM[part.task], found[0].shape[0]) for part, found in zip(parts, composed, strict=True)]
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
            if part.task in ("semantic", "panoptic"):
                rest = "ignored" if part.task == "semantic" else "no segment"
                _classes(figure, class_patches(palette, classes, used, rest), place, room)
            elif part.task == "depth":
                _depth(figure, part, place, room, unknown)
            else:
                _normals(figure, place, unknown)
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


def _classes(figure: Figure, patches: list[Patch], place: tuple[int, int], tall: int) -> None:
    """The classes that occur, in their colours; `place` is the key's upper left corner in pixels."""
    width, height = figure.get_size_inches() * DPI
    figure.legend(
        handles=patches,
        loc="upper left",
        bbox_to_anchor=(place[0] / width, place[1] / height),
        ncols=max(1, -(-len(patches) * LINE // max(LINE, tall))),
        fontsize=8,
        handlelength=1.1,
        handleheight=1.1,
        labelspacing=0.25,
        columnspacing=1.0,
        borderaxespad=0,
        borderpad=0,
    )


def _depth(figure: Figure, part: Part, place: tuple[int, int], tall: int, unknown: bool) -> None:
    """A scale in metres; its ends are pointed where a prediction lies beyond."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    width, height = figure.get_size_inches() * DPI
    low, high = part.limits
    predicted = np.concatenate([array.ravel() for seen in part.images for array in (seen.before, seen.after)])
    below, above = bool((predicted < low).any()), bool((predicted > high).any())
    long = min(BAR[1], tall - 2 * LINE)
    bottom = place[1] - long - 4
    axes = figure.add_axes((place[0] / width, bottom / height, BAR[0] / width, long / height))
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    bar = figure.colorbar(
        ScalarMappable(Normalize(low, high), COLOURMAP), cax=axes, extend=ends[below, above], extendfrac=0.04
    )
    bar.ax.invert_yaxis()  # near stands above
    bar.set_label("depth (m)", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    if unknown:
        _unknown(figure, (place[0], bottom - 34))


def _normals(figure: Figure, place: tuple[int, int], unknown: bool) -> None:
    """A ball as the camera sees it: each colour is the direction that a surface faces."""
    width, height = figure.get_size_inches() * DPI
    left, bottom = place[0] + 26, place[1] - BALL - 26
    figure.figimage(sphere(BALL), left, bottom)
    centre = left + BALL / 2, bottom + BALL / 2
    said = {
        "up": (centre[0], bottom + BALL + 12, "center", 0),
        "down": (centre[0], bottom - 13, "center", 0),
        "left": (left - 11, centre[1], "center", 90),
        "right": (left + BALL + 12, centre[1], "center", 90),
    }
    for text, (x, y, side, turned) in said.items():
        figure.text(
            x / width, y / height, text, ha=side, va="center", rotation=turned, fontsize=7.5, color=MUTED
        )
    figure.text(centre[0] / width, centre[1] / height, "to the\ncamera", ha="center", va="center", fontsize=7)
    if unknown:
        _unknown(figure, (place[0], bottom - 50))


def _unknown(figure: Figure, place: tuple[int, int]) -> None:
    """What grey is; `place` is the lower left corner in pixels."""
    from matplotlib.patches import Patch

    width, height = figure.get_size_inches() * DPI
    figure.legend(
        handles=[Patch(facecolor="#{:02x}{:02x}{:02x}".format(*UNKNOWN), label="unknown")],
        loc="lower left",
        bbox_to_anchor=(place[0] / width, place[1] / height),
        fontsize=8,
        handlelength=1.1,
        handleheight=1.1,
        borderaxespad=0,
        borderpad=0,
    )
