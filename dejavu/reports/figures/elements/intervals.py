"""Elements of figures of gains: a row with its interval, its name, the direction of better, the legend."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING

from .gain import BETTER, OPEN, SINGLE, WORSE, Gain, Sign
from .style import COLOURS, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def limits(rows: Sequence[Gain]) -> tuple[float, float]:
    """Return axis limits for zero and all intervals, except for a few very long ones."""
    reaches = sorted(max(map(abs, gain.ends)) for gain in rows)
    enough = 3 * reaches[(len(reaches) - 1) * 3 // 4]
    ends = [0.0] + [min(max(end, -enough), enough) for gain in rows for end in gain.ends]
    margin = 0.06 * ((max(ends) - min(ends)) or 1.0)
    return min(ends) - margin, max(ends) + margin


def draw_row(
    axes: Axes, gain: Gain, y: float, sign: Sign, limits: tuple[float, float], spelled: bool = True
) -> None:
    """Draw a gain with its interval at height `y`; an arrowhead marks values beyond the limits."""
    axes.axhline(y, color="#eeeeee", linewidth=0.8, zorder=0)
    if gain.interval is not None:
        axes.plot(gain.interval, (y, y), color=sign.colour, linewidth=1.8, solid_capstyle="butt")
    face = sign.colour if sign.filled else "white"
    axes.plot(gain.mean, y, sign.marker, ms=5.5, color=sign.colour, markerfacecolor=face, markeredgewidth=1.3)
    outside = [(limits[0], "<", min(gain.ends) < limits[0]), (limits[1], ">", max(gain.ends) > limits[1])]
    for edge, arrow, beyond in outside:
        if beyond:
            axes.plot(edge, y, arrow, ms=5.5, color=sign.colour, clip_on=False)
    if not spelled:
        return
    axes.annotate(
        gain.text,
        (1, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=(9, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=INK if gain.certain else MUTED,
    )


def beside(axes: Axes, indent: float, y: float, text: str, bold: bool = False) -> None:
    """Write a name at the left edge of the page; `indent` in inches."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    inches = axes.get_position().x0 * figure.get_size_inches()[0]
    axes.annotate(
        text,
        (0, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=((0.12 + indent - inches) * 72, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        fontweight="bold" if bold else "normal",
    )


def direction(axes: Axes, higher_is_better: bool) -> None:
    """Draw a tint behind the better side, and its name above."""
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


def legend(figure: Figure, signs: Collection[Sign], left: float, bottom: float) -> None:
    """Draw the legend of the drawn signs, in their order."""
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
        for sign in (BETTER, WORSE, OPEN, SINGLE)
        if sign in signs
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
def text_width(text: str, bold: bool = False) -> float:
    """Return the width of a text in inches at the font size of row names."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text:
        return 0.0
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=8.5, prop=font).get_extents().width) / 72
