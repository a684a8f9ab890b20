"""Training logs for learning curves: columns read from CSV, over the seeds of a row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from ....errors import DejavuError
from ....metrics import METRICS, main_metric
from ....tasks import describe
from ...training_log import log_lines

Log = dict[str, np.ndarray]

LOSSES = {"loss_task": "task loss", "loss_dejavu": "γ · DejaVu loss"}
XTC = ("loss_consistency", "XTC loss, weighted")  # its column of a log, and its label


def panels(tasks: Collection[str] = ("semantic",)) -> dict[str, str]:
    """Return the drawn columns of logs of these tasks, with their labels.

    >>> list(panels(["depth", "semantic"]).items())[2:]
    [('val_miou', 'validation mIoU (%)'), ('val_depth_aerr', 'validation depth error (m)')]
    """
    known = dict.fromkeys(metric.task for metric in METRICS.values())
    result = dict(LOSSES)
    for metric in (main_metric(task) for task in known if task in tasks):
        name, unit = METRICS[metric].name, METRICS[metric].unit
        result[f"val_{metric}"] = f"validation {name}{f' ({unit})' if unit else ''}"
    return result


def below(columns: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return the optional columns below the plot of another column, with their labels.

    The loss of XTC is below the loss of DejaVu, and a task's weight is below its metric.

    >>> below(["loss_task", "loss_dejavu", "val_depth_aerr"])["val_depth_aerr"]
    ('weight_depth', 'weight of the\\ndepth loss')
    """
    result = {"loss_dejavu": XTC} if "loss_dejavu" in columns else {}
    for column in columns:
        metric = METRICS.get(column.removeprefix("val_"))
        if metric is not None:
            title = describe(metric.task).title
            result[column] = (f"weight_{metric.task}", f"weight of the\n{title} loss")
    return result


def read_log(path: Path, command: str, tasks: Collection[str] = ("semantic",)) -> Log:
    """Read the drawn columns of a training log, as float arrays with NaN for empty fields.

    Columns of `below` may be missing, since not every row has them. Raises DejavuError with the file and the
    command that makes it.
    """
    required = ("epoch", *panels(tasks))
    with log_lines(path, command) as lines:
        optional = [column for column, _ in below(required).values() if lines and column in lines[0]]
        log = {key: np.array([_number(line[key]) for line in lines]) for key in (*required, *optional)}
    if not lines:
        raise DejavuError(f"{path} holds no epoch: make it with `{command}`")
    return log


def _number(field: str) -> float:
    return float("nan") if field == "" else float(field)  # an incomplete line has None


def band(logs: Sequence[Log], column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the epochs with a value for every seed, and the mean, minimum and maximum over seeds.

    The arrays are empty if a log has no such column, because it belongs to another task.

    >>> logs = [{"epoch": np.array([1, 2]), "loss": np.array([np.nan, value])} for value in (2.0, 4.0)]
    >>> [values.tolist() for values in band(logs, "loss")]
    [[2], [3.0], [2.0], [4.0]]
    """
    none = np.full(max(len(log["epoch"]) for log in logs), np.nan)
    measured = [
        {e: v for e, v in zip(log["epoch"], log.get(column, none), strict=False) if v == v} for log in logs
    ]
    epochs = sorted(set.intersection(*(set(points) for points in measured)))
    values = np.array([[points[epoch] for epoch in epochs] for points in measured])
    return np.array(epochs), values.mean(0), values.min(0), values.max(0)
