"""Forest plot of the claims: every gain with its interval, in percent of the compared row's mean."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...config import Params
from ...metrics import DELTA
from ..figures.elements.gain import Gain
from ..figures.elements.intervals import legend, text_width
from ..figures.elements.style import MUTED, new_figure, style
from ..figures.gains import FOOT, GAP, LINE, PLOT, plot, slots
from ..tables.names import find, gain_unit
from .caption import TITLE, counted, setting
from .decide import Verdict
from .forms import gain_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABEL = "improvement (% of the compared row's mean)"


def rows(verdicts: Sequence[Verdict]) -> list[Gain]:
    """Return the claims that have a gain, by family; better is positive.

    Left out are claims that were not run, and those whose compared row has a mean of 0.
    """
    drawn = []
    for one in verdicts:
        mean = None if one.gain is None else one.pair.improvement(one.gain.mean)
        if one.gain is None or mean is None:
            continue
        ends = [
            end
            for end in (one.gain.low, one.gain.high)
            if end is not None and one.pair.improvement(end) is not None
        ]
        low, *high = sorted(one.pair.improvement(end) or 0.0 for end in ends) or (0.0,)
        interval = (low, high[0]) if high else None
        certain = interval is not None and (interval[0] > 0 or interval[1] < 0)
        unit = gain_unit(one.pair.metric)
        text = f"{gain_text(one)}{f' {unit}' if unit else ''}, {one.verdict}".replace("-", "−")
        name = f"{one.claim.says} ({find(one.pair.metric).name})"
        drawn.append(Gain(one.family, name, mean, interval, text, certain))
    return drawn


def draw(params: Params, scale: str, verdicts: Sequence[Verdict]) -> Figure:
    """Draw the figure; without any gain it says only how many claims were not run."""
    drawn = rows(verdicts)
    names = [max(text_width(one.name) + 0.12, text_width(one.group, bold=True)) for one in drawn]
    left = 0.3 + max(names, default=0.0)
    width = left + PLOT + 0.4 + max((text_width(one.text) for one in drawn), default=2.5)
    delta = " ΔMTL is in percent already." if any(one.pair.metric == DELTA for one in verdicts) else ""
    sentences = (
        f"{setting(params, scale, verdicts)} {counted(verdicts).capitalize()}. Point: mean over seeds of the "
        "difference to the compared row, paired by seed; bar: its 95 % interval (Student's t). At the right: "
        f"the same in the metric's unit and sign.{delta}"
    )
    subtitle = textwrap.fill(sentences, int((width - 0.3) / 0.066))
    head, foot = 0.42 + 0.15 * (1 + subtitle.count("\n")), 0.22
    body = LINE * slots(drawn)
    height = head + (GAP + body + FOOT if drawn else 0.0) + foot
    with style():
        figure = new_figure(width, height)
        figure.text(0.12 / width, 1 - 0.1 / height, TITLE, va="top", fontsize=11, fontweight="bold")
        figure.text(0.12 / width, 1 - 0.36 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        if not drawn:
            return figure
        box = left / width, (FOOT + foot) / height, PLOT / width, body / height
        signs = plot(figure.add_axes(box), drawn, True, LABEL)
        legend(figure, set(signs), 0.12 / width, 0.1 / height)
        return figure
