"""A table's Markdown form, made from its CSV."""

from __future__ import annotations

from pathlib import Path

from .forms import Cell, Origin, caption, cell, cost, name, pixels, read_lines
from .labels import head


def markdown(csv_path: str | Path, origin: Origin) -> str:
    """Title, table and caption as GitHub Markdown; every number is the CSV's, rounded."""
    metrics, lines = read_lines(csv_path)
    heads = ["Method", "Backbone"]
    for metric in metrics:
        heads += [f"{head(metric)}, paper", f"{head(metric)}, ours", "Gain [95 % interval]"]
    heads += ["GMACs, paper", "GMACs, ours", "Params (M), ours"]
    rows = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
    for line in lines:
        row = [_escaped(name(line)), _escaped(line["backbone"])]
        for metric in metrics:
            found = cell(line, metric)
            row += [found.paper, _mean(found), _gain(found)]
        rows.append([*row, line["paper_gmacs"], cost(line["gmacs"]), cost(line["params_m"])])
    body = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    summary = f"**Scale {origin.scale}**: {origin.setting}; GMACs at {pixels(origin.input)}."
    notes = "\n".join(f"- {_escaped(sentence)}" for sentence in caption(origin)[1:])
    return f"### {_escaped(origin.title)}\n\n{_escaped(summary)}\n\n{body}\n\n{notes}\n"


def _mean(found: Cell) -> str:
    return f"{found.mean} ± {found.deviation}" if found.deviation else found.mean


def _gain(found: Cell) -> str:
    interval = f" [{found.low}, {found.high}]" if found.low else ""
    text = found.gain + interval
    return f"**{text}**" if found.certain else text


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")
