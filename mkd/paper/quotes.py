"""The paper's text against its own tables: restated numbers, differences, claims in words.

Every check is a rule over ``config/paper``; none knows a figure. A finding quotes both sides and
where they stand, and claims nothing beyond the two.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from mkd.errors import UserError
from mkd.paper.facts import LABELS, Paper, Row, Statement


@dataclass(frozen=True)
class Finding:
    """Two places that do not agree, or agree where they should be independent.

    Attributes:
        id: ``<check>-t<table>-<what>``, fit for an anchor.
        title: One sentence.
        left: What the first place says.
        right: What the second place says.
        locators: Where the two places are.
        items: Numbers of the audit's items it belongs to.
    """

    id: str
    title: str
    left: str
    right: str
    locators: tuple[str, str]
    items: tuple[int, ...] = ()


def finding_id(check: str, table: int, *parts: str) -> str:
    """``check-t<table>-part-part``; L_FAD and AP_S keep their letters, signs become hyphens."""
    slugs = (re.sub(r"[^a-z0-9.]+", "-", part.lower()).strip("-") for part in parts)
    return "-".join((check, f"t{table}", *slugs))


def cell(row: Row, metric: str) -> Decimal:
    """A printed figure that a check cannot do without.

    Raises:
        UserError: The row does not print it.
    """
    if metric not in row.cells:
        raise UserError(f"{row.locator} prints no {metric}, which the text compares")
    return row.cells[metric]


def named_row(paper: Paper, table: int, label: str, quote: str) -> Row:
    """A row the text names.

    Raises:
        UserError: The table has no such row.
    """
    row = paper.row(table, label)
    if row is None:
        raise UserError(f"text.csv: '{quote}' names '{label}', which is no row of Table {table}")
    return row


def text_vs_table(paper: Paper) -> Iterator[Finding]:
    """Numbers of the text that restate a cell with another value."""
    for quote in paper.quotes:
        row = paper.row(quote.table, quote.row) if quote.table else None
        if quote.kind != "cell" or row is None or quote.metric not in row.cells:
            continue
        printed = row.cells[quote.metric]
        if printed != quote.value:
            yield Finding(
                finding_id("text-vs-table", row.table, row.label, quote.metric),
                f"The text gives another {quote.metric} for {row.label} than its table.",
                f"'{quote.quote}': {quote.value}",
                f"{quote.metric} {printed}",
                (quote.section, row.locator),
            )


def quoted_but_absent(paper: Paper) -> Iterator[Finding]:
    """Rows the text quotes that its table does not have."""
    absent: dict[tuple[int, str], list[str]] = {}
    sections: dict[tuple[int, str], str] = {}
    for quote in paper.quotes:
        row = paper.row(quote.table, quote.row) if quote.table else None
        if quote.table and (row is None or quote.metric not in row.cells):
            key = (quote.table, quote.row)
            absent.setdefault(key, []).append(f"{quote.metric} {quote.value}")
            sections.setdefault(key, quote.section)
    for (table, label), figures in absent.items():
        yield Finding(
            finding_id("quoted-but-absent", table, label),
            f"The text compares with {label}, which Table {table} does not list.",
            f"{label}: {', '.join(figures)}",
            "no such figure",
            (sections[table, label], f"Table {table}"),
        )


def arithmetic(paper: Paper) -> Iterator[Finding]:
    """Differences stated in the text that are not those of the two cells."""
    for quote in paper.quotes:
        if quote.kind != "difference" or quote.table is None:
            continue
        row, minus = (
            named_row(paper, quote.table, label, quote.quote) for label in (quote.row, quote.minus)
        )
        left, right = cell(row, quote.metric), cell(minus, quote.metric)
        if left - right != quote.value:
            yield Finding(
                finding_id("arithmetic", row.table, row.label, minus.label, quote.metric),
                f"The stated difference in {quote.metric} is not that of the two cells.",
                f"'{quote.quote}': {quote.value}",
                f"{left} − {right} = {left - right}",
                (quote.section, f"{row.locator}; {minus.locator}"),
            )


def text_vs_text(paper: Paper) -> Iterator[Finding]:
    """Quantities the text gives twice with different values."""
    quantities = [quote for quote in paper.quotes if quote.kind == "quantity"]
    for name in dict.fromkeys(quote.metric for quote in quantities):
        first, *others = (quote for quote in quantities if quote.metric == name)
        for other in others:
            if other.value != first.value:
                yield Finding(
                    f"text-vs-text-{name.replace(' ', '-')}",
                    f"Two numbers are given for {name}.",
                    f"'{first.quote}'",
                    f"'{other.quote}'",
                    (first.section, other.section),
                )
                break


def statements(paper: Paper) -> Iterator[Finding]:
    """Claims in words that the cells they speak of do not bear out."""
    for statement in paper.statements:
        if statement.check not in STATEMENT_CHECKS:
            raise UserError(
                f"statements.yaml: '{statement.id}' has the unknown check '{statement.check}'; "
                f"there are {', '.join(STATEMENT_CHECKS)}"
            )
        rows = [r for r in paper.table(statement.table) if r.contender == statement.contender]
        if not rows:
            raise UserError(
                f"statements.yaml: '{statement.id}' speaks of '{statement.contender}', which is "
                f"no row of Table {statement.table}"
            )
        yield from STATEMENT_CHECKS[statement.check](paper, statement, rows)


def _best(paper: Paper, claim: Statement, rows: Sequence[Row]) -> Iterator[Finding]:
    for row in {row.arch: row for row in rows}.values():
        for metric in claim.metrics:
            rivals = [
                other
                for other in paper.table(claim.table)
                if other.arch == row.arch
                and other.contender != row.contender
                and cell(other, metric) >= cell(row, metric)
            ]
            if rivals:
                higher = any(cell(rival, metric) > cell(row, metric) for rival in rivals)
                place = "is not highest" if higher else "is highest together with another's"
                yield Finding(
                    finding_id("best", claim.table, claim.id, row.arch, metric),
                    f"{metric} of {row.arch} {place} for '{row.contender}'.",
                    f"'{claim.quote}': {metric} {row.cells[metric]}",
                    ", ".join(f"{rival.label}: {rival.cells[metric]}" for rival in rivals),
                    (claim.section, "; ".join(rival.locator for rival in rivals)),
                )


def _larger_drop(paper: Paper, claim: Statement, rows: Sequence[Row]) -> Iterator[Finding]:
    archs = (claim.larger, claim.smaller)
    full = {arch: _contender(paper, claim, arch, "full") for arch in archs}
    by_arch = {arch: _contender(paper, claim, arch, claim.contender) for arch in archs}
    for metric in claim.metrics:
        drop = {arch: cell(full[arch], metric) - cell(by_arch[arch], metric) for arch in archs}
        if drop[claim.larger] <= drop[claim.smaller]:
            yield Finding(
                finding_id("larger-drop", claim.table, claim.contender, metric),
                f"Without the component, {metric} falls no more in {claim.larger} "
                f"than in {claim.smaller}.",
                f"'{claim.quote}'",
                ", ".join(f"{arch}: {-value:+}" for arch, value in drop.items()),
                (claim.section, "; ".join(by_arch[arch].locator for arch in drop)),
            )


def _lower_cost(paper: Paper, claim: Statement, rows: Sequence[Row]) -> Iterator[Finding]:
    pairs = [(row, base) for row in rows if (base := paper.baseline(row)) is not None]
    for metric in claim.metrics:
        kept = [(r, b) for r, b in pairs if cell(r, metric) >= cell(b, metric)]
        if kept:
            yield Finding(
                finding_id("lower-cost", claim.table, metric),
                f"{LABELS.get(metric, metric)} is no lower than that of the undistilled model.",
                f"'{claim.quote}'",
                "; ".join(
                    f"{r.label} {r.cells[metric]}, {b.label} {b.cells[metric]}" for r, b in kept
                ),
                (claim.section, f"Table {claim.table}, column {LABELS.get(metric, metric)}"),
            )


def _most(paper: Paper, claim: Statement, rows: Sequence[Row]) -> Iterator[Finding]:
    for row in rows:
        other = _contender(paper, claim, row.arch, claim.over)
        above = [m for m in claim.metrics if cell(row, m) > cell(other, m)]
        if len(above) == len(claim.metrics) or 2 * len(above) <= len(claim.metrics):
            yield Finding(
                finding_id("most", claim.table, claim.id, row.arch),
                f"'most' is {len(above)} of {len(claim.metrics)} metrics.",
                f"'{claim.quote}'",
                ", ".join(f"{m} {row.cells[m] - other.cells[m]:+}" for m in claim.metrics),
                (claim.section, f"{row.locator}; {other.locator}"),
            )


def _label(paper: Paper, claim: Statement, rows: Sequence[Row]) -> Iterator[Finding]:
    for row in rows:
        if claim.expected not in row.label:
            yield Finding(
                finding_id("label", claim.table, claim.contender),
                "The text and the table name different models.",
                f"'{claim.quote}'",
                f"row '{row.label}'",
                (claim.section, row.locator),
            )


def _contender(paper: Paper, claim: Statement, arch: str, contender: str) -> Row:
    for row in paper.table(claim.table):
        if (row.arch, row.contender) == (arch, contender):
            return row
    raise UserError(
        f"statements.yaml: '{claim.id}' needs '{contender}' of {arch} in Table {claim.table}"
    )


STATEMENT_CHECKS: dict[str, Callable[[Paper, Statement, Sequence[Row]], Iterator[Finding]]] = {
    "best": _best,
    "larger-drop": _larger_drop,
    "lower-cost": _lower_cost,
    "most": _most,
    "label": _label,
}
