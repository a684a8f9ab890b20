"""The data of a run: the prepared arrays that a training reads, and their meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DejavuError
from ..tasks import describe

if TYPE_CHECKING:
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
    captions: Sequence[Sequence[str]] | None = None
    """The captions of each training image, for rows that learn from text; None: there are none."""
    unlabelled: Array | None = None
    """Images without labels, uint8 (N, H, W, 3); None: there are none."""

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


def read_data(
    prepared: Path, report: dict[str, Any], tasks: Sequence[str] = ("semantic",), text: bool = False
) -> Data:
    """Open the training and validation splits of a prepared dataset, for one or more tasks.

    `text`: read the captions of the training images, too, where there are some.
    """
    from ..datasets.prepared.captions import open_captions
    from ..datasets.prepared.store import open_split, open_unlabelled, validation_split

    return Data(
        tasks=tuple(tasks),
        train=open_split(prepared, "train"),
        val=open_split(prepared, validation_split(report)),
        classes=report["classes"],
        ignore_index=report["ignore_index"],
        categories=report.get("categories"),
        things=report.get("things", ()),
        captions=open_captions(prepared, report) if text else None,
        unlabelled=open_unlabelled(prepared, report),
    )
