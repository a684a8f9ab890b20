"""Tasks: what goes into a network and comes out of it."""

from __future__ import annotations

from collections.abc import Sequence

TARGETS = {"semantic": "labels", "panoptic": "panoptic", "depth": "depth", "normals": "normals"}
"""The array of a prepared dataset that each task learns from."""


def channels(tasks: str | Sequence[str], num_classes: int) -> int | dict[str, int]:
    """How many channels a network has for a task, or for each of several.

    >>> channels("semantic", 19), channels("depth", 19), channels("normals", 19)
    (19, 1, 3)
    >>> channels(["semantic", "depth"], 13)
    {'semantic': 13, 'depth': 1}
    """
    counts = {"semantic": num_classes, "panoptic": num_classes, "depth": 1, "normals": 3}
    return counts[tasks] if isinstance(tasks, str) else {task: counts[task] for task in tasks}
