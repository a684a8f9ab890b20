"""The paper's first figure: one image for each of segmentation and normals, redacted and regenerated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...config import Params
from ...errors import DejavuError
from .elements.task_blocks import TEASER, TaskBlocks, draw_tasks
from .elements.task_images import task_images
from .elements.trained import evaluated_split, note, titles, trained_pairs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEEDS = ("weights", "data")

TASKS = ("semantic", "normals")  # as in the paper


def collect(params: Params, name: str, scale: str, partial: bool = False) -> TaskBlocks:
    """Return one image of each task, from the first pair that learns it; DejavuError if no pair does."""
    pairs, (report, split) = trained_pairs(params, name, scale, partial), evaluated_split(params, name, scale)
    learnt = {task for pair in pairs for task in params.experiments[pair.experiment].tasks}
    tasks = [task for task in TASKS if task in learnt]
    if not tasks:
        raise DejavuError(
            f"tables.{name}.figures: 'teaser' shows segmentation and normals, and no pair learns one of them"
        )
    shown = task_images(params, scale, pairs, split, report, 1, tasks)
    subtitle = (
        f"{note(params, name, scale, report, partial)} Initial: the network without DejaVu; improved: "
        "the one trained with it, whatever it says. Images: evenly spaced in the split, not chosen."
    )
    title = f"{titles(shown)}: the prediction redraws what was redacted"
    palette = np.array(report["palette"], np.uint8)
    return TaskBlocks(shown, TEASER, palette, report["classes"], title, subtitle)


def draw(data: TaskBlocks) -> Figure:
    """Draw one block for each task."""
    return draw_tasks(data)
