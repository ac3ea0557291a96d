"""The table of runs: its rows, read and checked."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mkd.detectors.architectures import Architecture
from mkd.errors import UserError
from mkd.experiment import methods
from mkd.experiment.architectures import architecture
from mkd.schemas import read_text, validate
from mkd.strict_yaml import parse_yaml

COLUMNS = ("run", "arch", "teacher", "method", "options", "tables")
OWN_OPTIONS = {"start", "order", "shuffled_labels", "weights"}
"""Options of a run itself and not of its method."""
LARGEST = 1e15
"""Of an option: whole numbers up to here are floats without loss."""


@dataclass(frozen=True)
class Run:
    """One row of a table of runs.

    Attributes:
        id: The run's name.
        arch: A name that :func:`mkd.experiment.architectures.architecture` knows.
        teacher: Id of the baseline run whose weights teach, or None.
        method: A key of :data:`mkd.experiment.methods.METHODS`.
        options: The method's options (:func:`mkd.experiment.methods.plan`).
        tables: Numbers of the paper's tables the run appears in.
        start: Seed of the stem that every seed of it starts from; None: the stem of its own seed.
        order: Added to its seed for all that a training draws.
        shuffled_labels: Share of the train images whose labels are shuffled.
        weights: File or pattern of the weights it has in the place of a training.
        reading: Whether it is a row of ``config/readings.tsv``, which is only run when asked for.
    """

    id: str
    arch: str
    teacher: str | None
    method: str
    options: dict[str, Any] = field(hash=False)
    tables: tuple[int, ...]
    start: int | None = None
    order: int = 0
    shuffled_labels: float | None = None
    weights: str | None = None
    reading: bool = False

    @property
    def said(self) -> dict[str, Any]:
        """The options as the row gives them: its method's, and its own."""
        own: dict[str, Any] = {
            "start": self.start,
            "order": self.order or None,
            "shuffled_labels": self.shuffled_labels,
            "weights": self.weights,
        }
        return self.options | {key: value for key, value in own.items() if value is not None}

    @property
    def architecture(self) -> Architecture:
        """The entry of the table of architectures."""
        return architecture(self.arch)


def teachers(runs: dict[str, Run]) -> set[str]:
    """Ids of the runs that teach another."""
    return {run.teacher for run in runs.values() if run.teacher is not None}


def baseline_of(run: str | None, runs: Mapping[str, Run]) -> str | None:
    """Id of the undistilled run of the same architecture; None without any.

    One that stands in a table goes before one that does not.
    """
    if run is None or run not in runs:
        return None
    found = [r for r in runs.values() if r.arch == runs[run].arch and r.method == "baseline"]
    return min(found, key=lambda r: not r.tables).id if found else None


def rows_of(number: int, runs: Mapping[str, Run]) -> list[Run]:
    """The runs that one table of the paper is made of.

    They are its own, and of each of their architectures the undistilled detector and the CWD
    control; a CWD run of no table is a check, and no control.
    """
    archs = {run.arch for run in runs.values() if number in run.tables}
    return [
        run
        for run in runs.values()
        if number in run.tables
        or (
            run.arch in archs
            and (
                run.id == baseline_of(run.id, runs)
                or (run.method == "cwd" and run.tables and not run.options)
            )
        )
    ]


def with_own_teachers(runs: dict[str, Run]) -> dict[str, Run]:
    """The runs, with one more for each teacher that is also a table's baseline.

    Where teachers train longer than their students, or come from another scale, one run cannot have
    both roles.

    Raises:
        UserError: The name of such a run is taken.
    """
    names = {
        name: f"{name.removesuffix('-baseline')}-teacher"
        for name in runs
        if name in teachers(runs) and runs[name].tables
    }
    for name, new in names.items():
        if new in runs:
            raise UserError(
                f"the table of runs has a run '{new}', as this scale calls '{name}' where it "
                "teaches: give it another name"
            )
    students = {
        run.id: replace(run, teacher=names.get(run.teacher or "", run.teacher))
        for run in runs.values()
    }
    return students | {new: replace(runs[name], id=new, tables=()) for name, new in names.items()}


def read_runs(path: Path, beside: Mapping[str, Run] | None = None) -> dict[str, Run]:
    """Read a table of runs.

    Args:
        path: The table.
        beside: Runs of other tables, which may teach those of this one.

    Raises:
        UserError: It cannot be read, or the first row that is malformed or names an unknown thing.
    """
    runs: dict[str, Run] = {}
    for row in _rows(path):
        name = row["run"]
        if name in runs:
            raise UserError(f"{path}: run '{name}' stands there twice: remove one row")
        if beside and name in beside:
            raise UserError(f"{path}: run '{name}' stands in another table too: remove one row")
        try:
            architecture(row["arch"])
        except UserError as error:
            raise UserError(f"{path}: run '{name}': {error}") from error
        options = _options(path, name, row["options"])
        own = {key: options.pop(key) for key in OWN_OPTIONS & options.keys()}
        _check_own(path, name, own)
        runs[name] = Run(
            id=name,
            arch=row["arch"],
            teacher=None if row["teacher"] == "-" else row["teacher"],
            method=row["method"],
            options=options,
            tables=()
            if row["tables"] == "-"
            else tuple(int(table) for table in row["tables"].split(",")),
            **own,
        )
    known = {**(beside or {}), **runs}
    for run in runs.values():
        try:
            methods.plan(run.id, run.method, run.options)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        if (run.teacher is None) != (run.method == "baseline"):
            raise UserError(
                f"{path}: run '{run.id}': a baseline has no teacher and every other method has one"
            )
        if run.teacher is not None and (
            run.teacher not in known or known[run.teacher].method != "baseline"
        ):
            raise UserError(
                f"{path}: the teacher '{run.teacher}' of run '{run.id}' is not a baseline run "
                "of the table: add its row"
            )
        teacher = run.teacher and known[run.teacher].architecture
        known_both = teacher and not (teacher.generic or run.architecture.generic)
        if teacher and known_both and teacher.two_stage != run.architecture.two_stage:
            raise UserError(
                f"{path}: run '{run.id}' is {run.arch} and its teacher {teacher.name}, whose "
                "levels have other strides: take a teacher of the same"
            )
    return runs


def ids(path: Path) -> set[str]:
    """The ids of a table's runs.

    Raises:
        UserError: It cannot be read, or a row is malformed.
    """
    return {row["run"] for row in _rows(path)}


def _rows(path: Path) -> list[dict[str, str]]:
    text = read_text(path, "the table of runs")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
    try:
        lines = [(reader.line_num, line) for line in reader if line]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from error
    if lines and lines[0][1][0].startswith("#"):
        raise UserError(f"{path}, line 1: a table of runs has no comments: take the line out")
    if not lines or sorted(lines[0][1]) != sorted(COLUMNS):
        raise UserError(
            f"{path}: the first line of a table of runs has the names {', '.join(COLUMNS)}, with "
            "tabs between them"
        )
    if len(lines) == 1:
        raise UserError(f"{path} has no run: add a row")
    head, rows = lines[0][1], []
    for number, line in lines[1:]:
        if len(line) != len(head):
            raise UserError(
                f"{path}, line {number}: {len(line)} fields and not {len(head)}: put one tab "
                "between two, and - where there is nothing to say"
            )
        row = dict(zip(head, line, strict=True))
        validate(row, "run", f"{path}, line {number}")
        rows.append(row)
    return rows


def _options(path: Path, run: str, text: str) -> dict[str, Any]:
    if text == "-":
        return {}
    options: dict[str, Any] = {}
    for pair in text.split():
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"{path}: run '{run}': option '{pair}' is not written key=value")
        if key in options:
            raise UserError(f"{path}: run '{run}': option '{key}' is given twice: remove one")
        if re.search(r"[,;]\s*[a-z_.]+=", value):
            raise UserError(
                f"{path}: run '{run}': '{pair}' looks like several options: put spaces between them"
            )
        try:
            options[key] = _value(value)
        except ValueError as error:
            raise UserError(
                f"{path}: run '{run}': the value of option '{pair}' is not valid YAML, or no "
                "finite number"
            ) from error
    return options


def _check_own(path: Path, run: str, own: dict[str, Any]) -> None:
    for key, value in own.items():
        if key == "weights":
            if not isinstance(value, str):
                raise UserError(f"{path}: run '{run}': weights is {value}: write a file's name")
            continue
        share = key == "shuffled_labels"
        number = isinstance(value, int | float if share else int) and not isinstance(value, bool)
        if not (number and 0 <= value <= (1 if share else value)):
            wanted = "a share from 0 to 1" if share else "a whole number of at least 0"
            raise UserError(f"{path}: run '{run}': {key} is {value}: write {wanted}")


def _value(text: str) -> Any:
    try:
        # YAML takes 1e-3, without a point, for a word.
        value = float(text)
    except ValueError:
        return parse_yaml(text)
    if not abs(value) < LARGEST:
        raise ValueError(text)
    # YAML would read 010 as eight.
    return int(text) if text.isdecimal() else value
