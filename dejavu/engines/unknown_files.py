"""Files that are requested of Snakemake by a name that no rule makes: one sentence with the nearest names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from ..config import Params
from ..config.paths import FORMS, Paths
from ..errors import nearest
from .dependencies import figure_kinds

Tree = dict[str, Any]
"""names, and the tree of what is in each"""
FOLDERS = ("data", "checkpoints", "results")
"""the folders of all files that rules make"""


def known_files(params: Params) -> set[PurePath]:
    """Return the files that rules make at all scales."""
    files: set[PurePath] = set()
    kinds = figure_kinds(params)
    for name, scale in params.scales.items():
        paths = Paths(name)
        for dataset in scale.data:
            files |= {paths.raw_manifest(dataset), paths.report(dataset)}
        for row, experiment in params.experiments.items():
            made = [paths.weights, paths.log, paths.metrics]
            made += [] if experiment.dejavu is None else [paths.regenerator]
            seeds = params.run(row, name).seeds
            files |= {path(row, seed) for path in made for seed in seeds}
        files |= {paths.table(table, form) for table in params.tables for form in FORMS}
        files |= {paths.figure(table, kind) for table in kinds for kind in kinds[table]}
        files |= set(paths.verdicts) if params.claims else set()
    return files


def constraint(params: Params) -> str:
    """Return a regular expression of targets that no rule makes: files in `FOLDERS`, and words."""
    known = _expression(_tree(known_files(params)))
    return rf"(?!(?:{known})$)(?:(?:{'|'.join(FOLDERS)})/.+|\w+)"


def fault(params: Params, requested: str) -> str:
    """Describe what is wrong with such a target: a file, a folder, or a word."""
    if "/" not in requested:
        example = Paths(params.scale.name).table("TABLE", "md")
        return f"'{requested}' is no target: type `all`, or the name of a file such as {example}"
    return _fault(_tree(known_files(params)), requested)


def _tree(files: Iterable[PurePath]) -> Tree:
    """Return a mapping of names to what is in them; in a file is nothing."""
    tree: Tree = {}
    for file in files:
        within = tree
        for part in file.parts:
            within = within.setdefault(part, {})
    return tree


def _expression(tree: Tree) -> str:
    """Return a regular expression of the files in a tree; folders with the same files share it.

    >>> _expression(_tree([PurePath(name) for name in ("a/x", "a/y", "b/x", "b/y", "c")]))
    '(?:a|b)/(?:(?:x|y))|(?:c)'
    """
    names: dict[str, list[str]] = {}
    for name, within in tree.items():
        names.setdefault(_expression(within), []).append(re.escape(name))
    return "|".join(
        f"(?:{'|'.join(alike)})" + (f"/(?:{within})" if within else "") for within, alike in names.items()
    )


def _fault(tree: Tree, requested: str) -> str:
    """Name the first component that is unknown, with the nearest that there is.

    >>> tree = _tree([PurePath("results/demo/tables/pair.md"), PurePath("results/demo/tables/ablations.csv")])
    >>> _fault(tree, "results/demo/tables/pari.md")
    "no rule makes results/demo/tables/pari.md: 'pari' is unknown there, did you mean 'pair'?"
    >>> _fault(tree, "results/demos/tables/pair.md")
    "no rule makes results/demos/tables/pair.md: 'demos' is unknown there, did you mean 'demo'?"
    >>> _fault(tree, "results/demo/tables")
    'no rule makes results/demo/tables: it is a folder, and the name of a file is needed'
    """
    for part in PurePath(requested).parts:
        if part not in tree:
            stem, suffix = PurePath(part).stem, PurePath(part).suffix
            alike = {PurePath(name).stem for name in tree if PurePath(name).suffix == suffix}
            name, hint = (stem, nearest(stem, alike)) if alike - {stem} else (part, nearest(part, tree))
            return f"no rule makes {requested}: '{name}' is unknown there, {hint}"
        tree = tree[part]
    return f"no rule makes {requested}: it is a folder, and the name of a file is needed"
