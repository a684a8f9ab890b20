"""Sentence below a figure's title: scale, data, training and seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ....config import Params
from ...tables import Origin


def setting(
    params: Params, name: str, scale: str, split: str, path: Callable[[str, int], Path] | None
) -> str:
    """Return scale, data, training and seeds of a table's rows, in words.

    In an unfinished table only seeds with an existing file `path(experiment, seed)` count. None: all count.
    """
    measured = None
    if path is not None:
        runs = [params.run(experiment, scale) for experiment in params.get_table(name).experiments]
        existing = {
            run.experiment: tuple(seed for seed in run.seeds if path(run.experiment, seed).exists())
            for run in runs
        }
        measured = {experiment: seeds for experiment, seeds in existing.items() if seeds}
    origin = Origin.of(params, name, scale, split, measured)
    return " ".join(filter(None, [f"Scale {scale}: {origin.setting}.", origin.partial]))
