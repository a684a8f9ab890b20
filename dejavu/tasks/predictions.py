"""What networks return, of this project and of other libraries: the prediction of one task in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..errors import DejavuError
from . import load, names
from .task import Prediction, Queries

__all__ = [
    "TASKS",
    "Prediction",
    "Queries",
    "as_tensor",
    "check",
    "read",
    "read_all",
    "task_output",
    "tensors",
]

TASKS = names()


def tensors(predictions: Mapping[str, Prediction]) -> list[Tensor]:
    """All tensors of the predictions of some tasks."""
    return [
        tensor
        for value in predictions.values()
        for tensor in (value if isinstance(value, Queries) else (value,))
    ]


def as_tensor(output: Any, task: str = "semantic") -> Tensor:
    """The tensor in what a network returns for one task: itself, or ["out"], .logits and their like.

    Raises DejavuError where there is none.
    """
    value = read(task, output)
    assert isinstance(value, Tensor)
    return value


def read(task: str, output: Any) -> Prediction:
    """One task's prediction in what a network returned. Raises DejavuError where there is none."""
    return load(task).read(output)


def read_all(tasks: Sequence[str], output: Any) -> dict[str, Prediction]:
    """Each task's prediction, by its name.

    Of one task it is read in what the network returned, of more in what that has under the task's name.
    """
    if len(tasks) == 1:
        return {tasks[0]: read(tasks[0], output)}
    return {task: read(task, task_output(task, output, tasks)) for task in tasks}


def task_output(task: str, output: Any, tasks: Sequence[str]) -> Any:
    """The part of a network's output that is one of its tasks'. Raises DejavuError where it is missing."""
    value = output.get(task) if isinstance(output, Mapping) else getattr(output, task, None)
    if value is None:
        keys = f" with {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
        needed = " and ".join(tasks)
        raise DejavuError(
            f"the network's prediction must have {needed}, not be {type(output).__name__}{keys}"
        )
    return value


def check(task: str, prediction: Prediction, channels: int) -> None:
    """Raise DejavuError unless a task's prediction has the shape of one with so many channels."""
    load(task).check(prediction, channels)
