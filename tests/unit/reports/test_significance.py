"""Tests of paired differences against scipy, textbook examples, closed forms and simulation."""

from __future__ import annotations

import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from dejavu.reports.significance import (
    better_probability,
    detectable,
    half_width,
    holm,
    paired_p,
    seeds_for,
    spread,
    upper_spread,
)
from dejavu.reports.statistics import paired_difference, summary

VALUES = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=9)


@settings(deadline=None, max_examples=60)
@given(VALUES, VALUES)
def test_the_probability_of_improvement_is_mann_whitneys(ours: list[float], base: list[float]) -> None:
    u = stats.mannwhitneyu(ours, base, method="asymptotic").statistic
    assert better_probability(ours, base, True) == pytest.approx(u / (len(ours) * len(base)))
    assert better_probability(ours, base, True) + better_probability(base, ours, True) == pytest.approx(1)
    assert better_probability(ours, base, False) == better_probability(base, ours, True)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=12).filter(lambda v: len({*v}) > 1))
def test_the_p_value_is_scipys_paired_test(differences: list[float]) -> None:
    mean, deviation = summary(differences)
    expected = stats.ttest_rel(differences, [0.0] * len(differences)).pvalue
    assert paired_p(mean, deviation or 0.0, len(differences)) == pytest.approx(expected, rel=1e-9)


def test_p_value_and_interval_agree() -> None:
    """The interval excludes 0 where the p value is below 0.05."""
    generator = np.random.default_rng(0)
    for _ in range(300):
        values = generator.normal(0.8, 1, 6).tolist()
        gain = paired_difference(dict(enumerate(values)), dict.fromkeys(range(6), 0.0))
        mean, deviation = summary(values)
        p = paired_p(mean, deviation or 0.0, 6)
        assert gain.low is not None and gain.high is not None and p is not None
        assert (gain.low > 0 or gain.high < 0) == (p < 0.05)


def test_there_is_no_test_without_a_spread() -> None:
    assert paired_p(1.0, 0.0, 5) is None and paired_p(1.0, 0.5, 1) is None
    assert detectable(0.0, 5) is None and detectable(0.5, 1) is None
    assert spread([0.25], 50.0) == 0
    assert spread([50.1 - 50.0, 50.3 - 50.2, 60.4 - 60.3], 60.4) == 0  # the same up to rounding
    assert spread([0.1, 0.2], 50.0) == pytest.approx(0.1 / math.sqrt(2))


def test_holm_corrects_the_textbook_example() -> None:
    """Four hypotheses as in Holm's step-down procedure: 4 x 0.005, 3 x 0.01, 2 x 0.03, then no smaller."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]  # at most 1
    assert holm([]) == []


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=7), st.integers(0, 3))
def test_claims_without_a_test_count_as_one(values: list[float], missing: int) -> None:
    with mock.patch("gc.collect"):  # statsmodels calls it each time: seconds where many modules are loaded
        corrected = holm([*values, *[None] * missing])
        plain = holm([*values, *[1.0] * missing])
    assert corrected[len(values) :] == [None] * missing
    assert corrected[: len(values)] == pytest.approx(plain[: len(values)])
    order = np.argsort(values, kind="stable")
    steps = [(len(values) + missing - rank) * values[one] for rank, one in enumerate(order)]
    by_hand = np.minimum(1, np.maximum.accumulate(steps))
    assert [corrected[one] for one in order] == pytest.approx(list(by_hand))


@pytest.mark.parametrize("count", [2, 3, 5, 10, 20, 100])
@pytest.mark.parametrize("level", [0.05, 0.01, 0.002])
def test_the_detectable_gain_has_the_power(count: int, level: float) -> None:
    gain = detectable(0.4, count, level)
    assert gain is not None
    scaled = gain / 0.4 * math.sqrt(count)
    edge = stats.t.isf(level / 2, count - 1)
    assert stats.nct.sf(edge, count - 1, scaled) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("count", [10, 20, 40])
def test_the_detectable_gain_is_that_of_statsmodels(count: int) -> None:
    """Where its solver works, which for a few pairs it does not."""
    expected = TTestPower().solve_power(nobs=count, alpha=0.05, power=0.8)
    assert detectable(1.0, count) == pytest.approx(expected, rel=1e-4)


def test_simulated_studies_decide_as_often_as_planned() -> None:
    """Coverage of the interval, the level of the test without an effect, and its power at the gain."""
    generator, count, studies = np.random.default_rng(7), 8, 4000
    gain = detectable(1.0, count)
    assert gain is not None
    noise = generator.normal(0, 1, (studies, count))
    for shift, share in ((0.0, 0.05), (gain, 0.8)):
        decided = covered = 0
        for values in noise + shift:
            mean, deviation = float(values.mean()), float(values.std(ddof=1))
            decided += (paired_p(mean, deviation, count) or 1) < 0.05
            covered += abs(mean - shift) <= half_width(deviation, count)
        assert decided / studies == pytest.approx(share, abs=0.02)
        assert covered / studies == pytest.approx(0.95, abs=0.015)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.01, 5), st.floats(0.01, 5))
def test_seeds_are_the_fewest_that_do(deviation: float, width: float) -> None:
    count = seeds_for(deviation, width)
    quantile = stats.t.ppf(0.975, count - 1)
    assert quantile * deviation / math.sqrt(count) <= width * (1 + 1e-9)
    if count > 2:
        assert stats.t.ppf(0.975, count - 2) * deviation / math.sqrt(count - 1) > width * (1 - 1e-9)


def test_seeds_of_no_spread_and_of_a_hopeless_width() -> None:
    assert seeds_for(0.0, 0.1) == 2
    assert seeds_for(1.0, 1e-9) == 10**6


def test_the_upper_limit_of_the_spread_holds_as_often_as_it_says() -> None:
    draws = np.random.default_rng(3).normal(0, 1, (4000, 5)).std(axis=1, ddof=1)
    assert np.mean([upper_spread(float(one), 5) >= 1 for one in draws]) == pytest.approx(0.8, abs=0.02)
