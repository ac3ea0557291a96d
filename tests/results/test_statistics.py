"""Means, t-intervals and paired differences, against scipy's own."""

import numpy as np
import pytest
from scipy import stats as reference

from mkd.results.statistics import interval, paired_delta


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
