"""A table's LaTeX form, made from its CSV: a `table` environment that needs only booktabs."""

from __future__ import annotations

from pathlib import Path

from .forms import NOT_RUN, Cell, Origin, caption, cell, cost, name, read_lines
from .labels import head

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
    "°": r"$^{\circ}$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


def latex(csv_path: str | Path, origin: Origin) -> str:
    """A floating table with its caption; every number is the CSV's, rounded.

    Put `\\usepackage{booktabs}` into the document's head.
    """
    metrics, lines = read_lines(csv_path)
    body = [
        f"% {origin.title}, scale {origin.scale}; needs \\usepackage{{booktabs}}",
        r"\begin{table}",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escaped(f'{origin.title}. ' + ' '.join(caption(origin)))}}}",
        rf"\label{{tab:{Path(csv_path).stem}-{origin.scale}}}",
        rf"\begin{{tabular}}{{ll{'rrr' * len(metrics)}rrr}}",
        r"\toprule",
        *_heads(metrics),
        r"\midrule",
        *(_row(line, metrics) for line in lines),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(body) + "\n"


def escaped(text: str) -> str:
    """Plain text as LaTeX.

    >>> print(escaped("50 % of a_b, ±1"))
    50 \\% of a\\_b, $\\pm$1
    """
    return "".join(SPECIAL.get(character, character) for character in text)


def _heads(metrics: list[str]) -> list[str]:
    """Two lines: metrics over paper, ours and gain; cost over paper and ours."""
    groups = [rf"\multicolumn{{3}}{{c}}{{{escaped(head(metric))}}}" for metric in metrics]
    rules = [rf"\cmidrule(lr){{{3 + 3 * i}-{5 + 3 * i}}}" for i in range(len(metrics))]
    first = 3 + 3 * len(metrics)
    rules.append(rf"\cmidrule(lr){{{first}-{first + 1}}}\cmidrule(lr){{{first + 2}-{first + 2}}}")
    groups += [r"\multicolumn{2}{c}{GMACs}", "Params (M)"]
    names = ["Method", "Backbone", *["paper", "ours", r"gain [95\,\%]"] * len(metrics)]
    names += ["paper", "ours", "ours"]
    return [f" & & {' & '.join(groups)} \\\\", "".join(rules), f"{' & '.join(names)} \\\\"]


def _row(line: dict[str, str], metrics: list[str]) -> str:
    cells = [escaped(name(line)), escaped(line["backbone"])]
    for metric in metrics:
        found = cell(line, metric)
        cells += [found.paper, _mean(found), _gain(found)]
    cells += [line["paper_gmacs"], cost(line["gmacs"]), cost(line["params_m"])]
    return f"{' & '.join(cells)} \\\\"


def _mean(found: Cell) -> str:
    if found.mean == NOT_RUN:
        return rf"\emph{{{NOT_RUN}}}"
    return rf"${found.mean} \pm {found.deviation}$" if found.deviation else found.mean


def _gain(found: Cell) -> str:
    if not found.gain:
        return ""
    # \mathbf inside the mathematics: \textbf around it would leave the digits as they are
    style = r"\mathbf" if found.certain else ""
    interval = rf"\ [{found.low}, {found.high}]" if found.low else ""
    return rf"${style}{{{found.gain}{interval}}}$"
