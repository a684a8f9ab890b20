"""Reading the prediction of a task from what networks return, those of other libraries included."""

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
    "detached",
    "read",
    "read_all",
    "task_output",
    "tensors",
]

TASKS = names()


def tensors(predictions: Mapping[str, Prediction]) -> list[Tensor]:
    """Return all tensors of the predictions of some tasks."""
    return [
        tensor
        for value in predictions.values()
        for tensor in (value if isinstance(value, Queries) else (value,))
    ]


def detached(prediction: Prediction) -> Prediction:
    """Return a prediction without its graph."""
    if isinstance(prediction, Queries):
        return Queries(*(logits.detach() for logits in prediction))
    return prediction.detach()


def as_tensor(output: Any, task: str = "semantic") -> Tensor:
    """Read one task's tensor from what a network returns: the tensor itself, ["out"], .logits and so on.

    Raises DejavuError where there is none.
    """
    value = read(task, output)
    assert isinstance(value, Tensor)
    return value


def read(task: str, output: Any) -> Prediction:
    """Read one task's prediction from what a network returned. Raises DejavuError where there is none."""
    return load(task).read(output)


def read_all(tasks: Sequence[str], output: Any) -> dict[str, Prediction]:
    """Read each task's prediction, by its name.

    With more than one task the network returns a mapping, or an object, by their names.
    """
    if len(tasks) == 1:
        return {tasks[0]: read(tasks[0], output)}
    return {task: read(task, task_output(task, output, tasks)) for task in tasks}


def task_output(task: str, output: Any, tasks: Sequence[str]) -> Any:
    """Get one task's output of a network with more than one. Raises DejavuError where it is missing."""
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
