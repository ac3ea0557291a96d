"""The rows of the paper's tables, and the runs that stand among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import groupby

from mkd.experiment.architectures import has_masks
from mkd.experiment.labels import arch_name, method_name
from mkd.experiment.runs import Run, rows_of
from mkd.paper import facts


@dataclass(frozen=True)
class Draft:
    """A row before anything that was measured stands in it."""

    label: str
    arch: str
    method: str
    run: str | None
    role: str
    paper: Mapping[str, Decimal]


def drafts_of(number: int, runs: Mapping[str, Run]) -> list[Draft]:
    """The paper's rows with the runs beside them.

    Before those of an architecture stands its baseline, behind them the control and other runs,
    where the paper's table has none.
    """
    printed = [
        Draft(row.label, row.arch, row.method, row.run or None, "paper", row.cells)
        for row in _paper().table(number)
    ]
    shown, own = {draft.run for draft in printed}, rows_of(number, runs)
    drafts: list[Draft] = []
    for arch, rows in groupby(printed, key=lambda draft: draft.arch):
        block = list(rows)
        here = [_own(run) for run in own if run.arch == arch and run.id not in shown]
        controlled = any(draft.role == "control" for draft in here)
        if any(draft.method == "mkd" for draft in block) and not controlled:
            here.insert(0, Draft(f"{arch_name(arch)}+CWD", arch, "cwd", None, "control", {}))
        here.sort(key=lambda draft: ("baseline", "control", "suite").index(draft.role))
        undistilled = sum(draft.role == "baseline" for draft in here)
        drafts += here[:undistilled] + block + here[undistilled:]
        shown |= {draft.run for draft in here}
    return drafts + [_own(run) for run in own if run.id not in shown]


def _own(run: Run) -> Draft:
    """A row the paper's table has not; its figures are quoted where another table has them."""
    role = {"baseline": "baseline", "cwd": "control"}.get(run.method, "suite")
    name = method_name(run)
    label = f"{arch_name(run.arch)}+{name}" if name else arch_name(run.arch)
    cells = next((row.cells for row in _paper().rows if row.run == run.id), {})
    return Draft(label, run.arch, run.method, run.id, role, cells)


def published(arch: str, method: str) -> tuple[Decimal | None, str]:
    """The first published AP (mask AP for instance segmentation) of that model, and its source."""
    listed = [row for row in _paper().published if (row.arch, row.method) == (arch, method)]
    # Of most rows nothing is published, and a detector of another suite is looked for in vain.
    key = "mask_AP" if listed and has_masks(arch) else "box_AP"
    for row in listed:
        if key in row.cells:
            return row.cells[key], f"{row.source}: {row.locator}"
    return None, ""


def paper_delta(draft: Draft, drafts: Sequence[Draft]) -> dict[str, Decimal]:
    """The paper's figure minus that of its own undistilled row, AP columns only."""
    base = next((d.paper for d in drafts if d.arch == draft.arch and d.method == "baseline"), {})
    if draft.method in ("", "baseline"):
        return {}
    return {
        key: value - base[key]
        for key, value in draft.paper.items()
        if key in facts.AP_METRICS and key in base
    }


_paper = cache(facts.load)
