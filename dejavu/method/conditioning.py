"""Conditioning: what of a prediction the regeneration module is told.

Each task's prediction is brought to the CRM's grid and made a condition of, differentiably; several tasks'
are concatenated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import DejavuError, check_number, nearest, number_fault
from ..tasks.predictions import TASKS, Prediction, Queries, check, read_all
from .regeneration import resize

FORMS = ("probabilities", "logits")
DEPTH_RANGE = (0.0, 10.0)  # metres, of rooms


class Conditioning:
    """Predictions of one or several tasks -> the CRM's condition.

    Args:
        tasks: of "semantic", "panoptic", "depth" and "normals".
        num_classes: K of the semantic and panoptic classes, or a mapping from task to K.
        form: "probabilities" (depth scaled to [0, 1], unit normals), or "logits": as predicted, and of a
            panoptic prediction without the masks' sigmoid.
        depth_range: nearest and farthest depth in the unit of the prediction, which become 0 and 1.

    Raises:
        DejavuError: an unknown task or form, a missing number of classes, a range that is none.

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
    ) -> None:
        for task in tasks:
            if task not in TASKS:
                raise DejavuError(f"unknown task {task!r}, {nearest(str(task), TASKS)}")
        if not tasks or len(set(tasks)) != len(tasks):
            raise DejavuError(f"task must be one task or several different ones, not {list(tasks)}")
        if form not in FORMS:
            raise DejavuError(f"condition: unknown form {form!r}, {nearest(str(form), FORMS)}")
        if not _is_range(depth_range):
            raise DejavuError(f"depth_range must be (nearest, farthest), not {depth_range!r}")
        self.tasks, self.form, self.depth_range = tuple(tasks), form, depth_range
        self.sizes = {task: _channels(task, num_classes) for task in tasks}

    @property
    def channels(self) -> int:
        """C of the condition."""
        return sum(self.sizes.values())

    def read(self, prediction: Any) -> dict[str, Prediction]:
        """The prediction of each task in what a network returned, its shapes checked.

        One task's may be a tensor, a mapping with "out", "logits" or the task's name, or an object with
        such an attribute. Several tasks' must be a mapping (or an object) by their names. Raises DejavuError.
        """
        found = read_all(self.tasks, prediction)
        for task, value in found.items():
            check(task, value, self.sizes[task])
        return found

    def __call__(self, predictions: Mapping[str, Prediction], grid: tuple[int, int]) -> Tensor:
        """The condition (N, C, *grid) of what `read` found."""
        parts = [self._of(task, predictions[task], grid) for task in self.tasks]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def only(self, condition: Tensor, tasks: Sequence[str]) -> Tensor:
        """A condition (N, C, h, w) with zeros in place of all but some tasks' channels."""
        if set(tasks) == set(self.tasks):
            return condition
        parts = condition.split([self.sizes[task] for task in self.tasks], 1)
        kept = [
            part if task in tasks else torch.zeros_like(part)
            for task, part in zip(self.tasks, parts, strict=True)
        ]
        return torch.cat(kept, 1)

    def _of(self, task: str, prediction: Prediction, grid: tuple[int, int]) -> Tensor:
        plain = self.form == "logits"
        if isinstance(prediction, Queries):
            return panoptic(prediction, grid, plain)
        # To the CRM's grid first: a softmax of upsampled logits would be the dearest part of all.
        maps = resize(prediction, grid)
        if plain:
            return maps
        if task == "semantic":
            return maps.softmax(1)
        if task == "depth":
            low, high = self.depth_range
            return (maps - low) / (high - low)  # not clamped: there is a gradient beyond the range, too
        return F.normalize(maps, dim=1, eps=1e-6)


def panoptic(prediction: Queries, grid: tuple[int, int], plain: bool = False) -> Tensor:
    """Per-class masks (N, K, *grid): the sum over queries of class probability x sigmoid(mask).

    `plain` leaves the masks' sigmoid out.
    """
    masks = resize(prediction.masks, grid)  # (N, Q, H/s, W/s)
    classes = prediction.classes.softmax(-1)[..., :-1]  # (N, Q, K): "no object" regenerates nothing
    return torch.einsum("nqk,nqhw->nkhw", classes, masks if plain else masks.sigmoid())


def _is_range(value: Any) -> bool:
    pair = isinstance(value, Sequence) and len(value) == 2
    numbers = pair and all(number_fault(edge) is None for edge in value)
    return numbers and value[0] < value[1]


def _channels(task: str, num_classes: int | Mapping[str, int] | None) -> int:
    if task in ("depth", "normals"):
        return {"depth": 1, "normals": 3}[task]
    count = num_classes.get(task) if isinstance(num_classes, Mapping) else num_classes
    if count is None:
        raise DejavuError(f"num_classes is missing: the task {task} needs it")
    check_number("num_classes", count, 1, whole=True)
    return count
