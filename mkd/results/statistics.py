"""Means over seeds, their intervals, and differences paired by seed. Pure functions.

Intervals are Student's t for the mean of a few independent runs; they assume that the runs'
values are roughly normal, which three to five seeds cannot test.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from scipy.stats import sem
from scipy.stats import t as student_t

LEVEL = 0.95


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
    return Interval(values, mean, float(student_t.ppf((1 + level) / 2, n - 1) * sem(values)))


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
