"""Tests of paired differences: p values, their correction over a family, and what a test could have shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from .statistics import summary

LEVEL = 0.05
"""corrected p values below it decide a claim"""
POWER = 0.8
"""the probability of a decision at the smallest detectable gain"""
MOST_SEEDS = 10**6
FLAT = 1e-9  # relative spread of differences that is rounding alone


def spread(differences: Sequence[float], size: float) -> float:
    """Return the sample deviation of paired differences of values as large as `size`.

    It is 0 for fewer than two differences, and for those that differ by rounding only.

    >>> spread([0.1, 0.3 - 0.2, 50.1 - 50.0], 50.1)
    0.0
    """
    deviation = summary(differences)[1] or 0.0
    return deviation if deviation > FLAT * abs(size) else 0.0


def better_probability(ours: Iterable[float], base: Iterable[float], higher_is_better: bool) -> float:
    """Return the probability that one of `ours` is better than one of `base`: over all pairs, ties as half.

    Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (NeurIPS 2021):
    Mann and Whitney's U divided by the number of pairs.

    >>> better_probability([1.0, 3.0], [2.0, 1.0], True)  # 1 < 2, 1 = 1, 3 > 2, 3 > 1
    0.625
    """
    sign = 1 if higher_is_better else -1
    theirs = list(base)
    wins = [(sign * one > sign * other) + (one == other) / 2 for one in ours for other in theirs]
    return math.fsum(wins) / len(wins)


def paired_p(mean: float, deviation: float, count: int) -> float | None:
    """Return the two-sided p value of the paired t test; None without a spread.

    Args:
        mean: of the differences.
        deviation: their sample deviation.
        count: their number.
    """
    if count < 2 or deviation == 0:
        return None
    from scipy.special import stdtr  # late, and not scipy.stats: that takes a second to import

    return 2 * float(stdtr(count - 1, -abs(mean) / deviation * math.sqrt(count)))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return the p values of a family, corrected by Holm's method; those without a test count as 1.

    >>> holm([0.01, None])
    [0.02, None]
    """
    from statsmodels.stats.multitest import multipletests

    if not values:
        return []
    corrected = multipletests([1.0 if one is None else one for one in values], method="holm")[1]
    return [None if one is None else float(new) for one, new in zip(values, corrected.tolist(), strict=True)]


def detectable(deviation: float, count: int, level: float = LEVEL) -> float | None:
    """Return the smallest true gain that the two-sided paired t test at `level` shows with a power of 80 %.

    `deviation` is the spread of the differences, `count` their number. None without a spread.
    """
    if count < 2 or deviation == 0:
        return None
    from scipy.optimize import brentq
    from statsmodels.stats.power import TTestPower

    # Not TTestPower.solve_power: for few pairs its effect has less power than requested (5 pairs at 0.001:
    # 0.58). Nor the two-sided power: it is nan for large effects, and counts decisions for the wrong sign.
    def lacking(effect: float) -> float:
        return POWER - float(TTestPower().power(effect, count, level / 2, alternative="larger"))

    high = 1e-3
    while lacking(high) > 0:
        high *= 1.1
    return deviation * float(brentq(lacking, high / 1.1, high))


def half_width(deviation: float, count: int, level: float = 1 - LEVEL) -> float:
    """Return half the width of Student's interval of a mean of `count` differences."""
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, (1 + level) / 2)) * deviation / math.sqrt(count)


def seeds_for(deviation: float, width: float) -> int:
    """Return the fewest seeds, 2 or more, whose interval is at most `width` to each side of its mean.

    >>> seeds_for(0.0, 0.1), seeds_for(0.3, 0.2)
    (2, 12)
    """
    return _first(lambda count: half_width(deviation, count) <= width)


def upper_spread(deviation: float, count: int, level: float = POWER) -> float:
    """Return the one-sided upper limit of the true spread, from the spread of `count` differences."""
    from scipy.special import chdtri

    return deviation * math.sqrt((count - 1) / float(chdtri(count - 1, level)))


def _first(holds: Callable[[int], bool]) -> int:
    """Return the first number from 2 on that holds, of those that all hold after it; at most MOST_SEEDS."""
    low, high = 1, 2
    while not holds(high) and high < MOST_SEEDS:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return min(high, MOST_SEEDS)
