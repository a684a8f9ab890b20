"""The batches of a run: its images, their order and their crops. A pair has the same batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..compute.processes import is_main, rank
from ..compute.random import generator
from ..errors import DejavuError
from ..tasks import describe, load
from ..tasks.images import normalise
from .augment.colour import distort
from .augment.crops import augment
from .augment.sampling import epoch_order, half_labelled_order
from .few_labels import hide as hide_unlabelled
from .few_labels import with_labels
from .multitask.partial_labels import available, hide

if TYPE_CHECKING:
    from ..config import Run
    from ..datasets.prepared.store import Array, Split


@dataclass(frozen=True)
class Data:
    """The data of a run: memory-mapped splits and the meaning of their labels."""

    tasks: tuple[str, ...]
    train: Split
    val: Split
    classes: Sequence[str]
    ignore_index: int
    categories: Sequence[str] | None = None
    """For each class the category that it belongs to, where the dataset has them."""
    things: Sequence[bool] = ()
    """For each class whether it is of things, where the dataset is panoptic."""

    @property
    def num_classes(self) -> int:
        """The number of the dataset's classes, K."""
        return len(self.classes)

    def targets(self, split: Split) -> dict[str, Array]:
        """Return the target array of each task. Raises DejavuError where the dataset lacks one."""
        arrays: dict[str, Array] = {}
        for task in self.tasks:
            kind = describe(task).array
            array = split.array(kind)
            if array is None:
                raise DejavuError(f"the task {task} needs {kind}, which the dataset lacks")
            arrays[task] = array
        return arrays


def read_data(prepared: Path, report: dict[str, Any], tasks: Sequence[str] = ("semantic",)) -> Data:
    """Open the training and validation splits of a prepared dataset, for one or more tasks."""
    from ..datasets.prepared.store import open_split, validation_split

    return Data(
        tasks=tuple(tasks),
        train=open_split(prepared, "train"),
        val=open_split(prepared, validation_split(report)),
        classes=report["classes"],
        ignore_index=report["ignore_index"],
        categories=report.get("categories"),
        things=report.get("things", ()),
    )


class Raw(NamedTuple):
    """A batch from the disk. Images and targets are one tensor, or a list where their sizes differ."""

    images: Tensor | list[Tensor]  # uint8 (N, H, W, 3), or each (H, W, 3)
    targets: dict[str, Tensor | list[Tensor]]  # of each task (N, H, W), or normals (N, 3, H, W), or without N
    classes: np.ndarray  # (N,), the class that an image was drawn for, or -1
    available: np.ndarray | None  # (N, T), which targets may be learnt from; None is all


class Batch(NamedTuple):
    """The batch of one step, of the recipe's crop, on its device."""

    images: Tensor
    """(N, 3, h, w), normalised"""
    target: Any
    """one task: (N, ..., h, w); more: a mapping by their names"""
    second: tuple[Tensor, Any] | None = None
    """XTC: another crop out of these images, and its targets"""
    available: Tensor | None = None
    """(N, T) bool, which targets may be learnt from; None is all"""


class Batches:
    """The batches of a run: shuffled anew each epoch; the last, smaller batch is dropped.

    With the labels of a share of the images, half of each batch are images with labels.

    Processes that train together have a share of every batch each.
    """

    def __init__(self, run: Run, seed: int, data: Data) -> None:
        self.recipe, self.seed, self.split, self.ignore_index = run.train, seed, data.train, data.ignore_index
        self.tasks, self.targets = data.tasks, data.targets(data.train)
        self.twice = run.consistency is not None
        self.available: np.ndarray | None = None
        self.known: np.ndarray | None = None
        """(images,) bool: which of them have labels; None is all"""
        labelled, images = self.recipe.labelled, len(data.train.images)
        if isinstance(labelled, float):
            self.known = with_labels(images, labelled)
            if self.known.all():
                raise DejavuError(
                    f"experiment '{run.experiment}': labelled {labelled:g} of {images} training images are "
                    "all of them: leave it out"
                )
        elif labelled != "full":
            self.available = available(images, data.tasks, labelled)
        self.share = rank().share(self.recipe.batch_size // run.gpus)
        self.per_epoch = len(data.train.images) // self.recipe.batch_size
        self.total = self.recipe.steps(len(data.train.images))
        if self.per_epoch == 0:
            raise DejavuError(
                f"experiment '{run.experiment}': batch_size {self.recipe.batch_size} is larger than the "
                f"{len(data.train.images)} training images of '{run.data.source}' at scale {run.scale}"
            )
        self._order: tuple[int, np.ndarray, np.ndarray] | None = None  # of the current epoch
        self.presence = None
        if self.recipe.class_uniform:
            from ..datasets.prepared.store import class_presence

            self.presence = class_presence(data.train, data.num_classes)

    @property
    def epochs(self) -> int:
        """Number of epochs, the last of which `iterations` may end early."""
        return -(-self.total // self.per_epoch)

    def ends_epoch(self, step: int) -> bool:
        """Return whether this step is the last of its epoch."""
        return (step + 1) % self.per_epoch == 0 or step + 1 == self.total

    def indices(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return this process' images of one step, and for each the class that it was drawn for, or -1."""
        epoch, number = divmod(step, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            numbers = generator(self.seed, "order", epoch)
            self._order = epoch, *self._epoch(numbers)
        _, order, classes = self._order
        whole = slice(number * self.recipe.batch_size, (number + 1) * self.recipe.batch_size)
        return order[whole][self.share], classes[whole][self.share]

    def _epoch(self, numbers: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the images of an epoch in their order, and for each the class it was drawn for, or -1."""
        if self.known is None:
            return epoch_order(len(self.split.images), numbers, self.recipe.class_uniform, self.presence)
        order = half_labelled_order(self.known, self.recipe.batch_size, numbers)
        return order, np.full(len(order), -1)

    def read(self, step: int) -> Raw:
        """Read the images and targets of one step."""
        chosen, classes = self.indices(step)
        targets = {task: _target(task, _taken(array, chosen)) for task, array in self.targets.items()}
        if self.known is not None:
            labels, ignored = self.known[chosen], self.ignore_index
            targets = {
                task: hide_unlabelled(target, labels, load(task).unknown_value(ignored))
                for task, target in targets.items()
            }
        known = None if self.available is None else self.available[chosen]
        return Raw(_taken(self.split.images, chosen), targets, classes, known)

    def from_step(self, start: int, device: torch.device, description: str) -> Iterator[tuple[int, Batch]]:
        """Yield augmented batches on `device`; the next one is read while this one is used."""
        from ..system.progress import track

        with ThreadPoolExecutor(1) as reader:
            following = reader.submit(self.read, start) if start < self.total else None
            steps: Iterable[int] = range(start, self.total)
            for step in track(steps, self.total, description, start) if is_main() else steps:
                assert following is not None
                raw = following.result()
                following = reader.submit(self.read, step + 1) if step + 1 < self.total else None
                yield step, self.augmented(raw, step, device)

    def augmented(self, raw: Raw, step: int, device: torch.device) -> Batch:
        """Return a batch, augmented."""
        recipe = self.recipe
        images = _moved(raw.images, device)
        targets = {task: _moved(target, device) for task, target in raw.targets.items()}
        if recipe.photometric is not None:  # with its own random numbers: the crops do not depend on it
            images = distort(images, recipe.photometric, generator(self.seed, "photometric", step))
        classes = raw.classes if recipe.class_uniform else None
        view, truths = self._cut(normalise(images), targets, generator(self.seed, "augment", step), classes)
        known = None if raw.available is None else torch.from_numpy(raw.available).to(device)
        if known is not None:
            truths = hide(truths, known)
        second = None
        if self.twice:  # as in MTPSL's code, a crop of the first view
            again, again_truths = self._cut(view, truths, generator(self.seed, "second view", step))
            second = again, self._plain(again_truths)
        return Batch(view, self._plain(truths), second, known)

    def _cut(
        self,
        images: Any,
        targets: dict[str, Any],
        numbers: torch.Generator,
        classes: np.ndarray | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Scale, crop and mirror images and targets as the recipe requires."""
        recipe = self.recipe
        only = self.tasks[0] if len(self.tasks) == 1 else None  # a single task's crops may depend on labels
        crops, cropped = augment(
            images,
            targets if only is None else targets[only],
            task=self.tasks if only is None else only,
            crop=recipe.crop,
            scale_range=recipe.scale_range,
            scale_choices=recipe.scale_choices,
            flip=recipe.flip,
            cat_max_ratio=recipe.cat_max_ratio,
            classes=classes,
            ignore_index=self.ignore_index,
            generator=numbers,
        )
        return crops, cropped if only is None else {only: cropped}

    def _plain(self, targets: dict[str, Tensor]) -> Any:
        """Return the mapping of tasks, or the tensor of a single one."""
        return targets if len(self.tasks) > 1 else targets[self.tasks[0]]


def _taken(array: Array, chosen: np.ndarray) -> Tensor | list[Tensor]:
    if isinstance(array, np.ndarray):
        return _tensor(array[chosen])
    return [_tensor(np.array(array[int(number)])) for number in chosen]


def _tensor(array: np.ndarray) -> Tensor:
    """Return the array as a tensor; uint16 becomes int32, since torch supports few operations on it."""
    return torch.from_numpy(array.astype(np.int32) if array.dtype == np.uint16 else array)


def _target(task: str, stored: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """Return targets in the task's form for training, of one size or each of its own."""
    read = load(task).from_array
    return [read(one) for one in stored] if isinstance(stored, list) else read(stored)


def _moved(values: Tensor | list[Tensor], device: torch.device) -> Any:
    return [one.to(device) for one in values] if isinstance(values, list) else values.to(device)
