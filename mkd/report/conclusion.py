"""What was found, in two or three sentences that are written from the intervals by rule.

A comparison of two methods counts where both have enough seeds in common. It is in favor where its
interval lies above zero, against where it lies below, and open where it holds zero. Of several
rows of one method, with other teachers, it is the first of the table.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from mkd.experiment.architectures import has_masks
from mkd.experiment.labels import arch_name
from mkd.experiment.runs import Run, baseline_of
from mkd.report.frames import plain
from mkd.results import statistics, tallies, verdicts
from mkd.results.formats import half, number, signed
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


def sentences(
    records: Records, runs: Mapping[str, Run], archs: Sequence[str], min_seeds: int
) -> list[str]:
    """The conclusion of one scale.

    Args:
        records: Its records.
        runs: Its table of runs.
        archs: Architectures of the students, in the order they are named.
        min_seeds: Seeds in common that a test asks for.
    """
    helped = _tested(records, runs, archs, ("mkd", "baseline"), min_seeds)
    tested = [arch for arch, found in helped.items() if found]
    beaten = _tested(records, runs, tested, ("mkd", "cwd"), min_seeds)
    control = _tested(records, runs, tested, ("cwd", "baseline"), min_seeds)
    scale = records.scale
    if not tested:
        return [
            f"MKD is not tested at {scale} scale yet: no student has it and its undistilled "
            f"baseline with the {min_seeds} seeds that a test asks for."
        ]
    shown = [*helped.values(), *control.values(), *beaten.values()]
    seeds = [len(delta.points) for delta in shown if delta]
    least = f"{min(seeds)} seeds{' or more' * (max(seeds) > min(seeds))}"
    said = [
        f"At {scale} scale MKD, as this suite reads the paper, {_grouped(helped, WORDS, '; it ')}. "
        f"Plain CWD {_grouped(control, WORDS, '; it ')}. "
        f"± is half a 95 % interval of the difference, in points of AP (0 to 100), over {least}, "
        "not corrected for many tests."
    ]
    answer = _grouped(beaten, ("yes on", "no on", "not decided on", "not tested on"), "; ")
    said.append(f"Do the new terms beat plain CWD? {answer[:1].upper()}{answer[1:]}.")
    if None in shown:
        said.append("What is not tested lacks seeds or runs.")
    return said


def of_longer(
    records: Records, runs: Mapping[str, Run], archs: Sequence[str], min_seeds: int, ours: Records
) -> list[str]:
    """The answer of the scale that this one is compared with; none where it tested nothing.

    Arguments as of :func:`sentences`, of that scale; ``ours`` are the records of this one.
    """
    helped = _tested(records, runs, archs, ("mkd", "baseline"), min_seeds)
    tested = [arch for arch, found in helped.items() if found is not None]
    if not tested:
        return []
    said = " ".join(sentences(records, runs, tested, min_seeds))
    there, here = (_undistilled(side, runs, tested) for side in (records, ours))
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
    return [f"The same task, every student trained from random weights: {said}"]


def _undistilled(
    records: Records, runs: Mapping[str, Run], archs: Sequence[str]
) -> dict[str, float]:
    """Mean AP of each architecture without distillation, where it has a record."""
    found = {}
    for arch in archs:
        baseline = next((run.id for run in plain(runs, arch) if run.method == "baseline"), None)
        points = records.points(baseline, ap_of(arch))
        if points:
            found[arch] = fmean(points.values())
    return found


def headline(
    records: Records, runs: Mapping[str, Run], archs: Sequence[str], min_seeds: int
) -> str:
    """The answer in one sentence: on how many detectors MKD helps, and on how many beyond CWD.

    Arguments as of :func:`sentences`; empty where nothing was tested.
    """
    helped, beaten = (
        [delta.sign for delta in _tested(records, runs, archs, pair, min_seeds).values() if delta]
        for pair in (("mkd", "baseline"), ("mkd", "cwd"))
    )
    if not helped:
        return ""
    said = (
        f"At {records.scale} scale MKD raises AP on {helped.count(1)} of "
        f"{_detectors(len(helped))} tested{_else(helped, 'lowers it')}"
    )
    if beaten:
        said += (
            f" and beats plain CWD, its own third term, on {beaten.count(1)} of {len(beaten)}"
            f"{_else(beaten, 'ends below it')}"
        )
    return f"{said}."


def balanced(
    records: Records, runs: Mapping[str, Run], archs: Sequence[str], min_seeds: int
) -> str:
    """What MKD with balanced terms does; empty where it was not tested.

    Arguments as of :func:`sentences`.
    """
    found = _tested(records, runs, archs, ("mkd-balanced", "baseline"), min_seeds)
    tested: Found = {arch: delta for arch, delta in found.items() if delta}
    if not tested:
        return ""
    return (
        f"At {records.scale} scale MKD with balanced terms, weighted so that in the first steps "
        f"each has a gradient as strong as the third’s, {_grouped(tested, WORDS, '; it ')}."
    )


def gains(records: Records, runs: Mapping[str, Run], archs: Sequence[str], min_seeds: int) -> str:
    """That no method at its defaults gains on any detector; empty where one does, or none harms.

    Arguments as of :func:`sentences`.
    """
    methods = {run.method for arch in archs for run in plain(runs, arch)} - {"baseline"}
    signs = [
        delta.sign
        for method in methods
        for delta in _tested(records, runs, archs, (method, "baseline"), min_seeds).values()
        if delta
    ]
    if 1 in signs or -1 not in signs:
        return ""
    return (
        f"At {records.scale} scale no method raises AP on any detector, CWD and the paper’s rivals "
        "included: this scale has shown harm, and no gain."
    )


def weaker(records: Records, runs: Mapping[str, Run], archs: Sequence[str], min_seeds: int) -> str:
    """What MKD does with the least weight of the table; empty where that was not tested.

    Arguments as of :func:`sentences`.
    """
    found: Found = {}
    alphas = {
        run.id: float(run.options["alpha"])
        for run in runs.values()
        if run.method == "mkd" and run.options.keys() == {"alpha"} and run.arch in archs
    }
    least = min(alphas.values(), default=1.0)
    if least >= 1:
        return ""
    for run in (run for run, alpha in alphas.items() if alpha == least):
        arch, baseline = runs[run].arch, baseline_of(run, runs)
        ours, plain_ones = (records.points(name, ap_of(arch)) for name in (run, baseline))
        delta = statistics.paired_delta(ours, plain_ones)
        if delta and len(delta.points) >= min_seeds:
            found[arch] = delta
    if not found:
        return ""
    return (
        f"At {records.scale} scale MKD with {least:g} times its weight "
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


def _detectors(count: int) -> str:
    return f"{count} detector{'s' * (count != 1)}"


def _tested(
    records: Records,
    runs: Mapping[str, Run],
    archs: Sequence[str],
    methods: tuple[str, str],
    min_seeds: int,
) -> Found:
    found: Found = {}
    for arch in archs:
        metric = ap_of(arch)
        points: dict[str, dict[int, float]] = {}
        for run in plain(runs, arch):
            points.setdefault(run.method, records.points(run.id, metric))
        left, right = (points.get(method, {}) for method in methods)
        delta = statistics.paired_delta(left, right)
        found[arch] = delta if delta and len(delta.points) >= min_seeds else None
    return found


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
