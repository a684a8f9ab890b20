"""`dejavu figures TABLE --scale S`: the figures that params.yaml lists for a table."""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING

from ..errors import DejavuError, closest
from .common import add_name, add_partial, job

if TYPE_CHECKING:
    from ..config import Params


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the table's name and `--partial`."""
    add_name(parser, "table")
    add_partial(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    with job(args) as (params, scale):
        draw_figures(params, args.name, scale, args.partial)


def _check_name(params: Params, name: str) -> None:
    """Raise DejavuError for the name of a figure in place of a table's."""
    listing = {kind: key for key, table in reversed(params.tables.items()) for kind in table.figures}
    kind = closest(name, listing)
    if name not in params.tables and kind and closest(name, [kind, *params.tables]) == kind:
        meant = (
            f"'{name}' is a figure" if name == kind else f"unknown figure '{name}', did you mean '{kind}'?"
        )
        raise DejavuError(
            f"{meant}: figures are drawn by table, {kind} with the others of {listing[kind]} by "
            f"`dejavu figures {listing[kind]}`"
        )


def draw_figures(params: Params, name: str, scale: str, partial: bool = False) -> None:
    """Draw the figures of a table.

    Raises DejavuError if the table lists no figure, if no DejaVu row is run with its base, or if an input of
    a figure is missing. With `partial`, rows without results are left out, and a figure without any row is
    not drawn.
    """
    from ..config.paths import Paths
    from ..reports.figures import NothingToDraw, load_kind
    from ..reports.figures.elements.style import save
    from ..reports.pairs import find_pairs

    _check_name(params, name)
    table, paths = params.get_table(name), Paths(scale)
    if not table.figures:
        raise DejavuError(f"tables.{name}.figures lists none: write [curves, panel] or [gains]")
    find_pairs(params, name)
    drawn = []
    for kind in table.figures:
        figure, path = load_kind(kind), paths.figure(name, kind)
        try:
            save(figure.draw(figure.collect(params, name, scale, partial)), path)
        except NothingToDraw as error:
            if not partial:
                raise
            warnings.warn(f"{path} is not drawn: {error}", stacklevel=2)
            continue
        drawn.append(str(path))
    print(f"{name} at scale {scale}: {', '.join(drawn) or 'nothing to draw yet'}")
