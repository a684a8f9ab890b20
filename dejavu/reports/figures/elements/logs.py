"""Training logs as curves need them: the columns that are drawn, read from CSV, over the seeds of a row."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from ....errors import DejavuError
from ....metrics import METRICS, main_metric
from ....tasks import describe

Log = dict[str, np.ndarray]

LOSSES = {"loss_task": "task loss", "loss_dejavu": "γ · DejaVu loss"}
XTC = ("loss_consistency", "XTC loss, weighted")  # its column of a log, and its label


def panels(tasks: Collection[str] = ("semantic",)) -> dict[str, str]:
    """The columns of a log that are drawn, of networks of these tasks, and what they are called.

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
    """Columns that are drawn below the plot of another column where a log has them, and their labels.

    What XTC adds stands below what DejaVu adds, and a task's weight below its metric.

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
    """The columns of a training log that are drawn, as float arrays, NaN where a field is empty.

    Those of `below` may be missing, since they are not of every row. Raises DejavuError that names the file,
    and the command that makes it.
    """
    wanted = ("epoch", *panels(tasks))
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        maybe = [column for column, _ in below(wanted).values() if lines and column in lines[0]]
        log = {key: np.array([_number(line[key]) for line in lines]) for key in (*wanted, *maybe)}
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing: make it with `{command}`") from None
    except (KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise DejavuError(
            f"{path} is not a training log ({type(error).__name__}: {error}): make it with `{command}`"
        ) from None
    if not lines:
        raise DejavuError(f"{path} holds no epoch: make it with `{command}`")
    return log


def _number(field: str) -> float:
    return float("nan") if field == "" else float(field)  # a line that was cut short has None


def band(logs: Sequence[Log], column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Epochs at which every seed has the column, and its mean, minimum and maximum over seeds there.

    None where a log has no such column: it is of another task.

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
