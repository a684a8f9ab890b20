"""Learning curves: losses and each task's main metric against the epoch, DejaVu beside its base."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DejavuError
from ..metrics import METRICS, main_metric
from .style import COLOURS, DASHES, MARKERS, MUTED, new_figure, style, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Log = dict[str, np.ndarray]

FEW = 3  # groups: of more, each is lower
LOSSES = {"loss_task": "task loss", "loss_dejavu": "γ · DejaVu loss"}
WIDTH, NARROW = 10.5, 2.9  # inches: of a page with up to three plots a line, and of each plot of more


@dataclass(frozen=True)
class Curve:
    """One experiment: its name in the legend and one log a seed."""

    label: str
    logs: Sequence[Log]


@dataclass(frozen=True)
class Group:
    """A base network and what is paired with it: one line of plots."""

    title: str
    curves: Sequence[Curve]


def panels(tasks: Collection[str] = ("semantic",)) -> dict[str, str]:
    """The columns of a log that are drawn, of networks of these tasks, and what they are called.

    >>> list(panels(["depth", "semantic"]).items())[2:]
    [('val_miou', 'validation mIoU (%)'), ('val_depth_aerr', 'validation depth error (m)')]
    """
    known = dict.fromkeys(metric.task for metric in METRICS.values())
    found = dict(LOSSES)
    for metric in (main_metric(task) for task in known if task in tasks):
        name, unit = METRICS[metric].name, METRICS[metric].unit
        found[f"val_{metric}"] = f"validation {name}{f' ({unit})' if unit else ''}"
    return found


def read_log(path: Path, command: str, tasks: Collection[str] = ("semantic",)) -> Log:
    """The columns of a training log that are drawn, as float arrays, NaN where a field is empty.

    Raises DejavuError that names the file, and the command that makes it.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        log = {key: np.array([_number(line[key]) for line in lines]) for key in ("epoch", *panels(tasks))}
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing: make it with `{command}`") from None
    except (KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise DejavuError(f"{path} is not a training log ({error!r}): make it with `{command}`") from None
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


def draw_curves(
    groups: Sequence[Group], title: str, subtitle: str, columns: Mapping[str, str] | None = None
) -> Figure:
    """A line of plots for each group, one for each of `columns`; without, those of segmentation."""
    columns = panels() if columns is None else columns
    width = WIDTH if len(columns) <= 3 else NARROW * len(columns)
    subtitle = textwrap.fill(subtitle, int((width - 0.3) / 0.066))
    lines = subtitle.count("\n") + 1
    height = (2.6 if len(groups) <= FEW else 2.0) * len(groups) + 0.55 + 0.15 * lines
    with style():
        figure = new_figure(width, height, layout="constrained")
        head = (0.47 + 0.15 * lines) / height  # kept free for the title
        figure.get_layout_engine().set(rect=(0, 0, 1, 1 - head), w_pad=0.1, h_pad=0.08)  # type: ignore
        left = 0.012 * WIDTH / width
        figure.text(left, 1 - 0.1 / height, title, va="top", fontsize=11, fontweight="bold")
        figure.text(left, 1 - 0.36 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        grid = figure.subplots(len(groups), len(columns), squeeze=False)
        for axes, group in zip(grid, groups, strict=True):
            for plot, (column, label) in zip(axes, columns.items(), strict=True):
                _plot(
                    plot,
                    group.curves,
                    column,
                    label if len(columns) <= 3 else label.replace("validation ", "validation\n"),
                )
            axes[0].legend(loc="upper right")
            if len(groups) > 1:
                axes[0].set_title(group.title, loc="left")
        return figure


def _plot(axes: Axes, curves: Sequence[Curve], column: str, label: str) -> None:
    for curve, colour, dash, marker in zip(
        curves, cycle(COLOURS), cycle(DASHES), cycle(MARKERS), strict=False
    ):
        epochs, mean, low, high = band(curve.logs, column)
        if not len(epochs):
            continue  # a baseline has no DejaVu loss
        points = marker if len(epochs) <= 15 else ""  # a single epoch makes no line
        axes.plot(epochs, mean, color=colour, linestyle=dash, label=curve.label, marker=points, ms=3.5)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
    if axes.lines:
        axes.set(xlabel="epoch", ylabel=label)
        whole_numbers(axes)
    else:
        axes.axis("off")
        why = "no DejaVu row" if column == "loss_dejavu" else "not measured"
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", color=MUTED)
