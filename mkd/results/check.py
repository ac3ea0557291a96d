"""``mkd check-results``: what in a results folder is broken, missing, mixed or stale."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

from mkd.edge import check as edge_check
from mkd.errors import UserError
from mkd.experiment import run_digests
from mkd.experiment.suite import Suite
from mkd.files import read_json, sha256_file
from mkd.results import formats, own_tables, plausible, tables
from mkd.results.records import Problem, Records, by_sentence, load_folder, without_curve
from mkd.schemas import validate


def check(suite: Suite, root: Path, rescore: bool = False) -> tuple[int, list[Problem]]:
    """Look through the results of one scale; nothing is changed.

    Args:
        suite: The scale and its table of runs, as they stand now.
        root: The scale's results folder.
        rescore: Also score each record's detections anew, which takes the data set.

    Returns:
        The number of sound records, and everything worth a look.

    Raises:
        UserError: There is no such folder, it is of another scale, or no data set to score on.
    """
    if not root.is_dir():
        raise UserError(f"there is no results folder {root}: run `snakemake reproduce` first")
    records = load_folder(root, suite.scale)
    if not records.by_run:
        _check_scale(root, suite.scale)
    edge = records.edge
    count = sum(map(len, records.by_run.values())) + sum(
        map(len, (edge.complexity, edge.exported, edge.latency, edge.published))
    )
    found = [
        *records.problems,
        *_plan(suite, records),
        *_other(suite, records),
        *_made(records, root),
        *_unsealed(records),
        *plausible.implausible(records),
        *_mixed(suite, records),
        *_copies(records),
        *_edge(suite, records, root),
        *_stale(suite, records, root),
    ]
    if rescore:
        from mkd.results.rescore import rescored

        found += [Problem(*problem) for problem in rescored(suite, root, records.each())]
    return count, found


def _check_scale(root: Path, scale: str) -> None:
    """Refuse a folder without a run of this scale whose runs are of one other: it was not named.

    Raises:
        UserError: It is.
    """
    found = set()
    for path in root.glob("runs/*/seed*/record.json"):
        with suppress(UserError, TypeError, LookupError):
            found.add(str(read_json(path)["scale"]))
    if len(found) == 1 and found != {scale}:
        (other,) = found
        raise UserError(f"{root} has results of scale {other}: add --config scale={other}")


def _plan(suite: Suite, records: Records) -> Iterator[Problem]:
    """Runs and seeds against the table of runs and the scale's seeds."""
    for run in suite.runs:
        planned, there = suite.seeds(run), records.by_run.get(run, {})
        missing = [seed for seed in planned if seed not in there and suite.scored(run)]
        if missing and (there or not suite.run(run).reading):
            yield Problem(run, f"no sound record of seed {_list(missing)}")
        more = [seed for seed in there if seed not in planned]
        if more:
            yield Problem(run, f"seed {_list(more)} is none of the scale's ({_list(planned)})")
    for run in records.by_run.keys() - suite.runs.keys():
        yield Problem(run, f"is no row of {suite.table}")


def comparable(suite: Suite, records: Records) -> list[Problem]:
    """What keeps the records of different runs from being compared, each reason once.

    Args:
        suite: The scale and its table of runs, as they stand now.
        records: Of its results folder.
    """
    alike = by_sentence(_other(suite, records))
    return [
        *(Problem(_list(where), what) for what, where in alike.items()),
        *_mixed(suite, records),
    ]


def _other(suite: Suite, records: Records) -> Iterator[Problem]:
    """Records that this checkout would not make so."""
    evaluation = run_digests.evaluation_code()
    for run, seed, record in records.each():
        where, said = f"{run} seed {seed}", record["digests"]
        if run in suite.runs:
            if said["config"] != run_digests.config_digest(suite, run, seed):
                yield Problem(where, "was trained with another configuration than config/ has now")
            # Of weights that were taken this scale can check neither code nor teacher.
            trained = not record.get("taken")
            if trained and said["code"] != run_digests.train_code(suite, run):
                yield Problem(where, "was trained by other code than this checkout's")
            if said.get("evaluation_config") != run_digests.evaluation_config(suite, run):
                yield Problem(where, "was scored with other settings than config/ has now")
            teacher = suite.run(run).teacher
            teachers = records.by_run.get(teacher or "", {})
            taught_by = teachers.get(suite.teacher_seed(run, seed)) if teacher else None
            if trained and taught_by and said.get("teacher") != taught_by["digests"]["weights"]:
                yield Problem(where, f"was taught by other weights than the record of {teacher}")
        if said["evaluation_code"] != evaluation:
            yield Problem(where, "was scored by other code than this checkout's")


def _made(records: Records, root: Path) -> Iterator[Problem]:
    """Records against the state they were made in and the weights beside them."""
    for run, seed, record in records.each():
        where, said = f"{run} seed {seed}", record["digests"]
        if record["dirty"]:
            yield Problem(where, "was made from a checkout with uncommitted changes")
        folder = root / f"runs/{run}/seed{seed}"
        for name in ("weights.pth", "detections.json"):
            digest = said.get(name.partition(".")[0])
            try:
                if (
                    digest
                    and os.path.lexists(folder / name)
                    and sha256_file(folder / name) != digest
                ):
                    yield Problem(
                        where, f"{name} beside the record is not the file that was scored"
                    )
            except OSError as error:
                yield Problem(where, f"{name} beside the record cannot be read: {error.strerror}")
        if os.path.lexists(folder / "train.json"):
            yield from _trained(where, record, folder / "train.json")


def _trained(where: str, record: dict[str, Any], path: Path) -> Iterator[Problem]:
    """A record against what the training it speaks of left."""
    try:
        trained = read_json(path)
        validate(trained, "trained", str(path))
    except UserError as error:
        yield Problem(
            where, f"train.json beside the record: {str(error).removeprefix(f'{path}: ')}"
        )
        return
    said, config = record["digests"], trained["config"]
    digests = {**trained["digests"], **trained["inputs"]}
    if "weights" in trained:
        digests["weights"] = trained["weights"]
    keys: tuple[str, ...] = ("run", "seed", "scale")
    if record.get("taken"):
        # Trained at the scale that keeps such weights, and on its images; scored on this one's.
        keys = keys[:2]
        digests.pop("data", None)
    if [record[key] for key in keys] != [config.get(key) for key in keys]:
        yield Problem(where, "train.json beside the record is of another run, seed or scale")
    other = sorted(key for key, digest in digests.items() if said.get(key) != digest)
    if other:
        yield Problem(where, f"train.json beside the record says otherwise of: {_list(other)}")
    elif record["train"] != trained["train"]:
        yield Problem(where, "train.json beside the record is of another training")


def _unsealed(records: Records) -> Iterator[Problem]:
    """Records of a version of the suite that could not yet tell an edit."""
    edge = records.edge
    named = [
        *((f"{run} seed {seed}", record) for run, seed, record in records.each()),
        *((f"complexity/{name}", record) for name, record in edge.complexity.items()),
        *((f"exported/{name}", record) for name, record in edge.exported.items()),
        *((f"published/{name}", record) for name, record in edge.published.items()),
        *((f"latency of {record['model']}", record) for record in edge.latency),
    ]
    where = [name for name, record in named if "sha256" not in record]
    if where:
        yield Problem(_list(where), "without a SHA-256 of its own content: an edit is not seen")
    where = [
        f"{run} seed {seed}" for run, seed, r in records.each() if "detections" not in r["digests"]
    ]
    if where:
        yield Problem(_list(where), "without a SHA-256 of its detections")


def _mixed(suite: Suite, records: Records) -> Iterator[Problem]:
    """What must be one for a table to compare like with like."""
    found: dict[str, dict[str, set[str]]] = {}
    for run, seed, record in records.each():
        said = record["digests"]
        kinds = {"data sets": said["data"], "versions of the scoring code": said["evaluation_code"]}
        if run in suite.runs and "backbone" in said:
            backbone = suite.run(run).architecture.backbone
            kinds[f"start weights of backbone {backbone}"] = said["backbone"]
        if run in suite.runs and "start" in said and (start := suite.start(run, seed)):
            kinds["files of the stem {} seed {}".format(*start)] = said["start"]
        for words, value in kinds.items():
            found.setdefault(words, {}).setdefault(value, set()).add(run)
    for words, values in found.items():
        if len(values) > 1:
            groups = "; ".join(_list(sorted(runs)) for runs in values.values())
            yield Problem("runs", f"{len(values)} {words}: {groups}")


def _copies(records: Records) -> Iterator[Problem]:
    """Records that share their weights: one of them is a copy."""
    for (run, seed, one), (other, at, two) in combinations(records.each(), 2):
        if one["digests"]["weights"] == two["digests"]["weights"]:
            yield Problem(f"{run} seed {seed}", f"has the very weights of {other} seed {at}")


def _edge(suite: Suite, records: Records, root: Path) -> Iterator[Problem]:
    weights = {(run, seed): record["digests"]["weights"] for run, seed, record in records.each()}
    for where, what in edge_check.check(suite, records.edge, root, weights):
        yield Problem(where, what)


def _stale(suite: Suite, records: Records, root: Path) -> Iterator[Problem]:
    """Report and tables that do not show the records that lie here."""
    report = root / "report" / "data.json"
    if os.path.lexists(report):
        try:
            shown = {
                (record["run"], record["seed"]): record for record in read_json(report)["records"]
            }
        except UserError as error:
            yield Problem("report/data.json", str(error).removeprefix(f"{report}: "))
        except (LookupError, TypeError):
            yield Problem("report/data.json", "is not what the report writes: render it again")
        else:
            now = {(run, seed): without_curve(record) for run, seed, record in records.each()}
            changed = {key for key in shown.keys() | now.keys() if shown.get(key) != now.get(key)}
            if changed:
                words = _list(sorted(f"{run} seed {seed}" for run, seed in changed))
                yield Problem("report", f"is stale, it does not show {words} as recorded")
    built = (
        [own_tables.of_own(records, suite.runs)]
        if suite.own
        else tables.build_all(records, suite.runs)
    )
    for table in built:
        for name, content in formats.files(table, suite.settings.summary).items():
            for path in (root / "tables" / name, root / "report" / name):
                try:
                    same = not os.path.lexists(path) or path.read_bytes() == content.encode()
                except OSError:
                    same = False
                if not same:
                    where = path.relative_to(root).as_posix()
                    yield Problem(where, "is not what the records give now")


def _list(items: list[Any]) -> str:
    """Up to six items, and how many more there are."""
    more = f" and {len(items) - 6} more" if len(items) > 6 else ""
    return ", ".join(map(str, items[:6])) + more
