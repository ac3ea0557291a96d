"""One way to write numbers, and each table as CSV, Markdown and LaTeX."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from mkd.files import write_atomic
from mkd.results.statistics import Interval
from mkd.results.tables import Cell, Column, Row, Table

NOT_RUN = "not run"
UNSTEADY = "unsteady"
"""In the cell of a latency that was timed, and never steadily enough."""
QUOTED = "quoted"
"""In the measured AP of a detector outside the suite; the figure stands in the paper's column."""
_SYMBOLS = {
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "Δ": r"$\Delta$",
    "–": "--",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "α": r"$\alpha$",
    "ζ": r"$\zeta$",
}
"""What LaTeX has no letter for; pandas escapes what it has one for."""


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


def counted(count: int, word: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{count} {word}{'s' * (count != 1)}"


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
    if any(key.startswith("AP") for key in row.measured) and column.better == "↑":
        # It was run, and the val set has no such object.
        return "–"
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
        if table.number:
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


def _grid(table: Table) -> pd.DataFrame:
    """The table in words, its columns grouped: paper, published, measured; or measured alone."""
    groups = ("Paper", "Published", f"Measured, {table.scale} scale")
    heads = [
        ("", "Model"),
        *((groups[0], column.label) for column in table.columns),
        (groups[1], "AP"),
        *((groups[2], column.measured_label) for column in table.columns),
    ]
    body = [
        [
            table.labelled(row),
            *(number(row.paper.get(c.key), c.digits) for c in table.columns),
            number(row.published),
            *(
                measured(row.measured[c.key], c) if c.key in row.measured else absent(row, c)
                for c in table.columns
            ),
        ]
        for row in table.rows
    ]
    grid = pd.DataFrame(body, columns=pd.MultiIndex.from_tuples(heads))
    return grid if table.number else grid[["", groups[2]]]


def markdown(table: Table, summary: str) -> str:
    """The table as Markdown, its scale said above it and in every measured heading."""
    grid = _grid(table)
    said = {"Paper": "paper ", "Published": "published ", "": ""}
    groups, names = (grid.columns.get_level_values(level) for level in (0, 1))
    grid.columns = pd.Index(
        [said.get(g, f"{table.scale} ") + name for g, name in zip(groups, names, strict=True)]
    )
    title = (
        f"**{table.heading}.** Measured at {table.scale} scale: {summary}. "
        "Mean ± 95 % interval over seeds; Δ is the difference to the baseline, paired by seed."
        + (f" {table.note}" if table.note else "")
    )
    return f"{title}\n\n{pipe(grid)}\n"


def pipe(grid: pd.DataFrame) -> str:
    """A frame of words as a Markdown table, figures to the right."""
    align = ["left", *["right"] * (grid.shape[1] - 1)]
    escaped = grid.map(lambda cell: cell.replace("|", "\\|"))
    return str(
        escaped.to_markdown(index=False, tablefmt="pipe", colalign=align, disable_numparse=True)
    )


def latex(table: Table, summary: str) -> str:
    """The table for a paper (needs booktabs), its scale in the heading of the measured columns."""
    grid, count = _grid(table), len(table.columns)
    firsts = [at for at, row in enumerate(table.rows) if row.first]
    styler = (
        grid.style.hide(axis="index")
        .format(_symbols, escape="latex")
        .format(
            lambda label: f"\\addlinespace\n{_symbols(label)}",
            escape="latex",
            subset=pd.IndexSlice[firsts, grid.columns[:1]],
        )
        .format_index(_symbols, escape="latex", axis="columns")
    )
    text = styler.to_latex(
        column_format="l" + "r" * (grid.shape[1] - 1), hrules=True, multicol_align="c"
    )
    rules = rf"\cmidrule(lr){{2-{count + 1}}}"
    if table.number:
        rules += (
            rf" \cmidrule(lr){{{count + 2}-{count + 2}}} "
            rf"\cmidrule(lr){{{count + 3}-{2 * count + 2}}}"
        )
    said = f"{table.heading.replace('. ', ', ')}; {table.scale} scale: {summary}; {table.note}"
    # The first line that ends is that of the groups.
    return f"% {' '.join(said.splitlines())}\n" + text.replace("\\\\\n", f"\\\\\n{rules}\n", 1)


def _symbols(text: object) -> str:
    return "".join(_SYMBOLS.get(char, char) for char in str(text))


def files(table: Table, summary: str) -> dict[str, str]:
    """The files of a table: ``<name>.csv``, ``.md`` and ``.tex`` → content."""
    return {
        f"{table.name}.csv": frame(table).to_csv(index=False),
        f"{table.name}.md": markdown(table, summary),
        f"{table.name}.tex": latex(table, summary),
    }


def write_tables(tables: list[Table], summary: str, folder: Path) -> None:
    """Write the :func:`files` of each table into ``folder``."""
    for table in tables:
        for name, content in files(table, summary).items():
            write_atomic(folder / name, content)
