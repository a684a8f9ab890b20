"""Readable form of a table, as a DataFrame that pandas writes as Markdown and LaTeX.

One row a line, text cells, and columns of two levels: (metric or cost, 'paper', 'ours' or 'gain'). Empty
columns are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .cells import Cell, Content, cell, rounded
from .names import COSTS, head

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Spelling:
    """Formatters of one form for plain text, a mean with its deviation, and a gain with its interval."""

    text: Callable[[str], str]
    mean: Callable[[Cell], str]
    gain: Callable[[Cell], str]


def readable(content: Content, spelling: Spelling) -> DataFrame:
    """Return rows and columns of a readable form. Label columns have the group ''; others hold numbers."""
    from pandas import DataFrame  # late: figures import this package and need no pandas

    lines, text = list(content.lines.values()), spelling.text
    columns = {("", "Method"): [text(_noted(content, line)) for line in lines]}
    if any(line["backbone"] for line in lines):
        columns["", "Backbone"] = [text(line["backbone"]) for line in lines]
    if len({line["seeds"] for line in content.ran}) > 1:
        columns["", "Seeds"] = [line["seeds"] if line["status"] == "run" else "" for line in lines]
    for metric in content.metrics:
        group, cells = text(head(metric)), [cell(line, metric) for line in lines]
        if metric in content.paper:
            columns[group, "paper"] = [cell.paper for cell in cells]
        columns[group, "ours"] = [spelling.mean(cell) for cell in cells]
        columns[group, "gain"] = [spelling.gain(cell) for cell in cells]
    for key, group in COSTS.items():
        if key in content.paper:
            columns[group, "paper"] = [line[f"paper_{key}"] for line in lines]
        if content.cost_columns:
            columns[group, "ours"] = [text(_cost(content, line, key)) for line in lines]
    return DataFrame(columns)


def _noted(content: Content, line: Mapping[str, str]) -> str:
    """Return a line's name, with the number of its note unless a cost has it."""
    return _marked(content.name(line), "" if content.off(line) else content.mark(line))


def _cost(content: Content, line: Mapping[str, str], key: str) -> str:
    """Return one of our costs, with the number of a note if it differs from the paper's."""
    return _marked(rounded(line[key], 2), content.mark(line) if key in content.off(line) else "")


def _marked(text: str, mark: str) -> str:
    """Return a cell followed by the number of its note, in brackets as in the caption."""
    return " ".join(filter(None, (text, f"({mark})" if mark.isdigit() else mark)))
