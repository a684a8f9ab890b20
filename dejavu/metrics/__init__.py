"""Metrics, on numpy arrays: one file a task, used by `dejavu evaluate` and by `dejavu score` alike.

`METRICS` has the name, the unit and the direction of every number that a table may show, and its task; the
rows are in the tasks' files. `collector` in `metrics/<task>.py` builds the object that counts arrays. This
package imports numpy only, and that late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import DejavuError, nearest
from ..tasks import describe, names

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Metric:
    """A number of a results file: its name in print, unit, direction, decimals worth printing, task."""

    name: str
    unit: str
    higher_is_better: bool
    digits: int
    task: str

    @property
    def arrow(self) -> str:
        """The arrow of the direction in tables.

        >>> METRICS["miou"].arrow, METRICS["depth_aerr"].arrow
        ('↑', '↓')
        """
        return "↑" if self.higher_is_better else "↓"


DELTA = "delta_mtl"  # is not measured of a row, but made of the numbers of other rows: tables/delta_mtl.py

METRICS: dict[str, Metric] = {
    key: Metric(*row, task) for task in names() for key, row in describe(task).metrics.items()
} | {DELTA: Metric("ΔMTL", "%", True, 2, "multi")}
"""Keys are those of `metrics` in a results file and of `tables.<table>.metrics` in params.yaml."""


def main_metric(task: str) -> str:
    """Return the metric of a task in learning curves: the first in its file.

    >>> main_metric("semantic"), main_metric("normals")
    ('miou', 'normal_merr')
    """
    return next(iter(describe(task).metrics))


class Collector(Protocol):
    """Interface of every task's metrics: updated with images or batches of them, computed at the end."""

    def update(self, truth: Any, prediction: Any, /) -> None: ...

    def compute(self) -> dict[str, Any]: ...


class TaskMetrics:
    """The metrics of a list of tasks: updated with mappings from task to array, computed together.

    >>> metrics = collect(["depth", "normals"])
    >>> truth = {"depth": [[2.0]], "normals": [[[0, 0, 1]]]}
    >>> metrics.update(truth, {"depth": [[1.5]], "normals": [[[0, 1, 0]]]})
    >>> scores = metrics.compute()
    >>> scores["depth_aerr"], scores["normal_merr"]
    (0.5, 90.0)
    """

    def __init__(self, collectors: Mapping[str, Collector]) -> None:
        self.collectors = dict(collectors)

    def update(self, truth: Mapping[str, ArrayLike], prediction: Mapping[str, ArrayLike]) -> None:
        """Count ground truths and predictions by task. Raises DejavuError that names the task at fault."""
        for what, given in (("ground truth", truth), ("prediction", prediction)):
            missing = [task for task in self.collectors if task not in given]
            if missing:
                raise DejavuError(f"the {what} has no '{missing[0]}', which is scored")
        for task, collector in self.collectors.items():
            try:
                collector.update(truth[task], prediction[task])
            except DejavuError as error:
                raise DejavuError(f"{task}: {error}") from None

    def compute(self) -> dict[str, Any]:
        """Compute the metrics of all tasks, whose keys differ."""
        scores: dict[str, Any] = {}
        for collector in self.collectors.values():
            scores |= collector.compute()
        return scores


@dataclass(frozen=True)
class Scoring:
    """Facts of the dataset and the protocol; each task's collector uses those that it needs."""

    classes: Sequence[str] = ()
    ignore_index: int = 255
    depth: Mapping[str, Any] | None = None
    """arguments of `DepthMetrics` other than NYUD-v2's"""
    things: Sequence[bool] = ()
    """for each class whether it can be counted"""


def collect(
    task: str | Sequence[str],
    classes: Sequence[str] = (),
    ignore_index: int = 255,
    depth: Mapping[str, Any] | None = None,
    things: Sequence[bool] = (),
) -> Collector:
    """Build an empty collector for a task, or for a list of tasks, under the protocol of the tables.

    Depth is scored as on NYUD-v2: every pixel that has depth, no caps, no crop, no scaling; `depth` has other
    arguments of `DepthMetrics`, such as KITTI's. `classes` and `ignore_index` are for semantic segmentation;
    `classes` and `things` (for each class whether it can be counted) for panoptic segmentation.
    Raises DejavuError for a task that has no metrics, and for `things` that do not fit the classes.

    >>> metrics = collect("depth")
    >>> metrics.update([[2.0, 0.0]], [[1.5, 9.0]])
    >>> metrics.compute()["depth_aerr"]
    0.5
    """
    if not isinstance(task, str):
        return TaskMetrics({one: collect(one, classes, ignore_index, depth, things) for one in task})
    made: Collector = _module(task).collector(Scoring(classes, ignore_index, depth, things))
    return made


def collect_main(
    task: str, classes: Sequence[str] = (), ignore_index: int = 255, things: Sequence[bool] = ()
) -> Collector:
    """Build an empty collector of a task's main metric, which may compute others too.

    Learning curves are drawn from it: there, the boundaries of a segmentation would cost too much time.
    """
    module = _module(task)
    make = getattr(module, "main_collector", module.collector)
    made: Collector = make(Scoring(classes, ignore_index, things=things))
    return made


def _module(task: str) -> ModuleType:
    """Import the module with a task's collector."""
    if task not in names():
        raise DejavuError(f"task '{task}' has no metrics, {nearest(task, names())}")
    return import_module(f".{task}", __name__)
