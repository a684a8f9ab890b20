"""Forest plot: the paired gain of every row with its interval, read from a table's CSV.

Metrics of the same rows are side by side; metrics of other rows, with another task, are below.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...config import Params
from ...config.paths import Paths
from ..tables.caption import chance
from ..tables.cells import Content
from ..tables.names import find, gain_unit
from . import NothingToDraw
from .elements.gain import Gain, Sign, gains, sign_of
from .elements.intervals import beside, direction, draw_row, legend, limits, text_width
from .elements.style import INK, MUTED, new_figure, style
from .elements.table_csv import table_content, table_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEEDS = ("table",)

LINE = 0.225  # inches from row to row
PLOT, NARROW = 4.3, 3.0  # inches: width of a plot alone, and of one beside others
FOOT = 0.66  # inches below a panel: ticks and the axis' name
GAP = 0.34  # inches above a panel: direction of better


@dataclass(frozen=True)
class Band:
    """Panels side by side: metrics of the same rows; sizes in inches."""

    panels: dict[str, list[Gain]]

    @property
    def rows(self) -> list[Gain]:
        """Rows of the first panel, for the names."""
        return next(iter(self.panels.values()))

    @property
    def height(self) -> float:
        """Height of the plots, without titles and axes above and below."""
        return LINE * slots(self.rows)

    @property
    def plot(self) -> float:
        """Width of one plot."""
        return PLOT if len(self.panels) == 1 else NARROW

    @property
    def lefts(self) -> list[float]:
        """Left edge of each plot, relative to the first; the last entry is the right end of the band."""
        lefts = [0.0]
        for rows in self.panels.values():
            lefts.append(lefts[-1] + self.plot + 0.4 + max(text_width(gain.text) for gain in rows))
        return lefts


@dataclass(frozen=True)
class Gains:
    """Content of a table with at least one gain."""

    content: Content
    title: str
    subtitle: str


def collect(params: Params, name: str, scale: str, partial: bool = False) -> Gains:
    """Read the table's CSV. Raises NothingToDraw if no row has a gain."""
    table, content = params.get_table(name), table_content(params, name, scale)
    if not any(line[f"{metric}_gain"] for line in content.ran for metric in content.metrics):
        raise NothingToDraw(f"{Paths(scale).table(name, 'csv')} has no gain")
    note = (
        f"{table_setting(params, name, scale, partial)} Point: mean over seeds of the difference to the "
        "base, paired by seed; bar: its 95 % interval (Student's t)."
    )
    return Gains(content, f"{table.title}: gains", " ".join([note, *chance(content)]))


def bands(content: Content) -> list[Band]:
    """Return the metrics with gains; metrics of the same rows share a band."""
    panels: dict[tuple[str, ...], dict[str, list[Gain]]] = {}
    for metric in content.metrics:
        rows = gains(content, metric)
        if rows:
            panels.setdefault(tuple(f"{gain.group}:{gain.name}" for gain in rows), {})[metric] = rows
    return [Band(side_by_side) for side_by_side in panels.values()]


def draw(data: Gains) -> Figure:
    """Draw the forest plot."""
    rows_of_panels = bands(data.content)
    names = [gain for band in rows_of_panels for gain in band.rows]
    left = 0.3 + max(max(text_width(gain.name) + 0.12, text_width(gain.group, bold=True)) for gain in names)
    width = max(7.5, left + max(band.lefts[-1] for band in rows_of_panels))
    subtitle = textwrap.fill(data.subtitle, int((width - 0.3) / 0.066))
    head, foot = 0.42 + 0.15 * (1 + subtitle.count("\n")), 0.22
    height = head + sum(GAP + band.height + FOOT for band in rows_of_panels) + foot
    with style():
        figure = new_figure(width, height)
        figure.text(0.12 / width, 1 - 0.1 / height, data.title, va="top", fontsize=11, fontweight="bold")
        figure.text(0.12 / width, 1 - 0.36 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        top, signs = height - head, set()
        for band in rows_of_panels:
            bottom = top - GAP - band.height
            for begin, (metric, rows) in zip(band.lefts, band.panels.items(), strict=False):
                box = (left + begin) / width, bottom / height, band.plot / width, band.height / height
                signs |= set(_plot(figure.add_axes(box), rows, metric, named=begin == 0))
            top = bottom - FOOT
        legend(figure, signs, 0.12 / width, 0.1 / height)
        return figure


def slots(rows: Sequence[Gain]) -> float:
    """Return the number of lines of rows and the names of their groups, half a line of margin included."""
    return len(rows) + 1.35 * len({gain.group for gain in rows} - {""}) + 0.5


def _plot(axes: Axes, rows: Sequence[Gain], metric: str, named: bool) -> list[Sign]:
    """Draw the rows of one metric, with or without their names; return the drawn signs."""
    known, unit = find(metric), gain_unit(metric)
    label = f"{known.name}: difference to the base{f' ({unit})' if unit else ''}"
    return plot(axes, rows, known.higher_is_better, label, named)


def plot(
    axes: Axes, rows: Sequence[Gain], higher_is_better: bool, label: str, named: bool = True
) -> list[Sign]:
    """Draw rows by groups over an axis with this label, with or without their names; return the signs."""
    y, group, signs, ends = 0.25, "", [], limits(rows)
    for gain in rows:
        if gain.group != group:
            group = gain.group
            y += 1.35
            if named:
                beside(axes, 0, y - 0.5, group, bold=True)
        y += 1
        signs.append(sign_of(gain, higher_is_better))
        draw_row(axes, gain, y - 0.5, signs[-1], ends)
        if named:
            beside(axes, 0.12 if group else 0, y - 0.5, gain.name)
    axes.set(xlim=ends, ylim=(slots(rows), 0), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=INK, linewidth=1, zorder=1)
    beyond = any(not ends[0] < end < ends[1] for gain in rows for end in gain.ends)
    note = "\n(arrowheads: beyond the axis)" if beyond else ""
    axes.set_xlabel(f"{label}{note}")
    axes.locator_params(axis="x", nbins=6)
    direction(axes, higher_is_better)
    return signs
