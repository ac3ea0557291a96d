"""A claim in words: its case by the names of the runs that it compares."""

from collections.abc import Mapping

from mkd.experiment.labels import arch_name, method_name, slug
from mkd.experiment.methods import METHODS
from mkd.experiment.runs import Run
from mkd.paper.claims import Claim


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
