"""The losses of a network with more than one task, as in MTPSL's public code for NYUD-v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...tasks import load
from ...tasks.predictions import as_tensor, task_output


class TaskLosses(nn.Module):
    """The loss of each task, unweighted: (a mapping of predictions, a mapping of targets) -> a mapping.

    Segmentation: cross-entropy; depth: mean absolute error in metres; normals: mean of 1 - cosine; each over
    the pixels of the batch whose target is known. With `by_image` (partly labelled sets, and XTC with all
    labels too) the loss of every image is computed separately and the batch's mean is taken: an image without
    labels of a task counts as 0, so that a label has the same weight in every batch.

    Args:
        tasks: names of `dejavu.tasks`.
        ignore_index: the label of pixels that are not compared.
        by_image: see above.
    """

    def __init__(self, tasks: Sequence[str], ignore_index: int = 255, by_image: bool = False) -> None:
        super().__init__()
        self.tasks, self.ignore_index, self.by_image = tuple(tasks), ignore_index, by_image

    def forward(self, prediction: Any, target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute each task's loss, a scalar. Raises DejavuError for a prediction that lacks a task."""
        return {task: self._loss(task, prediction, target[task]) for task in self.tasks}

    def main(self, prediction: Any, target: Mapping[str, Tensor]) -> Tensor:
        """Compute the sum of all tasks' losses, for DejaVu-CL."""
        return torch.stack(list(self(prediction, target).values())).sum()

    def _loss(self, task: str, prediction: Any, target: Tensor) -> Tensor:
        maps, loss = as_tensor(task_output(task, prediction, self.tasks), task), load(task).loss
        if not self.by_image:
            return loss(maps, target, self.ignore_index)
        images = [
            loss(one, truth, self.ignore_index)
            for one, truth in zip(maps.split(1), target.split(1), strict=True)
        ]
        return torch.stack(images).mean()
