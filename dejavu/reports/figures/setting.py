"""What the figures of a table share: its setting, and the refusal to draw nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...config import Params
from ...errors import DejavuError
from ..tables import Origin


class Nothing(DejavuError):
    """There is nothing to draw a figure from."""


def setting(
    params: Params, name: str, scale: str, split: str, made: Callable[[str, int], Path] | None
) -> str:
    """Scale, data, training and seeds; of an unfinished table, of what `made` has files."""
    measured = None
    if made is not None:
        runs = [params.run(experiment, scale) for experiment in params.get_table(name).experiments]
        found = {
            run.experiment: tuple(seed for seed in run.seeds if made(run.experiment, seed).exists())
            for run in runs
        }
        measured = {experiment: seeds for experiment, seeds in found.items() if seeds}
    origin = Origin.of(params, name, scale, split, measured)
    return " ".join(filter(None, [f"Scale {scale}: {origin.setting}.", origin.partial]))
