"""A table's Markdown form, made from its CSV."""

from __future__ import annotations

import re
from pathlib import Path

from .caption import caption
from .cells import Cell, Content, Layout, Marked, cell, read_content
from .names import head
from .origin import Origin, pixels

# Columns, HTML, entities, and underscores that would begin or end an emphasis: names such as a_b stay.
MARKUP = re.compile(r"[\\|<]|&(?=#?\w+;)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def markdown(csv_path: str | Path, origin: Origin, content: Content | None = None) -> str:
    """Title, table and caption as GitHub Markdown; every number is the CSV's, rounded.

    content: that of the CSV, which need not be written yet; None reads it.
    """
    content = content or read_content(csv_path)
    layout = Layout.of(content)
    heads = _heads(content.metrics, layout)
    rows = [heads, [*["---"] * len(layout.labels), *["---:"] * (len(heads) - len(layout.labels))]]
    for line in content.lines.values():
        row = [_marked(cell) for cell in layout.label_cells(content, line)]
        for metric in content.metrics:
            found = cell(line, metric)
            row += [*[found.paper] * (metric in layout.paper), _mean(found), _gain(found)]
        rows.append([*row, *(_marked(cell) for cell in layout.cost_cells(content, line))])
    body = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    costs = f"; GMACs at {pixels(origin.input)}" if layout.cost else ""
    loud = f" **{origin.loud}: see below.**" if origin.loud else ""
    summary = f"**Scale {origin.scale}**: {origin.setting}{costs}.{loud}"
    notes = "\n".join(f"- {_escaped(sentence)}" for sentence in caption(origin, content)[1:])
    return f"### {_escaped(origin.title)}\n\n{_escaped(summary)}\n\n{body}\n\n{notes}\n"


def _heads(metrics: tuple[str, ...], layout: Layout) -> list[str]:
    heads = list(layout.labels)
    for metric in metrics:
        heads += [f"{head(metric)}, paper"] * (metric in layout.paper)
        heads += [f"{head(metric)}{', ours' * (metric in layout.paper)}", "Gain [95 % interval]"]
    for key, name in {"gmacs": "GMACs", "params_m": "Params (M)"}.items():
        heads += [f"{name}, paper"] * (key in layout.paper_cost) + [f"{name}, ours"] * layout.cost
    return heads


def _mean(found: Cell) -> str:
    return f"{found.mean} ± {found.deviation}" if found.deviation else found.mean


def _gain(found: Cell) -> str:
    interval = f" [{found.low}, {found.high}]" if found.low else ""
    text = found.gain + interval
    return f"**{text}**" if found.certain else text


def _marked(cell: Marked) -> str:
    """With its note's number behind it, in brackets as below the table."""
    mark = f"({cell.mark})" if cell.mark.isdigit() else cell.mark
    return " ".join(filter(None, (_escaped(cell.text), mark)))


def _escaped(text: str) -> str:
    """Plain text as Markdown on one line; the markup of the caption, `**`, stays."""
    return MARKUP.sub(r"\\\g<0>", " ".join(text.split()))
