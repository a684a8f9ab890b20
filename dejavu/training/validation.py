"""What a learning curve is drawn from: the main metric of each task on the validation split."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from ..config import Fusion, Protocol
from ..evaluation.protocols import predict
from ..metrics import collect, main_metric
from ..metrics.semantic import ConfusionMatrix
from ..system.signals import heed
from .batches import Data


def validate(
    network: nn.Module, data: Data, align_corners: bool = False, fusion: Fusion | None = None
) -> dict[str, float]:
    """The main metric of each task, in its unit, by its key; the network's mode is restored.

    Of whole images, seen once, whatever the experiment's protocol: it draws a curve and chooses nothing. Only
    how queries become a panoptic map, `fusion`, is the protocol's.

    Raises Stopped when a signal asked for it (system/signals.py).
    """
    scores = {task: _Score(task, data) for task in data.tasks}
    truths = data.targets(data.val)
    first = next(iter(truths.values()))
    network.eval()
    predictions = predict(
        network,
        data.val.images,
        data.tasks if len(data.tasks) > 1 else data.tasks[0],
        Protocol(panoptic=fusion),
        align_corners=align_corners,
        things=data.things,
        sizes=[truth.shape[:2] for truth in first],
    )
    for number, prediction in enumerate(predictions):
        heed("while it validated")
        for task, score in scores.items():
            score.update(truths[task][number], prediction[task] if len(data.tasks) > 1 else prediction)
    network.train()
    return {main_metric(task): score.value for task, score in scores.items()}


class _Score:
    """One task's main metric."""

    def __init__(self, task: str, data: Data) -> None:
        self.task = task
        # Of a segmentation mIoU alone: the boundaries, which `collect` measures too, are dear.
        semantic = task == "semantic"
        self.metrics: Any = (
            ConfusionMatrix(data.num_classes, data.ignore_index)
            if semantic
            else collect(task, data.classes, data.ignore_index, things=data.things)
        )

    def update(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        self.metrics.update(truth, prediction)

    @property
    def value(self) -> float:
        if isinstance(self.metrics, ConfusionMatrix):
            return self.metrics.mIoU
        return float(self.metrics.compute()[main_metric(self.task)])
