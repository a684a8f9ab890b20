"""Metrics of the rows of all claims -> CSV, Markdown, LaTeX and the forest plot."""

from __future__ import annotations

from ...config import Params
from ...config.paths import VERDICTS, Paths
from ...errors import DejavuError
from ...system.files import write_text
from .caption import counted
from .decide import verdicts
from .forest import draw
from .forms import csv, latex, markdown


def write_verdicts(params: Params, scale: str) -> str:
    """Write the files; return a sentence with the number of claims by verdict.

    Raises DejavuError if params.yaml has no claims, or if metrics belong to another configuration.
    """
    if not params.claims:
        raise DejavuError("params.yaml has no 'claims' that could be decided (docs/evidence.md has some)")
    from ..figures.elements.style import save

    paths, decided = Paths(scale), verdicts(params, scale)
    forms = {
        "csv": csv(decided, scale),
        "md": markdown(params, scale, decided),
        "tex": latex(params, scale, decided),
    }
    for form, text in forms.items():
        write_text(paths.table(VERDICTS, form), text)
    save(draw(params, scale, decided), paths.figure(VERDICTS, "forest"))
    return f"claims at scale {scale}: {counted(decided)}, {paths.table(VERDICTS, 'md')}"
