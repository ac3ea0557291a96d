"""One way to write numbers, and each table as CSV, Markdown and LaTeX."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from mkd.files import write_atomic
from mkd.stats import Interval
from mkd.tables import Cell, Column, Row, Table

NOT_RUN = "not run"
UNSTEADY = "unsteady"
"""In the cell of a latency that was timed, and never steadily enough."""
QUOTED = "quoted"
"""In the measured AP of a detector outside the suite; the figure stands in the paper's column."""
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "Δ": r"$\Delta$",
    "–": "--",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "α": r"$\alpha$",
}


def number(value: float | Decimal | None, digits: int = 1) -> str:
    """A figure with a real minus sign, the paper's own as printed; a dash where there is none."""
    if value is None:
        return "–"
    text = str(value) if isinstance(value, Decimal) else f"{value:.{digits}f}"
    return text.replace("-", "−")


def signed(value: float | Decimal, digits: int = 1) -> str:
    """A difference with its sign; none where it rounds to zero."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def half(interval: Interval, digits: int = 1) -> str:
    """``± half-width``; ``(n=1)`` where one point gives no interval."""
    return "(n=1)" if interval.half_width is None else f"± {interval.half_width:.{digits}f}"


def bounds(interval: Interval, digits: int = 1) -> str:
    """``[low, high]``, or nothing where one point gives no interval."""
    if interval.half_width is None:
        return ""
    return f"[{number(interval.low, digits)}, {number(interval.high, digits)}]"


def points(cell: Cell, digits: int = 2) -> str:
    """Every point, by seed; a figure of the architecture or of published weights has none."""
    if not cell.points:
        return "of the architecture or published weights, no seed"
    return "; ".join(f"seed {seed}: {number(v, digits)}" for seed, v in cell.points.items())


def absent(row: Row, column: Column) -> str:
    """What stands in a measured cell without a figure."""
    if column.key == "latency_ms" and row.unsteady:
        return UNSTEADY
    if row.method or column.better != "↑":
        return NOT_RUN
    return QUOTED if column.key in row.paper else "–"


def spread(cell: Cell, digits: int = 1) -> str:
    """Behind an AP: its half-width, or that it is of published weights and not of a run."""
    return half(cell.value, digits) if cell.points else "(published weights)"


def measured(cell: Cell, column: Column) -> str:
    """A measured cell in one line: mean ± half-width, Δ to the baseline ± its own."""
    words = number(cell.value.mean, column.digits)
    if column.better == "↑":
        words += f" {spread(cell, column.digits)}"
    if cell.delta is not None:
        words += f", Δ {signed(cell.delta.mean)} {half(cell.delta)}"
    return words


def frame(table: Table) -> pd.DataFrame:
    """The table as flat columns: paper, published and measured figures, raw, one row a row."""
    rows = []
    for row in table.rows:
        flat: dict[str, Any] = {
            "row": row.label,
            "arch": row.arch,
            "run": row.run,
            "role": row.role,
        }
        for column in table.columns:
            flat[f"paper {column.key}"] = row.paper.get(column.key)
        flat["published AP"] = row.published
        for column in table.columns:
            cell = row.measured.get(column.key)
            name = f"{table.scale} {column.key}"
            flat[name] = cell.value.mean if cell else None
            flat[f"{name} low"] = cell.value.low if cell else None
            flat[f"{name} high"] = cell.value.high if cell else None
            flat[f"{name} seeds"] = points(cell, 3) if cell else absent(row, column)
            if column.better == "↑":
                delta = cell.delta if cell else None
                flat[f"{name} delta"] = delta.mean if delta else None
                flat[f"{name} delta low"] = delta.low if delta else None
                flat[f"{name} delta high"] = delta.high if delta else None
        rows.append(flat)
    return pd.DataFrame(rows)


def _grid(table: Table) -> tuple[list[str], list[list[str]]]:
    heads = [
        "Model",
        *(f"paper {c.label}" for c in table.columns),
        "published AP",
        *(f"{table.scale} {c.measured_label}" for c in table.columns),
    ]
    body = [
        [
            row.label,
            *(number(row.paper.get(c.key), c.digits) for c in table.columns),
            number(row.published),
            *(
                measured(row.measured[c.key], c) if c.key in row.measured else absent(row, c)
                for c in table.columns
            ),
        ]
        for row in table.rows
    ]
    return heads, body


def markdown(table: Table, summary: str) -> str:
    """The table for a README, its scale said above it and in every measured heading."""
    heads, body = _grid(table)

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|---|" + "---:|" * (len(heads) - 1)
    title = (
        f"**Table {table.number}. {table.title}.** Measured at {table.scale} scale: {summary}. "
        "Mean ± 95 % interval over seeds; Δ is the difference to the baseline, paired by seed."
        + (f" {table.note}" if table.note else "")
    )
    return "\n".join([title, "", line(heads), rule, *map(line, body)]) + "\n"


def latex(table: Table, summary: str) -> str:
    """The table for a paper (needs booktabs), its scale in the heading of the measured columns."""
    heads, body = _grid(table)
    count = len(table.columns)

    def line(cells: list[str]) -> str:
        return " & ".join(map(tex, cells)) + r" \\"

    groups = (
        rf" & \multicolumn{{{count}}}{{c}}{{Paper}} & Published & "
        rf"\multicolumn{{{count}}}{{c}}{{Measured, {tex(table.scale)} scale}} \\"
    )
    names = [c.label for c in table.columns]
    rules = (
        rf"\cmidrule(lr){{2-{count + 1}}} \cmidrule(lr){{{count + 2}-{count + 2}}} "
        rf"\cmidrule(lr){{{count + 3}-{2 * count + 2}}}"
    )
    parts = [
        rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        r"\toprule",
        groups,
        rules,
        line(["Model", *names, "AP", *(c.measured_label for c in table.columns)]),
        r"\midrule",
    ]
    for row, cells in zip(table.rows, body, strict=True):
        parts += [r"\addlinespace"] * row.first + [line(cells)]
    parts += [r"\bottomrule", r"\end{tabular}"]
    said = f"Table {table.number}, {table.title}; {table.scale} scale: {summary}; {table.note}"
    return "\n".join([f"% {' '.join(said.splitlines())}", *parts]) + "\n"


def tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(char, char) for char in text)


def files(table: Table, summary: str) -> dict[str, str]:
    """The files of a table: ``table<N>.csv``, ``.md`` and ``.tex`` → content."""
    return {
        f"table{table.number}.csv": frame(table).to_csv(index=False),
        f"table{table.number}.md": markdown(table, summary),
        f"table{table.number}.tex": latex(table, summary),
    }


def write_tables(tables: list[Table], summary: str, folder: Path) -> None:
    """Write the :func:`files` of each table into ``folder``."""
    for table in tables:
        for name, content in files(table, summary).items():
            write_atomic(folder / name, content)
