"""What figures of several tasks show: images of each task, with a pair's predictions and regenerations."""

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
    from .tasks import Part


def parts(
    params: Params,
    scale: str,
    pairs: Sequence[Pair],
    split: Split,
    report: Mapping[str, Any],
    images: int,
    tasks: Sequence[str] | None = None,
) -> list[Part]:
    """A part for each of the tasks (None: all that a pair learns), of the first pair that learns it.

    `report` is that of the prepared data. `images` of each, evenly spaced in the split, other ones for each
    task. Raises DejavuError where the prepared data lack what a task learns from.
    """
    from .tasks import Part

    learnt = {pair: params.experiments[pair.experiment].tasks for pair in pairs}
    tasks = (
        [task for task in names() if any(task in some for some in learnt.values())]
        if tasks is None
        else tasks
    )
    spread = evenly(images * len(tasks), len(split.images))
    found = []
    for number, task in enumerate(tasks):
        pair, _ = choose(params, scale, [pair for pair, some in learnt.items() if task in some])
        places = spread[number :: len(tasks)] or spread[:1]
        found.append(Part(task, pair.title, _seen(params, scale, pair, task, split, places, report)))
    return found


def _seen(
    params: Params,
    scale: str,
    pair: Pair,
    task: str,
    split: Split,
    places: Sequence[int],
    report: Mapping[str, Any],
) -> list[Any]:
    """The images at these places of the split, with all that is shown of them."""
    import numpy as np

    from ....models.load import load_method
    from .tasks import Seen

    run, paths, classes = params.run(pair.experiment, scale), Paths(scale), report["classes"]
    seed, things = run.seeds[0], report.get("things", ())
    method = load_method(
        run, classes, paths.weights(pair.experiment, seed), paths.regenerator(pair.experiment, seed)
    )
    images = [np.asarray(split.images[place]) for place in places]
    truths = _truths(split, task, places, images)
    before = baseline(params, scale, pair, images, classes, things)
    after = predictions(run, method.network, images, things)
    assert run.dejavu is not None
    pictures = regenerated(method, images, seed, shown_redaction(run.dejavu, task))
    rows = zip(places, images, truths, before, after, pictures, strict=True)
    return [
        Seen(split.names[place], image, truth, _of(task, first), _of(task, second), *some)
        for place, image, truth, first, second, some in rows
    ]


def shown_redaction(method: Method, task: str) -> int:
    """The number of the redaction that is shown of a task: of several, segmentation's is the first.

    Spatial redaction serves segmentation, spectral depth and normals, and in that order they are listed.
    """
    return 0 if task == "semantic" else len(method.redactions) - 1


def _of(task: str, prediction: Any) -> np.ndarray:
    """A task's part of a prediction, which is a mapping where several tasks are predicted."""
    return prediction[task] if isinstance(prediction, dict) else prediction


def _truths(split: Split, task: str, places: Sequence[int], images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a task should be of these images, at their sizes: the nearest pixel of each."""
    from ....datasets.prepared.sizes import nearest
    from ....tasks import describe

    array = split.array(describe(task).array)
    if array is None:
        raise DejavuError(
            f"the prepared data have no {task}, which the figure would show: prepare them again"
        )
    return [nearest(array[place], image.shape[:2]) for place, image in zip(places, images, strict=True)]
