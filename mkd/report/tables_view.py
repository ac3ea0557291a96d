"""The paper's tables as the page shows them, the interval of each row as a small plot."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, floor

from markupsafe import Markup

from mkd.experiment.runs import Run, baseline_of
from mkd.paper.facts import COST_METRICS
from mkd.report import style
from mkd.report.markup import tag
from mkd.results.formats import bounds, counted, half, number, signed
from mkd.results.records import Records
from mkd.results.statistics import Interval, usual_ends
from mkd.results.tables import Column, Row, Table

HEIGHT = 16
"""Of an interval in a row, in px."""


@dataclass(frozen=True)
class Shown:
    """One of the paper's tables, ready for the page.

    Attributes:
        table: The table.
        metric: The column that stands first: AP, or mask AP.
        others: The other columns of AP.
        costs: The columns of costs, of full-width detectors.
        cost_px: The input size that the measured costs are of, in words; the paper's are of 640 px.
        intervals: Row id → its interval as a small plot, or its one seed in words.
        range: The ends of all those plots, in words.
        lone: Ids of rows with a single seed in common with the baseline.
    """

    table: Table
    metric: Column
    others: tuple[Column, ...]
    costs: tuple[Column, ...]
    cost_px: str
    intervals: dict[str, Markup]
    range: str
    lone: frozenset[str]


def shown(table: Table, records: Records, runs: Mapping[str, Run]) -> Shown:
    """Lay a table out.

    Args:
        table: From :func:`mkd.results.tables.build`.
        records: What it was built from.
        runs: The table of runs, by id.
    """
    by_key = {column.key: column for column in table.columns}
    deltas = {
        row.id: cell.delta
        for row in table.rows
        if (cell := row.measured.get("AP")) and cell.delta is not None
    }
    low, high = _range(deltas.values())
    shortened = any(
        (delta.low or 0.0) < low or (delta.high or 0.0) > high for delta in deltas.values()
    )
    lone = frozenset(
        row.id
        for row in table.rows
        if (cell := row.measured.get("AP"))
        and (len(cell.delta.points) if cell.delta else len(cell.points)) == 1
    )
    sizes = sorted({record["input_px"] for record in records.edge.complexity.values()})
    return Shown(
        table=table,
        metric=by_key["AP"],
        others=tuple(c for c in table.columns if c.key not in ("AP", *COST_METRICS)),
        costs=tuple(c for c in table.columns if c.key in COST_METRICS),
        cost_px=" and ".join(f"{px} px" for px in sizes) or "640 px",
        intervals={
            row.id: _lone(row, by_key["AP"].record, records, runs)
            if row.id in lone
            else _plot(deltas[row.id], row.method, low, high)
            for row in table.rows
            if row.id in deltas
        },
        range=f"{signed(low, 0)} to {signed(high, 0)}{', longer ones cut' * shortened}"
        if deltas.keys() - lone
        else "",
        lone=lone,
    )


def _range(deltas: Iterable[Interval]) -> tuple[int, int]:
    """From below zero to above it, so that every usual interval and zero have room.

    In whole AP, as the heading gives them.
    """
    ends = usual_ends(delta for delta in deltas if delta.half_width is not None)
    reach = max([1.0, *map(abs, ends)])
    return floor(min([-0.25 * reach, *ends])), ceil(max([0.25 * reach, *ends]))


def _plot(delta: Interval, method: str, low: float, high: float) -> Markup:
    """A line from end to end of the interval, the method's mark at the mean, zero dotted.

    Along x all is in percent, so that the plot is as wide as its cell; what lies beyond it is cut.
    """

    def at(value: float) -> str:
        return f"{5 + 90 * (min(max(value, low), high) - low) / (high - low):.1f}%"

    middle = HEIGHT / 2
    inner = tag("line", class_="zero", x1=at(0.0), x2=at(0.0), y1=0, y2=HEIGHT)
    if delta.low is not None and delta.high is not None:
        inner += tag("line", x1=at(delta.low), x2=at(delta.high), y1=middle, y2=middle)
    mark = tag("path", d=style.mark_path(method, 0, middle, 8))
    inner += tag("svg", mark, x=at(delta.mean), overflow="visible")
    return tag(
        "svg",
        inner,
        class_="interval",
        style=f"--own:var(--{style.color_name(method)})",
        height=HEIGHT,
        role="img",
        aria_label=f"95 % interval {bounds(delta, 2)}",
    )


def _lone(row: Row, metric: str, records: Records, runs: Mapping[str, Run]) -> Markup:
    """The one seed that a row shares with its baseline, and both figures of it."""
    cell = row.measured["AP"]
    plain = records.points(baseline_of(row.run, runs), metric)
    (seed,) = cell.points.keys() & plain.keys()
    words = tag("span", f"seed {seed}: ", class_="roomy")
    words += f"{number(plain[seed])} → {number(cell.points[seed])}"
    return tag("span", words, class_="quiet", title="the same seed without distillation, and with")


def delta_words(delta: Interval | None) -> str:
    """``+2.6 ± 3.2``; the difference alone where one seed gives no interval."""
    if delta is None:
        return ""
    return signed(delta.mean) + (f" {half(delta)}" if delta.half_width is not None else "")


def title(row: Row, key: str) -> str:
    """Every point of a cell and the interval of its difference, for a pointer that rests on it."""
    cell = row.measured[key]
    said = [f"seed {seed}: {number(value, 2)}" for seed, value in cell.points.items()]
    if cell.value.half_width is not None:
        said.append(f"95 % interval {bounds(cell.value, 2)}")
    if cell.delta is not None:
        spread = f" {bounds(cell.delta, 2)}" if cell.delta.half_width is not None else ""
        seeds = counted(len(cell.delta.points), "paired seed")
        said.append(f"Δ {signed(cell.delta.mean, 2)}{spread}, {seeds}")
    return "; ".join(said)
