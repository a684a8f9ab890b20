"""Training with a share of the labels (MTPSL, Li, Liu and Bilen, CVPR 2022): the choice of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ...errors import DejavuError, nearest
from ...tasks import load

SETTINGS = ("full", "onelabel", "randomlabels")
SEEDS = {"onelabel": 1, "randomlabels": 2}  # arbitrary, but other numbers would make other data sets


def available(count: int, tasks: Sequence[str], setting: str) -> np.ndarray:
    """Choose the tasks' labels that each image of a training set has: (count, T) bool.

    It depends on nothing but the arguments, and not on the tasks' order. The published code reads one file
    for all of its runs: a row and its base, and all seeds, must miss the same labels, or what differs is
    the data and not the method. These are not that file's draws, but drawn by its law: of 795 images,
    265 have the label of each of three tasks ("onelabel": shuffled equal shares); 405 have one and 390
    have two, and the six combinations occur 115 to 148 times ("randomlabels": a number from 1 to T - 1,
    then so many tasks, all alike).

    Args:
        count: images of the training set, in its order.
        tasks: all of the comparison, a single-task baseline's too, which then takes its column.
        setting: "full", "onelabel" or "randomlabels".

    Raises:
        DejavuError: an unknown setting; one task alone; so few images that a task has no label at all.

    >>> available(6, ["semantic", "depth", "normals"], "onelabel").sum(0)
    array([2, 2, 2])
    """
    if setting not in SETTINGS:
        raise DejavuError(f"labelled: unknown setting '{setting}', {nearest(setting, SETTINGS)}")
    if setting == "full":
        return np.ones((count, len(tasks)), bool)
    if len(tasks) < 2 or len(set(tasks)) != len(tasks):
        raise DejavuError(
            f"labelled: {setting} distributes labels over two or more different tasks, not over "
            f"{', '.join(tasks) or 'none'}: draw it for all tasks that are compared"
        )
    # Raw bits: numpy guarantees only these to stay the same between releases.
    bits = np.random.PCG64(SEEDS[setting])
    drawn = _one(bits, count, len(tasks)) if setting == "onelabel" else _random(bits, count, len(tasks))
    for task, column in zip(sorted(tasks), drawn.T, strict=True):
        if not column.any():
            raise DejavuError(
                f"labelled: of {count} images in {setting}, none has a label of {task}: add images"
            )
    return drawn[:, np.argsort(np.argsort(tasks))]


def hide(targets: Mapping[str, Tensor], available: Tensor, ignore_index: int = 255) -> dict[str, Tensor]:
    """Replace the missing targets of a batch by unknown values; the given tensors are not changed.

    Args:
        targets: labels (N, H, W), depth (N, H, W) and normals (N, 3, H, W), by task.
        available: (N, T) bool, in the targets' order.
        ignore_index: the value of unknown pixels of labels; those of depth and normals are 0.

    Raises DejavuError for another shape.

    >>> hide({"depth": torch.ones(2, 1, 2)}, torch.tensor([[True], [False]]))["depth"].tolist()
    [[[1.0, 1.0]], [[0.0, 0.0]]]
    """
    hidden = {}
    for number, (task, target) in enumerate(targets.items()):
        expected = (len(target), len(targets))
        if tuple(available.shape) != expected or available.dtype != torch.bool:
            raise DejavuError(
                f"available must be {expected} booleans of images and tasks, not {tuple(available.shape)} of "
                f"{available.dtype}"
            )
        kept = available[:, number].to(target.device).view(-1, *[1] * (target.ndim - 1))
        hidden[task] = target.where(kept, load(task).unknown_value(ignore_index))
    return hidden


def _one(bits: np.random.PCG64, count: int, tasks: int) -> np.ndarray:
    """Draw shuffled, equal shares: (count, tasks)."""
    turns = np.empty(count, int)
    turns[np.argsort(bits.random_raw(count))] = np.arange(count) % tasks
    return turns[:, None] == np.arange(tasks)


def _random(bits: np.random.PCG64, count: int, tasks: int) -> np.ndarray:
    """Draw a number from 1 to tasks - 1 for each image, then so many tasks: (count, tasks)."""
    raw = bits.random_raw(count * (tasks + 1)).reshape(count, tasks + 1)
    number = 1 + raw[:, :1] % (tasks - 1)
    return np.argsort(np.argsort(raw[:, 1:])) < number
