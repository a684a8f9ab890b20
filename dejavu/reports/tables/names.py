"""Names of metrics, costs and datasets for readers."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import DejavuError, nearest
from ...metrics import METRICS, Metric

# A dataset that is not here is shown by its key in params.yaml.
DATASETS = {
    "ade20k": "ADE20K",
    "camvid": "CamVid",
    "cityscapes": "Cityscapes",
    "coco_panoptic": "COCO",
    "nyudv2": "NYUD-v2",
    "synthetic": "synthetic scenes",
}
COSTS = {"gmacs": "GMACs", "params_m": "Params (M)"}
"""Columns of a network's cost, and their titles."""


def dataset_name(dataset: str) -> str:
    """The dataset's name.

    >>> dataset_name("camvid"), dataset_name("my_scans")
    ('CamVid', 'my_scans')
    """
    return DATASETS.get(dataset, dataset)


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
