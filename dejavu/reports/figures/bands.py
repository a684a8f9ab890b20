"""Band study: the error against the redacted band of the spectrum.

The upper plot has the levels with the interval of each mean, and a line for the network without DejaVu. The
lower plot has the differences to that network, paired by seed, with their intervals. The upper intervals
include the variance that all rows of a seed share; the lower plot shows the gain of redacting a band.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...config import Params
from ...config.paths import Paths
from ...errors import DejavuError
from ...metrics import Metric
from ..tables.caption import chance
from ..tables.cells import Content
from ..tables.names import find, gain_unit
from . import NothingToDraw
from .elements.gain import Gain, gains, sign_of
from .elements.intervals import legend
from .elements.style import COLOURS, INK, MUTED, new_figure, style
from .elements.table_csv import table_content, table_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEEDS = ("table",)

FINDING = "the error is lowest when the middle band is redacted, since most shape information sits there"
"""Short form of the statement on the paper's slide about its plot."""
WIDTH = 7.5  # inches
LEVELS, DIFFERENCES, FOOT = 2.9, 2.1, 0.3  # inches: heights of the two plots, and of the legend


@dataclass(frozen=True)
class Level:
    """Mean over a row's seeds, and its interval (None for one seed)."""

    mean: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Band:
    """Row of the study: the redacted frequencies low <= r < high, its level, and its gain over the base."""

    low: float
    high: float
    level: Level
    gain: Gain | None

    @property
    def centre(self) -> float:
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class BandStudy:
    """Rows of the study from low to high band, and the level without DejaVu (None: not run)."""

    rows: Sequence[Band]
    plain: Level | None
    metric: str
    title: str
    subtitle: str
    finding: str = FINDING


def collect(params: Params, name: str, scale: str, partial: bool = False) -> BandStudy:
    """Read the table's first metric from its CSV, by the redacted band of the rows.

    Raises NothingToDraw if no row was run.
    """
    table, edges = params.get_table(name), band_edges(params, name)
    content, metric = table_content(params, name, scale), table.metrics[0]
    rows = bands(content, edges, metric)
    if not rows:
        raise NothingToDraw(f"{Paths(scale).table(name, 'csv')} has no band that was run")
    plain = [line for line in content.ran if line["id"] not in edges]
    note = (
        f"{table_setting(params, name, scale, partial)} Above: mean over seeds, bar and grey: its "
        "95 % interval (Student's t). Below: mean difference to the network without DejaVu, paired by seed, "
        "bar: its 95 % interval."
    )
    without = level(plain[0], metric) if plain else None
    return BandStudy(rows, without, metric, table.title, " ".join([note, *chance(content)]))


def band_edges(params: Params, name: str) -> dict[str, tuple[float, float]]:
    """Return the redacted frequencies low <= r < high of each DejaVu row of a band study, by row id.

    Raises DejavuError unless the table has one row without DejaVu and otherwise rows with one band_stop each.
    """
    edges, plain = {}, []
    for row in params.get_table(name).rows:
        if row.experiment is None:
            continue
        method = params.experiments[row.experiment].dejavu
        if method is None:
            plain.append(row.id)
            continue
        options = method.redactions[0].options
        is_band_stop = len(method.redactions) == 1 and method.redactions[0].name == "band_stop"
        if not is_band_stop or not options.keys() >= {"low", "high"}:
            raise DejavuError(
                f"tables.{name}.figures: 'bands' shows rows with one redaction 'band_stop' that has low and "
                f"high, and '{row.experiment}' has another"
            )
        edges[row.id] = (float(options["low"]), float(options["high"]))
    if len(plain) != 1:
        raise DejavuError(
            f"tables.{name}.figures: 'bands' needs one row without DejaVu, not {len(plain)} "
            f"({', '.join(plain)})"
        )
    return edges


def level(line: dict[str, str], metric: str) -> Level:
    """Return a line's mean with its 95 % interval (Student's t), from the CSV's mean, deviation and seeds."""
    mean, deviation, seeds = float(line[f"{metric}_mean"]), line[f"{metric}_std"], int(line["seeds"])
    if not deviation:
        return Level(mean, None)
    from scipy.special import stdtrit

    half = float(stdtrit(seeds - 1, 0.975)) * float(deviation) / math.sqrt(seeds)
    return Level(mean, (mean - half, mean + half))


def bands(content: Content, edges: dict[str, tuple[float, float]], metric: str) -> list[Band]:
    """Return the rows that were run and have a band in `edges`, from low to high."""
    rows = [line for line in content.ran if line["id"] in edges]
    by_row = {gain.name: gain for gain in gains(_named(content, rows), metric)}
    every = [Band(*edges[line["id"]], level(line, metric), by_row.get(line["id"])) for line in rows]
    return sorted(every, key=lambda band: (band.centre, band.low))


def _named(content: Content, rows: list[dict[str, str]]) -> Content:
    """Return the rows with their ids as names, since names for readers may repeat."""
    return Content(content.metrics, {line["id"]: line | {"method": line["id"], "base": ""} for line in rows})


def draw(data: BandStudy) -> Figure:
    """Draw the two plots over a common axis of frequencies."""
    known = find(data.metric)
    subtitle = textwrap.fill(data.subtitle, int((WIDTH - 0.3) / 0.066))
    finding = f"The paper's finding, whose curve is not readable: {data.finding}."
    quoted = textwrap.fill(finding, int((WIDTH - 0.3) / 0.066))
    head = 0.42 + 0.15 * (2 + subtitle.count("\n")) + 0.16 * (1 + quoted.count("\n"))
    height = head + LEVELS + DIFFERENCES + FOOT
    with style():
        figure = new_figure(WIDTH, height, layout="constrained")
        box = (0, FOOT / height, 1, 1 - (head + FOOT) / height)
        figure.get_layout_engine().set(rect=box, w_pad=0.1, h_pad=0.06)  # type: ignore
        figure.text(0.12 / WIDTH, 1 - 0.1 / height, data.title, va="top", fontsize=11, fontweight="bold")
        figure.text(0.12 / WIDTH, 1 - 0.36 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        below = (0.36 + 0.15 * (1 + subtitle.count("\n")) + 0.1) / height
        figure.text(0.12 / WIDTH, 1 - below, quoted, va="top", fontsize=8.5, color=INK, fontstyle="italic")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[LEVELS, DIFFERENCES])
        _levels(upper, data.rows, data.plain, known)
        signs = _differences(lower, data.rows, known, data.metric)
        lower.set_xlabel("redacted band: radial frequency, 0 = the mean colour, 1 = the finest checkerboard")
        edges = sorted({0.0, 1.0} | {edge for band in data.rows for edge in (band.low, band.high)})
        lower.set(xlim=(0, 1), xticks=edges, xticklabels=[f"{edge:.3g}" for edge in edges])
        legend(figure, signs, 0.12 / WIDTH, 0.1 / height)
        return figure


def _levels(axes: Axes, rows: Sequence[Band], plain: Level | None, known: Metric) -> None:
    """Draw each band as a bar of its width, with its interval, and a line for the network without DejaVu."""
    if plain is not None:
        if plain.interval is not None:
            axes.axhspan(*plain.interval, color="#777777", alpha=0.15, linewidth=0)
        axes.axhline(plain.mean, color=INK, linewidth=1.2, linestyle="--", zorder=1)
        axes.annotate(
            "without DejaVu",
            (1, plain.mean),
            xycoords=axes.get_yaxis_transform(),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=INK,
        )
    axes.plot(
        [band.centre for band in rows],
        [band.level.mean for band in rows],
        color=COLOURS[0],
        linewidth=0.9,
        linestyle=":",
        zorder=2,
    )
    for band in rows:
        if band.level.interval is not None:
            axes.plot((band.centre,) * 2, band.level.interval, color=COLOURS[0], linewidth=1.2, zorder=2)
        axes.plot((band.low, band.high), (band.level.mean,) * 2, color=COLOURS[0], linewidth=2.2, zorder=3)
        axes.plot(band.centre, band.level.mean, "o", color=COLOURS[0], ms=5.5, zorder=3)
    unit = f" ({known.unit})" if known.unit else ""
    axes.set_ylabel(f"{known.name}{unit}\n{'higher' if known.higher_is_better else 'lower'} is better")
    axes.margins(y=0.12)


def _differences(axes: Axes, rows: Sequence[Band], known: Metric, metric: str) -> list:
    """Draw the paired differences; return the drawn signs."""
    axes.axhline(0, color=INK, linewidth=1.2, linestyle="--", zorder=1)
    signs = []
    for band in rows:
        if band.gain is None:
            continue
        sign = sign_of(band.gain, known.higher_is_better)
        signs.append(sign)
        axes.plot((band.low, band.high), (band.gain.mean,) * 2, color=sign.colour, linewidth=1.0, alpha=0.6)
        if band.gain.interval is not None:
            axes.plot((band.centre,) * 2, band.gain.interval, color=sign.colour, linewidth=1.8)
        face = sign.colour if sign.filled else "white"
        axes.plot(
            band.centre,
            band.gain.mean,
            sign.marker,
            ms=5.5,
            color=sign.colour,
            markerfacecolor=face,
            markeredgewidth=1.3,
            zorder=3,
        )
    axes.margins(y=0.12)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top)
    better = (0.0, top) if known.higher_is_better else (bottom, 0.0)
    axes.axhspan(*better, color=COLOURS[0], alpha=0.05, zorder=0, linewidth=0)
    unit = gain_unit(metric)
    axes.set_ylabel(f"difference to none{f' ({unit})' if unit else ''}\n(tinted: better)")
    return signs
