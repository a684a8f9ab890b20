"""What networks return, of this project and of other libraries: the prediction of one task in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import DejavuError

TASKS = ("semantic", "panoptic", "depth", "normals")


class Queries(NamedTuple):
    """A panoptic prediction of the mask classification family (MaskFormer, Mask2Former)."""

    classes: Tensor  # (N, Q, K + 1), logits; the last class is "no object"
    masks: Tensor  # (N, Q, h, w), logits


Prediction = Tensor | Queries


def tensors(predictions: Mapping[str, Prediction]) -> list[Tensor]:
    """All tensors of the predictions of some tasks."""
    return [
        part for value in predictions.values() for part in (value if isinstance(value, Queries) else (value,))
    ]


def as_tensor(prediction: Any, task: str = "semantic") -> Tensor:
    """The tensor in what a network returns for one task: itself, or ["out"], .logits and their like.

    Raises DejavuError where there is none.
    """
    value = read(task, prediction)
    assert isinstance(value, Tensor)
    return value


# How libraries call it: torchvision "out", transformers .logits and .predicted_depth, ours the task's name.
NAMES = {
    "semantic": ("out", "logits", "semantic"),
    "depth": ("out", "predicted_depth", "depth", "logits"),
    "normals": ("out", "normals", "logits"),
}
QUERIES = (("class_queries_logits", "masks_queries_logits"), ("pred_logits", "pred_masks"))


def read(task: str, prediction: Any) -> Prediction:
    """One task's prediction in what a network returned. Raises DejavuError where there is none."""
    if task == "panoptic":
        return _queries(prediction)
    if not isinstance(prediction, Tensor):
        prediction = _first(task, prediction)
    if task == "depth" and prediction.ndim == 3:
        return prediction[:, None]  # (N, h, w), as transformers has it
    return prediction


def _first(task: str, prediction: Any) -> Tensor:
    """The tensor under the first name that is there."""
    names = NAMES[task]
    if isinstance(prediction, Mapping):
        for name in names:
            if isinstance(prediction.get(name), Tensor):
                return prediction[name]
        raise DejavuError(
            f"the network's prediction has the keys {', '.join(map(str, prediction))}, but none of "
            f"{', '.join(names)} with a tensor: return the {task} prediction under one of these"
        )
    for name in names:
        if isinstance(getattr(prediction, name, None), Tensor):
            return getattr(prediction, name)
    hint = ": give the tensor in it" if isinstance(prediction, tuple | list) else ""
    raise DejavuError(
        f"the network's {task} prediction must be a tensor, a mapping or an object with one of "
        f"{', '.join(names)}, not {type(prediction).__name__}{hint}"
    )


def _queries(prediction: Any) -> Queries:
    if isinstance(prediction, tuple | list) and len(prediction) == 2 and not hasattr(prediction, "keys"):
        return Queries(*prediction)
    for names in QUERIES:
        if isinstance(prediction, Mapping):
            found = [prediction.get(name) for name in names]
        else:
            found = [getattr(prediction, name, None) for name in names]
        if all(isinstance(value, Tensor) for value in found):
            return Queries(*found)  # type: ignore[arg-type]
    raise DejavuError(
        "the network's panoptic prediction must be (class logits, mask logits) of its queries, or have "
        f"{' and '.join(QUERIES[0])}, not {type(prediction).__name__}"
    )


def read_all(tasks: Sequence[str], prediction: Any) -> dict[str, Prediction]:
    """Each task's prediction: of one task in what was returned, of several in its parts by their names."""
    if len(tasks) == 1:
        return {tasks[0]: read(tasks[0], prediction)}
    return {task: read(task, part(task, prediction, tasks)) for task in tasks}


def part(task: str, prediction: Any, tasks: Sequence[str]) -> Any:
    """One task's part of a prediction of several. Raises DejavuError where it is missing."""
    found = prediction.get(task) if isinstance(prediction, Mapping) else getattr(prediction, task, None)
    if found is None:
        has = f" with {', '.join(map(str, prediction))}" if isinstance(prediction, Mapping) else ""
        needed = " and ".join(tasks)
        raise DejavuError(
            f"the network's prediction must have {needed}, not be {type(prediction).__name__}{has}"
        )
    return found


def check(task: str, prediction: Prediction, channels: int) -> None:
    """Raise DejavuError unless a task's prediction has the shape of one with so many channels."""
    if isinstance(prediction, Queries):
        classes, masks = prediction
        right = classes.ndim == 3 and masks.ndim == 4 and classes.shape[:2] == masks.shape[:2]
        if not right or classes.shape[2] != channels + 1:
            raise DejavuError(
                f"the network's panoptic prediction must be (N, Q, {channels + 1}) and (N, Q, h, w) for "
                f"num_classes={channels} and one for no object, not {tuple(classes.shape)} and "
                f"{tuple(masks.shape)}"
            )
    elif prediction.ndim == 3 and not prediction.is_floating_point():
        raise DejavuError(
            f"the network's {task} prediction must be logits (N, {channels}, h, w), not class ids "
            f"{tuple(prediction.shape)}: without a gradient it cannot be taught"
        )
    elif prediction.ndim != 4 or prediction.shape[1] != channels:
        of = f" for num_classes={channels}" if task == "semantic" else f" for the task {task}"
        raise DejavuError(
            f"the network's prediction must be (N, {channels}, h, w){of}, not {tuple(prediction.shape)}"
        )
    for part in prediction if isinstance(prediction, Queries) else (prediction,):
        if not part.is_floating_point():
            what = "logits" if task in ("semantic", "panoptic") else "values"
            raise DejavuError(f"the network's {task} prediction must be floating {what}, not {part.dtype}")
