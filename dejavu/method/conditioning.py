"""Conditioning: predictions become the input of the regeneration module (CRM).

Each task's prediction is resized to the CRM's grid and turned into a condition, differentiably; the
conditions of all tasks are concatenated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DejavuError, check_number, nearest, number_fault
from ..tasks import describe, load
from ..tasks.activation import ACTIVATIONS
from ..tasks.predictions import Prediction, Queries, read_all
from ..tasks.semantic import Semantic
from ..tasks.task import Task
from .regeneration import to_grid

FORMS = ("probabilities", "logits")
DEPTH_RANGE = (0.0, 10.0)  # metres, of rooms


class Conditioning:
    """Turns the predictions of one or more tasks into the CRM's condition.

    Args:
        tasks: names of `dejavu.tasks`, such as "semantic" and "depth".
        num_classes: K of the semantic and panoptic classes, or a mapping from task to K. One channel of
            a semantic prediction is the second of two classes, and the condition has both.
        form: "probabilities" (depth scaled to [0, 1], unit normals), or "logits": as predicted; panoptic
            masks then have no sigmoid.
        depth_range: nearest and farthest depth in the unit of the prediction, which become 0 and 1.
        activation: of the semantic prediction, one of `dejavu.tasks.activation`.

    Raises:
        DejavuError: an unknown task, form or activation, a missing number of classes, an invalid range.

    >>> condition = Conditioning(["semantic", "depth"], num_classes=2)
    >>> predictions = {"semantic": torch.zeros(1, 2, 8, 8), "depth": torch.full((1, 1, 4, 4), 5.0)}
    >>> condition(predictions, (4, 4))[0, :, 0, 0]
    tensor([0.5000, 0.5000, 0.5000])
    """

    def __init__(
        self,
        tasks: Sequence[str],
        num_classes: int | Mapping[str, int] | None = None,
        form: str = "probabilities",
        depth_range: tuple[float, float] = DEPTH_RANGE,
        activation: str = "softmax",
    ) -> None:
        if not isinstance(tasks, Sequence):
            raise DejavuError(f"task must be the name of a task or a list of them, not {tasks!r}")
        for task in tasks:
            describe(task)
        if not tasks or len(set(tasks)) != len(tasks):
            raise DejavuError(f"task must be one task or several different ones, not {list(tasks)}")
        if form not in FORMS:
            raise DejavuError(f"condition: unknown form {form!r}, {nearest(str(form), FORMS)}")
        if not _is_range(depth_range):
            raise DejavuError(f"depth_range must be (nearest, farthest), not {depth_range!r}")
        self.tasks, self.form, self.depth_range = tuple(tasks), form, depth_range
        self.activation, self._tasks = activation, load_activated(tasks, activation)
        self._outputs = {task: _channels(task, num_classes) for task in tasks}
        self.sizes = {task: self._tasks[task].condition_channels(self._outputs[task]) for task in tasks}

    @property
    def channels(self) -> int:
        """C, the channels of the condition."""
        return sum(self.sizes.values())

    def read(self, prediction: Any) -> dict[str, Prediction]:
        """Read the prediction of each task from what a network returned, and check its shape.

        With one task this may be a tensor, a mapping with "out", "logits" or the task's name, or an object
        with such an attribute. With more it must be a mapping (or an object) by their names.

        Raises DejavuError where a prediction is missing or has another shape.
        """
        predictions = read_all(self.tasks, prediction)
        for task, value in predictions.items():
            self._tasks[task].check(value, self._outputs[task])
        return predictions

    def __call__(self, predictions: Mapping[str, Prediction], grid: tuple[int, int]) -> Tensor:
        """Make the condition (N, C, *grid) from the predictions that `read` returns."""
        plain = self.form == "logits"
        conditions = [
            task.condition(prediction_to_grid(predictions[name], grid), plain, self.depth_range)
            for name, task in self._tasks.items()
        ]
        return conditions[0] if len(conditions) == 1 else torch.cat(conditions, 1)

    def only(self, condition: Tensor, tasks: Sequence[str]) -> Tensor:
        """Set the channels of all other tasks in a condition (N, C, h, w) to 0."""
        if set(tasks) == set(self.tasks):
            return condition
        channels = condition.split([self.sizes[task] for task in self.tasks], 1)
        kept = [
            own if task in tasks else torch.zeros_like(own)
            for task, own in zip(self.tasks, channels, strict=True)
        ]
        return torch.cat(kept, 1)


def load_activated(tasks: Sequence[str], activation: str) -> dict[str, Task]:
    """Load tasks by name, with the activation of the semantic prediction.

    Raises DejavuError for an unknown activation, or one that no task has a use for.
    """
    if activation not in ACTIVATIONS:
        raise DejavuError(f"activation: unknown {activation!r}, {nearest(str(activation), ACTIVATIONS)}")
    loaded = {task: load(task) for task in tasks}
    semantic = {
        name: replace(task, activation=activation)
        for name, task in loaded.items()
        if isinstance(task, Semantic)
    }
    if activation != "softmax" and not semantic:
        raise DejavuError(
            f"activation={activation!r} is for the task semantic: leave it out for {' and '.join(tasks)}"
        )
    return loaded | semantic


def prediction_to_grid(prediction: Prediction, grid: tuple[int, int]) -> Prediction:
    """Resize a prediction's maps to the CRM's grid.

    It comes before the softmax: that of upsampled logits would cost more than all other steps together.
    """
    if isinstance(prediction, Queries):
        return Queries(prediction.classes, to_grid(prediction.masks, grid))
    return to_grid(prediction, grid)


def _is_range(value: Any) -> bool:
    pair = isinstance(value, Sequence | np.ndarray) and len(value) == 2
    numbers = pair and all(number_fault(edge) is None for edge in value)
    return numbers and value[0] < value[1]


def _channels(task: str, num_classes: int | Mapping[str, int] | None) -> int:
    fixed = describe(task).channels
    if fixed is not None:
        return fixed
    count = num_classes.get(task) if isinstance(num_classes, Mapping) else num_classes
    if count is None:
        raise DejavuError(f"num_classes is missing: the task {task} needs it")
    check_number("num_classes", count, 1, whole=True)
    return count
