"""Table as Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .caption import caption
from .cells import Cell, Content
from .names import COSTS
from .origin import Origin, pixels
from .readable import Spelling, readable

if TYPE_CHECKING:
    from pandas import DataFrame

# Columns, HTML, entities, and underscores at the ends of an emphasis; names such as a_b stay unchanged.
MARKUP = re.compile(r"[\\|<]|&(?=#?\w+;)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def markdown(content: Content, origin: Origin) -> str:
    """Return title, table and caption as GitHub Markdown; every number is the CSV's, rounded."""
    costs = f"; GMACs at {pixels(origin.input)}" if content.cost_columns else ""
    loud = f" **{origin.loud}: see below.**" if origin.loud else ""
    summary = f"**Scale {origin.scale}**: {origin.setting}{costs}.{loud}"
    notes = "\n".join(f"- {escaped(sentence)}" for sentence in caption(origin, content)[1:])
    return f"### {escaped(origin.title)}\n\n{escaped(summary)}\n\n{_table(content)}\n\n{notes}\n"


def escaped(text: str) -> str:
    """Escape plain text for Markdown, on one line; the markup `**` of the caption stays."""
    return MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def pipe_table(frame: DataFrame, labels: int) -> str:
    """Return a Markdown table of text cells: the first `labels` columns left-aligned, the others right."""
    alignment = ["left"] * labels + ["right"] * (len(frame.columns) - labels)
    return str(frame.to_markdown(index=False, tablefmt="pipe", disable_numparse=True, colalign=alignment))


def gain_text(cell: Cell) -> str:
    """Return a gain with its interval, in bold if this excludes 0."""
    text = cell.gain + (f" [{cell.low}, {cell.high}]" if cell.low else "")
    return f"**{text}**" if cell.certain else text


def _table(content: Content) -> str:
    frame = readable(content, Spelling(escaped, _mean, gain_text))
    labels = sum(not group for group, _ in frame.columns)
    beside = {group for group, name in frame.columns if name == "paper"} | {*COSTS.values()}
    frame.columns = [_head(group, name, group in beside) for group, name in frame.columns]
    return pipe_table(frame, labels)


def _head(group: str, name: str, beside: bool) -> str:
    """Return a column's title on one line, with 'paper' or 'ours' if `beside`: both columns exist."""
    if name == "gain":
        return "Gain [95 % interval]"
    return ", ".join(filter(None, (group, name if beside or not group else "")))


def _mean(cell: Cell) -> str:
    return f"{cell.mean} ± {cell.deviation}" if cell.deviation else cell.mean
