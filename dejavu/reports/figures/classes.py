"""Gain per class of DejaVu rows, paired by seed.

Each pair has one panel. With too many classes for one panel, the panel has only the largest gains and the
largest losses.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...config import Params
from ...config.paths import Paths
from ...errors import DejavuError
from ..pairs import Pair, find_pairs
from ..statistics import paired_difference
from ..tables.caption import by_chance
from ..tables.names import find
from ..tables.results import measured_seeds, read_classes
from . import NothingToDraw
from .elements.gain import Gain, Sign, sign_of
from .elements.intervals import beside, direction, draw_row, legend, limits, text_width
from .elements.setting import setting
from .elements.style import INK, MUTED, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = Mapping[int, Mapping[str, float | None]]
"""IoU in percent by seed and class; None if a class has none."""

NEEDS = ("metrics",)

PANELS = 6  # most pairs of one figure
READABLE = 40  # most classes of one panel
EXTREMES = 10  # number of gains, and of losses, in a panel with more classes
LINE = 0.19  # inches from class to class
HEAD, FOOT = 0.62, 0.66  # inches above a panel (title, direction of better) and below it (axis)
ALL = "all classes (mIoU)"


@dataclass(frozen=True)
class Panel:
    """One pair: the gain of the mean, and the gain of every class with an IoU."""

    title: str
    mean: Gain
    rows: list[Gain]

    @property
    def all(self) -> list[Gain]:
        """All rows, from top to bottom."""
        return [self.mean, *self.rows]


@dataclass(frozen=True)
class ClassGains:
    """Panels of the figure, one for each pair."""

    panels: Sequence[Panel]
    title: str
    subtitle: str


def collect(params: Params, name: str, scale: str, partial: bool = False) -> ClassGains:
    """Read the gains of every class for the table's pairs, from their metrics.

    Raises DejavuError if a pair learns another task, NothingToDraw if no pair has a common seed.
    """
    paths, table, pairs = Paths(scale), params.get_table(name), find_pairs(params, name)
    for one in pairs:
        tasks = params.experiments[one.experiment].tasks
        if "semantic" not in tasks:
            raise DejavuError(
                f"tables.{name}.figures: 'classes' shows semantic segmentation, and the task of "
                f"'{one.experiment}' is {' and '.join(tasks)}: write [gains]"
            )
    panels = [panel for one in pairs if (panel := _measured(params, scale, one, partial))]
    if not panels:
        raise NothingToDraw(f"no pair of tables.{name} has metrics of a common seed")
    panels = panels[:PANELS]
    note = setting(params, name, scale, "", paths.metrics if partial else None)
    note += " Point: mean over seeds of the difference in IoU to the base, paired by seed; bar: its 95 % "
    note += "interval (Student's t). "
    # Chance is counted over all classes, since the panel may show only the largest gains.
    tested = [gain for one in panels for gain in one.rows if gain.interval is not None]
    note += by_chance(len(tested), sum(gain.certain for gain in tested)) if tested else ""
    if len(panels) < len(pairs):
        note += f" Shown: {len(panels)} of {len(pairs)} pairs."
    count = max(len(one.rows) for one in panels)
    most = f", the largest gains and losses of {count} classes" if count > READABLE else ""
    return ClassGains(panels, f"{table.title}: gain per class{most}", note)


def _measured(params: Params, scale: str, one: Pair, partial: bool) -> Panel | None:
    """Return the gains of a pair; None if, with `partial`, no seed of both rows is measured."""
    paths = Paths(scale)
    runs = [params.run(experiment, scale) for experiment in (one.experiment, one.base)]
    seeds = [measured_seeds(paths, run) if partial else run.seeds for run in runs]
    if not set(seeds[0]) & set(seeds[1]):
        return None
    ours, base = (read_classes(paths, run, own) for run, own in zip(runs, seeds, strict=True))
    return pair(f"{one.name}\n{one.backbone}".rstrip(), ours, base)


def pair(title: str, ours: Values, base: Values) -> Panel:
    """Return the gains of a pair of rows, over their common seeds, in the order of the classes.

    A class counts with the seeds for which both networks have its IoU.
    """
    seeds = sorted(ours.keys() & base.keys())
    rows = []
    for name in ours[seeds[0]]:
        both = [seed for seed in seeds if None not in (ours[seed].get(name), base[seed].get(name))]
        if both:
            rows.append(_gain(name, *({seed: side[seed][name] for seed in both} for side in (ours, base))))
    means = [{seed: _mean(side[seed]) for seed in seeds} for side in (ours, base)]
    return Panel(title, _gain(ALL, *means), rows)


def _mean(values: Mapping[str, float | None]) -> float:
    known = [value for value in values.values() if value is not None]
    return math.fsum(known) / len(known)


def _gain(name: str, ours: Mapping[int, float | None], base: Mapping[int, float | None]) -> Gain:
    result = paired_difference(ours, base)  # type: ignore[arg-type]  # those without a value were left out
    interval = None if result.low is None or result.high is None else (result.low, result.high)
    text = f"{result.mean:+z.2f}"
    if interval is not None:
        text += f" [{interval[0]:+z.2f}, {interval[1]:+z.2f}]"
    certain = interval is not None and (interval[0] > 0 or interval[1] < 0)
    return Gain("", name, result.mean, interval, text.replace("-", "−"), certain)


def arranged(panels: Sequence[Panel]) -> tuple[list[Panel], bool]:
    """Return the panels with sorted rows, and True if all panels have the same rows.

    The largest gain comes first. Rows are sorted by the mean over the pairs, so that a class has the same
    line in all panels; with many classes each panel is sorted by its own gains.
    """
    names = list(dict.fromkeys(gain.name for panel in panels for gain in panel.rows))
    if len(names) > READABLE:
        return [_extremes(panel) for panel in panels], False
    order = sorted(names, key=lambda name: -_over(panels, name))
    return [replace(panel, rows=_in_order(panel, order)) for panel in panels], True


def _over(panels: Sequence[Panel], name: str) -> float:
    """Return the mean gain of a class over the pairs."""
    gains = [gain.mean for panel in panels for gain in panel.rows if gain.name == name]
    return math.fsum(gains) / len(gains)


def _in_order(panel: Panel, order: Sequence[str]) -> list[Gain]:
    """Return a pair's rows in this order; a class without an IoU gets a row without a point."""
    rows = {gain.name: gain for gain in panel.rows}
    return [rows.get(name, Gain("", name, math.nan, None, "no IoU", False)) for name in order]


def _extremes(panel: Panel) -> Panel:
    """Return a panel with only the largest gains and losses, as two groups."""
    rows = sorted(panel.rows, key=lambda gain: -gain.mean)
    first = [replace(gain, group="largest gains") for gain in rows[:EXTREMES]]
    last = [replace(gain, group="largest losses") for gain in rows[-EXTREMES:]]
    return replace(panel, rows=first + last)


def draw(data: ClassGains) -> Figure:
    """Draw the panels: side by side if they share their rows, else in two columns with their own names."""
    panels, shared = arranged(data.panels)
    columns = len(panels) if shared else min(2, len(panels))
    names = 0.35 + max(text_width(gain.name) for panel in panels for gain in panel.all) + 0.12
    spelled = max(text_width(gain.text) for panel in panels for gain in panel.all) + 0.45
    texts = len(panels) <= 2 or not shared
    plot = 4.3 if len(panels) == 1 else 2.6 if texts else 1.9
    step = plot + (spelled if texts else 0.35) + (0 if shared else names)
    left = names if shared else 0.0
    width = max(7.5, left + step * columns + 0.1)
    subtitle = textwrap.fill(data.subtitle, int((width - 0.3) / 0.066))
    top = 0.42 + 0.15 * (1 + subtitle.count("\n"))
    tall = LINE * max(_slots(panel) for panel in panels)
    lines = -(-len(panels) // columns)
    height = top + lines * (HEAD + tall + FOOT) + 0.25
    with style():
        figure = new_figure(width, height)
        figure.text(0.12 / width, 1 - 0.1 / height, data.title, va="top", fontsize=11, fontweight="bold")
        figure.text(0.12 / width, 1 - 0.36 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        signs: set[Sign] = set()
        ends = limits([gain for panel in panels for gain in panel.all if gain.mean == gain.mean])
        for index, panel in enumerate(panels):
            line, column = divmod(index, columns)
            begin = left + column * step + (0 if shared else names)
            bottom = height - top - (line + 1) * (HEAD + tall) - line * FOOT
            axes = figure.add_axes((begin / width, bottom / height, plot / width, tall / height))
            indent = None if shared and column else 0.12 + (0 if shared else column * step)
            signs |= _plot(axes, panel, ends, indent, texts)
        legend(figure, signs, 0.12 / width, 0.1 / height)
        return figure


def _slots(panel: Panel) -> float:
    """Return the number of lines of a panel: its rows, a gap below the mean, the names of its groups."""
    return len(panel.all) + 0.9 + 1.2 * len({gain.group for gain in panel.rows} - {""})


def _plot(
    axes: Axes, panel: Panel, ends: tuple[float, float], indent: float | None, texts: bool
) -> set[Sign]:
    """Draw one pair, with names at `indent` inches from the page's left edge; None draws no names."""
    known, y, group, signs = find("miou"), 0.2, "", set()
    for number, gain in enumerate(panel.all):
        y += 0.5 * (number == 1)  # a gap below the mean
        if gain.group != group:
            group = gain.group
            y += 1.2
            if indent is not None:
                beside(axes, indent - 0.12, y - 0.5, group, bold=True)
        y += 1
        if gain.mean == gain.mean:
            sign = sign_of(gain, known.higher_is_better)
            signs.add(sign)
            draw_row(axes, gain, y - 0.5, sign, ends, texts)
        if indent is not None:
            beside(axes, indent - 0.12, y - 0.5, gain.name, bold=number == 0)
    axes.set(xlim=ends, ylim=(_slots(panel), 0), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=INK, linewidth=1, zorder=1)
    axes.locator_params(axis="x", nbins=5)
    axes.set_title(panel.title, loc="left", pad=20, fontsize=9, fontweight="bold")
    drawn = [gain for gain in panel.all if gain.mean == gain.mean]
    beyond = any(not ends[0] < end < ends[1] for gain in drawn for end in gain.ends)
    note = "\n(arrowheads: beyond the axis)" if beyond else ""
    axes.set_xlabel(f"IoU: difference {'to the base ' if texts else ''}(points){note}")
    direction(axes, known.higher_is_better)
    return signs
