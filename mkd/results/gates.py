"""What must hold of a scale before its figures are read as detection's: ``config/gates.yaml``.

No gate reads a run of MKD.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment.architectures import has_masks
from mkd.experiment.runs import Run, baseline_of
from mkd.results import statistics
from mkd.results.formats import half, number, signed
from mkd.results.records import Records
from mkd.schemas import checked_yaml

FILE = ROOT / "config" / "gates.yaml"
PASS, FAIL, NOT_RUN = "pass", "fail", "not run"
WORDS = (PASS, FAIL, NOT_RUN)


@dataclass(frozen=True)
class Gate:
    """A judged gate.

    Attributes:
        id: Its id in ``config/gates.yaml``.
        rule: One sentence that must hold.
        word: One of :data:`WORDS`.
        figure: What was measured, or why nothing can be said.
        otherwise: What a failure forbids to read, one sentence; empty where it does not fail.
    """

    id: str
    rule: str
    word: str
    figure: str
    otherwise: str = ""


Finding = tuple[bool | None, str]
"""Whether the rule holds of a part of the gate, None where that is not known, and its figure."""


def load(path: Path = FILE) -> dict[str, Any]:
    """Read and check the gates.

    Raises:
        UserError: The file is missing, malformed, or names a gate twice.
    """
    document: dict[str, Any] = checked_yaml(path, "gates")
    names = [gate["id"] for gate in document["gates"]]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}: gate '{name}' stands there twice: remove one")
    return document


def judge(document: Mapping[str, Any], records: Records, runs: Mapping[str, Run]) -> list[Gate]:
    """Judge every gate on what was measured.

    Args:
        document: From :func:`load`.
        records: Of one scale.
        runs: The table of runs, by id.
    """
    judged = []
    for entry in document["gates"]:
        found = list(_KINDS[entry["kind"]](entry, document, records, runs))
        holds = [part for part, _ in found]
        word = FAIL if False in holds else NOT_RUN if None in holds or not holds else PASS
        figure = "; ".join(text for _, text in found) or "the table of runs has no such row"
        otherwise = entry["otherwise"] if word == FAIL else ""
        judged.append(Gate(entry["id"], entry["rule"], word, figure, otherwise))
    return judged


def summary(judged: Sequence[Gate]) -> str:
    """How many hold, in one sentence."""
    counts = {word: sum(gate.word == word for gate in judged) for word in WORDS}
    return (
        f"{counts[PASS]} of {len(judged)} gates pass, {counts[FAIL]} fail, "
        f"{counts[NOT_RUN]} not run. MKD takes no part in any of them."
    )


def lines(judged: Sequence[Gate]) -> list[str]:
    """A line a gate for a terminal, and the summary."""
    return [
        *(
            f"{gate.word:<8} {gate.id}: {gate.rule} {gate.figure}. {gate.otherwise}".rstrip()
            for gate in judged
        ),
        summary(judged),
    ]


def _rising(
    entry: Mapping[str, Any], document: Mapping[str, Any], records: Records, _: Mapping[str, Run]
) -> Iterable[Finding]:
    metrics = entry["metrics"]
    if "runs" in entry:
        chains = [[(run, metric) for run in entry["runs"]] for metric in metrics]
    else:
        chains = [[(run, metric) for metric in metrics] for run in document["students"]]
    for chain in chains:
        means = {pair: _mean(records, *pair) for pair in chain}
        missing = [f"{metric} of {run}" for (run, metric), mean in means.items() if mean is None]
        if missing:
            yield None, f"no {', no '.join(missing)}"
            continue
        values = [mean for mean in means.values() if mean is not None]
        names = [run if "runs" in entry else metric.partition(".")[2] for run, metric in chain]
        shown = ", ".join(f"{n} {number(v)}" for n, v in zip(names, values, strict=True))
        holds = all(low < high for low, high in pairwise(values))
        yield holds, shown if "runs" in entry else f"{chain[0][0]}: {shown}"


def _errors(
    entry: Mapping[str, Any], document: Mapping[str, Any], records: Records, _: Mapping[str, Run]
) -> Iterable[Finding]:
    for run in document["students"]:
        costs = [r["errors"] for r in records.by_run.get(run, {}).values() if r.get("errors")]
        if not costs:
            yield None, f"no record of {run}"
            continue
        # Mending a kind can cost a little: less than nothing is not lost to it.
        lost = {kind: max(0.0, fmean(seed[kind] for seed in costs)) for kind in costs[0]}
        kind = max(lost, key=lost.__getitem__)
        share = lost[kind] / (sum(lost.values()) or 1.0)
        yield share <= entry["most"], f"{run}: {kind} {100 * share:.1f} %"


def _teachers(
    entry: Mapping[str, Any], _: Mapping[str, Any], records: Records, runs: Mapping[str, Run]
) -> Iterable[Finding]:
    pairs = {(r.teacher, baseline_of(r.id, runs)) for r in runs.values() if r.teacher and r.tables}
    for teacher, student in sorted(pairs, key=str):
        kind = "mask" if student and has_masks(runs[student].arch) else "box"
        above = records.of_teacher(teacher, f"{kind}.AP")
        below = _mean(records, student, f"{kind}.AP")
        if above is None or below is None:
            missing = teacher if above is None else student or "an undistilled student"
            yield None, f"{teacher} over {student or 'none'}: no record of {missing}"
        else:
            gap = above - below
            # A difference of two means may miss the bound by rounding alone.
            enough = gap >= entry["least"] - 1e-9
            yield enough, f"{teacher} over {student}: {signed(gap, 2)}"


def _levels(
    entry: Mapping[str, Any], document: Mapping[str, Any], records: Records, _: Mapping[str, Run]
) -> Iterable[Finding]:
    measured = records.measured.get("levels", {"runs": {}})
    for run in document["students"]:
        positives = measured["runs"].get(run, {}).get("positives")
        if not positives:
            yield None, f"no count for {run}"
            continue
        total = sum(positives)
        shares = [count / total if total else 0.0 for count in positives]
        shown = ", ".join(f"{100 * share:.1f}" for share in shares)
        yield min(shares) >= entry["least"], f"{run}: {shown} %"


def _difference(
    entry: Mapping[str, Any], document: Mapping[str, Any], records: Records, _: Mapping[str, Run]
) -> Iterable[Finding]:
    sides = [records.points(entry[side], "box.AP") for side in ("left", "right")]
    missing = [entry[s] for s, side in zip(("left", "right"), sides, strict=True) if not side]
    if missing:
        yield None, f"no record of {' and '.join(missing)}"
        return
    delta = statistics.paired_delta(sides[0], sides[1], document["level"])
    seeds = len(delta.points) if delta else 0
    figure = f"{entry['left']} − {entry['right']}: "
    if delta is None or seeds < document["min_seeds"]:
        yield None, f"{figure}{seeds} paired seeds, the rule asks for {document['min_seeds']}"
        return
    expected = {"above": 1, "zero": 0, "below": -1}[entry["expected"]]
    figure += f"{signed(delta.mean, 2)} {half(delta, 2)} over {seeds} seeds"
    if expected == 0 and delta.half_width is not None:
        # An interval holds zero the more easily the wider it is.
        most = abs(delta.mean) + delta.half_width
        figure += f", which does not rule out a difference of {number(most, 2)}"
    yield delta.sign == expected, figure


def _mean(records: Records, run: str | None, metric: str) -> float | None:
    points = records.points(run, metric)
    return fmean(points.values()) if points else None


_KINDS: dict[str, Callable[..., Iterable[Finding]]] = {
    "rising": _rising,
    "errors": _errors,
    "teachers": _teachers,
    "levels": _levels,
    "difference": _difference,
}
