"""The paper as data: its five tables, its quoted numbers and words, and what came before it.

Everything here is read from ``config/paper``; no figure of the paper stands in the code. Numbers
are kept as printed (:class:`decimal.Decimal` keeps 41.40 apart from 41.4 and still equal to it).
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar, get_origin

from mkd import ROOT
from mkd.errors import UserError
from mkd.schemas import read_yaml

FOLDER = ROOT / "config" / "paper"
TABLES = (1, 2, 3, 4, 5)
AP_METRICS = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L")
COST_METRICS = ("params_m", "flops_g", "latency_ms")
LABELS = {"params_m": "Params (M)", "flops_g": "FLOPs (G)", "latency_ms": "Latency (ms)"}
ROW_COLUMNS = ("row", "arch", "method", "variant", "run")
QUOTE_KINDS = ("cell", "difference", "quantity")


@dataclass(frozen=True)
class Row:
    """One row of one of the paper's tables.

    Attributes:
        table: The table's number.
        label: The row's label as printed.
        arch: The suite's name of the architecture, or a slug for a model the suite has not.
        method: Distillation method, ``baseline``, or empty for a model the suite has not.
        variant: Which reading of the method, ``full`` for the method itself; empty where the
            table compares methods.
        run: Id of the run that stands for the row, or empty.
        cells: Printed figures by column: AP in percent, ``params_m`` in millions, ``flops_g``
            in 10⁹, ``latency_ms``. A column the table lacks or leaves blank is absent.
    """

    table: int
    label: str
    arch: str
    method: str
    variant: str
    run: str
    cells: Mapping[str, Decimal]

    @property
    def contender(self) -> str:
        """What sets the row apart from others of its architecture: variant, else method."""
        return self.variant or self.method

    @property
    def locator(self) -> str:
        """Where the row stands, e.g. ``Table 4, rtmdet-s, row 'no L_FAD'``."""
        model = f"{self.arch}, " if self.variant else ""
        return f"Table {self.table}, {model}row '{self.label}'"


@dataclass(frozen=True)
class Quote:
    """A number in the paper's running text.

    Attributes:
        section: Where it stands.
        quote: The words around it.
        kind: ``cell``: restates a cell; ``difference``: of two cells; ``quantity``: neither.
        table: The table it speaks of; None for a quantity.
        row: Label of the row; empty for a quantity.
        minus: Label of the row subtracted; empty unless ``difference``.
        metric: The column, or the name of the quantity.
        value: The number.
    """

    section: str
    quote: str
    kind: str
    table: int | None
    row: str
    minus: str
    metric: str
    value: Decimal


@dataclass(frozen=True)
class Statement:
    """A claim in words about a table; ``config/paper/statements.yaml`` explains the checks."""

    id: str
    section: str
    quote: str
    check: str
    table: int
    contender: str
    metrics: tuple[str, ...] = ()
    over: str = ""
    larger: str = ""
    smaller: str = ""
    expected: str = ""


@dataclass(frozen=True)
class Published:
    """A result published before the paper.

    ``cells`` holds box and mask AP in percent and costs as in :class:`Row`, absent where unknown.
    """

    model: str
    arch: str
    method: str
    teacher: str
    source: str
    locator: str
    url: str
    cells: Mapping[str, Decimal]


@dataclass(frozen=True)
class Note:
    """One item of the audit; ``config/paper/notes.yaml`` explains the fields."""

    id: int
    topic: str
    locator: str
    paper: str = ""
    default: str = ""
    options: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    weight: int = 0


@dataclass(frozen=True)
class Paper:
    """Everything read from ``config/paper``, each part in the order of its file."""

    rows: tuple[Row, ...]
    quotes: tuple[Quote, ...]
    statements: tuple[Statement, ...]
    published: tuple[Published, ...]
    notes: tuple[Note, ...]

    def table(self, number: int) -> list[Row]:
        """The rows of one table."""
        return [row for row in self.rows if row.table == number]

    def row(self, table: int, label: str) -> Row | None:
        """The row of that label, or None.

        Raises:
            UserError: The table has several rows of that label.
        """
        found = [row for row in self.table(table) if row.label == label]
        if len(found) > 1:
            raise UserError(
                f"Table {table} has {len(found)} rows '{label}': give one of them another label"
            )
        return found[0] if found else None

    def baseline(self, row: Row) -> Row | None:
        """The undistilled row of the same architecture: of the same table, else of any."""
        candidates = [r for r in self.rows if r.arch == row.arch and r.method == "baseline"]
        candidates.sort(key=lambda candidate: candidate.table != row.table)
        return candidates[0] if candidates else None


def load(folder: Path = FOLDER) -> Paper:
    """Read and check ``config/paper``.

    Raises:
        UserError: A file is missing or malformed, with its line where there is one.
    """
    words = ("model", "arch", "method", "teacher", "source", "locator", "url")
    figures = ("box_AP", "mask_AP", *COST_METRICS)
    published = [
        Published(**{key: record[key] for key in words}, cells=_cells(record, figures, where))
        for where, record in _records(folder / "published.csv", {*words}, {"input", *figures})
    ]
    return Paper(
        rows=tuple(row for number in TABLES for row in _table(folder, number)),
        quotes=tuple(_quotes(folder / "text.csv")),
        statements=tuple(_items(folder / "statements.yaml", Statement)),
        published=tuple(published),
        notes=tuple(_items(folder / "notes.yaml", Note)),
    )


def _table(folder: Path, number: int) -> Iterator[Row]:
    path = folder / f"table{number}.csv"
    for where, record in _records(path, set(ROW_COLUMNS), {"input", *AP_METRICS, *COST_METRICS}):
        if not record["row"] or not record["arch"]:
            raise UserError(f"{where}: 'row' and 'arch' must not be empty")
        yield Row(
            table=number,
            label=record["row"],
            arch=record["arch"],
            method=record["method"],
            variant=record["variant"],
            run=record["run"],
            cells=_cells(record, (*AP_METRICS, *COST_METRICS), where),
        )


def _quotes(path: Path) -> Iterator[Quote]:
    columns = {field.name for field in fields(Quote)}
    for where, record in _records(path, columns, set()):
        kind = record["kind"]
        if kind not in QUOTE_KINDS:
            raise UserError(f"{where}: kind '{kind}' is not one of {', '.join(QUOTE_KINDS)}")
        if (kind == "quantity") == bool(record["table"]):
            raise UserError(f"{where}: a quantity has no table, a cell or difference has one")
        yield Quote(
            section=record["section"],
            quote=record["quote"],
            kind=kind,
            table=int(_number(record["table"], where)) if record["table"] else None,
            row=record["row"],
            minus=record["minus"],
            metric=record["metric"],
            value=_number(record["value"], where),
        )


def _records(
    path: Path, required: set[str], optional: set[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV file, each with its place; columns outside both sets are refused."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: it holds a part of the paper's figures") from error
    reader = csv.DictReader(text.splitlines())
    columns = set(reader.fieldnames or ())
    if not required <= columns:
        raise UserError(f"{path}: missing column {', '.join(sorted(required - columns))}")
    if columns - required - optional:
        unknown = ", ".join(sorted(map(str, columns - required - optional)))
        raise UserError(f"{path}: unknown column {unknown}")
    for record in reader:
        where = f"{path}, line {reader.line_num}"
        if None in record or None in record.values():
            raise UserError(f"{where}: expected {len(columns)} fields")
        yield where, record


def _cells(record: dict[str, str], columns: tuple[str, ...], where: str) -> dict[str, Decimal]:
    return {c: _number(record[c], where) for c in columns if record.get(c)}


def _number(text: str, where: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise UserError(f"{where}: '{text}' is not a number; leave blank what is absent") from error
    if not value.is_finite():
        raise UserError(f"{where}: '{text}' is not finite; leave blank what is absent")
    return value


T = TypeVar("T", Statement, Note)


def _items(path: Path, kind: type[T]) -> Iterator[T]:
    """Entries of a YAML list as dataclasses; lists become tuples."""
    entries: Any = read_yaml(path)
    types: dict[str, Any] = {f.name: get_origin(f.type) or f.type for f in fields(kind)}
    seen: set[Any] = set()
    for entry in entries or ():
        try:
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in entry.items()
            }
            item = kind(**values)
        except (TypeError, AttributeError) as error:
            raise UserError(f"{path}: entry {entry!r} does not fit: {error}") from error
        for key, value in values.items():
            if not isinstance(value, types[key]):
                raise UserError(f"{path}: '{key}' of entry '{item.id}' has the wrong type")
        if item.id in seen:
            raise UserError(f"{path}: id '{item.id}' stands there twice")
        seen.add(item.id)
        yield item
