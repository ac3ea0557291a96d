"""How well a median is known from samples: its interval, without a distribution's name."""

from collections.abc import Sequence
from functools import cache

import numpy as np

NARROW = 0.02
"""An interval is narrow when both ends lie within this share of the median."""
APART = 0.1
"""Medians of restarts that lie further apart, as a share of their median, are not steady."""


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the median: two of the samples, by their ranks (binomial).

    Of fewer than six samples it is their extremes, which hold the median less often.
    """
    ordered = np.sort(np.asarray(samples, float))
    rank = _rank(len(ordered))
    return float(ordered[rank]), float(ordered[-1 - rank])


@cache
def _rank(count: int) -> int:
    """Samples that may be left out at each end: at most 2.5 % of the chance lies there."""
    if count > 1000:
        # The normal approximation, half a sample in from a step of the binomial.
        return int((count - 1 - 1.96 * count**0.5) / 2)
    ways, below, rank = 1, 0, 0
    while True:
        # Below counts the ways in which at most rank samples lie under the median.
        below += ways
        if below * 40 > 2**count:
            return max(rank - 1, 0)
        rank += 1
        ways = ways * (count - rank + 1) // rank
