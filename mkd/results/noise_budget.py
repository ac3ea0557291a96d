"""What the figures of a scale vary by, what so many seeds can find, and what is still missing.

All of it is computed from records. A difference is paired by seed, a test two-sided at 5 %.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import StatisticsError, correlation, fmean, mean, stdev
from typing import Any

import pandas as pd

from mkd.experiment.runs import Run, baseline_of
from mkd.experiment.suite import Suite
from mkd.results import seed_costs, statistics
from mkd.results.records import Records, ap_of
from mkd.results.seed_costs import COUNTS, Need, Step
from mkd.results.verdicts import Verdict

ONE_START = "tiny-one-stem"
"""The run whose seeds all begin with one network."""


@dataclass(frozen=True)
class Spread:
    """AP of an undistilled run over its seeds.

    Attributes:
        run: Its id.
        metric: ``box.AP`` or ``mask.AP``.
        seeds: Number of seeds.
        starts: Number of different networks the seeds began from; None where each draws its own.
        mean: In percent.
        sd: Standard deviation, None for one seed.
        range: Best minus worst, None for one seed.
    """

    run: str
    metric: str
    seeds: int
    starts: int | None
    mean: float
    sd: float | None
    range: float | None


@dataclass(frozen=True)
class Pairing:
    """A distilled run beside the undistilled one, seed by seed; or all of an architecture.

    Attributes:
        name: The run's id, or the architecture.
        pairs: Number of pairs; of an architecture the sum.
        correlation: Pearson's, of the two runs' AP; of an architecture that of all deviations
            from a run's own mean. None where one side has no spread.
        sd: Standard deviation of the differences; of an architecture pooled.
        smallest: Number of seeds → the smallest effect they find with a chance of 80 %.
    """

    name: str
    pairs: int
    correlation: float | None
    sd: float
    smallest: dict[int, float]


Sides = tuple[Sequence[float], Sequence[float]]
"""AP of a distilled run and of the undistilled one, seed by seed."""


@dataclass(frozen=True)
class Budget:
    """Everything the page says of noise."""

    scale: str
    spreads: list[Spread]
    val_set: dict[str, Any] | None
    pairings: list[Pairing]
    pooled: list[Pairing]
    needs: list[Need]
    steps: list[Step]


def build(records: Records, suite: Suite, judged: Sequence[Verdict]) -> Budget:
    """Compute the budget of one scale.

    Args:
        records: Of the scale.
        suite: The scale and its table of runs.
        judged: Its verdicts.
    """
    paired = list(_paired(records, suite.runs))
    needs = seed_costs.needs(judged, records)
    return Budget(
        suite.scale,
        list(_spreads(records, suite.runs)),
        records.measured.get("noise"),
        [_pairing(run.id, [sides]) for run, sides in paired],
        [
            _pairing(arch, [sides for run, sides in paired if run.arch == arch])
            for arch in dict.fromkeys(run.arch for run, _ in paired)
        ],
        needs,
        seed_costs.steps(needs, records, suite),
    )


def files(budget: Budget) -> dict[str, str]:
    """``noise-budget.json``, all of it, and ``noise-budget.csv``, an undecided claim a row."""
    columns = list(Need.__dataclass_fields__)
    needs = pd.DataFrame([asdict(need) for need in budget.needs], columns=columns)
    needs["runs"] = needs["runs"].map(" ".join)
    # Whole numbers, also where one is not known.
    needs = needs.astype({"needed": "Int64", "trainings": "Int64"})
    return {
        "noise-budget.json": json.dumps(asdict(budget), indent=1) + "\n",
        "noise-budget.csv": needs.to_csv(index=False),
    }


def _spreads(records: Records, runs: Mapping[str, Run]) -> Iterator[Spread]:
    for run in runs.values():
        # Without a table a run teaches alone, or is a known answer of the gates.
        if run.method != "baseline" or not (run.tables or run.id == ONE_START):
            continue
        metric = ap_of(run.arch)
        points = records.points(run.id, metric)
        if points:
            values = list(points.values())
            yield Spread(
                run.id,
                metric,
                len(values),
                _starts(records.by_run[run.id].values()),
                fmean(values),
                stdev(values) if len(values) > 1 else None,
                max(values) - min(values) if len(values) > 1 else None,
            )


def _starts(seeds: Iterable[Mapping[str, Any]]) -> int | None:
    begun = {record["digests"].get("start") for record in seeds}
    return None if None in begun else len(begun)


def _paired(records: Records, runs: Mapping[str, Run]) -> Iterator[tuple[Run, Sides]]:
    """Each distilled run of the tables with three pairs or more, and both its sides."""
    for run in runs.values():
        baseline = baseline_of(run.id, runs)
        if run.method == "baseline" or not run.tables or baseline is None:
            continue
        metric = ap_of(run.arch)
        ours, plain = records.points(run.id, metric), records.points(baseline, metric)
        seeds = sorted(ours.keys() & plain.keys())
        if len(seeds) >= min(COUNTS):
            yield run, ([ours[seed] for seed in seeds], [plain[seed] for seed in seeds])


def _pairing(name: str, paired: Sequence[Sides]) -> Pairing:
    """One run's, or those of all runs of an architecture pooled."""
    ours, plain = (
        [d for side in sides for d in _deviations(side)] for sides in zip(*paired, strict=True)
    )
    freedom = len(ours) - len(paired)
    sd = sqrt(sum((one - other) ** 2 for one, other in zip(ours, plain, strict=True)) / freedom)
    smallest = {count: sd * statistics.smallest_effect(count) for count in COUNTS}
    return Pairing(name, len(ours), _correlation(ours, plain), sd, smallest)


def _deviations(side: Sequence[float]) -> list[float]:
    # Exact, so that equal values have none.
    middle = mean(side)
    return [value - middle for value in side]


def _correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    try:
        return correlation(one, other)
    except StatisticsError:
        # One of them does not vary.
        return None
