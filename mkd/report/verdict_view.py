"""The verdicts as the page shows them: one line a claim, its cases side by side."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mkd.experiment.architectures import has_masks
from mkd.experiment.labels import arch_name
from mkd.experiment.runs import Run
from mkd.report.frames import plain
from mkd.results import gates, statistics, tallies, verdicts
from mkd.results.formats import half, number, signed
from mkd.results.records import Records
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
OPEN = "Questions the paper leaves open"
OTHER = "Every other reading tried"


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
    for name, members in groupby(judged, key=lambda verdict: verdict.claim.family):
        shared = list(members)
        claim = shared[0].claim
        sizes = {v.claim.case: v for v in shared if v.claim.kind == "size"}
        cases = {v.claim.case: v for v in shared if v.claim.kind != "size"}
        metrics = {verdict.claim.metric.rpartition(".")[2] for verdict in cases.values()}
        table = re.match(r"Table \d", claim.locator)
        group = table.group() if table else made[-1].group if made else ""
        made.append(
            Family(
                id=name,
                statement=_general(claim.template, metrics),
                locator=claim.locator,
                group=OTHER
                if claim.reading == "other"
                else OPEN
                if claim.stated == "open"
                else group,
                cases=cases,
                sizes=sizes,
            )
        )
    return made


def _general(statement: str, metrics: set[str]) -> str:
    """The statement for all cases: ``RTMDet-{case}`` is RTMDet, several metrics are any figure."""
    for named, general in (("-{case}", ""), (" ({case})", ""), ("{case}", "each other method")):
        statement = statement.replace(named, general)
    return statement.replace("{metric}", metrics.pop() if len(metrics) == 1 else "AP of each kind")


def chips(cases: Mapping[str, Verdict]) -> list[dict[str, Any]]:
    """Word → the cases it was said of, best first: what stands side by side on the page."""
    made = []
    for word, style in STYLES.items():
        mine = {case: verdict for case, verdict in cases.items() if verdict.word == word}
        if mine:
            shown = tallies.said(word, next(iter(mine.values())).claim)
            made.append({"word": shown, "style": style, "cases": list(mine)})
    return made


def tally(judged: Sequence[Verdict], scale: str) -> list[dict[str, Any]]:
    """How often each word was said, by group, what was tested apart from what was not.

    Beside *reproduced* stands how many of them hold little: that a trained detector costs what its
    untrained architecture costs.
    """
    made = []
    for one in tallies.tallies(judged, scale):
        names = {} if one.group == "paper" else tallies.ANSWERS
        sides = {
            side: [
                {"word": names.get(word, word), "style": STYLES[word], "count": count}
                for word, count in counts.items()
            ]
            for side, counts in (("tested", one.tested), ("untested", one.untested))
        }
        detail = f"{one.equal} of equal cost, which training cannot change" if one.equal else ""
        made.append({"title": tallies.GROUPS[one.group], **sides, "detail": detail})
    return made


def headlines(records: Records, runs: Mapping[str, Run], archs: Sequence[str]) -> list[str]:
    """AP of MKD, its baseline and the control in one sentence, for each size with both.

    It is mask AP where there are masks, as in Table 2.
    """
    said = []
    for arch in archs:
        kind = "mask" if has_masks(arch) else "box"
        points = {run.method: records.points(run.id, f"{kind}.AP") for run in plain(runs, arch)}
        none, cwd, mkd = (points.get(method, {}) for method in ("baseline", "cwd", "mkd"))
        gain, beyond = statistics.paired_delta(mkd, none), statistics.paired_delta(mkd, cwd)
        if gain is None:
            continue
        words = (
            f"{arch_name(arch)}: {'mask AP' if kind == 'mask' else 'AP'} {_mean(none)} without "
            f"distillation; {_mean(mkd)} with MKD, Δ {signed(gain.mean)} {half(gain)}"
        )
        if beyond:
            words += (
                f"; {_mean(cwd)} with CWD alone; MKD − CWD = {signed(beyond.mean)} {half(beyond)}"
            )
        said.append(f"{words}.")
    return said


def _mean(points: Mapping[int, float]) -> str:
    return number(statistics.interval(points.values()).mean)
