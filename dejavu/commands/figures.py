"""`dejavu figures TABLE --scale S`: the figures that params.yaml lists for a table.

Curves come from logs (learning.py), the panel and the teaser from weights and images (panels.py), gains
per class from the metrics, and all other plots from the table's CSV (plots.py).
"""

from __future__ import annotations

import warnings

from ..config import Params
from ..config.paths import Paths
from ..errors import DejavuError
from ..reports.figures.learning import curves
from ..reports.figures.panels import panel, teaser
from ..reports.figures.plots import bands, classes, gains, tradeoff
from ..reports.figures.setting import Nothing
from ..reports.pairs import find_pairs

DRAW = {
    "curves": curves,
    "panel": panel,
    "gains": gains,
    "classes": classes,
    "tradeoff": tradeoff,
    "bands": bands,
    "teaser": teaser,
}
"""What draws each kind of figure."""


def run(params: Params, name: str, scale: str, partial: bool = False) -> None:
    """Draw the figures of a table.

    Raises DejavuError where the table lists none, no DejaVu row is run with its base, or what a figure is
    drawn from is missing. With `partial`, rows that are not there yet are left out, and a figure of which
    nothing is there is not drawn.
    """
    from ..reports.figures.elements.style import save

    table, paths = params.get_table(name), Paths(scale)
    if not table.figures:
        raise DejavuError(f"tables.{name}.figures lists none: write [curves, panel] or [gains]")
    find_pairs(params, name)
    drawn = []
    for kind in table.figures:
        try:
            save(DRAW[kind](params, name, scale, partial), paths.figure(name, kind))
        except Nothing as error:
            if not partial:
                raise
            warnings.warn(f"{paths.figure(name, kind)} is not drawn: {error}", stacklevel=2)
            continue
        drawn.append(str(paths.figure(name, kind)))
    print(f"{name} at scale {scale}: {', '.join(drawn) or 'nothing to draw yet'}")
