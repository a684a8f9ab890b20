"""What a run learns from: which images, in which order, cut how. A pair sees the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .augment import augment, normalise
from .errors import DejavuError
from .photometric import distort
from .randomness import generator
from .sampling import epoch_order
from .tasks import TARGETS

if TYPE_CHECKING:
    from .datasets.store import Array, Split
    from .schema import Run


@dataclass(frozen=True)
class Data:
    """What a run learns from: memory-mapped splits and what their labels mean."""

    task: str
    train: Split
    val: Split
    classes: Sequence[str]
    ignore_index: int
    categories: Sequence[str] | None = None
    """For each class the category that it belongs to, where the dataset has them."""

    @property
    def num_classes(self) -> int:
        """K of the dataset."""
        return len(self.classes)

    def target(self, split: Split) -> Array:
        """The array that the task learns from."""
        array: Array | None = getattr(split, TARGETS[self.task])
        if array is None:
            raise DejavuError(f"the task {self.task} needs {TARGETS[self.task]}, which the dataset lacks")
        return array


def read_data(prepared: Path, report: dict[str, Any], task: str = "semantic") -> Data:
    """The training and validation splits of a prepared dataset, for a task."""
    from .datasets.store import open_split, validation_split

    return Data(
        task=task,
        train=open_split(prepared, "train"),
        val=open_split(prepared, validation_split(report)),
        classes=report["classes"],
        ignore_index=report["ignore_index"],
        categories=report.get("categories"),
    )


class Raw(NamedTuple):
    """A batch off the disk. Images and targets of one size are one tensor, of several sizes a list."""

    images: Tensor | list[Tensor]  # uint8 (N, H, W, 3), or each (H, W, 3)
    target: Tensor | list[Tensor]  # (N, H, W), or normals (N, 3, H, W), or each without N
    classes: np.ndarray  # (N,), the class that an image was drawn for, or -1


class Batches:
    """The batches of a run: shuffled anew each epoch, the last part batch dropped."""

    def __init__(self, run: Run, seed: int, data: Data) -> None:
        self.recipe, self.seed, self.split, self.ignore_index = run.train, seed, data.train, data.ignore_index
        self.task, self.target = data.task, data.target(data.train)
        self.per_epoch = len(data.train.images) // self.recipe.batch_size
        self.total = self.recipe.steps(len(data.train.images))
        if self.per_epoch == 0:
            raise DejavuError(
                f"experiment '{run.experiment}': batch_size {self.recipe.batch_size} is larger than the "
                f"{len(data.train.images)} training images of '{run.data.source}' at scale {run.scale}"
            )
        self._order: tuple[int, np.ndarray, np.ndarray] | None = None  # of the epoch that is under way
        self.presence = None
        if self.recipe.class_uniform:
            from .datasets.store import class_presence

            self.presence = class_presence(data.train, data.num_classes)

    @property
    def epochs(self) -> int:
        """How many epochs there are, the last of which may be cut short by `iterations`."""
        return -(-self.total // self.per_epoch)

    def ends_epoch(self, step: int) -> bool:
        """Whether this step is the last of its epoch."""
        return (step + 1) % self.per_epoch == 0 or step + 1 == self.total

    def indices(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The images of one step, and for each the class that it was drawn for, or -1."""
        epoch, place = divmod(step, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            numbers = generator(self.seed, "order", epoch)
            drawn = epoch_order(len(self.split.images), numbers, self.recipe.class_uniform, self.presence)
            self._order = epoch, *drawn
        _, order, classes = self._order
        part = slice(place * self.recipe.batch_size, (place + 1) * self.recipe.batch_size)
        return order[part], classes[part]

    def read(self, step: int) -> Raw:
        """The images and targets of one step."""
        chosen, classes = self.indices(step)
        target = _taken(self.target, chosen)
        if self.task == "normals":
            target = [_first(one) for one in target] if isinstance(target, list) else _first(target)
        return Raw(_taken(self.split.images, chosen), target, classes)

    def from_step(
        self, start: int, device: torch.device, description: str
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Augmented batches on `device`; the next one is read while this one is used."""
        from .progress import track

        with ThreadPoolExecutor(1) as reader:
            following = reader.submit(self.read, start) if start < self.total else None
            for step in track(range(start, self.total), self.total, description, start):
                assert following is not None
                raw = following.result()
                following = reader.submit(self.read, step + 1) if step + 1 < self.total else None
                yield (step, *self.augmented(raw, step, device))

    def augmented(self, raw: Raw, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images (N, 3, h, w), normalised, and targets (N, ..., h, w) of the recipe's crop."""
        recipe = self.recipe
        images, target = _moved(raw.images, device), _moved(raw.target, device)
        if recipe.photometric is not None:  # of random numbers of its own: the crops stay the same without it
            images = distort(images, recipe.photometric, generator(self.seed, "photometric", step))
        return augment(
            normalise(images),
            target,
            task=self.task,
            crop=recipe.crop,
            scale_range=recipe.scale_range,
            flip=recipe.flip,
            cat_max_ratio=recipe.cat_max_ratio,
            classes=raw.classes if recipe.class_uniform else None,
            ignore_index=self.ignore_index,
            generator=generator(self.seed, "augment", step),
        )


def _taken(array: Array, chosen: np.ndarray) -> Tensor | list[Tensor]:
    if isinstance(array, np.ndarray):
        return torch.from_numpy(array[chosen])
    return [torch.from_numpy(np.array(array[int(number)])) for number in chosen]


def _first(normals: Tensor) -> Tensor:
    """(..., H, W, 3) -> (..., 3, H, W), float32."""
    return normals.float().movedim(-1, -3)


def _moved(part: Tensor | list[Tensor], device: torch.device) -> Any:
    return [one.to(device) for one in part] if isinstance(part, list) else part.to(device)
