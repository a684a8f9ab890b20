"""The batches of a run: its images, their order and their crops. A pair has the same batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..compute.processes import is_main, rank
from ..compute.random import generator
from ..config.recipe import BESIDE
from ..errors import DejavuError
from ..tasks import load
from ..tasks.images import normalise
from .augment.colour import distort
from .augment.crops import augment
from .augment.sampling import epoch_order, half_labelled_order, order_beside_unlabelled
from .captions import drawn
from .few_labels import hide as hide_unlabelled
from .few_labels import with_labels
from .multitask.partial_labels import available, hide
from .unlabelled import Joined

if TYPE_CHECKING:
    from ..config import Run
    from ..datasets.prepared.store import Array
    from .data import Data


class Raw(NamedTuple):
    """A batch from the disk. Images and targets are one tensor, or a list where their sizes differ."""

    images: Tensor | list[Tensor]  # uint8 (N, H, W, 3), or each (H, W, 3)
    targets: dict[str, Tensor | list[Tensor]]  # of each task (N, H, W), or normals (N, 3, H, W), or without N
    classes: np.ndarray  # (N,), the class that an image was drawn for, or -1
    available: np.ndarray | None  # (N, T), which targets may be learnt from; None is all
    captions: list[str] | None = None  # (N,)
    labelled: np.ndarray | None = None  # (n,), the numbers of the images that have labels; None is all


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
    captions: list[str] | None = None
    """(N,), the text of each image, '' without one; None: DejaVu-TS makes prompts of the labels"""
    labelled: Tensor | None = None
    """(n,), the numbers of the images that the tasks learn from; None is all"""


class Batches:
    """The batches of a run: shuffled anew each epoch; the last, smaller batch is dropped.

    With the labels of a share of the images, or images without labels beside those of training, half of each
    batch are images with labels.

    Processes that train together have a share of every batch each.
    """

    def __init__(self, run: Run, seed: int, data: Data) -> None:
        self.recipe, self.seed, self.split, self.ignore_index = run.train, seed, data.train, data.ignore_index
        self.tasks = data.tasks
        self.targets: dict[str, Array | Joined] = {**data.targets(data.train)}
        self.images: Array | Joined = data.train.images
        self.more = 0
        """number of images without labels, which are numbered behind the training set's"""
        self.twice, self.captions = run.consistency is not None, data.captions
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
        elif labelled == BESIDE:
            self._add_unlabelled(run, data)
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

    def _add_unlabelled(self, run: Run, data: Data) -> None:
        """Put the images without labels behind those of training. Raises DejavuError where there are none."""
        extra = data.unlabelled
        if extra is None:
            raise DejavuError(
                f"experiment '{run.experiment}': labelled is {BESIDE}, and '{run.dataset}' has no images "
                f"without labels: set {_key_of_unlabelled(run)}, and download and prepare it again"
            )
        self.more = len(extra)
        self.known = np.arange(len(data.train.images) + self.more) < len(data.train.images)
        self.images = Joined(data.train.images, extra, blank=False)
        self.targets = {
            task: Joined(array, extra, blank=True) for task, array in data.targets(data.train).items()
        }

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
        size = self.recipe.batch_size
        if self.known is not None and not self.more:
            order = half_labelled_order(self.known, size, numbers)
            return order, np.full(len(order), -1)
        order_of_training = epoch_order(
            len(self.split.images), numbers, self.recipe.class_uniform, self.presence
        )
        if not self.more:
            return order_of_training
        return order_beside_unlabelled(order_of_training, self.more, size, self.per_epoch, numbers)

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
        epoch = step // self.per_epoch
        texts = None if self.captions is None else drawn(self.captions, chosen, self.seed, epoch)
        labelled = np.flatnonzero(self.known[chosen]) if self.more and self.known is not None else None
        return Raw(_taken(self.images, chosen), targets, classes, known, texts, labelled)

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
        labelled = None if raw.labelled is None else torch.from_numpy(raw.labelled).to(device)
        return Batch(view, self._plain(truths), second, known, raw.captions, labelled)

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


def _key_of_unlabelled(run: Run) -> str:
    """Return the key of params.yaml that gives a dataset images without labels, and its meaning."""
    if run.data.source == "synthetic":
        return f"scales.{run.scale}.data.{run.dataset}.unlabelled to a number of scenes"
    return f"datasets.{run.data.source}.unlabelled to a folder of them"


def _taken(array: Array | Joined, chosen: np.ndarray) -> Tensor | list[Tensor]:
    if isinstance(array, np.ndarray):
        return _tensor(array[chosen])
    items = [_tensor(np.array(array[int(number)])) for number in chosen]
    return torch.stack(items) if isinstance(array, Joined) and array.one_size else items


def _tensor(array: np.ndarray) -> Tensor:
    """Return the array as a tensor; uint16 becomes int32, since torch supports few operations on it."""
    return torch.from_numpy(array.astype(np.int32) if array.dtype == np.uint16 else array)


def _target(task: str, stored: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """Return targets in the task's form for training, of one size or each of its own."""
    read = load(task).from_array
    return [read(one) for one in stored] if isinstance(stored, list) else read(stored)


def _moved(values: Tensor | list[Tensor], device: torch.device) -> Any:
    return [one.to(device) for one in values] if isinstance(values, list) else values.to(device)
