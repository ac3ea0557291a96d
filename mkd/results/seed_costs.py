"""What is still undecided, and how many seeds, trainings and minutes would decide it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from mkd.experiment import config, paths
from mkd.experiment.suite import Suite
from mkd.results import statistics, verdicts
from mkd.results.records import Records
from mkd.results.verdicts import Verdict

COUNTS = (3, 5, 10)
"""Numbers of seeds of which is said what they can find."""
MOST = 50
"""Seeds beyond which an effect counts as too small to look for."""


@dataclass(frozen=True)
class Need:
    """An undecided claim.

    Attributes:
        claim: Its id.
        comparison: What is compared, in words.
        runs: Ids of the runs that are compared.
        word: Its verdict.
        delta: Mean difference so far, None without a pair.
        pairs: Paired seeds so far.
        needed: Pairs with which the effect, if it is as observed, is found with a chance of
            80 %; without a spread those of the rule. None beyond :data:`MOST`.
        tested: Whether there is a spread to tell it from.
        trainings: Runs and seeds that are still missing, None where ``needed`` is.
        minutes: What they take on one machine, one after the other; None where ``needed`` is.
    """

    claim: str
    comparison: str
    runs: tuple[str, ...]
    word: str
    delta: float | None
    pairs: int
    needed: int | None
    tested: bool
    trainings: int | None
    minutes: float | None


@dataclass(frozen=True)
class Step:
    """All runs that `reproduce` makes, with so many seeds.

    Attributes:
        seeds: Of every run.
        decided: Undecided claims of known effect and spread, on runs that the command adds seeds
            to, that so many seeds should decide.
        trainings: That are still missing for it.
        minutes: What those take, one after the other.
        unknown: How many of them are of runs without a record, which are not in the minutes.
        starts: Networks they start from that nobody has trained yet, not in the minutes either.
        command: What adds them.
    """

    seeds: int
    decided: int
    trainings: int
    minutes: float
    unknown: int
    starts: int
    command: str


def needs(judged: Sequence[Verdict], records: Records) -> list[Need]:
    """Every undecided claim with what it still needs.

    Args:
        judged: The verdicts of one scale.
        records: Of that scale.
    """
    return [_need(verdict, records) for verdict in judged if _undecided(verdict)]


def steps(needed: Sequence[Need], records: Records, suite: Suite) -> list[Step]:
    """What each of :data:`COUNTS` would decide and cost that adds trainings and takes none away.

    Args:
        needed: From :func:`needs`.
        records: Of the scale.
        suite: The scale and its table of runs.
    """
    planned = max(len(suite.seeds(run)) for run in suite.runs)
    made = [_step(count, needed, records, suite) for count in COUNTS if count >= planned]
    return [step for step in made if step.trainings]


def _undecided(verdict: Verdict) -> bool:
    return verdict.claim.kind == "greater" and verdict.word in (
        verdicts.NOISE,
        verdicts.NOT_TESTED,
    )


def _need(verdict: Verdict, records: Records) -> Need:
    claim, delta = verdict.claim, verdict.delta
    pairs = len(delta.points) if delta else 0
    tested = delta is not None and pairs > 1
    needed: int | None = claim.min_seeds
    if delta is not None and tested:
        needed = statistics.pairs_needed(delta, MOST)
        needed = needed and max(needed, claim.min_seeds)
    runs = dict.fromkeys([*claim.left, *claim.right])
    seeds = _wanted(needed or 0, [records.points(run, claim.metric) for run in runs])
    missing = {run: len(seeds - records.points(run, claim.metric).keys()) for run in runs}
    minutes = [count * _minutes(records, run) for run, count in missing.items()]
    return Need(
        claim.id,
        claim.comparison,
        tuple(runs),
        verdict.word,
        delta.mean if delta else None,
        pairs,
        needed,
        tested,
        sum(missing.values()) if needed else None,
        sum(minutes) if needed else None,
    )


def _wanted(count: int, sides: Sequence[Mapping[int, Any]]) -> set[int]:
    """The seeds of so many pairs for the fewest trainings: those that most sides have, first."""
    have = Counter(seed for side in sides for seed in side)
    order = sorted({*have, *range(count)}, key=lambda seed: (-have[seed], seed))
    return set(order[:count])


def _step(count: int, needs: Sequence[Need], records: Records, suite: Suite) -> Step:
    seeds = list(range(count))
    wanted = replace(suite, config={**suite.config, "seeds": seeds})
    missing = {
        # Weights that are taken cost no training.
        run: set[int]()
        if suite.taken(run)
        else set(wanted.seeds(run)) - records.by_run.get(run, {}).keys()
        for run in filter(suite.scored, suite.planned)
    }
    starts = {wanted.start(run, seed) for run, left in missing.items() for seed in left} - {None}
    untrained = [s for s in starts if s and not Path(paths.kept_weights(wanted, *s)).is_file()]
    known = {run: len(left) for run, left in missing.items() if run in records.by_run}
    trainings = sum(map(len, missing.values()))
    # Readings are none of what the command makes.
    added = [need for need in needs if need.tested and missing.keys() >= set(need.runs)]
    return Step(
        count,
        sum(need.needed is not None and need.needed <= count for need in added),
        trainings,
        sum(number * _minutes(records, run) for run, number in known.items()),
        trainings - sum(known.values()),
        len(untrained),
        f"snakemake reproduce {config.arguments(config.replaced(wanted))}",
    )


def _minutes(records: Records, run: str) -> float:
    """Mean wall time of a training and its evaluation."""
    return fmean(record["wall_s"] for record in records.by_run[run].values()) / 60
