"""Means, t-intervals and paired differences, against scipy's own."""

import numpy as np
import pytest
from scipy import stats as reference

from mkd.results.statistics import (
    holm,
    interval,
    p_value,
    paired_delta,
    pairs_needed,
    power,
    smallest_effect,
)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_interval_is_scipys(n, level):
    points = np.random.default_rng(n).normal(41.0, 0.3, n)
    ours = interval(points, level)
    low, high = reference.t.interval(level, n - 1, loc=points.mean(), scale=reference.sem(points))
    assert ours.mean == pytest.approx(points.mean(), rel=1e-12)
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-9)


def test_points_are_kept_in_order():
    assert interval([3, 1, 2]).points == (3.0, 1.0, 2.0)


def test_one_point_has_no_interval_and_no_sign():
    one = interval([41.1])
    assert (one.mean, one.half_width, one.low, one.high, one.sign) == (41.1, None, None, None, 0)


def test_equal_points_have_an_interval_of_no_width():
    assert interval([0.25] * 3).half_width == 0
    assert interval([0.25] * 3).sign == 1
    assert interval([0.0] * 3).sign == 0


@pytest.mark.parametrize("shift", [-0.5, -0.05, 0.0, 0.05, 0.5])
def test_sign_agrees_with_the_paired_t_test(shift):
    rng = np.random.default_rng(7)
    left = rng.normal(40 + shift, 0.1, 5)
    right = rng.normal(40, 0.1, 5)
    delta = paired_delta(dict(enumerate(left)), dict(enumerate(right)))
    test = reference.ttest_rel(left, right)
    assert (delta.sign != 0) == (test.pvalue < 0.05)
    if delta.sign:
        assert delta.sign == np.sign(test.statistic)


def test_pairs_are_the_seeds_of_both_in_ascending_order():
    delta = paired_delta({2: 5.0, 0: 1.0, 9: 7.0}, {0: 0.5, 2: 1.0, 4: 3.0})
    assert delta.points == (0.5, 4.0)


def test_without_a_common_seed_there_is_no_delta():
    assert paired_delta({0: 1.0}, {1: 1.0}) is None
    assert paired_delta({}, {}) is None


@pytest.mark.parametrize("points", [[], [1.0, float("nan")], [float("inf")]])
def test_no_or_infinite_points_are_refused(points):
    with pytest.raises(ValueError, match="point"):
        interval(points)


@pytest.mark.parametrize("shift", [-0.5, 0.0, 0.05])
def test_p_is_the_paired_t_tests(shift):
    rng = np.random.default_rng(3)
    left, right = rng.normal(40 + shift, 0.1, 4), rng.normal(40, 0.1, 4)
    delta = paired_delta(dict(enumerate(left)), dict(enumerate(right)))
    assert p_value(delta) == pytest.approx(reference.ttest_rel(left, right).pvalue, rel=1e-9)


def test_p_of_one_point_and_of_equal_points():
    assert p_value(interval([0.7])) is None
    assert p_value(interval([0.25] * 3)) == 0
    assert p_value(interval([0.0] * 3)) == 1


def test_holm_steps_down_and_keeps_the_order():
    # 4 · 0.005, 3 · 0.01, 2 · 0.03 and, not below the one before, 0.04.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_power_is_what_a_simulation_finds():
    draws = np.random.default_rng(0).normal(0.8, 1, (20_000, 6))
    found = reference.ttest_1samp(draws, 0, axis=1).pvalue < 0.05
    assert power(0.8, 6) == pytest.approx(found.mean(), abs=0.01)
    assert power(0.0, 6) == pytest.approx(0.05)
    # Textbook value: n = 10, one standard deviation, two-sided 5 %.
    assert power(1.0, 10) == pytest.approx(0.803, abs=0.001)


def test_more_pairs_find_smaller_effects():
    effects = [smallest_effect(n) for n in (3, 5, 10, 30)]
    assert effects == sorted(effects, reverse=True)
    for n, effect in zip((3, 5, 10, 30), effects, strict=True):
        assert power(effect, n) == pytest.approx(0.8, abs=1e-6)


def test_pairs_needed_are_the_first_that_are_enough():
    points = [0.2, 1.0, 0.6]
    needed = pairs_needed(interval(points), 100)
    effect = 0.6 / np.std(points, ddof=1)
    assert power(effect, needed) >= 0.8 > power(effect, needed - 1)
    assert pairs_needed(interval([-p for p in points]), 100) == needed
    assert pairs_needed(interval([0.1, -0.1, 0.001]), 100) is None
    assert pairs_needed(interval([0.7, 0.7]), 100) == 2
    assert pairs_needed(interval([0.0, 0.0]), 100) is None
    assert pairs_needed(interval([1e6, 1e6 + 1e-9, 1e6]), 100) == 2
    with pytest.raises(ValueError, match="spread"):
        pairs_needed(interval([0.7]), 100)
