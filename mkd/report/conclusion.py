"""What was found, in two or three sentences that are written from the intervals by rule.

A comparison of two methods counts where both have enough seeds in common. It is in favor where its
interval lies above zero, against where it lies below, and open where it holds zero. Of several
rows of one method, with other teachers, it is the first of the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from mkd.experiment.architectures import has_masks
from mkd.experiment.labels import arch_name
from mkd.experiment.runs import Run, baseline_of
from mkd.report.frames import at_defaults
from mkd.results import statistics, tallies, verdicts
from mkd.results.formats import counted, half, number, signed
from mkd.results.records import Records, ap_of
from mkd.results.statistics import Interval
from mkd.results.verdicts import Verdict

WORDS = (
    "raises the AP of",
    "lowers the AP of",
    "cannot be told from noise on",
    "is not tested on",
)
"""What a method does: above zero, below, neither, or not tested."""
Found = dict[str, Interval | None]
"""Architecture → the interval of a paired difference; None where it was not tested."""


@dataclass(frozen=True)
class Side:
    """One scale, of which is said what was found.

    Attributes:
        records: Its records.
        runs: Its table of runs.
        archs: Architectures of the students, in the order they are named.
        min_seeds: Seeds in common that a test asks for.
    """

    records: Records
    runs: Mapping[str, Run]
    archs: Sequence[str]
    min_seeds: int

    @property
    def scale(self) -> str:
        """Its name."""
        return self.records.scale

    def tested(self, method: str, other: str) -> Found:
        """The gain of one method over another on each architecture."""
        found: Found = {}
        for arch in self.archs:
            metric = ap_of(arch)
            points: dict[str, dict[int, float]] = {}
            for run in at_defaults(self.runs, arch):
                points.setdefault(run.method, self.records.points(run.id, metric))
            delta = statistics.paired_delta(points.get(method, {}), points.get(other, {}))
            found[arch] = delta if delta and len(delta.points) >= self.min_seeds else None
        return found

    def undistilled(self) -> dict[str, float]:
        """Mean AP of each architecture without distillation, where it has a record."""
        found = {}
        for arch in self.archs:
            compared = at_defaults(self.runs, arch)
            baseline = next((run.id for run in compared if run.method == "baseline"), None)
            points = self.records.points(baseline, ap_of(arch))
            if points:
                found[arch] = fmean(points.values())
        return found


def sentences(side: Side) -> list[str]:
    """The conclusion of one scale."""
    return _answer(
        side,
        "± is half a 95 % interval of the difference, in points of AP (0 to 100), over {seeds}, "
        "not corrected for many tests.",
    )


def _answer(side: Side, meaning: str) -> list[str]:
    """What MKD and CWD do, what ± means, given the seeds, and the answer to the open question."""
    helped = side.tested("mkd", "baseline")
    tested = [arch for arch, found in helped.items() if found]
    side, scale = replace(side, archs=tested), side.scale
    beaten, control = side.tested("mkd", "cwd"), side.tested("cwd", "baseline")
    if not tested:
        return [
            f"MKD is not tested at {scale} scale yet: no student has it and its undistilled "
            f"baseline with the {side.min_seeds} seeds that a test asks for."
        ]
    shown = [*helped.values(), *control.values(), *beaten.values()]
    seeds = [len(delta.points) for delta in shown if delta]
    least = f"{min(seeds)} seeds{' or more' * (max(seeds) > min(seeds))}"
    said = [
        f"At {scale} scale MKD, as this suite reads the paper, {_grouped(helped, WORDS, '; it ')}. "
        f"Plain CWD {_grouped(control, WORDS, '; it ')}. {meaning.format(seeds=least)}"
    ]
    answer = _grouped(beaten, ("yes on", "no on", "not decided on", "not tested on"), "; ")
    said.append(f"Do the new terms beat plain CWD? {answer[:1].upper()}{answer[1:]}.")
    if None in shown:
        said.append("What is not tested lacks seeds or runs.")
    return said


def of_longer(longer: Side, ours: Side) -> list[str]:
    """The answer of the scale that ours is compared with; none where it tested nothing."""
    helped = longer.tested("mkd", "baseline")
    tested = [arch for arch, found in helped.items() if found is not None]
    if not tested:
        return []
    longer, ours = (replace(side, archs=tested) for side in (longer, ours))
    said = " ".join(_answer(longer, "± is over {seeds}."))
    there, here = longer.undistilled(), ours.undistilled()
    below = [
        f"{number(there[arch])} AP with {arch_name(arch)} ({number(here[arch])} at "
        f"{ours.scale} scale)"
        for arch in there.keys() & here.keys()
        if there[arch] < here[arch]
    ]
    if below:
        said += (
            f" Undistilled it reaches {', '.join(sorted(below))}, so a gain there may be no more "
            "than a faster start."
        )
    return [
        f"Scale {longer.scale} trains every student of the same task from random weights. {said}"
    ]


def headline(side: Side) -> str:
    """The answer in one sentence: on how many detectors MKD helps, and on how many beyond CWD.

    Empty where nothing was tested.
    """
    helped, beaten = (
        [delta.sign for delta in side.tested("mkd", other).values() if delta]
        for other in ("baseline", "cwd")
    )
    if not helped:
        return ""
    said = (
        f"At {side.scale} scale MKD raises AP on {helped.count(1)} of "
        f"{counted(len(helped), 'detector')} tested{_else(helped, 'lowers it')}"
    )
    if beaten:
        said += (
            f" and beats plain CWD, its own third term, on {beaten.count(1)} of {len(beaten)}"
            f"{_else(beaten, 'ends below it')}"
        )
    return f"{said}."


def balanced(side: Side) -> str:
    """What MKD with balanced terms does; empty where it was not tested."""
    found = side.tested("mkd-balanced", "baseline")
    tested: Found = {arch: delta for arch, delta in found.items() if delta}
    if not tested:
        return ""
    return (
        f"At {side.scale} scale MKD with balanced terms, weighted so that in the first steps "
        f"each has a gradient as strong as the third’s, {_grouped(tested, WORDS, '; it ')}."
    )


def gains(side: Side) -> str:
    """That no method at its defaults gains on any detector; empty where one does, or none harms."""
    rows = [run for arch in side.archs for run in at_defaults(side.runs, arch)]
    signs = [
        delta.sign
        for method in {run.method for run in rows} - {"baseline"}
        for delta in side.tested(method, "baseline").values()
        if delta
    ]
    if 1 in signs or -1 not in signs:
        return ""
    return (
        f"At {side.scale} scale no method raises AP on any detector, CWD and the paper’s rivals "
        "included: this scale has shown harm, and no gain."
    )


def weaker(side: Side) -> str:
    """What MKD does with the least weight of the table; empty where that was not tested."""
    found: Found = {}
    alphas = {
        run.id: float(run.options["alpha"])
        for run in side.runs.values()
        if run.method == "mkd" and run.options.keys() == {"alpha"} and run.arch in side.archs
    }
    least = min(alphas.values(), default=1.0)
    if least >= 1:
        return ""
    for run in (run for run, alpha in alphas.items() if alpha == least):
        arch, baseline = side.runs[run].arch, baseline_of(run, side.runs)
        ours, theirs = (side.records.points(name, ap_of(arch)) for name in (run, baseline))
        delta = statistics.paired_delta(ours, theirs)
        if delta and len(delta.points) >= side.min_seeds:
            found[arch] = delta
    if not found:
        return ""
    return (
        f"At {side.scale} scale MKD with {least:g} times its weight "
        f"{_grouped(found, WORDS, '; it ')}."
    )


def ahead(judged: Sequence[Verdict], runs: Mapping[str, Run], scale: str) -> str:
    """How many of the paper's gains are reproduced; empty where none was tested.

    A gain is a claim that MKD, as this suite reads it, is above no distillation or above another
    method. What else is claimed speaks of costs, terms, teachers and weights, or of a loss.
    """
    words = [
        verdict.word
        for verdict in judged
        if verdict.claim.kind == "greater"
        and tallies.group_of(verdict.claim) == "paper"
        and verdict.word in verdicts.TESTED
        and _methods(verdict.claim.left, runs) == {"mkd"}
        and "mkd" not in _methods(verdict.claim.right, runs)
    ]
    if not words:
        return ""
    return (
        f"Of {len(words)} tested claims that MKD gains over no distillation or over another method "
        f"{words.count(verdicts.REPRODUCED)} are reproduced at {scale} scale."
    )


def _methods(side: Sequence[str], runs: Mapping[str, Run]) -> set[str]:
    return {runs[run].method if run in runs else "" for run in side}


def _else(signs: Sequence[int], below: str) -> str:
    """On how many detectors it is not so, in brackets."""
    words = ((-1, below), (0, "undecided"))
    found = [f"{word} on {signs.count(sign)}" for sign, word in words if sign in signs]
    return f" ({', '.join(found)})" if found else ""


def _grouped(found: Found, words: tuple[str, str, str, str], between: str) -> str:
    """The architectures by the sign of their interval: above zero, below, neither, or none."""
    parts = []
    for sign, word in zip((1, -1, 0, None), words, strict=True):
        mine = [
            f"{arch_name(arch)} ({signed(delta.mean)} {half(delta)}{_kind(arch)})"
            if delta
            else arch_name(arch)
            for arch, delta in found.items()
            if (delta and delta.sign) == sign
        ]
        if mine:
            parts.append(f"{word} {', '.join(mine)}")
    return between.join(parts)


def _kind(arch: str) -> str:
    return " mask AP" * has_masks(arch)
