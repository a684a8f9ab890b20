"""Mean and spread over seeds, and the paired difference, from which every gain is computed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import DejavuError


@dataclass(frozen=True)
class Gain:
    """A mean paired difference, in the metric's own unit and sign, and its confidence interval.

    `low` and `high` are None if one seed gives no interval; `n` is the number of pairs.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


def summary(values: Iterable[float]) -> tuple[float, float | None]:
    """Return mean and sample standard deviation (n - 1); the deviation of one value is None.

    >>> summary([1.0, 2.0, 3.0])
    (2.0, 1.0)
    >>> summary([4.0])
    (4.0, None)
    """
    numbers = list(values)
    if not numbers:
        raise DejavuError("there is no value to average: at least one seed is needed")
    # fsum, so that the order of the seeds cannot change the last digit
    mean = math.fsum(numbers) / len(numbers)
    if len(numbers) == 1:
        return mean, None
    squares = math.fsum((number - mean) ** 2 for number in numbers)
    return mean, math.sqrt(squares / (len(numbers) - 1))


def paired_difference(ours: Mapping[int, float], base: Mapping[int, float], level: float = 0.95) -> Gain:
    """Return the mean of `ours - base` over seeds and its Student's t interval at confidence `level`.

    Only common seeds are used: the same seed means the same initial weights and batches, so the difference
    removes most of the common variance. Raises DejavuError if there is no common seed.

    >>> paired_difference({0: 2.0, 1: 3.0, 7: 9.0}, {0: 1.0, 1: 2.0})
    Gain(mean=1.0, low=1.0, high=1.0, n=2)
    """
    if not 0 < level < 1:
        raise DejavuError(f"a confidence level lies between 0 and 1, not at {level}")
    seeds = sorted(ours.keys() & base.keys())
    if not seeds:
        raise DejavuError(f"no seed in common: {sorted(ours)} and {sorted(base)}; train both with the same")
    mean, deviation = summary(ours[seed] - base[seed] for seed in seeds)
    if deviation is None:
        return Gain(mean, None, None, 1)
    from scipy.special import stdtrit  # late, and not scipy.stats: that takes a second to import

    half = float(stdtrit(len(seeds) - 1, (1 + level) / 2)) * deviation / math.sqrt(len(seeds))
    return Gain(mean, mean - half, mean + half, len(seeds))
