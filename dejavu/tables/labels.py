"""How metrics and datasets are named for readers."""

from __future__ import annotations

from ..errors import DejavuError, nearest
from ..metrics import METRICS, Metric

# A dataset that is not here is shown by its key in params.yaml.
DATASETS = {
    "ade20k": "ADE20K",
    "camvid": "CamVid",
    "cityscapes": "Cityscapes",
    "coco_panoptic": "COCO",
    "nyud": "NYUD-v2",
    "synthetic": "synthetic scenes",
}


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


def head(metric: str) -> str:
    """A column's title.

    >>> head("miou")
    'mIoU (%) ↑'
    """
    known = find(metric)
    return f"{known.name}{f' ({known.unit})' if known.unit else ''} {known.arrow}"
