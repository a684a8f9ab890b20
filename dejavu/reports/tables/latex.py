"""Table as LaTeX: a `table` environment that needs only booktabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .caption import caption
from .cells import NOT_RUN, Cell, Content
from .origin import Origin
from .readable import Spelling, readable

if TYPE_CHECKING:
    from pandas import DataFrame

SPECIAL = str.maketrans(
    {
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
)
# Small type and narrow gaps, since tables have up to 15 columns; pandas writes these commands above a table.
SMALL = [{"selector": "small", "props": ":;"}, {"selector": "setlength", "props": ":{\\tabcolsep}{4pt};"}]


def latex(content: Content, origin: Origin, name: str) -> str:
    """Return a floating table with its caption; every number is the CSV's, rounded. `name` is for its label.

    Put `\\usepackage{booktabs}` into the document's head.
    """
    frame = readable(content, Spelling(escaped, _mean, _gain))
    frame = frame.rename(columns={"gain": r"gain [95\,\%]"}, level=1)
    styler = frame.style.hide(axis="index").set_table_styles(SMALL)
    text = styler.to_latex(
        column_format="".join("r" if group else "l" for group, _ in frame.columns),
        position_float="centering",
        hrules=True,
        multicol_align="c",
        caption=escaped(f"{origin.title}. " + " ".join(caption(origin, content))),
        label=f"tab:{name}-{origin.scale}",
    )
    above, first, below = text.partition("\\toprule\n")
    groups, rest = below.split("\n", 1)
    title = " ".join(origin.title.split())
    comment = f"% {title}, scale {origin.scale}; needs \\usepackage{{booktabs}}\n"
    return f"{comment}{above}{first}{groups}\n{_rules(frame)}\n{rest}"


def escaped(text: str) -> str:
    """Escape plain text for LaTeX, on one line: a line break would end a comment or a paragraph.

    >>> print(escaped("50 % of a_b, ±1"))
    50 \\% of a\\_b, $\\pm$1
    """
    return " ".join(text.split()).translate(SPECIAL)


def _rules(frame: DataFrame) -> str:
    """Return the rules below the title of each column group, which pandas cannot write."""
    groups = [group for group, _ in frame.columns]
    spans = {group: (groups.index(group) + 1, groups.count(group)) for group in groups if group}
    return "".join(rf"\cmidrule(lr){{{first}-{first + count - 1}}}" for first, count in spans.values())


def _mean(cell: Cell) -> str:
    if cell.mean == NOT_RUN:
        return rf"\emph{{{NOT_RUN}}}"
    return rf"${cell.mean} \pm {cell.deviation}$" if cell.deviation else escaped(cell.mean)


def _gain(cell: Cell) -> str:
    if not cell.gain:
        return ""
    # \mathbf inside the mathematics: \textbf around it would leave the digits as they are
    style = r"\mathbf" if cell.certain else ""
    interval = rf"\ [{cell.low}, {cell.high}]" if cell.low else ""
    return rf"${style}{{{cell.gain}{interval}}}$"
