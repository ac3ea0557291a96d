"""The paper's claims against what was measured; ``config/claims.yaml`` states the rules.

A verdict is one of seven words with the sentence of evidence it rests on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mkd.paper.claims import Claim
from mkd.results import statistics
from mkd.results.formats import signed
from mkd.results.statistics import Interval

REPRODUCED = "reproduced"
DIRECTION_ONLY = "direction holds, size does not"
NOISE = "not separable from noise"
NOT_REPRODUCED = "not reproduced"
NOT_TESTED = "not tested"
NOT_RUN = "not run"
NOT_COMPARABLE = "not comparable at this scale"

TESTED = (REPRODUCED, DIRECTION_ONLY, NOISE, NOT_REPRODUCED)
UNTESTED = (NOT_TESTED, NOT_RUN, NOT_COMPARABLE)

Points = Callable[[str, str], Mapping[int, Any]]
"""``points(run, metric)``: seed → value, empty where there is none, as
:meth:`mkd.results.records.Records.points` gives it. The metric ``graph`` is a digest of the
exported graph without its weights."""


@dataclass(frozen=True)
class Verdict:
    """A judged claim.

    Attributes:
        claim: The claim.
        word: One of :data:`TESTED` or :data:`UNTESTED`.
        evidence: One sentence with the numbers and the scale.
        delta: Left minus right, or None where nothing could be subtracted.
    """

    claim: Claim
    word: str
    evidence: str
    delta: Interval | None = None


def judge(claims: Sequence[Claim], points: Points, scale: str) -> list[Verdict]:
    """Judge every claim on what was measured at one scale.

    Args:
        claims: From :func:`mkd.paper.claims.load`.
        points: See :data:`Points`.
        scale: The scale's name.
    """
    return [_judge(claim, points, scale) for claim in claims]


def _judge(claim: Claim, points: Points, scale: str) -> Verdict:
    runs = (*claim.left, *claim.right)
    missing = [run for run in runs if not points(run, claim.metric)]
    not_run = [run for run in missing if claim.kind == "equal" or not points(run, "params_m")]
    if not_run:
        return Verdict(
            claim, NOT_RUN, f"No {claim.metric} of {', '.join(not_run)} at {scale} scale."
        )
    if missing:
        return Verdict(
            claim, NOT_COMPARABLE, f"The val set of {scale} scale gives no {claim.metric}."
        )
    if claim.kind == "equal":
        return _judge_equal(claim, points, scale)
    if claim.kind == "size" and scale != claim.size_scale:
        return Verdict(
            claim,
            NOT_COMPARABLE,
            f"Sizes are judged at {claim.size_scale} scale only; these runs are at {scale} scale.",
        )
    left, right = (_side(side, claim.metric, points) for side in (claim.left, claim.right))
    delta = statistics.paired_delta(left, right, claim.level)
    if delta is None:
        return Verdict(
            claim,
            NOT_TESTED,
            f"No seed in common at {scale} scale: {_seeds(left)} and {_seeds(right)}.",
        )
    word, reason = _word(claim, delta)
    evidence = f"{claim.comparison}: {_numbers(delta)} at {scale} scale; {reason}"
    if claim.delta is not None:
        evidence += f"; the paper prints {signed(claim.delta)}"
        if denied(claim):
            evidence += ", which is not what it claims"
    return Verdict(claim, word, evidence + ".", delta)


def _word(claim: Claim, delta: Interval) -> tuple[str, str]:
    n = len(delta.points)
    if n < claim.min_seeds:
        seeds = "one seed" if n == 1 else f"{n} seeds"
        return NOT_TESTED, f"{seeds}, the rule asks for {claim.min_seeds}"
    interval = f"the {100 * claim.level:g} % interval"
    if delta.sign == 0:
        return NOISE, f"{interval} holds zero"
    if delta.sign < 0:
        return NOT_REPRODUCED, f"{interval} lies below zero"
    if claim.tolerance is not None and claim.delta is not None:
        off = abs(delta.mean - claim.delta)
        # A distance equal to the tolerance must not fail for the last bit of a float.
        if off > claim.tolerance + 1e-9:
            return DIRECTION_ONLY, f"{interval} lies above zero, the mean is {off:.2f} off"
    return REPRODUCED, f"{interval} lies above zero"


def denied(claim: Claim) -> bool:
    """Whether the paper's own table does not show the direction that the paper claims."""
    return claim.kind == "greater" and claim.delta is not None and claim.delta <= 0


def _judge_equal(claim: Claim, points: Points, scale: str) -> Verdict:
    left, right = (
        list(dict.fromkeys(points(side[0], claim.metric).values()))
        for side in (claim.left, claim.right)
    )
    same = len({*left, *right}) == 1
    return Verdict(
        claim,
        REPRODUCED if same else NOT_REPRODUCED,
        f"{claim.metric} at {scale} scale: {claim.left[0]} {_values(left)}, "
        f"{claim.right[0]} {_values(right)}.",
    )


def _side(runs: tuple[str, ...], metric: str, points: Points) -> dict[int, float]:
    """Seed → value of a run, or the difference of two over the seeds both have."""
    first, *others = (points(run, metric) for run in runs)
    return {
        seed: first[seed] - sum(other[seed] for other in others)
        for seed in first
        if all(seed in other for other in others)
    }


def _numbers(delta: Interval) -> str:
    n = len(delta.points)
    points = ", ".join(signed(point, 2) for point in delta.points)
    if delta.half_width is None:
        return points
    return f"{signed(delta.mean, 2)} ± {delta.half_width:.2f} over {n} seeds ({points})"


def _seeds(side: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(side))) or "none"


def _values(values: Sequence[Any]) -> str:
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
