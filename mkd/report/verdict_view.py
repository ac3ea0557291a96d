"""The verdicts as the page shows them: one line a claim, its cases side by side."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mkd.experiment.labels import arch_name, method_name, slug
from mkd.experiment.methods import METHODS
from mkd.experiment.runs import Run
from mkd.paper.claims import Claim
from mkd.results import gates, tallies, verdicts
from mkd.results.verdicts import Verdict

STYLES = {
    verdicts.REPRODUCED: "v-reproduced",
    verdicts.DIRECTION_ONLY: "v-direction",
    verdicts.NOISE: "v-noise",
    verdicts.NOT_REPRODUCED: "v-failed",
    verdicts.NOT_TESTED: "v-void",
    verdicts.NOT_RUN: "v-void",
    verdicts.NOT_COMPARABLE: "v-void",
}
"""Verdict → style class, in the order of the tally."""
GATES = {gates.PASS: "v-reproduced", gates.FAIL: "v-failed", gates.NOT_RUN: "v-void"}
"""Word of a gate → style class."""


@dataclass(frozen=True)
class Family:
    """A claim of the paper with all its cases.

    Attributes:
        id: The claim's id in ``config/claims.yaml``.
        statement: The claim, its case left out.
        locator: Where the paper says it.
        group: What its heading is: the table, the open questions or the other readings.
        cases: Case → verdict on the direction (or the equality).
        sizes: Case → verdict on the size.
    """

    id: str
    statement: str
    locator: str
    group: str
    cases: dict[str, Verdict]
    sizes: dict[str, Verdict]


def groups(judged: Sequence[Verdict]) -> list[tuple[str, list[Family]]]:
    """Heading → claims: the paper's by table, a claim without one under the table before it."""
    gathered: dict[str, list[Family]] = {}
    for family in _families(judged):
        gathered.setdefault(family.group, []).append(family)
    return list(gathered.items())


def _families(judged: Sequence[Verdict]) -> list[Family]:
    made: list[Family] = []
    before = ""
    for name, members in groupby(judged, key=lambda verdict: verdict.claim.family):
        shared = list(members)
        claim = shared[0].claim
        sizes = {v.claim.case: v for v in shared if v.claim.kind == "size"}
        cases = {v.claim.case: v for v in shared if v.claim.kind != "size"}
        metrics = {verdict.claim.metric.rpartition(".")[2] for verdict in cases.values()}
        table = re.match(r"Table \d", claim.locator)
        group = before = table.group() if table else before
        kind = tallies.group_of(claim)
        made.append(
            Family(
                id=name,
                statement=general(claim.template, metrics),
                locator=claim.locator,
                group=group if kind == "paper" else tallies.GROUPS[kind],
                cases=cases,
                sizes=sizes,
            )
        )
    return made


def general(statement: str, metrics: set[str]) -> str:
    """The statement for all cases: ``RTMDet-{case}`` is RTMDet, several metrics are any figure."""
    for named, general in (("-{case}", ""), (" ({case})", ""), ("{case}", "other methods")):
        statement = statement.replace(named, general)
    return statement.replace("{metric}", metrics.pop() if len(metrics) == 1 else "AP of each kind")


def chips(cases: Mapping[str, Verdict], runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    """Word → the cases it was said of, best first: what stands side by side on the page."""
    made = []
    for word, style in STYLES.items():
        mine = [verdict.claim for verdict in cases.values() if verdict.word == word]
        if mine:
            names = [case_name(claim, runs) for claim in mine]
            made.append({"word": tallies.said(word, mine[0]), "style": style, "cases": names})
    return made


def counted(families: Sequence[Family]) -> list[dict[str, Any]]:
    """How often each word was said of some claims, as a heading says it; no sizes."""
    judged = [verdict for family in families for verdict in family.cases.values()]
    made = []
    for word, style in STYLES.items():
        mine = [verdict.claim for verdict in judged if verdict.word == word]
        if mine:
            said = tallies.said(word, mine[0])
            made.append({"word": said, "style": style, "count": len(mine)})
    return made


def stated(claim: Claim, runs: Mapping[str, Run]) -> str:
    """A claim in one sentence, its case by its name."""
    metric = claim.metric.rpartition(".")[2]
    return claim.template.format(case=case_name(claim, runs), metric=metric)


def case_name(claim: Claim, runs: Mapping[str, Run]) -> str:
    """What a claim's case is called: by the runs it compares, where its own name is a code."""
    sides = [runs[run] for run in (*claim.left, *claim.right) if run in runs]
    special = [run for run in sides if run.options]
    metric = claim.metric.rpartition(".")[2]
    if claim.case == slug(metric):
        return metric
    if sides and sides[0].arch.endswith(f"-{claim.case}"):
        return claim.case
    if len(special) == 1:
        words = method_name(special[0]).removeprefix("MKD").removeprefix(",").strip()
        return f"{arch_name(special[0].arch)} {words}"
    if len(sides) == len(claim.left) + len(claim.right) and "-over-" in claim.case:
        left, right = sides[0], sides[-1]
        if left.arch != right.arch:
            return f"{arch_name(left.arch)} against {arch_name(right.arch)}"
        return " against ".join(_teacher(run, runs) for run in (left, right))
    if claim.case == "baseline":
        return "no distillation"
    if claim.case in METHODS:
        return claim.case.upper()
    # Its runs are not in the table.
    return claim.case.replace("-over-", " against ").replace("-", " ")


def _teacher(run: Run, runs: Mapping[str, Run]) -> str:
    known = runs.get(run.teacher or "")
    return arch_name(known.arch) if known else str(run.teacher)


def tally(judged: Sequence[Verdict], scale: str) -> list[dict[str, Any]]:
    """How often each word was said, by group, what was tested apart from what was not.

    Beside *reproduced* stands how many of them hold little: that a trained detector costs what its
    untrained architecture costs. Where it is all of them, the word has no color.
    """
    made = []
    for one in tallies.tallies(judged, scale):
        sides = {
            side: [
                {
                    "word": one.said(word),
                    "style": STYLES[word],
                    "count": count,
                    "detail": "",
                }
                for word, count in counts.items()
            ]
            for side, counts in (("tested", one.tested), ("untested", one.untested))
        }
        for item in sides["tested"]:
            if one.equal and item["style"] == STYLES[verdicts.REPRODUCED]:
                item["detail"] = f"{one.equal} of equal cost, which training cannot change"
                if item["count"] == one.equal:
                    item["style"] = STYLES[verdicts.NOT_TESTED]
        made.append({"title": tallies.GROUPS[one.group], **sides})
    return made
