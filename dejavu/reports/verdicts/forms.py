"""Verdicts as CSV with all digits, and as Markdown and LaTeX with the same numbers, rounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...config import Params
from ..significance import LEVEL
from ..statistics import summary
from ..tables.cells import rounded
from ..tables.frame import csv_text, digits
from ..tables.latex import SMALL
from ..tables.latex import escaped as escaped_latex
from ..tables.markdown import escaped, pipe_table
from ..tables.names import find, head
from .caption import TITLE, counted, notes, setting
from .decide import CONFIRMED, REFUTED, Verdict

if TYPE_CHECKING:
    from pandas import DataFrame

LABELS = 4  # columns of text at the left


def csv(verdicts: Sequence[Verdict], scale: str) -> str:
    """Return one line for each claim."""
    from pandas import DataFrame  # late, as it costs every command half a second

    return csv_text(DataFrame([_line(one, scale) for one in verdicts]))


def _line(one: Verdict, scale: str) -> dict[str, str]:
    pair, gain = one.pair, one.gain
    levels = [summary(values.values()) if values else (None, None) for values in (pair.base, pair.ours)]
    ends = (None, None, None) if gain is None else (gain.mean, gain.low, gain.high)
    percent = [None if end is None else pair.improvement(end) for end in ends]
    if not find(pair.metric).higher_is_better:
        percent[1:] = percent[:0:-1]
    numbers = {
        "base_mean": levels[0][0],
        "base_std": levels[0][1],
        "mean": levels[1][0],
        "std": levels[1][1],
        **dict(zip(("gain", "gain_lo", "gain_hi"), ends, strict=True)),
        **dict(zip(("improvement", "improvement_lo", "improvement_hi"), percent, strict=True)),
        "better": one.probability,
        "p": one.p,
        "p_holm": one.corrected,
        "detectable": one.detectable,
    }
    return {
        "family": one.family,
        "claim": one.name,
        "says": one.claim.says,
        "row": pair.row,
        "against": pair.against,
        "metric": pair.metric,
        "expected": one.claim.expected,
        "scale": scale,
        "seeds": str(len(pair.seeds)),
        **{key: digits(value) for key, value in numbers.items()},
        "verdict": one.verdict,
        "note": one.note,
    }


def markdown(params: Params, scale: str, verdicts: Sequence[Verdict]) -> str:
    """Return title, setting, table and notes as GitHub Markdown."""
    summary = f"**{counted(verdicts)}**. {escaped(setting(params, scale, verdicts))}"
    listed = "\n".join(f"- {escaped(sentence)}" for sentence in notes(verdicts))
    table = pipe_table(_readable(verdicts, escaped, lambda text: f"**{text}**"), LABELS)
    return f"### {TITLE}\n\n{summary}\n\n{table}\n\n{listed}\n"


def latex(params: Params, scale: str, verdicts: Sequence[Verdict]) -> str:
    """Return a floating table with its caption, which needs only booktabs."""
    frame = _readable(verdicts, escaped_latex, lambda text: rf"\textbf{{{text}}}")
    sentences = [f"{TITLE}. {counted(verdicts)}.", setting(params, scale, verdicts), *notes(verdicts)]
    text = (
        frame.rename(columns=escaped_latex)
        .style.hide(axis="index")
        .set_table_styles(SMALL)
        .to_latex(
            column_format="l" * LABELS + "r" * (len(frame.columns) - LABELS),
            position_float="centering",
            hrules=True,
            caption=escaped_latex(" ".join(sentences)),
            label=f"tab:verdicts-{scale}",
        )
    )
    return f"% {TITLE}, scale {scale}; needs \\usepackage{{booktabs}}\n{text}"


def _readable(
    verdicts: Sequence[Verdict], text: Callable[[str], str], bold: Callable[[str], str]
) -> DataFrame:
    from pandas import DataFrame

    return DataFrame([_cells(one, text, bold) for one in verdicts])


def _cells(one: Verdict, text: Callable[[str], str], bold: Callable[[str], str]) -> dict[str, str]:
    pair, decimals = one.pair, find(one.pair.metric).digits
    levels = [summary(values.values())[0] if values else None for values in (pair.base, pair.ours)]
    compared, ours = (rounded(digits(level), decimals) for level in levels)
    decisive = one.verdict in (CONFIRMED, REFUTED)
    return {
        "Family": text(one.family),
        "Claim": text(one.claim.says),
        "Metric": text(head(pair.metric)),
        "Verdict": bold(one.verdict) if decisive else one.verdict,
        "Compared row": compared,
        "Row": ours,
        "Gain [95 % interval]": gain_text(one),
        "P(better)": rounded(digits(one.probability), 2),
        "p": text(_probability(one.p)),
        "p, Holm": text(_probability(one.corrected)),
        "Detectable": rounded(digits(one.detectable), decimals),
        "Seeds": str(len(pair.seeds)),
    }


def gain_text(one: Verdict) -> str:
    """Return the gain with its interval, rounded; '' if there is none."""
    if one.gain is None:
        return ""
    decimals = find(one.pair.metric).digits
    mean, low, high = (
        rounded(digits(end), decimals, sign=True) for end in (one.gain.mean, one.gain.low, one.gain.high)
    )
    return f"{mean} [{low}, {high}]" if low else mean


def _probability(value: float | None) -> str:
    """Return a p value with three decimals, rounded so that it stays on its side of the level.

    >>> _probability(0.0001), _probability(0.0497), _probability(0.2)
    ('<0.001', '0.049700', '0.200')
    """
    if value is None:
        return ""
    if value < 0.0005:
        return "<0.001"
    text = f"{value:.3f}"
    return text if (float(text) < LEVEL) == (value < LEVEL) else f"{value:.6f}"
