"""The length of the trainings: as many epochs as end within the requested minutes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import DejavuError
from .study import EVALUATIONS

FEWEST_EPOCHS, FEWEST_STEPS = 4, 100
"""of a training that says anything"""
MOST_EPOCHS, MOST_STEPS = 40, 2000
"""beyond both of these a network of this kind learns little more"""
CLOSING = 40.0
"""seconds for tables, figures and the page"""


@dataclass(frozen=True)
class Row:
    """Measured seconds of one row: of a step, of a validation, and of all else in a training."""

    step: float
    validation: float
    fixed: float

    def training(self, epochs: int, per_epoch: int) -> float:
        """Return the seconds of one training of so many epochs, measured at its end."""
        validations = min(EVALUATIONS, epochs) + 2  # with boundaries, the last one takes twice as long
        return self.fixed + validations * self.validation + epochs * per_epoch * self.step


def total(rows: Sequence[Row], epochs: int, per_epoch: int, seeds: int, workers: int) -> float:
    """Return the seconds of all seeds of both rows, `workers` trainings at a time."""
    each = [row.training(epochs, per_epoch) for row in rows]
    tail = 0.0 if workers == 1 else max(each) / 2  # the last one runs alone
    return seeds * sum(each) / workers + tail


def choose_epochs(
    rows: Sequence[Row], per_epoch: int, seeds: int, workers: int, minutes: float, spent: float
) -> int:
    """Return the largest number of epochs that ends in time; `spent` are the seconds that are gone already.

    Raises DejavuError, with the minutes or seeds that would do, where even the shortest takes too long.
    """
    fewest = max(FEWEST_EPOCHS, math.ceil(FEWEST_STEPS / per_epoch))
    most = max(MOST_EPOCHS, math.ceil(MOST_STEPS / per_epoch), fewest)
    left = 60 * minutes - spent - CLOSING
    if total(rows, fewest, per_epoch, seeds, workers) > left:
        needed = math.ceil((total(rows, fewest, per_epoch, seeds, workers) + spent + CLOSING) / 60)
        fits = [n for n in range(2, seeds) if total(rows, fewest, per_epoch, n, workers) <= left]
        fewer = f", or lower --seeds to {fits[-1]}" if fits else ""
        raise DejavuError(
            f"--minutes {minutes:g} is too short for {seeds} pairs of trainings of at least {fewest} epochs "
            f"on this machine: give --minutes {needed}{fewer}"
        )
    low, high = fewest, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if total(rows, middle, per_epoch, seeds, workers) <= left else (low, middle - 1)
        )
    return low


def row_of(measured: Mapping[str, float], startup: float) -> Row:
    """Return a row from what probe.py printed and the seconds that its process took beside."""
    return Row(measured["step"], measured["validation"], measured["fixed"] + startup)
