"""Learning curves: losses and each task's main metric against the epoch, DejaVu beside its base."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...errors import DejavuError
from ...metrics import METRICS, main_metric
from .elements.style import COLOURS, DASHES, MARKERS, MUTED, new_figure, style, whole_numbers
from .elements.task_blocks import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Log = dict[str, np.ndarray]

FEW = 3  # groups: of more, each is lower
LOSSES = {"loss_task": "task loss", "loss_dejavu": "γ · DejaVu loss"}
XTC = ("loss_consistency", "XTC loss, weighted")  # its column of a log, and what it is called
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


def below(columns: Collection[str]) -> dict[str, tuple[str, str]]:
    """What is drawn below the plot of a column where a log has it, and what it is called.

    What XTC adds stands below what DejaVu adds, and a task's weight below its metric.

    >>> below(["loss_task", "loss_dejavu", "val_depth_aerr"])["val_depth_aerr"]
    ('weight_depth', 'weight of the\\ndepth loss')
    """
    found = {"loss_dejavu": XTC} if "loss_dejavu" in columns else {}
    for column in columns:
        metric = METRICS.get(column.removeprefix("val_"))
        if metric is not None:
            task = metric.task
            found[column] = (f"weight_{task}", f"weight of the\n{NAMES.get(task, task)} loss")
    return found


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


def draw_curves(
    groups: Sequence[Group], title: str, subtitle: str, columns: Mapping[str, str] | None = None
) -> Figure:
    """A line of plots for each group, one for each of `columns`; without, those of segmentation.

    A group whose logs have more, as of XTC or of weighed tasks, has a second line for it.
    """
    columns = panels() if columns is None else columns
    lines = [line for group in groups for line in _lines(group, columns)]
    width = WIDTH if len(columns) <= 3 else NARROW * len(columns)
    subtitle = textwrap.fill(subtitle, int((width - 0.3) / 0.066))
    told = subtitle.count("\n") + 1
    height = (2.6 if len(lines) <= FEW else 2.0) * len(lines) + 0.55 + 0.15 * told
    with style():
        figure = new_figure(width, height, layout="constrained")
        head = (0.47 + 0.15 * told) / height  # kept free for the title
        figure.get_layout_engine().set(rect=(0, 0, 1, 1 - head), w_pad=0.1, h_pad=0.08)  # type: ignore
        left = 0.012 * WIDTH / width
        figure.text(left, 1 - 0.1 / height, title, va="top", fontsize=11, fontweight="bold")
        figure.text(left, 1 - 0.36 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        grid = figure.subplots(len(lines), len(columns), squeeze=False)
        for axes, line in zip(grid, lines, strict=True):
            for plot, panel in zip(axes, line.panels, strict=True):
                _plot(plot, line.group.curves, panel)
            if line.first:
                _name(axes, line.group.title if len(groups) > 1 else "")
        return figure


class Panel(NamedTuple):
    """A plot: a column of the logs, what it is called, and what is said where no log has it."""

    column: str
    label: str
    missing: str


class Line(NamedTuple):
    """A line of plots of a group; some of them stay empty."""

    group: Group
    panels: Sequence[Panel | None]
    first: bool


def _lines(group: Group, columns: Mapping[str, str]) -> list[Line]:
    """The plots of a group: those that all groups have and, where its logs have more, the ones below."""
    short = len(columns) > 3
    common = [
        Panel(
            column,
            label.replace("validation ", "validation\n") if short else label,
            "no DejaVu row" if column == "loss_dejavu" else "not measured",
        )
        for column, label in columns.items()
    ]
    there = {column for curve in group.curves for log in curve.logs for column in log}
    extra = below(columns)
    more = [Panel(*extra[key], "") if key in extra and extra[key][0] in there else None for key in columns]
    return [Line(group, common, True), *([Line(group, more, False)] if any(more) else [])]


def _name(axes: Sequence[Axes], title: str) -> None:
    """A group's title and legend: in its first plot, or of many curves in the second, where that is empty."""
    axes[0].set_title(title, loc="left")
    handles, _ = axes[0].get_legend_handles_labels()
    if len(handles) > 2 and not axes[1].lines:
        axes[1].legend(handles=handles, loc="upper left")
        for text in axes[1].texts:
            text.set_y(0.0)  # what is said in its middle makes room
    else:
        axes[0].legend(loc="upper right")


def _plot(axes: Axes, curves: Sequence[Curve], panel: Panel | None) -> None:
    if panel is None:
        axes.axis("off")
        return
    for curve, colour, dash, marker in zip(
        curves, cycle(COLOURS), cycle(DASHES), cycle(MARKERS), strict=False
    ):
        epochs, mean, low, high = band(curve.logs, panel.column)
        if not len(epochs):
            continue  # a baseline has no DejaVu loss
        points = marker if len(epochs) <= 15 else ""  # a single epoch makes no line
        axes.plot(epochs, mean, color=colour, linestyle=dash, label=curve.label, marker=points, ms=3.5)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
    if axes.lines:
        axes.set(xlabel="epoch", ylabel=panel.label)
        whole_numbers(axes)
    else:
        axes.axis("off")
        axes.text(0.5, 0.5, panel.missing, transform=axes.transAxes, ha="center", color=MUTED)
