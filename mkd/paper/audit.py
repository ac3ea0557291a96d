"""The audit of the paper: all findings of the code, and the tables against each other.

Cells that repeat across runs, runs below their own baseline, rows beaten by a faster model, and
figures that agree or disagree with what was published before. :mod:`mkd.paper.quotes` holds the
checks of the text. ``config/paper/notes.yaml`` says which item of the audit a finding belongs to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP
from fnmatch import fnmatchcase
from itertools import combinations

from mkd.paper import quotes
from mkd.paper.facts import AP_METRICS, COST_METRICS, LABELS, Paper, Published, Row
from mkd.paper.quotes import Finding, finding_id

CONSTANT_PAIRS = 3  # pairs that must share a difference before it is listed
DUPLICATE_CELLS = 5  # equal cells that make two runs' rows near duplicates
KIND = {1: "box_AP", 2: "mask_AP"}  # which published AP a table's AP is compared with


def findings(paper: Paper) -> list[Finding]:
    """All findings, with the audit items they belong to.

    Raises:
        UserError: The text speaks of a row or figure that no check can resolve.
    """
    return [
        replace(
            finding,
            items=tuple(
                note.id
                for note in paper.notes
                if any(fnmatchcase(finding.id, pattern) for pattern in note.findings)
            ),
        )
        for check in CHECKS
        for finding in check(paper)
    ]


def repeated_cells(paper: Paper) -> Iterator[Finding]:
    """The same variant of two architectures with the same figure in the same column."""
    for a, b in _twins(paper):
        same = [m for m in AP_METRICS if m in a.cells and a.cells[m] == b.cells.get(m)]
        if same:
            figures = ", ".join(f"{metric} {a.cells[metric]}" for metric in same)
            yield Finding(
                finding_id("repeated-cells", a.table, a.contender, a.arch, b.arch),
                f"'{a.label}' has the same {' and '.join(same)} for {a.arch} and {b.arch}.",
                figures,
                figures,
                (a.locator, b.locator),
            )


def constant_differences(paper: Paper) -> Iterator[Finding]:
    """A column that differs by one amount between two architectures in every ablated variant."""
    groups: dict[tuple[int, str, str], list[tuple[Row, Row]]] = {}
    for a, b in _twins(paper):
        if a.variant and a.variant != "full":
            groups.setdefault((a.table, a.arch, b.arch), []).append((a, b))
    for (table, left, right), pairs in groups.items():
        for metric in AP_METRICS:
            both = [(a, b) for a, b in pairs if metric in a.cells and metric in b.cells]
            steps = {b.cells[metric] - a.cells[metric] for a, b in both}
            if len(both) >= CONSTANT_PAIRS and len(steps) == 1:
                yield Finding(
                    finding_id("constant-difference", table, metric, left, right),
                    f"{metric} differs by exactly {steps.pop():+} in all {len(both)} pairs.",
                    ", ".join(f"{a.label}: {a.cells[metric]}" for a, _ in both),
                    ", ".join(f"{b.label}: {b.cells[metric]}" for _, b in both),
                    (f"Table {table}, {left}, column {metric}",
                     f"Table {table}, {right}, column {metric}"),
                )  # fmt: skip


def near_duplicates(paper: Paper) -> Iterator[Finding]:
    """Two different runs of one architecture that share almost all their figures."""
    for a, b in combinations(_by_run(paper), 2):
        shared = [m for m in AP_METRICS if m in a.cells and m in b.cells]
        same = [m for m in shared if a.cells[m] == b.cells[m]]
        if a.arch == b.arch and len(same) >= DUPLICATE_CELLS:
            yield Finding(
                finding_id("near-duplicate", a.table, a.run, f"t{b.table}", b.run),
                f"Two runs share {len(same)} of {len(shared)} figures.",
                _figures(a, shared),
                _figures(b, shared),
                (a.locator, b.locator),
            )


def same_run_differs(paper: Paper) -> Iterator[Finding]:
    """One run that is printed twice with different figures."""
    for a, b in combinations([row for row in paper.rows if row.run], 2):
        other = [m for m in a.cells if m in b.cells and a.cells[m] != b.cells[m]]
        if a.run == b.run and other:
            yield Finding(
                finding_id("same-run-differs", a.table, a.run, f"t{b.table}", b.label),
                "One run is printed with two different figures.",
                _figures(a, other),
                _figures(b, other),
                (a.locator, b.locator),
            )


def below_baseline(paper: Paper) -> Iterator[Finding]:
    """Distilled rows with an AP at or below that of the undistilled model."""
    for row in _by_run(paper):
        base = paper.baseline(row)
        if base is None or row.method == "baseline":
            continue
        low = [m for m in AP_METRICS
               if m in row.cells and m in base.cells and row.cells[m] <= base.cells[m]]  # fmt: skip
        if low:
            yield Finding(
                finding_id("below-baseline", row.table, row.arch, row.contender),
                f"{' and '.join(low)} at or below that of the undistilled model.",
                _figures(row, low),
                _figures(base, low),
                (row.locator, base.locator),
            )


def removal_raises(paper: Paper) -> Iterator[Finding]:
    """Variants above the full method in some column: every change is listed, up and down."""
    for row in _by_run(paper):
        full = next((r for r in paper.table(row.table)
                     if (r.arch, r.variant) == (row.arch, "full")), None)  # fmt: skip
        if full is None or row.run == full.run:
            continue
        change = {m: row.cells[m] - full.cells[m] for m in row.cells if m in full.cells}
        if any(step > 0 for step in change.values()):
            yield Finding(
                finding_id("removal-raises", row.table, row.arch, row.contender),
                f"{' and '.join(m for m in change if change[m] > 0)} above the full method.",
                _figures(full, list(change)),
                ", ".join(f"{metric} {step:+}" for metric, step in change.items()),
                (full.locator, row.locator),
            )


def dominated(paper: Paper) -> Iterator[Finding]:
    """Rows of other models that are both faster and more accurate than the paper's method."""
    for row in (row for row in _by_run(paper) if row.method == "mkd"):
        for other in paper.table(row.table):
            if not {"AP", "latency_ms"} <= row.cells.keys() & other.cells.keys():
                continue
            if (
                other.cells["AP"] > row.cells["AP"]
                and other.cells["latency_ms"] < row.cells["latency_ms"]
            ):
                columns = ["params_m", "flops_g", "latency_ms", "AP"]
                yield Finding(
                    finding_id("dominated", row.table, row.label, other.label),
                    f"{other.label} is faster and more accurate than {row.label}, with more "
                    "parameters and FLOPs."
                    if all(other.cells[m] > row.cells[m] for m in columns[:2])
                    else f"{other.label} is faster and more accurate than {row.label}.",
                    _figures(row, columns),
                    _figures(other, columns),
                    (row.locator, other.locator),
                )


def equals_published(paper: Paper) -> Iterator[Finding]:
    """An AP equal to the digit to one published before for another method or another model."""
    for row in (row for row in _by_run(paper) if row.table in KIND):
        equal = [p for p in paper.published if p.cells.get(KIND[row.table]) == row.cells["AP"]]
        if any((p.arch, p.method) == (row.arch, row.method) for p in equal):
            # It is the row's own published figure, whoever else has it too.
            continue
        for before in equal:
            own = (before.arch == row.arch, before.method == row.method)
            if any(own):
                teacher = f", teacher {before.teacher}" if before.teacher else ""
                yield Finding(
                    finding_id(
                        "equals-published", row.table, row.label, before.model, before.method
                    ),
                    "The AP equals one published before for another "
                    f"{'method' if own[0] else 'model'}.",
                    f"{row.label}: AP {row.cells['AP']}",
                    f"{before.model}, {before.method}{teacher}: "
                    f"{KIND[row.table].replace('_', ' ')} {before.cells[KIND[row.table]]}",
                    (row.locator, f"{before.source}, {before.locator}"),
                )


def differs_from_published(paper: Paper) -> Iterator[Finding]:
    """Undistilled rows whose figures are not the published ones, rounded as printed."""
    first: dict[str, Published] = {}
    for entry in paper.published:
        if entry.method == "baseline":
            first.setdefault(entry.arch, entry)
    for row in (row for row in _by_run(paper) if row.method == "baseline" and row.table in KIND):
        before = first.get(row.arch)
        if before is None:
            continue
        columns = {"AP": KIND[row.table], **{metric: metric for metric in COST_METRICS}}
        for metric, column in columns.items():
            if metric not in row.cells or column not in before.cells:
                continue
            value = before.cells[column].quantize(row.cells[metric], ROUND_HALF_UP)
            if value != row.cells[metric]:
                label = LABELS.get(metric, metric)
                yield Finding(
                    finding_id("differs-from-published", row.table, row.label, metric),
                    f"{label} of {row.label} is not the published figure.",
                    f"{label} {row.cells[metric]}",
                    f"{label} {before.cells[column]}",
                    (row.locator, f"{before.source}, {before.locator}"),
                )


CHECKS = (
    quotes.text_vs_text,
    quotes.text_vs_table,
    quotes.quoted_but_absent,
    quotes.arithmetic,
    quotes.statements,
    removal_raises,
    below_baseline,
    repeated_cells,
    constant_differences,
    near_duplicates,
    same_run_differs,
    dominated,
    differs_from_published,
    equals_published,
)


def _twins(paper: Paper) -> Iterator[tuple[Row, Row]]:
    """Pairs of rows of one table with one contender and two architectures."""
    for a, b in combinations(_by_run(paper), 2):
        if a.table == b.table and a.contender == b.contender and a.arch != b.arch:
            yield a, b


def _by_run(paper: Paper) -> list[Row]:
    """Rows the suite has a run for, once for each run: in the first table that prints it."""
    rows: dict[str, Row] = {}
    for row in paper.rows:
        if row.run:
            rows.setdefault(row.run, row)
    return list(rows.values())


def _figures(row: Row, metrics: Sequence[str]) -> str:
    return ", ".join(f"{LABELS.get(metric, metric)} {row.cells[metric]}" for metric in metrics)
