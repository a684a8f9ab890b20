"""A table's LaTeX form, made from its CSV: a `table` environment that needs only booktabs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .caption import caption
from .cells import NOT_RUN, Cell, Content, Layout, Marked, cell, read_content
from .names import head
from .origin import Origin

SPECIAL = {
    "\\": r"\textbackslash{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "—": "---",
    "–": "--",
    "γ": r"$\gamma$",
    "Δ": r"$\Delta$",
    "→": r"$\rightarrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "†": r"$\dagger$",
    "°": r"$^{\circ}$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


def latex(csv_path: str | Path, origin: Origin, content: Content | None = None) -> str:
    """A floating table with its caption; every number is the CSV's, rounded.

    Put `\\usepackage{booktabs}` into the document's head.

    content: that of the CSV, which need not be written yet; None reads it.
    """
    content = content or read_content(csv_path)
    layout = Layout.of(content)
    groups = _groups(content.metrics, layout)
    numbers = sum(len(columns) for _, columns in groups)
    body = [
        f"% {' '.join(origin.title.split())}, scale {origin.scale}; needs \\usepackage{{booktabs}}",
        r"\begin{table}",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escaped(f'{origin.title}. ' + ' '.join(caption(origin, content)))}}}",
        rf"\label{{tab:{Path(csv_path).stem}-{origin.scale}}}",
        rf"\begin{{tabular}}{{{'l' * len(layout.labels)}{'r' * numbers}}}",
        r"\toprule",
        *_heads(layout.labels, groups),
        r"\midrule",
        *(_row(content, layout, line) for line in content.lines.values()),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(body) + "\n"


def escaped(text: str) -> str:
    """Plain text as LaTeX, on one line: an empty one would end a cell's paragraph, any would end a comment.

    >>> print(escaped("50 % of a_b, ±1"))
    50 \\% of a\\_b, $\\pm$1
    """
    return "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))


def _groups(metrics: tuple[str, ...], layout: Layout) -> list[tuple[str, list[str]]]:
    """The columns of numbers, under what stands above them."""
    gain = r"gain [95\,\%]"
    groups = [(head(metric), [*["paper"] * (metric in layout.paper), "ours", gain]) for metric in metrics]
    for key, name in {"gmacs": "GMACs", "params_m": "Params (M)"}.items():
        groups += [(name, [*["paper"] * (key in layout.paper_cost), "ours"])] * layout.cost
    return groups


def _heads(labels: list[str], groups: list[tuple[str, list[str]]]) -> list[str]:
    """Two lines: metrics and cost over paper, ours and gain."""
    above, rules, below, first = ["" for _ in labels], [], list(labels), len(labels) + 1
    for title, columns in groups:
        last = first + len(columns) - 1
        spanned = rf"\multicolumn{{{len(columns)}}}{{c}}{{{escaped(title)}}}"
        above.append(spanned if len(columns) > 1 else escaped(title))
        rules.append(rf"\cmidrule(lr){{{first}-{last}}}")
        below += columns
        first = last + 1
    return [f"{' & '.join(above)} \\\\", "".join(rules), f"{' & '.join(below)} \\\\"]


def _row(content: Content, layout: Layout, line: Mapping[str, str]) -> str:
    cells = [_marked(cell) for cell in layout.label_cells(content, line)]
    for metric in content.metrics:
        found = cell(line, metric)
        cells += [*[found.paper] * (metric in layout.paper), _mean(found), _gain(found)]
    cells += [_marked(cell) for cell in layout.cost_cells(content, line)]
    return f"{' & '.join(cells)} \\\\"


def _marked(cell: Marked) -> str:
    """With its note's number behind it, in brackets as in the caption."""
    mark = f"({cell.mark})" if cell.mark.isdigit() else cell.mark
    return escaped(" ".join(filter(None, (cell.text, mark))))


def _mean(found: Cell) -> str:
    if found.mean == NOT_RUN:
        return rf"\emph{{{NOT_RUN}}}"
    return rf"${found.mean} \pm {found.deviation}$" if found.deviation else escaped(found.mean)


def _gain(found: Cell) -> str:
    if not found.gain:
        return ""
    # \mathbf inside the mathematics: \textbf around it would leave the digits as they are
    style = r"\mathbf" if found.certain else ""
    interval = rf"\ [{found.low}, {found.high}]" if found.low else ""
    return rf"${style}{{{found.gain}{interval}}}$"
