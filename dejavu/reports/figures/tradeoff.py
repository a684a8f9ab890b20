"""Metric against cost of networks: the plots of DejaVu-SA against wider networks.

Our values are in the upper plot, the paper's in the lower plot. Both have a common cost axis, for the same
full-size networks, but separate axes of the metric, whose level depends on data and training.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...config import Params
from ...config.paths import Paths
from ..tables.cells import Content
from ..tables.names import find
from ..tables.origin import pixels
from . import NothingToDraw
from .elements.style import COLOURS, INK, MARKERS, MUTED, new_figure, style
from .elements.table_csv import table_content, table_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

NEEDS = ("table",)

COSTS = {"gmacs": "GMACs", "params_m": "parameters (millions)"}
SIDE = 7.0  # points between markers of the same cost, so that their bars do not overlap


@dataclass(frozen=True)
class TradeOff:
    """Content of a table with at least one row that was run."""

    content: Content
    title: str
    subtitle: str


def collect(params: Params, name: str, scale: str, partial: bool = False) -> TradeOff:
    """Read the table's CSV. Raises NothingToDraw if no row was run."""
    table, content = params.get_table(name), table_content(params, name, scale)
    if not content.ran:
        raise NothingToDraw(f"{Paths(scale).table(name, 'csv')} has no row that was run")
    note = (
        f"{table_setting(params, name, scale, partial)} Ours: mean, bar: ± sample standard deviation over "
        "seeds; rows of the same cost stand beside each other. A line joins networks of one kind that differ "
        "in width; a dotted one leads from a row's base to it. Costs: the full-size deployed network at "
        f"{pixels(params.cost_input(table.dataset))}."
    )
    return TradeOff(content, f"{table.title}: mIoU and cost", note)


@dataclass(frozen=True)
class Point:
    """One row: its known costs, its metric, and its spread over seeds."""

    label: str
    short: str
    method: str
    base: str
    cost: Mapping[str, float]
    value: float
    spread: float | None = None


def points(content: Content, metric: str, paper: bool = False) -> dict[str, Point]:
    """Return the rows of a table by id, with our numbers or the paper's."""
    value, cost = (f"paper_{metric}", "paper_") if paper else (f"{metric}_mean", "")
    result = {}
    for key, line in content.lines.items():
        if not line[value]:
            continue
        spread = float(line[f"{metric}_std"]) if not paper and line[f"{metric}_std"] else None
        label = ", ".join(filter(None, (content.name(line), line["backbone"])))
        costs = {axis: float(line[f"{cost}{axis}"]) for axis in COSTS if line[f"{cost}{axis}"]}
        short = line["backbone"] or line["method"]
        result[key] = Point(label, short, line["method"], line["base"], costs, float(line[value]), spread)
    return result


def families(rows: Mapping[str, Point]) -> list[list[str]]:
    """Return rows joined by a line: rows without a base, of one method in different sizes."""
    by_method: dict[str, list[str]] = {}
    for key, point in rows.items():
        if not point.base:
            by_method.setdefault(point.method, []).append(key)
    return [keys for keys in by_method.values() if len(keys) > 1]


def draw(data: TradeOff) -> Figure:
    """Draw our points against GMACs and against parameters, and the paper's points below, if any."""
    content, metric = data.content, data.content.metrics[0]
    ours, paper = points(content, metric), points(content, metric, paper=True)
    signs = _signs(content, metric)
    width, lines = 10.5, 2 if paper else 1
    subtitle = textwrap.fill(data.subtitle, int((width - 0.3) / 0.066))
    head, foot = 0.5 + 0.15 * (1 + subtitle.count("\n")), 0.24 * -(-len(signs) // 3) + 0.16
    height = head + 3.1 + 2.3 * (lines - 1) + foot
    with style():
        figure = new_figure(width, height, layout="constrained")
        box = (0, foot / height, 1, 1 - (head + foot) / height)
        figure.get_layout_engine().set(rect=box, w_pad=0.12, h_pad=0.08)  # type: ignore
        figure.text(0.12 / width, 1 - 0.1 / height, data.title, va="top", fontsize=11, fontweight="bold")
        figure.text(0.12 / width, 1 - 0.36 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        ratios = [3.1, 2.3][:lines]
        grid = figure.subplots(lines, len(COSTS), squeeze=False, sharex="col", height_ratios=ratios)
        known = find(metric)
        for column, (axis, name) in enumerate(COSTS.items()):
            _plot(grid[0, column], ours, axis, signs)
            if paper:
                _plot(grid[1, column], paper, axis, signs, hollow=True)
            grid[-1, column].set_xlabel(f"{name}, full-size network")
            for axes in grid[:, column]:
                axes.margins(x=0.12, y=0.16)
        unit = f" ({known.unit})" if known.unit else ""
        for row, whose in enumerate(("ours", "as printed in the paper")[:lines]):
            grid[row, 0].set_ylabel(f"{known.name}{unit}")
            grid[row, 0].set_title(whose, loc="left", color=MUTED if row else INK)
        _legend(figure, signs, {key: (ours | paper)[key].label for key in signs}, ours, paper)
        return figure


@dataclass(frozen=True)
class Sign:
    """Colour and marker of a row in all plots."""

    colour: str
    marker: str


def _signs(content: Content, metric: str) -> dict[str, Sign]:
    """Return the sign of each row with a point; rows of a family have the same sign."""
    rows = points(content, metric, paper=True) | points(content, metric)
    joined = {key: keys[0] for keys in families(rows) for key in keys}
    firsts = list(dict.fromkeys(joined.get(key, key) for key in content.lines if key in rows))
    numbers = {key: number for number, key in enumerate(firsts)}
    signs = {}
    for key in content.lines:
        if key in rows:
            number = numbers[joined.get(key, key)]
            signs[key] = Sign(COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)])
    return signs


def _plot(
    axes: Axes, rows: Mapping[str, Point], axis: str, signs: Mapping[str, Sign], hollow: bool = False
) -> None:
    """Draw one plot; the paper's markers are hollow and pale."""
    costed = {key: point for key, point in rows.items() if axis in point.cost}
    strength = 0.6 if hollow else 1.0
    for keys in families(costed):
        keys = sorted(keys, key=lambda key: costed[key].cost[axis])
        line = [[costed[key].cost[axis] for key in keys], [costed[key].value for key in keys]]
        axes.plot(*line, color=signs[keys[0]].colour, linewidth=1.3, alpha=0.7 * strength, zorder=1)
        for key in keys:
            axes.annotate(
                costed[key].short,
                (costed[key].cost[axis], costed[key].value),
                xytext=(7, -11),
                textcoords="offset points",
                fontsize=7.5,
                color=MUTED,
            )
    for point in costed.values():
        base = costed.get(point.base)
        if base is not None:
            ends = [[base.cost[axis], point.cost[axis]], [base.value, point.value]]
            axes.plot(*ends, color=MUTED, linewidth=0.9, linestyle=":", alpha=strength, zorder=1)
    # Only error bars need shifts; the paper has none.
    for key, shift in (dict.fromkeys(costed, 0.0) if hollow else _shifts(costed, axis)).items():
        _point(axes, costed[key], axis, signs[key], shift, hollow)
    for key, point in rows.items():
        if key not in costed:
            axes.axhline(point.value, color=signs[key].colour, linewidth=1.1, linestyle="--", alpha=strength)
            axes.annotate(
                f"{point.label}: cost not readable",
                (0.01, point.value),
                xycoords=axes.get_yaxis_transform(),
                xytext=(0, 3),
                textcoords="offset points",
                fontsize=7.5,
                color=MUTED,
            )
    if not rows:
        axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", color=MUTED)


def _shifts(rows: Mapping[str, Point], axis: str) -> dict[str, float]:
    """Return the sideways shift of each marker in points, for markers of the same cost."""
    groups: dict[float, list[str]] = {}
    for key, point in rows.items():
        groups.setdefault(round(point.cost[axis], 2), []).append(key)
    return {key: SIDE * number for keys in groups.values() for number, key in enumerate(keys)}


def _point(axes: Axes, point: Point, axis: str, sign: Sign, shift: float, hollow: bool) -> None:
    from matplotlib.transforms import ScaledTranslation

    figure = axes.get_figure(root=True)
    assert figure is not None
    aside = axes.transData + ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans)
    axes.errorbar(
        [point.cost[axis]],
        [point.value],
        yerr=None if point.spread is None else [point.spread],
        marker=sign.marker,
        ms=6,
        color=sign.colour,
        markerfacecolor="white" if hollow else sign.colour,
        markeredgewidth=1.2,
        alpha=0.65 if hollow else 1.0,
        elinewidth=1.1,
        capsize=2.5,
        linestyle="none",
        transform=aside,
        zorder=3,
    )
    # A shifted artist does not change the axes' limits, so the plain point sets them.
    low, high = (point.value + way * (point.spread or 0.0) for way in (-1, 1))
    axes.update_datalim([(point.cost[axis], low), (point.cost[axis], high)])


def _legend(
    figure: Figure,
    signs: Mapping[str, Sign],
    labels: Mapping[str, str],
    ours: Mapping[str, Point],
    paper: Mapping[str, Point],
) -> None:
    """Draw one legend entry for each row or family."""
    from matplotlib.lines import Line2D

    rows = {**paper, **ours}
    family = {key: keys for keys in families(rows) for key in keys}
    handles: list[Line2D] = []
    listed: set[str] = set()
    for key, sign in signs.items():
        if key in listed:
            continue
        keys = family.get(key, [key])
        listed |= set(keys)
        label = labels[key] if len(keys) == 1 else f"{rows[key].method}: {_listed(keys, rows)}"
        width = 1.3 if len(keys) > 1 else 0
        handles.append(
            Line2D([], [], color=sign.colour, marker=sign.marker, ms=6, linewidth=width, label=label)
        )
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.005, 0.0), ncols=3, columnspacing=1.8)


def _listed(keys: Sequence[str], rows: Mapping[str, Point]) -> str:
    return ", ".join(rows[key].short for key in keys)
