"""Learning curves: losses and each task's main metric against the epoch, DejaVu beside its base."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from ...config import Params, Row, Table
from ...config.paths import Paths
from ...datasets import reader
from ..tables.cells import printed
from . import NothingToDraw
from .elements.logs import Log, band, below, panels, read_log
from .elements.setting import setting
from .elements.style import COLOURS, DASHES, MARKERS, MUTED, new_figure, style, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEEDS = ("logs",)

FEW = 3  # most groups with high plots
WIDTH, NARROW = 10.5, 2.9  # inches: width of a page with up to three plots a line, and of each plot otherwise
# Titles of multi-task tables for rows without a partner, by keys that are not row ids.
ALONE = {"(plain)": "several tasks, without a DejaVu row", "(single)": "one task each"}
WEIGHTS = "Weights are those of an epoch's last step; MGDA's sum to 1, the others' to the number of tasks."


@dataclass(frozen=True)
class Curve:
    """One experiment: its name in the legend and one log for each seed."""

    label: str
    logs: Sequence[Log]


@dataclass(frozen=True)
class Group:
    """Base network and the rows paired with it: one line of plots."""

    title: str
    curves: Sequence[Curve]


@dataclass(frozen=True)
class Curves:
    """Line of plots for each group, one plot for each of `columns` (column of a log: its label)."""

    groups: Sequence[Group]
    title: str
    subtitle: str
    columns: Mapping[str, str] = field(default_factory=panels)


def collect(params: Params, name: str, scale: str, partial: bool = False) -> Curves:
    """Read the logs of all rows that are run. Raises NothingToDraw if, with `partial`, no row has one."""
    table = params.get_table(name)
    source = params.data_source(table.dataset, scale).source
    split = reader(table.dataset, source, params.datasets.get(source)).validate
    drawn = groups(params, table, scale, partial)
    if not drawn:
        raise NothingToDraw(f"no row of tables.{name} has a log")
    text = setting(params, name, scale, split, Paths(scale).log if partial else None)
    note = f"{text} Line: mean, band: smallest to largest over the seeds."
    if any("weight_" in column for group in drawn for curve in group.curves for column in curve.logs[0]):
        note = f"{note} {WEIGHTS}"
    tasks = {
        task for row in table.rows if row.experiment for task in params.experiments[row.experiment].tasks
    }
    return Curves(drawn, f"Learning curves: {table.title}", note, panels(tasks))


def groups(params: Params, table: Table, scale: str, partial: bool = False) -> list[Group]:
    """Return the rows that are run, grouped with their base if it is also run."""
    paths = Paths(scale)
    rows = {row.id: row for row in table.rows if row.experiment}
    seeds = {row.id: params.run(str(row.experiment), scale).seeds for row in rows.values()}
    if partial:
        logs = {
            key: [paths.log(str(row.experiment), seed) for seed in seeds[key]] for key, row in rows.items()
        }
        seeds = {
            key: tuple(seed for seed, log in zip(seeds[key], files, strict=True) if log.exists())
            for key, files in logs.items()
        }
        rows = {key: row for key, row in rows.items() if seeds[key]}
    members: dict[str, list[Row]] = {}
    for row in rows.values():
        members.setdefault(_first(table, row, rows), []).append(row)
    methods = {row.id: row.method for row in table.rows}
    result = []
    for first, group in members.items():
        group.sort(key=lambda row: row.id != first)  # the base first, whatever the table's order
        labels = {row.id: printed(row.method, methods.get(row.base or "")) for row in group}
        uses = Counter(labels.values())
        drawn = []
        for row in group:
            experiment, label = str(row.experiment), labels[row.id]
            command = f"dejavu train {experiment} --scale {scale}"
            tasks = params.experiments[experiment].tasks
            read = [read_log(paths.log(experiment, seed), command, tasks) for seed in seeds[row.id]]
            drawn.append(Curve(label if uses[label] == 1 else row.id, read))
        title = ALONE.get(first) or ", ".join(filter(None, (group[0].method, group[0].backbone)))
        result.append(Group(title, drawn))
    return result


def _first(table: Table, row: Row, rows: dict[str, Row]) -> str:
    """Return the key of a row's line of plots: its base, or its kind if it has no partner."""
    if row.base in rows:
        return str(row.base)
    if not table.single or any(other.base == row.id for other in rows.values()):
        return row.id
    return "(single)" if row.experiment in table.single.values() else "(plain)"


def draw(data: Curves) -> Figure:
    """Draw the plots. A group with more log columns, as for XTC or task weights, has a second line."""
    groups, columns = data.groups, data.columns
    lines = [line for group in groups for line in _lines(group, columns)]
    width = WIDTH if len(columns) <= 3 else NARROW * len(columns)
    subtitle = textwrap.fill(data.subtitle, int((width - 0.3) / 0.066))
    lines_of_text = subtitle.count("\n") + 1
    height = (2.6 if len(lines) <= FEW else 2.0) * len(lines) + 0.55 + 0.15 * lines_of_text
    with style():
        figure = new_figure(width, height, layout="constrained")
        head = (0.47 + 0.15 * lines_of_text) / height  # kept free for the title
        figure.get_layout_engine().set(rect=(0, 0, 1, 1 - head), w_pad=0.1, h_pad=0.08)  # type: ignore
        left = 0.012 * WIDTH / width
        figure.text(left, 1 - 0.1 / height, data.title, va="top", fontsize=11, fontweight="bold")
        figure.text(left, 1 - 0.36 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        grid = figure.subplots(len(lines), len(columns), squeeze=False)
        for axes, line in zip(grid, lines, strict=True):
            for plot, panel in zip(axes, line.panels, strict=True):
                _plot(plot, line.group.curves, panel)
            if line.first:
                _name(axes, line.group.title if len(groups) > 1 else "")
        return figure


class Panel(NamedTuple):
    """Plot of one column of the logs: its label, and the text if no log has the column."""

    column: str
    label: str
    missing: str


class Line(NamedTuple):
    """Line of plots of a group; None leaves a position empty."""

    group: Group
    panels: Sequence[Panel | None]
    first: bool


def _lines(group: Group, columns: Mapping[str, str]) -> list[Line]:
    """Return the plots of a group: the common ones, and a second line if its logs have more columns."""
    short = len(columns) > 3
    common = [
        Panel(
            column,
            label.replace("validation ", "validation\n") if short else label,
            "no DejaVu row" if column == "loss_dejavu" else "not measured",
        )
        for column, label in columns.items()
    ]
    logged = {column for curve in group.curves for log in curve.logs for column in log}
    extra = below(columns)
    more = [Panel(*extra[key], "") if key in extra and extra[key][0] in logged else None for key in columns]
    return [Line(group, common, True), *([Line(group, more, False)] if any(more) else [])]


def _name(axes: Sequence[Axes], title: str) -> None:
    """Write a group's title and legend: in its first plot, or with many curves in an empty second plot."""
    axes[0].set_title(title, loc="left")
    handles, _ = axes[0].get_legend_handles_labels()
    if len(handles) > 2 and not axes[1].lines:
        axes[1].legend(handles=handles, loc="upper left")
        for text in axes[1].texts:
            text.set_y(0.0)  # space for the legend
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
