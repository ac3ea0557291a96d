"""The table of runs: its rows, read and checked."""

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from mkd import methods
from mkd.errors import UserError
from mkd.schemas import validate

# Not in mkd.architectures, whose code is part of every digest: one more reruns nothing.
ARCHITECTURES = (
    *(f"rtmdet-{size}" for size in ("tiny", "s", "m", "l", "x")),
    *(f"rtmdet-ins-{size}" for size in ("tiny", "s")),
    *(f"mask-rcnn-{size}" for size in ("r50", "r101")),
)


@dataclass(frozen=True)
class Run:
    """One row of ``config/runs.tsv``.

    Attributes:
        id: The run's name.
        arch: One of :data:`ARCHITECTURES`.
        teacher: Id of the baseline run whose weights teach, or None.
        method: A key of :data:`mkd.methods.METHODS`.
        options: The method's options (:func:`mkd.methods.plan`).
        tables: Numbers of the paper's tables the run appears in.
    """

    id: str
    arch: str
    teacher: str | None
    method: str
    options: dict[str, Any] = field(hash=False)
    tables: tuple[int, ...]


def teachers(runs: dict[str, Run]) -> set[str]:
    """Ids of the runs that teach another."""
    return {run.teacher for run in runs.values() if run.teacher is not None}


def with_own_teachers(runs: dict[str, Run]) -> dict[str, Run]:
    """The runs, with one more for each teacher that is also a table's baseline.

    A scale whose teachers train longer than their students cannot have one run for both roles.
    """
    names = {
        name: f"{name.removesuffix('-baseline')}-teacher"
        for name in runs
        if name in teachers(runs) and runs[name].tables
    }
    students = {
        run.id: replace(run, teacher=names.get(run.teacher or "", run.teacher))
        for run in runs.values()
    }
    return students | {new: replace(runs[name], id=new, tables=()) for name, new in names.items()}


def read_runs(path: Path) -> dict[str, Run]:
    """Read the table of runs.

    Raises:
        UserError: The first row that is malformed, or names an unknown thing.
    """
    try:
        with open(path, newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t"))
    except FileNotFoundError as error:
        raise UserError(f"the table of runs {path} does not exist") from error
    validate(rows, "runs", str(path))
    runs: dict[str, Run] = {}
    for row in rows:
        name = row["run"]
        if name in runs:
            raise UserError(f"{path}: run '{name}' stands there twice: remove one row")
        if row["arch"] not in ARCHITECTURES:
            raise UserError(
                f"{path}: run '{name}' has the unknown arch '{row['arch']}'; "
                f"there are {', '.join(ARCHITECTURES)}"
            )
        runs[name] = Run(
            id=name,
            arch=row["arch"],
            teacher=None if row["teacher"] == "-" else row["teacher"],
            method=row["method"],
            options=_options(path, name, row["options"]),
            tables=()
            if row["tables"] == "-"
            else tuple(int(table) for table in row["tables"].split(",")),
        )
    for run in runs.values():
        methods.plan(run.id, run.method, run.options)
        if (run.teacher is None) != (run.method == "baseline"):
            raise UserError(
                f"{path}: run '{run.id}': a baseline has no teacher and every other method has one"
            )
        if run.teacher is not None and (
            run.teacher not in runs or runs[run.teacher].method != "baseline"
        ):
            raise UserError(
                f"{path}: the teacher '{run.teacher}' of run '{run.id}' is not a baseline run "
                "of the table: add its row"
            )
    return runs


def _options(path: Path, run: str, text: str) -> dict[str, Any]:
    if text == "-":
        return {}
    options: dict[str, Any] = {}
    for pair in text.split():
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"{path}: run '{run}': option '{pair}' is not written key=value")
        options[key] = _value(value)
    return options


def _value(text: str) -> Any:
    try:
        # YAML takes 1e-3, without a point, for a word.
        return yaml.safe_load(text) if text.isdigit() else float(text)
    except ValueError:
        return yaml.safe_load(text)
