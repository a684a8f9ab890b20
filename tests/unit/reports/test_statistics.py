"""Seed statistics against scipy.stats, closed forms and invariances."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dejavu.errors import DejavuError
from dejavu.reports.statistics import Gain, paired_difference, summary

VALUES = st.floats(-100, 100, allow_nan=False).map(lambda value: round(value, 3))
PAIRS = st.dictionaries(st.integers(0, 50), st.tuples(VALUES, VALUES), min_size=2, max_size=8)


def split(pairs: dict[int, tuple[float, float]]) -> tuple[dict[int, float], dict[int, float]]:
    return {seed: a for seed, (a, _) in pairs.items()}, {seed: b for seed, (_, b) in pairs.items()}


def test_summary_is_the_sample_deviation() -> None:
    # 2, 4, 4, 4, 5, 5, 7, 9: mean 5, squared deviations add up to 32
    assert summary([2, 4, 4, 4, 5, 5, 7, 9]) == (5.0, math.sqrt(32 / 7))


def test_summary_of_one_value_has_no_deviation_and_of_none_is_refused() -> None:
    assert summary([77.6]) == (77.6, None)
    with pytest.raises(DejavuError, match="at least one seed"):
        summary([])


def test_two_pairs_follow_the_cauchy_distribution() -> None:
    # One degree of freedom: t = tan(pi * (p - 1/2)); differences 1 and 3 have standard error 1.
    gain = paired_difference({0: 1.0, 1: 3.0}, {0: 0.0, 1: 0.0})
    t = math.tan(math.pi * 0.475)
    assert gain.mean == 2.0 and gain.n == 2
    assert (gain.low, gain.high) == pytest.approx((2 - t, 2 + t))


def test_only_common_seeds_count() -> None:
    gain = paired_difference({0: 1.0, 1: 3.0, 2: 90.0}, {1: 0.0, 0: 0.0, 5: -7.0})
    assert gain == paired_difference({0: 1.0, 1: 3.0}, {0: 0.0, 1: 0.0})


def test_one_pair_has_no_interval() -> None:
    assert paired_difference({3: 78.8}, {3: 77.6}) == Gain(pytest.approx(1.2), None, None, 1)


def test_no_pair_and_impossible_level_are_refused() -> None:
    with pytest.raises(DejavuError, match="no seed in common"):
        paired_difference({0: 1.0}, {1: 1.0})
    with pytest.raises(DejavuError, match="between 0 and 1"):
        paired_difference({0: 1.0}, {0: 1.0}, level=95)


@settings(deadline=None, max_examples=60)
@given(PAIRS, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_interval_equals_scipys_paired_t_test(pairs: dict[int, tuple[float, float]], level: float) -> None:
    ours, base = split(pairs)
    differences = {round(ours[seed] - base[seed], 3) for seed in ours}
    if len(differences) == 1:  # scipy gives nan where nothing varies; ours is the point itself
        gain = paired_difference(ours, base, level)
        assert (gain.low, gain.high) == pytest.approx((gain.mean, gain.mean), abs=1e-9)
        return
    seeds = sorted(ours)
    test = stats.ttest_rel([ours[s] for s in seeds], [base[s] for s in seeds])
    interval = test.confidence_interval(level)
    gain = paired_difference(ours, base, level)
    assert (gain.low, gain.high) == pytest.approx((interval.low, interval.high), rel=1e-7, abs=1e-7)


@settings(deadline=None, max_examples=60)
@given(PAIRS)
def test_swapping_the_runs_mirrors_the_gain(pairs: dict[int, tuple[float, float]]) -> None:
    ours, base = split(pairs)
    there, back = paired_difference(ours, base), paired_difference(base, ours)
    assert (there.mean, there.low, there.high) == (-back.mean, -back.high, -back.low)


@settings(deadline=None, max_examples=60)
@given(PAIRS, VALUES)
def test_a_shift_of_both_runs_changes_nothing(pairs: dict[int, tuple[float, float]], shift: float) -> None:
    ours, base = split(pairs)
    plain = paired_difference(ours, base)
    moved = paired_difference(
        {seed: value + shift for seed, value in ours.items()},
        {seed: value + shift for seed, value in base.items()},
    )
    assert (moved.mean, moved.low, moved.high) == pytest.approx(
        (plain.mean, plain.low, plain.high), rel=1e-7, abs=1e-7
    )
