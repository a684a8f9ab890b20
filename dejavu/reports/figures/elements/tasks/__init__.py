"""Drawing of truths and predictions of a task: one file a task, found by its name.

A task's file holds

- `ROOM`: the pixels that its key needs, however low the pictures are;
- `picture(array, shown, palette)`: a truth or prediction in its colours, (H, W, 3) uint8 RGB, or classes
  (H, W), which the figure colours;
- `classes(shown, block)`: the classes that its key lists;
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
class PanelRow:
    """One image with its truth, predictions and regenerations.

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
class TaskImages:
    """One task: the title of the pair whose predictions are shown, and a row for each image."""

    task: str
    title: str
    rows: Sequence[PanelRow]

    @property
    def maps(self) -> list[np.ndarray]:
        """Truths and predictions."""
        return [array for row in self.rows for array in (row.truth, row.before, row.after)]


class Key(NamedTuple):
    """Inputs of a key."""

    shown: TaskImages
    corner: tuple[int, int]
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

    def picture(self, array: np.ndarray, shown: TaskImages, palette: np.ndarray) -> np.ndarray:
        """A truth or prediction in its colours."""

    def classes(self, shown: TaskImages, block: Block) -> set[int]:
        """The classes that its key lists."""

    def draw_key(self, figure: Figure, key: Key) -> None:
        """Draw the key to its colours."""


def drawing(task: str) -> Drawing:
    """The module that draws a task. Raises DejavuError where there is none."""
    if not (HERE / f"{task}.py").is_file():
        raise DejavuError(
            f"the task {task} cannot be drawn: dejavu/reports/figures/elements/tasks/{task}.py is missing"
        )
    return cast(Drawing, import_module(f".{task}", __name__))


def draw_classes(figure: Figure, patches: list[Patch], corner: tuple[int, int], tall: int) -> None:
    """Draw a key of classes; `corner` is its upper left corner in pixels."""
    width, height = figure.get_size_inches() * DPI
    figure.legend(
        handles=patches,
        loc="upper left",
        bbox_to_anchor=(corner[0] / width, corner[1] / height),
        ncols=max(1, -(-len(patches) * LINE // max(LINE, tall))),
        fontsize=8,
        handlelength=1.1,
        handleheight=1.1,
        labelspacing=0.25,
        columnspacing=1.0,
        borderaxespad=0,
        borderpad=0,
    )


def draw_unknown(figure: Figure, corner: tuple[int, int]) -> None:
    """Draw the key of unknown pixels, which are grey; `corner` is its lower left corner in pixels."""
    from matplotlib.patches import Patch

    width, height = figure.get_size_inches() * DPI
    figure.legend(
        handles=[Patch(facecolor="#{:02x}{:02x}{:02x}".format(*UNKNOWN), label="unknown")],
        loc="lower left",
        bbox_to_anchor=(corner[0] / width, corner[1] / height),
        fontsize=8,
        handlelength=1.1,
        handleheight=1.1,
        borderaxespad=0,
        borderpad=0,
    )
