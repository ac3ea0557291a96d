"""Means over seeds, their intervals, differences paired by seed, and what so many seeds can find.

Pure functions.

Intervals are Student's t for the mean of a few independent runs; they assume that the runs'
values are roughly normal, which three to five seeds cannot test.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, median, stdev

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, ttest_1samp
from scipy.stats import t as student_t

LEVEL = 0.95
POWER = 0.8
"""Chance of finding an effect that a number of seeds is said to be enough for."""


@dataclass(frozen=True)
class Interval:
    """A mean with all its points and its two-sided t-interval.

    Attributes:
        points: Every value, in the order given.
        mean: Their arithmetic mean.
        half_width: Half the interval's width in the unit of the points; None for one point,
            which says nothing about spread.
    """

    points: tuple[float, ...]
    mean: float
    half_width: float | None

    @property
    def low(self) -> float | None:
        """Lower end, or None for one point."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """Upper end, or None for one point."""
        return None if self.half_width is None else self.mean + self.half_width

    @property
    def sign(self) -> int:
        """1 if the whole interval is above zero, −1 if below, 0 if it holds zero or is unknown."""
        if self.half_width is None:
            return 0
        return (self.mean > self.half_width) - (self.mean < -self.half_width)


def interval(points: Iterable[float], level: float = LEVEL) -> Interval:
    """Mean and two-sided t-interval: half-width t(n − 1) · s / √n, s the sample deviation.

    Args:
        points: At least one finite value.
        level: Coverage, between 0 and 1.

    Raises:
        ValueError: No points, or one that is not finite.
    """
    values = tuple(float(point) for point in points)
    if not values:
        raise ValueError("an interval needs at least one point")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"every point must be finite, got {values}")
    n = len(values)
    mean = fmean(values)
    if n == 1:
        return Interval(values, mean, None)
    # What scipy's ``sem`` gives, without the half millisecond it takes to check its input.
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    return Interval(values, mean, _quantile(level, n - 1) * error)


@cache
def _quantile(level: float, freedom: int) -> float:
    return float(student_t.ppf((1 + level) / 2, freedom))


def paired_delta(
    left: Mapping[int, float], right: Mapping[int, float], level: float = LEVEL
) -> Interval | None:
    """Interval of ``left[seed] − right[seed]`` over the seeds both have, in ascending order.

    Args:
        left: Seed → value.
        right: Seed → value, in the same unit.
        level: Coverage of the interval.

    Returns:
        None where no seed is in both: unpaired runs are not compared.

    Raises:
        ValueError: A value is not finite.
    """
    seeds = sorted(left.keys() & right.keys())
    return interval((left[seed] - right[seed] for seed in seeds), level) if seeds else None


def p_value(interval: Interval) -> float | None:
    """Two-sided p of Student's t-test that the mean is zero; None for one point.

    Of paired differences it is the paired t-test: below 1 − level where the interval at that
    level does not hold zero. Points that are all equal give 1 where they are zero, and else 0.
    """
    points = interval.points
    if len(points) < 2:
        return None
    if np.std(points, ddof=1) == 0:
        return float(interval.mean == 0)
    return float(ttest_1samp(points, 0).pvalue)


def least_ratio(points: int, tests: int) -> float:
    """Mean over standard deviation with which a t-test is the first that Holm's correction leaves.

    Args:
        points: How many the mean is of, two or more.
        tests: How many tests there are.
    """
    return float(student_t.isf((1 - LEVEL) / tests / 2, points - 1)) / points**0.5


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number, in the order given (Holm 1979, step-down).

    Where those below 0.05 are rejected, the chance that any of them was true is at most 5 %.
    """
    corrected, least = [0.0] * len(values), 0.0
    for rank, at in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = max(least, min(1.0, (len(values) - rank) * values[at]))
        corrected[at] = least
    return corrected


def power(effect: float, n: int) -> float:
    """Chance that n paired differences tell an effect from zero (two-sided t-test).

    Args:
        effect: Mean of the differences over their standard deviation, at least 0.
        n: Number of pairs, at least 2.
    """
    bound, shift = student_t.ppf((1 + LEVEL) / 2, n - 1), effect * math.sqrt(n)
    # Symmetric: the lower tail is the upper one of the opposite effect.
    return float(nct.sf(bound, n - 1, shift) + nct.sf(bound, n - 1, -shift))


WIDE = 3
"""An interval that is more than so many times as wide as the median one widens no axis."""


def usual_ends(deltas: Iterable[Interval]) -> list[float]:
    """The ends of all intervals of usual width, of one point twice itself: what an axis holds.

    A single wide one would make points of the others.
    """
    found = [(delta.mean, delta.half_width) for delta in deltas]
    widths = [half for _, half in found if half is not None]
    most = WIDE * median(widths) if widths else 0.0
    usual = [(mean, half or 0.0) for mean, half in found if (half or 0.0) <= most]
    return [end for mean, half in usual for end in (mean - half, mean + half)]


@cache
def smallest_effect(n: int) -> float:
    """The smallest effect, in standard deviations of the paired differences, that n pairs find.

    Args:
        n: Number of pairs, at least 2.
    """
    return float(brentq(lambda effect: power(effect, n) - POWER, 0.0, 50.0))


def pairs_needed(delta: Interval, most: int) -> int | None:
    """Pairs with which a difference would be found if it is as large and as noisy as observed.

    Args:
        delta: Paired differences, two or more.
        most: As far as is looked.

    Returns:
        At least 2; None where even ``most`` are too few.

    Raises:
        ValueError: There is one difference, which says nothing about spread.
    """
    if len(delta.points) < 2:
        raise ValueError("one difference says nothing about spread")
    spread = stdev(delta.points)
    if spread == 0:
        return 2 if delta.mean else None
    # Beyond fifty, which any two pairs find, the distribution cannot be computed.
    effect = min(50.0, abs(delta.mean) / spread)
    counts = range(2, most + 1)
    at = bisect_left(counts, POWER, key=lambda n: power(effect, n))
    return counts[at] if at < len(counts) else None
