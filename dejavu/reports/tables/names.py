"""Names of metrics, costs and datasets for readers."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import DejavuError, nearest
from ...metrics import METRICS, Metric

COSTS = {"gmacs": "GMACs", "params_m": "Params (M)"}
"""Columns of a network's cost, and their titles."""


def find(metric: str) -> Metric:
    """The metric's entry. Raises DejavuError for one that `dejavu.metrics` does not have."""
    if metric not in METRICS:
        raise DejavuError(f"unknown metric '{metric}' in a table, {nearest(metric, METRICS)}")
    return METRICS[metric]


def of_tasks(metrics: Iterable[str], *tasks: str) -> tuple[str, ...]:
    """The metrics that measure one of the tasks.

    >>> of_tasks(["miou", "rmse", "normal_merr"], "semantic", "depth"), of_tasks(["miou"], "depth")
    (('miou', 'rmse'), ())
    """
    return tuple(metric for metric in metrics if find(metric).task in tasks)


def head(metric: str) -> str:
    """A column's title.

    >>> head("miou")
    'mIoU (%) ↑'
    """
    known = find(metric)
    return f"{known.name}{f' ({known.unit})' if known.unit else ''} {known.arrow}"


def gain_unit(metric: str) -> str:
    """The unit of a difference: percentages differ by points.

    >>> gain_unit("miou")
    'points'
    """
    unit = find(metric).unit
    return "points" if unit == "%" else unit
