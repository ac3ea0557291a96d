"""``mkd check-results``: what in a results folder is broken, missing, mixed or stale."""

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from mkd import pipeline, provenance, tables
from mkd.config import Suite
from mkd.edge import check as edge_check
from mkd.errors import UserError
from mkd.files import sha256_file
from mkd.records import Problem, Records, load_folder
from mkd.report import formats


def check(suite: Suite, root: Path) -> tuple[int, list[Problem]]:
    """Look through the results of one scale; nothing is changed.

    Args:
        suite: The scale and its table of runs, as they stand now.
        root: The scale's results folder.

    Returns:
        The number of sound records, and everything worth a look.

    Raises:
        UserError: There is no such folder.
    """
    if not root.is_dir():
        raise UserError(f"there is no results folder {root}: run `snakemake reproduce` first")
    records = load_folder(root, suite.scale)
    edge = records.edge
    count = sum(map(len, records.by_run.values())) + sum(
        map(len, (edge.complexity, edge.exported, edge.latency, edge.published))
    )
    found = [
        *records.problems,
        *_plan(suite, records),
        *_other(suite, records),
        *_made(records, root),
        *_mixed(suite, records),
        *_copies(records),
        *_edge(suite, records, root),
        *_stale(suite, records, root),
    ]
    return count, found


def _plan(suite: Suite, records: Records) -> Iterator[Problem]:
    """Runs and seeds against the table of runs and the scale's seeds."""
    for run in suite.runs:
        planned, there = suite.seeds(run), records.by_run.get(run, {})
        missing = [seed for seed in planned if seed not in there]
        if missing:
            yield Problem(run, f"no sound record of seed {_list(missing)}")
        more = [seed for seed in there if seed not in planned]
        if more:
            yield Problem(run, f"seed {_list(more)} is none of the scale's ({_list(planned)})")
    for run in records.by_run.keys() - suite.runs.keys():
        yield Problem(run, f"is no row of {suite.config['runs']}")


def comparable(suite: Suite, records: Records) -> list[Problem]:
    """What keeps the records of different runs from being compared, each reason once.

    Args:
        suite: The scale and its table of runs, as they stand now.
        records: Of its results folder.
    """
    reasons: dict[str, list[str]] = {}
    for problem in _other(suite, records):
        reasons.setdefault(problem.what, []).append(problem.where)
    alike = [Problem(_list(where), what) for what, where in reasons.items()]
    return [*alike, *_mixed(suite, records)]


def _other(suite: Suite, records: Records) -> Iterator[Problem]:
    """Records that this checkout would not make so."""
    evaluation = provenance.code_digest(provenance.EVALUATION)
    for run, seed, record in _each(records):
        where, said = f"{run} seed {seed}", record["digests"]
        if run in suite.runs:
            if said["config"] != pipeline.config_digest(suite, run, seed):
                yield Problem(where, "was trained with another configuration than config/ has now")
            if said["code"] != pipeline.train_code(suite, run):
                yield Problem(where, "was trained by other code than this checkout's")
            if said.get("evaluation_config") != pipeline.evaluation_config(suite, run):
                yield Problem(where, "was scored with other settings than config/ has now")
            teacher = suite.run(run).teacher
            teachers = records.by_run.get(teacher or "", {})
            taught_by = teachers.get(suite.teacher_seed(teacher)) if teacher else None
            if taught_by and said.get("teacher") != taught_by["digests"]["weights"]:
                yield Problem(where, f"was taught by other weights than the record of {teacher}")
        if said["evaluation_code"] != evaluation:
            yield Problem(where, "was scored by other code than this checkout's")


def _made(records: Records, root: Path) -> Iterator[Problem]:
    """Records against the state they were made in and the weights beside them."""
    for run, seed, record in _each(records):
        where, said = f"{run} seed {seed}", record["digests"]
        if record["dirty"]:
            yield Problem(where, "was made from a checkout with uncommitted changes")
        weights = root / f"runs/{run}/seed{seed}/weights.pth"
        if weights.exists() and sha256_file(weights) != said["weights"]:
            yield Problem(where, "weights.pth beside the record is not the file that was scored")


def _mixed(suite: Suite, records: Records) -> Iterator[Problem]:
    """What must be one for a table to compare like with like."""
    found: dict[str, dict[str, set[str]]] = {}
    for run, _, record in _each(records):
        said = record["digests"]
        kinds = {"data sets": said["data"], "versions of the scoring code": said["evaluation_code"]}
        if run in suite.runs and "backbone" in said:
            kinds[f"start weights of backbone {suite.backbone(run)}"] = said["backbone"]
        for words, value in kinds.items():
            found.setdefault(words, {}).setdefault(value, set()).add(run)
    for words, values in found.items():
        if len(values) > 1:
            groups = "; ".join(_list(sorted(runs)) for runs in values.values())
            yield Problem("runs", f"{len(values)} {words}: {groups}")


def _copies(records: Records) -> Iterator[Problem]:
    """Records that share their weights: one of them is a copy."""
    for (run, seed, one), (other, at, two) in combinations(_each(records), 2):
        if one["digests"]["weights"] == two["digests"]["weights"]:
            yield Problem(f"{run} seed {seed}", f"has the very weights of {other} seed {at}")


def _edge(suite: Suite, records: Records, root: Path) -> Iterator[Problem]:
    weights = {(run, seed): record["digests"]["weights"] for run, seed, record in _each(records)}
    for where, what in edge_check.check(suite, records.edge, root, weights):
        yield Problem(where, what)


def _stale(suite: Suite, records: Records, root: Path) -> Iterator[Problem]:
    """Report and tables that do not show the records that lie here."""
    report = root / "report" / "data.json"
    if report.exists():
        try:
            shown = {
                (record["run"], record["seed"]): record["digests"]
                for record in json.loads(report.read_bytes())["records"]
            }
        except (ValueError, KeyError, TypeError) as error:
            yield Problem("report/data.json", f"cannot be read: {error!r}")
        else:
            now = {(run, seed): record["digests"] for run, seed, record in _each(records)}
            changed = {key for key in shown.keys() | now.keys() if shown.get(key) != now.get(key)}
            if changed:
                words = _list([f"{run} seed {seed}" for run, seed in sorted(changed)])
                yield Problem("report", f"is stale, it does not show {words} as recorded")
    for number in tables.TABLES:
        path = root / "tables" / f"table{number}.csv"
        if path.exists():
            table = formats.frame(tables.build(records, suite.runs, number))
            if path.read_text() != table.to_csv(index=False):
                yield Problem(f"tables/{path.name}", "is not what the records give now")


def _each(records: Records) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for run, seeds in records.by_run.items():
        for seed, record in sorted(seeds.items()):
            yield run, seed, record


def _list(items: list[Any]) -> str:
    """Up to six items, and how many more there are."""
    more = f" and {len(items) - 6} more" if len(items) > 6 else ""
    return ", ".join(map(str, items[:6])) + more
