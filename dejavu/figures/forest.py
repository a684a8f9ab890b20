"""Forest plot: the paired gain of every row with its interval, read from a table's CSV.

Metrics that the same rows have stand side by side; others, of rows of another task, one below the other.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ..tables.forms import Content
from ..tables.labels import find, gain_unit
from .gains import BETTER, OPEN, SINGLE, WORSE, Gain, Sign, gains, sign_of
from .style import COLOURS, INK, MUTED, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE = 0.225  # inches from row to row
PLOT, NARROW = 4.3, 3.0  # inches: width of a plot alone, and of one beside others
FOOT = 0.66  # inches below a panel: ticks and the axis' name
GAP = 0.34  # inches above a panel: which way is better


@dataclass(frozen=True)
class Band:
    """Panels side by side: metrics that the same rows have; sizes in inches."""

    panels: dict[str, list[Gain]]

    @property
    def rows(self) -> list[Gain]:
        """The rows of its first panel, for their names."""
        return next(iter(self.panels.values()))

    @property
    def height(self) -> float:
        """Of the plots, without what stands above and below them."""
        return LINE * _slots(self.rows)

    @property
    def plot(self) -> float:
        """The width of one plot."""
        return PLOT if len(self.panels) == 1 else NARROW

    @property
    def lefts(self) -> list[float]:
        """Where each plot begins, right of the first; the last entry is where the band ends."""
        lefts = [0.0]
        for rows in self.panels.values():
            lefts.append(lefts[-1] + self.plot + 0.4 + max(_width(gain.text) for gain in rows))
        return lefts


def bands(content: Content) -> list[Band]:
    """The metrics that any row gained or lost in, beside each other where they have the same rows."""
    found: dict[tuple[str, ...], dict[str, list[Gain]]] = {}
    for metric in content.metrics:
        rows = gains(content, metric)
        if rows:
            found.setdefault(tuple(f"{gain.group}:{gain.name}" for gain in rows), {})[metric] = rows
    return [Band(panels) for panels in found.values()]


def draw_gains(content: Content, title: str, subtitle: str) -> Figure:
    """The forest plot of a table of which at least one row has a gain."""
    parts = bands(content)
    names = [gain for band in parts for gain in band.rows]
    left = 0.3 + max(max(_width(gain.name) + 0.12, _width(gain.group, bold=True)) for gain in names)
    width = max(7.5, left + max(band.lefts[-1] for band in parts))
    subtitle = textwrap.fill(subtitle, int((width - 0.3) / 0.066))
    head, legend = 0.42 + 0.15 * (1 + subtitle.count("\n")), 0.22
    height = head + sum(GAP + band.height + FOOT for band in parts) + legend
    with style():
        figure = new_figure(width, height)
        figure.text(0.12 / width, 1 - 0.1 / height, title, va="top", fontsize=11, fontweight="bold")
        figure.text(0.12 / width, 1 - 0.36 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        top, signs = height - head, set()
        for band in parts:
            bottom = top - GAP - band.height
            for begin, (metric, rows) in zip(band.lefts, band.panels.items(), strict=False):
                box = (left + begin) / width, bottom / height, band.plot / width, band.height / height
                signs |= set(_plot(figure.add_axes(box), rows, metric, named=begin == 0))
            top = bottom - FOOT
        order = [sign for sign in (BETTER, WORSE, OPEN, SINGLE) if sign in signs]
        _legend(figure, order, 0.12 / width, 0.1 / height)
        return figure


def _slots(rows: Sequence[Gain]) -> float:
    """How many lines rows and the names of their groups take, half a line of margin included."""
    return len(rows) + 1.35 * len({gain.group for gain in rows} - {""}) + 0.5


def _plot(axes: Axes, rows: Sequence[Gain], metric: str, named: bool) -> list[Sign]:
    """One metric's rows, with their names beside them or without; returns the signs that were drawn."""
    known = find(metric)
    place, group, signs, limits = 0.25, "", [], _limits(rows)
    for gain in rows:
        if gain.group != group:
            group = gain.group
            place += 1.35
            if named:
                _beside(axes, 0, place - 0.5, group, bold=True)
        place += 1
        signs.append(sign_of(gain, known.higher_is_better))
        _row(axes, gain, place - 0.5, signs[-1], limits)
        if named:
            _beside(axes, 0.12 if group else 0, place - 0.5, gain.name)
    axes.set(xlim=limits, ylim=(_slots(rows), 0), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=INK, linewidth=1, zorder=1)
    unit = gain_unit(metric)
    beyond = any(not limits[0] < end < limits[1] for gain in rows for end in gain.ends)
    note = "\n(arrowheads: beyond the axis)" if beyond else ""
    axes.set_xlabel(f"{known.name}: difference to the base{f' ({unit})' if unit else ''}{note}")
    axes.locator_params(axis="x", nbins=6)
    _direction(axes, known.higher_is_better)
    return signs


def _limits(rows: Sequence[Gain]) -> tuple[float, float]:
    """Zero and every interval, but for the few that would squeeze all others together."""
    reaches = sorted(max(map(abs, gain.ends)) for gain in rows)
    enough = 3 * reaches[(len(reaches) - 1) * 3 // 4]
    ends = [0.0] + [min(max(end, -enough), enough) for gain in rows for end in gain.ends]
    margin = 0.06 * ((max(ends) - min(ends)) or 1.0)
    return min(ends) - margin, max(ends) + margin


def _row(axes: Axes, gain: Gain, place: float, sign: Sign, limits: tuple[float, float]) -> None:
    axes.axhline(place, color="#eeeeee", linewidth=0.8, zorder=0)
    if gain.interval is not None:
        axes.plot(gain.interval, (place, place), color=sign.colour, linewidth=1.8, solid_capstyle="butt")
    face = sign.colour if sign.filled else "white"
    axes.plot(
        gain.mean, place, sign.marker, ms=5.5, color=sign.colour, markerfacecolor=face, markeredgewidth=1.3
    )
    outside = [(limits[0], "<", min(gain.ends) < limits[0]), (limits[1], ">", max(gain.ends) > limits[1])]
    for edge, arrow, beyond in outside:
        if beyond:
            axes.plot(edge, place, arrow, ms=5.5, color=sign.colour, clip_on=False)
    axes.annotate(
        gain.text,
        (1, place),
        xycoords=axes.get_yaxis_transform(),
        xytext=(9, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=INK if gain.certain else MUTED,
    )


def _beside(axes: Axes, indent: float, place: float, text: str, bold: bool = False) -> None:
    """A name at the left edge of the page; `indent` in inches."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    inches = axes.get_position().x0 * figure.get_size_inches()[0]
    axes.annotate(
        text,
        (0, place),
        xycoords=axes.get_yaxis_transform(),
        xytext=((0.12 + indent - inches) * 72, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        fontweight="bold" if bold else "normal",
    )


def _direction(axes: Axes, higher_is_better: bool) -> None:
    """A tint behind the better side, and its name above it."""
    low, high = axes.get_xlim()
    axes.axvspan(*((0, high) if higher_is_better else (low, 0)), color=COLOURS[0], alpha=0.05, zorder=0, lw=0)
    sides = {True: ("left", "better →"), False: ("right", "← better")}
    for better in (True, False):
        positive = better == higher_is_better
        side, text = sides[positive] if better else (sides[positive][0], "worse →" if positive else "← worse")
        axes.annotate(
            text,
            (0, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(4 if positive else -4, 4),
            textcoords="offset points",
            ha=side,
            fontsize=8,
            color=COLOURS[0] if better else MUTED,
        )


def _legend(figure: Figure, signs: Sequence[Sign], left: float, bottom: float) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=sign.colour,
            marker=sign.marker,
            markerfacecolor=sign.colour if sign.filled else "white",
            label=sign.label,
            linewidth=0 if sign is SINGLE else 1.8,
            ms=5.5,
        )
        for sign in signs
    ]
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(left, bottom),
        ncols=len(handles),
        borderaxespad=0,
        borderpad=0,
        columnspacing=1.6,
    )


@cache
def _width(text: str, bold: bool = False) -> float:
    """Inches that a text takes at the size of row names."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text:
        return 0.0
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=8.5, prop=font).get_extents().width) / 72
