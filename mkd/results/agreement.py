"""Does a short protocol say what the long one says? Effects of two scales, sign by sign."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from math import isnan
from pathlib import Path

from scipy.stats import kendalltau

from mkd.experiment.labels import run_name
from mkd.experiment.runs import Run, baseline_of
from mkd.experiment.suite import Suite
from mkd.results import reference, statistics
from mkd.results.formats import number
from mkd.results.records import Records, ap_of, load_folder
from mkd.results.statistics import Interval

SAME, OPPOSITE, OPEN = "the same sign", "opposite signs", "open"
WORDS = (SAME, OPPOSITE, OPEN)
AGAINST = " against "
"""Between the names of two runs."""
NAMED = 3
"""So many differences that the two agree or disagree on are named in a sentence."""


@dataclass(frozen=True)
class Effect:
    """A difference that both scales measured.

    Attributes:
        name: What is compared with what.
        ours: The paired difference at this scale, in percent.
        theirs: At the other.
        word: One of :data:`WORDS`; open where an interval holds zero, or of too few seeds.
    """

    name: str
    ours: Interval
    theirs: Interval
    word: str


@dataclass(frozen=True)
class Level:
    """What a run reaches at both scales.

    Attributes:
        name: The run's.
        ours: Its AP over seeds at this scale, in percent.
        theirs: At the other.
    """

    name: str
    ours: Interval
    theirs: Interval


@dataclass(frozen=True)
class Agreement:
    """Two scales side by side.

    Attributes:
        scale: This scale.
        other: The other.
        records: Records the other scale has.
        levels: Each run that both have, distilled or not.
        gains: Each distilled run minus the undistilled one.
        order: Each pair of distilled runs of one architecture.
        rank: Kendall's τ of the mean gains, None below three of them.
    """

    scale: str
    other: str
    records: int
    levels: list[Level]
    gains: list[Effect]
    order: list[Effect]
    rank: float | None

    @property
    def decided(self) -> str:
        """What both decide, by rule."""
        both = [*self.gains, *self.order]
        alike, against = ([e for e in both if e.word == word] for word in (SAME, OPPOSITE))
        if not alike and not against:
            return f"None of the {len(both)} differences is decided by both protocols."
        sides = (("agree", alike, "over"), ("disagree", against, "against"))
        said = " and ".join(
            f"{word} on {len(effects)} ({_listed([_short(effect, link) for effect in effects])})"
            for word, effects, link in sides
            if effects
        )
        return (
            f"Of {len(both)} differences both protocols decide {len(alike) + len(against)}. They "
            f"{said}."
        )

    @property
    def sentence(self) -> str:
        """The finding, by rule."""
        if not self.gains:
            found = (
                "no record" if not self.records else "no gain that this scale has measured as well"
            )
            return f"Not run: {self.other} scale has {found}."
        rank = (
            ""
            if self.rank is None
            else f" Rank correlation (Kendall’s τ) of the {len(self.gains)} mean gains: "
            f"{number(self.rank, 2)}."
        )
        return (
            f"{self.decided} Gains over no distillation: {_counts(self.gains)}. "
            f"Order of two methods: {_counts(self.order)}.{rank} These are differences of "
            f"{self._runs()} runs, so they do not count as so many findings."
        )

    def _runs(self) -> int:
        """How many runs the differences are of."""
        names = (effect.name.split(AGAINST) for effect in (*self.gains, *self.order))
        return len(set(chain.from_iterable(names)))


def other_records(suite: Suite, kept: Path | None = None) -> Records | None:
    """Records of the scale this one is compared with: a run's own, or else those kept as reference.

    Args:
        suite: The scale.
        kept: Where its own records are kept as reference, if it is those that are shown: then the
            other's are those kept beside them.

    Returns:
        None where this scale is compared with no other.
    """
    other = suite.settings.longer
    if other is None:
        return None
    if kept is not None:
        return load_folder(kept.parent / other, other)
    own = load_folder(suite.results.parent / other, other)
    return own if own.by_run else load_folder(reference.folder(other), other)


def compare(ours: Records, theirs: Records, runs: Mapping[str, Run], min_seeds: int) -> Agreement:
    """Lay every difference that both scales measured side by side.

    Args:
        ours: Records of this scale.
        theirs: Of the other.
        runs: The table of runs, by id.
        min_seeds: Paired seeds without which a scale decides nothing.
    """
    gains = list(_gains(ours, theirs, runs, min_seeds))
    means = [[e.ours.mean for e in gains], [e.theirs.mean for e in gains]]
    rank = float(kendalltau(*means).statistic) if len(gains) > 2 else None
    return Agreement(
        ours.scale,
        theirs.scale,
        sum(map(len, theirs.by_run.values())),
        list(_levels(ours, theirs, runs)),
        gains,
        list(_order(ours, theirs, runs, min_seeds)),
        # It is not defined where all gains of a scale are equal.
        None if rank is None or isnan(rank) else rank,
    )


def _levels(ours: Records, theirs: Records, runs: Mapping[str, Run]) -> Iterator[Level]:
    for run in runs.values():
        here, there = (
            list(side.points(run.id, ap_of(run.arch)).values()) for side in (ours, theirs)
        )
        if here and there:
            yield Level(run_name(run, runs), statistics.interval(here), statistics.interval(there))


def _gains(
    ours: Records, theirs: Records, runs: Mapping[str, Run], min_seeds: int
) -> Iterator[Effect]:
    for run in _distilled(runs):
        baseline = baseline_of(run.id, runs)
        if baseline is not None:
            yield from _effect(ours, theirs, (run, runs[baseline]), runs, min_seeds)


def _order(
    ours: Records, theirs: Records, runs: Mapping[str, Run], min_seeds: int
) -> Iterator[Effect]:
    for one, two in combinations(_distilled(runs), 2):
        if one.arch == two.arch:
            yield from _effect(ours, theirs, (one, two), runs, min_seeds)


def _distilled(runs: Mapping[str, Run]) -> list[Run]:
    return [run for run in runs.values() if run.method != "baseline"]


def _effect(
    ours: Records,
    theirs: Records,
    pair: tuple[Run, Run],
    runs: Mapping[str, Run],
    min_seeds: int,
) -> Iterator[Effect]:
    """One difference, or none where a scale has not measured it."""
    run, other = pair
    metric = ap_of(run.arch)
    deltas = [
        statistics.paired_delta(side.points(run.id, metric), side.points(other.id, metric))
        for side in (ours, theirs)
    ]
    here, there = deltas
    if here is not None and there is not None:
        enough = min(len(here.points), len(there.points)) >= min_seeds
        signs = here.sign * there.sign * enough
        word = {1: SAME, -1: OPPOSITE, 0: OPEN}[signs]
        name = f"{run_name(run, runs)}{AGAINST}{run_name(other, runs)}"
        yield Effect(name, here, there, word)


def _short(effect: Effect, link: str) -> str:
    """What is compared; of two of one detector the second is named without it."""
    first, second = effect.name.split(AGAINST)
    if link == "over" and effect.ours.mean < 0:
        first, second = second, first
    detector = re.split(r" \+ |, ", first)[0]
    return f"{first} {link} {re.sub(rf'^{re.escape(detector)}( [+]|,) ', '', second)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{'; '.join(names[:NAMED])}{more}"


def _counts(effects: Sequence[Effect]) -> str:
    found = [(word, sum(effect.word == word for effect in effects)) for word in WORDS]
    words = {OPEN: "open", SAME: "with the same sign", OPPOSITE: "with opposite signs"}
    return ", ".join(f"{count} {words[word]}" for word, count in found if count) or "none"
