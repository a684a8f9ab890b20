"""How truths and predictions of a task are drawn: one file a task, found by its name.

A task's file holds

- `ROOM`: the pixels that its key needs, however low the pictures are;
- `picture(array, part, palette)`: a truth or prediction in its colours, (H, W, 3) uint8 RGB, or classes
  (H, W), which the figure colours;
- `classes(part, block)`: the classes that its key lists;
- `draw_key(figure, key)`: the key to its colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import numpy as np

from .....errors import DejavuError
from ..colours import UNKNOWN
from ..pictures import Block
from ..style import DPI

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

HERE = Path(__file__).parent
LINE = 24  # pixels from class to class in a key


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


class Key(NamedTuple):
    """What a key is drawn from."""

    part: Part
    place: tuple[int, int]
    """its upper left corner, pixels"""
    tall: int
    """its height, pixels"""
    unknown: bool
    """whether a pixel of unknown truth is shown"""
    palette: np.ndarray
    names: Sequence[str]
    """of the classes"""
    classes: set[int]
    """those that are shown"""


class Drawing(Protocol):
    """The module that draws a task."""

    ROOM: int

    def picture(self, array: np.ndarray, part: Part, palette: np.ndarray) -> np.ndarray:
        """A truth or prediction in its colours."""

    def classes(self, part: Part, block: Block) -> set[int]:
        """The classes that its key lists."""

    def draw_key(self, figure: Figure, key: Key) -> None:
        """Draw the key to its colours."""


def drawing(task: str) -> Drawing:
    """The module that draws a task. Raises DejavuError where there is none."""
    if not (HERE / f"{task}.py").is_file():
        raise DejavuError(
            f"the task {task} cannot be drawn: {HERE.name}/{task}.py is missing in {HERE.parent}"
        )
    return cast(Drawing, import_module(f".{task}", __name__))


def draw_classes(figure: Figure, patches: list[Patch], place: tuple[int, int], tall: int) -> None:
    """Draw a key of classes; `place` is its upper left corner in pixels."""
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


def draw_unknown(figure: Figure, place: tuple[int, int]) -> None:
    """Draw the key of unknown pixels, which are grey; `place` is its lower left corner in pixels."""
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
