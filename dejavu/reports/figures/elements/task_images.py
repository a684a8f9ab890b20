"""Images of each task with a pair's predictions and regenerations, computed from weights and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....config import Method, Params
from ....config.paths import Paths
from ....errors import DejavuError
from ....tasks import names
from ...pairs import Pair, evenly
from .predictions import baseline, choose, predictions, regenerated

if TYPE_CHECKING:
    import numpy as np

    from ....datasets.prepared.store import Split
    from .tasks import TaskImages


def task_images(
    params: Params,
    scale: str,
    pairs: Sequence[Pair],
    split: Split,
    report: Mapping[str, Any],
    images: int,
    tasks: Sequence[str] | None = None,
) -> list[TaskImages]:
    """Return images for each task (None: all tasks of the pairs), from the first pair that learns it.

    `report` is the report of the prepared data. Each task has `images` images, evenly spaced in the split and
    different for each task. Raises DejavuError if the prepared data lack the targets of a task.
    """
    from .tasks import TaskImages

    learnt = {pair: params.experiments[pair.experiment].tasks for pair in pairs}
    tasks = (
        [task for task in names() if any(task in some for some in learnt.values())]
        if tasks is None
        else tasks
    )
    spread = evenly(images * len(tasks), len(split.images))
    result = []
    for number, task in enumerate(tasks):
        pair, _ = choose(params, scale, [pair for pair, some in learnt.items() if task in some])
        indices = spread[number :: len(tasks)] or spread[:1]
        rows = _rows(params, scale, pair, task, split, indices, report)
        result.append(TaskImages(task, pair.title, rows))
    return result


def _rows(
    params: Params,
    scale: str,
    pair: Pair,
    task: str,
    split: Split,
    indices: Sequence[int],
    report: Mapping[str, Any],
) -> list[Any]:
    """Return the images at these indices, with their truths, predictions and regenerations."""
    import numpy as np

    from ....models.load import load_method
    from .tasks import PanelRow

    run, paths, classes = params.run(pair.experiment, scale), Paths(scale), report["classes"]
    seed, things = run.seeds[0], report.get("things", ())
    method = load_method(
        run, classes, paths.weights(pair.experiment, seed), paths.regenerator(pair.experiment, seed)
    )
    images = [np.asarray(split.images[index]) for index in indices]
    truths = _truths(split, task, indices, images)
    before = baseline(params, scale, pair, images, classes, things)
    after = predictions(run, method.network, images, things)
    assert run.dejavu is not None
    pictures = regenerated(method, images, seed, shown_redaction(run.dejavu, task))
    rows = zip(indices, images, truths, before, after, pictures, strict=True)
    return [
        PanelRow(split.names[index], image, truth, _of(task, first), _of(task, second), *some)
        for index, image, truth, first, second, some in rows
    ]


def shown_redaction(method: Method, task: str) -> int:
    """Return the index of the redaction for a task: the first for segmentation, else the last.

    Spatial redaction is for segmentation, spectral redaction for depth and normals, listed in this order.
    """
    return 0 if task == "semantic" else len(method.redactions) - 1


def _of(task: str, prediction: Any) -> np.ndarray:
    """Return the prediction of one task; a multi-task prediction is a mapping."""
    return prediction[task] if isinstance(prediction, dict) else prediction


def _truths(
    split: Split, task: str, indices: Sequence[int], images: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return a task's ground truth of these images at their sizes, with nearest-pixel resizing."""
    from ....datasets.prepared.sizes import nearest
    from ....tasks import describe

    array = split.array(describe(task).array)
    if array is None:
        raise DejavuError(
            f"the prepared data have no {task}, which the figure would show: prepare them again"
        )
    return [nearest(array[index], image.shape[:2]) for index, image in zip(indices, images, strict=True)]
