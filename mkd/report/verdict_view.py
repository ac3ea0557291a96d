"""The verdicts as the page shows them: one line a claim, its cases side by side."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mkd.experiment.runs import Run
from mkd.results import gates, tallies, verdicts
from mkd.results.statements import case_name
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
