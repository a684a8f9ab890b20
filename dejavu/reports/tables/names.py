"""Names of metrics, costs and datasets for readers."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import DejavuError, nearest
from ...metrics import METRICS, Metric

COSTS = {"gmacs": "GMACs", "params_m": "Params (M)"}
"""Cost columns and their titles."""


def find(metric: str) -> Metric:
    """Return the metric's entry. Raises DejavuError for a metric that `dejavu.metrics` does not have."""
    if metric not in METRICS:
        raise DejavuError(f"unknown metric '{metric}' in a table, {nearest(metric, METRICS)}")
    return METRICS[metric]


def of_tasks(metrics: Iterable[str], *tasks: str) -> tuple[str, ...]:
    """Return the metrics that measure one of the tasks.

    >>> of_tasks(["miou", "rmse", "normal_merr"], "semantic", "depth"), of_tasks(["miou"], "depth")
    (('miou', 'rmse'), ())
    """
    return tuple(metric for metric in metrics if find(metric).task in tasks)


def head(metric: str) -> str:
    """Return the title of a metric's column.

    >>> head("miou")
    'mIoU (%) ↑'
    """
    known = find(metric)
    return f"{known.name}{f' ({known.unit})' if known.unit else ''} {known.arrow}"


def gain_unit(metric: str) -> str:
    """Return the unit of a difference: percentages differ by points.

    >>> gain_unit("miou")
    'points'
    """
    unit = find(metric).unit
    return "points" if unit == "%" else unit
