"""The main metric of each task on the validation split, for learning curves."""

from __future__ import annotations

from torch import nn

from ..config import Fusion, Protocol
from ..evaluation.predictor import Predictor
from ..metrics import collect_main, main_metric
from ..system.signals import stop_if_signalled
from .data import Data


def validate(
    network: nn.Module, data: Data, align_corners: bool = False, fusion: Fusion | None = None
) -> dict[str, float]:
    """Return the main metric of each task, in its unit, by its key; the network's mode is restored.

    Whole images are shown once, whatever the experiment's protocol: the curve chooses nothing. Only `fusion`,
    how queries become a panoptic map, is taken from the protocol.

    Raises Stopped after a signal (system/signals.py).
    """
    scores = {task: collect_main(task, data.classes, data.ignore_index, data.things) for task in data.tasks}
    truths = data.targets(data.val)
    first = next(iter(truths.values()))
    network.eval()
    predictor = Predictor(
        network,
        data.tasks if len(data.tasks) > 1 else data.tasks[0],
        Protocol(panoptic=fusion),
        align_corners=align_corners,
        things=data.things,
    )
    predictions = predictor.predict(data.val.images, [truth.shape[:2] for truth in first])
    for number, prediction in enumerate(predictions):
        stop_if_signalled("while it validated")
        for task, score in scores.items():
            score.update(truths[task][number], prediction[task] if len(data.tasks) > 1 else prediction)
    network.train()
    keys = map(main_metric, data.tasks)
    return {key: float(score.compute()[key]) for key, score in zip(keys, scores.values(), strict=True)}
