"""Tasks: one file each, with everything that a prediction of that kind needs.

    tasks.names()              which tasks there are: every file in here that defines `TASK`
    tasks.describe("depth")    the facts of one, without importing torch
    tasks.load("depth")        the task itself: its loss, its condition, how its targets are cropped, ...

Its numbers are counted in `metrics/<task>.py`, from numpy arrays alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from .. import registry
from ..errors import DejavuError, nearest
from .description import Description

if TYPE_CHECKING:
    from .task import Task

HERE = Path(__file__).parent


@cache
def _descriptions() -> dict[str, Description]:
    files = [registry.keywords(file, "TASK") for file in sorted(HERE.glob("[a-z]*.py"))]
    facts = [Description(**given) for given in files if given is not None]
    facts.sort(key=lambda one: (not one.has_classes, one.name))
    return {one.name: one for one in facts}


def names() -> tuple[str, ...]:
    """Every task's name, those with classes first.

    >>> [name for name in names() if name != "panoptic"][:2]
    ['semantic', 'depth']
    """
    return tuple(_descriptions())


def describe(task: str) -> Description:
    """The facts of a task, without importing torch. Raises DejavuError for an unknown one.

    >>> describe("normals").array, describe("normals").channels
    ('normals', 3)
    """
    if task not in names():
        raise DejavuError(f"unknown task {task!r}, {nearest(str(task), names())}")
    return _descriptions()[task]


def load(task: str) -> Task:
    """Import a task by name, and with it torch. Raises DejavuError for an unknown one."""
    describe(task)
    module = import_module(f".{task}", __name__)
    loaded: Task = module.TASK
    return loaded


def channels(tasks: str | Sequence[str], num_classes: int) -> int | dict[str, int]:
    """The number of channels of a network's output for a task, or for each of a list of tasks.

    >>> channels("semantic", 19), channels("depth", 19), channels("normals", 19)
    (19, 1, 3)
    >>> channels(["semantic", "depth"], 13)
    {'semantic': 13, 'depth': 1}
    """
    if isinstance(tasks, str):
        count = describe(tasks).channels
        return num_classes if count is None else count
    return {task: describe(task).channels or num_classes for task in tasks}
