"""Metrics, on numpy arrays: one file a task, used by `dejavu evaluate` and by `dejavu score` alike.

`METRICS` says of every number that a table may show what it is called, in which unit it is, which
way is better, and which task has it. This package imports numpy only, and that late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import DejavuError, nearest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Metric:
    """A number of a results file: its name in print, unit, direction, decimals worth printing, task."""

    name: str
    unit: str
    higher_is_better: bool
    digits: int = 2
    task: str = "semantic"

    @property
    def arrow(self) -> str:
        """The direction as tables print it.

        >>> METRICS["miou"].arrow, METRICS["depth_aerr"].arrow
        ('↑', '↓')
        """
        return "↑" if self.higher_is_better else "↓"


METRICS: dict[str, Metric] = {
    "miou": Metric("mIoU", "%", True),
    "boundary_miou": Metric("boundary mIoU", "%", True),
    "pixel_accuracy": Metric("pixel accuracy", "%", True),
    "mean_accuracy": Metric("mean class accuracy", "%", True),
    "depth_aerr": Metric("depth error", "m", False, 4, "depth"),
    "abs_rel": Metric("depth abs rel", "", False, 3, "depth"),
    "sq_rel": Metric("depth sq rel", "m", False, 3, "depth"),
    "rmse": Metric("depth RMSE", "m", False, 3, "depth"),
    "rmse_log": Metric("depth RMSE log", "", False, 3, "depth"),
    "log10": Metric("depth log10", "", False, 3, "depth"),
    "delta1": Metric("delta 1", "", True, 3, "depth"),
    "delta2": Metric("delta 2", "", True, 3, "depth"),
    "delta3": Metric("delta 3", "", True, 3, "depth"),
    "normal_merr": Metric("normals error", "°", False, 2, "normals"),
    "normal_median": Metric("median normals error", "°", False, 2, "normals"),
    "normal_within_11": Metric("normals within 11.25°", "%", True, 2, "normals"),
    "normal_within_22": Metric("normals within 22.5°", "%", True, 2, "normals"),
    "normal_within_30": Metric("normals within 30°", "%", True, 2, "normals"),
    "pq": Metric("PQ", "%", True, 2, "panoptic"),
    "sq": Metric("SQ", "%", True, 2, "panoptic"),
    "rq": Metric("RQ", "%", True, 2, "panoptic"),
    "pq_th": Metric("PQ of things", "%", True, 2, "panoptic"),
    "sq_th": Metric("SQ of things", "%", True, 2, "panoptic"),
    "rq_th": Metric("RQ of things", "%", True, 2, "panoptic"),
    "pq_st": Metric("PQ of stuff", "%", True, 2, "panoptic"),
    "sq_st": Metric("SQ of stuff", "%", True, 2, "panoptic"),
    "rq_st": Metric("RQ of stuff", "%", True, 2, "panoptic"),
    "delta_mtl": Metric("ΔMTL", "%", True, 2, "multi"),
}
"""Keys are those of `metrics` in a results file and of `tables.<table>.metrics` in params.yaml."""

TASKS = ("semantic", "panoptic", "depth", "normals")
"""The tasks that are measured; what `METRICS` has of others is made of their numbers."""


DELTA = "delta_mtl"  # is not measured of a row, but made of the numbers of several: tables/delta.py


def main_metric(task: str) -> str:
    """The metric that learning curves show of a task: the first of it in `METRICS`.

    >>> main_metric("semantic"), main_metric("normals")
    ('miou', 'normal_merr')
    """
    return next(name for name, metric in METRICS.items() if metric.task == task)


class Collector(Protocol):
    """What the metrics of every task are: fed images or batches of them, read once at the end."""

    def update(self, truth: Any, prediction: Any, /) -> None: ...

    def compute(self) -> dict[str, Any]: ...


class Several:
    """The metrics of several tasks, fed with mappings by task, and all in one at the end.

    >>> metrics = collect(["depth", "normals"])
    >>> truth = {"depth": [[2.0]], "normals": [[[0, 0, 1]]]}
    >>> metrics.update(truth, {"depth": [[1.5]], "normals": [[[0, 1, 0]]]})
    >>> found = metrics.compute()
    >>> found["depth_aerr"], found["normal_merr"]
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
        """The metrics of all tasks, whose keys differ."""
        found: dict[str, Any] = {}
        for collector in self.collectors.values():
            found |= collector.compute()
        return found


def collect(
    task: str | Sequence[str],
    classes: Sequence[str] = (),
    ignore_index: int = 255,
    depth: Mapping[str, Any] | None = None,
    things: Sequence[bool] = (),
) -> Collector:
    """An empty collector for a task, or for several, under the protocol of the tables.

    Depth is scored as on NYUD-v2: every pixel that has depth, no caps, no crop, no scaling; `depth` has other
    arguments of `DepthMetrics`, such as KITTI's. `classes` and `ignore_index` are for semantic segmentation;
    `classes` and `things`, which says of each whether it can be counted, for panoptic.
    Raises DejavuError for a task that has no metrics, and for `things` that do not fit the classes.

    >>> metrics = collect("depth")
    >>> metrics.update([[2.0, 0.0]], [[1.5, 9.0]])
    >>> metrics.compute()["depth_aerr"]
    0.5
    """
    if not isinstance(task, str):
        return Several({one: collect(one, classes, ignore_index, depth, things) for one in task})
    if task == "semantic":
        from .semantic import SemanticMetrics

        return SemanticMetrics(len(classes), ignore_index, classes)
    if task == "panoptic":
        from .panoptic import PanopticQuality

        return PanopticQuality(things, classes)
    if task == "depth":
        from .depth import DepthMetrics

        return DepthMetrics(**(depth or {}))
    if task == "normals":
        from .normals import NormalMetrics

        return NormalMetrics()
    raise DejavuError(f"task '{task}' has no metrics, {nearest(task, TASKS)}")
