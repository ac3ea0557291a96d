"""Records to tables: every row of the paper beside what was measured, or *not run*."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.labels import arch_name, slug
from mkd.experiment.runs import Run, baseline_of
from mkd.results import paper_rows, statistics
from mkd.results.records import Records


@dataclass(frozen=True)
class Column:
    """One figure of a table.

    Attributes:
        key: Its column in ``config/paper/table<N>.csv``.
        label: Its heading over the paper's figures.
        record: Where a record keeps it (:meth:`Records.points`).
        unit: Of both.
        digits: After the point.
        better: ``↑`` or ``↓``.
    """

    key: str
    label: str
    record: str
    unit: str = "%"
    digits: int = 1
    better: str = "↑"

    @property
    def measured_label(self) -> str:
        """Its heading over measured figures: what the paper calls FLOPs is counted as MACs."""
        return "MACs" if self.key == "flops_g" else self.label


def ap_columns(kind: str, *names: str) -> tuple[Column, ...]:
    """Columns of AP figures, of ``box`` or ``mask``."""
    return tuple(Column(name, name, f"{kind}.{name}") for name in names)


SIX = ap_columns("box", "AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L")
"""COCO's six figures of boxes."""
TABLES: dict[int, tuple[str, tuple[Column, ...]]] = {
    1: (
        "Detectors and distillation methods",
        (
            Column("params_m", "Params", "params_m", "M", 2, "↓"),
            Column("flops_g", "FLOPs", "macs_g", "G", 2, "↓"),
            Column("latency_ms", "Latency", "latency_ms", "ms", 2, "↓"),
            *ap_columns("box", "AP", "AP50"),
        ),
    ),
    2: ("Instance segmentation, mask AP", ap_columns("mask", "AP", "AP_S", "AP_M", "AP_L")),
    3: ("Choice of teacher", SIX),
    4: ("Components left out", SIX),
    5: ("Weight of the distillation loss", SIX),
}


@dataclass(frozen=True)
class Cell:
    """What was measured for one row and column.

    Attributes:
        points: Seed → value; none for a figure of the architecture and not of a run.
        value: Their mean with its 95 % interval.
        delta: Mean difference to the baseline of the same architecture, paired by seed; None
            where no seed has both, and for what is not distilled: a teacher has a schedule of its
            own.
    """

    points: dict[int, float]
    value: statistics.Interval
    delta: statistics.Interval | None


@dataclass(frozen=True)
class Row:
    """What the paper prints, what had been published, and what was measured.

    Attributes:
        id: Unique within the table, fit for an anchor.
        label: The paper's own label, or the suite's where the paper has no such row.
        arch: Rows of one architecture stand together.
        method: Of the run; empty for a detector outside the suite.
        run: Id of the run, or None where the suite has none for this row.
        role: ``paper`` (the paper has this row), ``baseline`` (the paper has it in Table 1 only),
            ``control`` (CWD) or ``suite`` (another run of the suite).
        measured: Column key → cell; a missing key is *not run*.
        first: A new group of rows begins here.
        paper: Column key → the paper's figure as printed.
        paper_delta: Column key → the paper's figure minus its own baseline's.
        published: AP published before the paper for the same architecture and method, or None.
        published_source: Where.
    """

    id: str
    label: str
    arch: str
    method: str
    run: str | None
    role: str
    measured: dict[str, Cell]
    first: bool = False
    paper: dict[str, Decimal] = field(default_factory=dict)
    paper_delta: dict[str, Decimal] = field(default_factory=dict)
    published: Decimal | None = None
    published_source: str = ""
    unsteady: bool = False
    """Its latency was timed, and never steadily enough to be shown."""


@dataclass(frozen=True)
class Table:
    """One of the paper's tables, paper against measured; number 0 is of a user's own runs."""

    number: int
    title: str
    scale: str
    columns: tuple[Column, ...]
    rows: list[Row]
    note: str = ""
    """What measured costs are of, where they are not of the runs themselves; what is elsewhere."""

    @property
    def name(self) -> str:
        """Of its files."""
        return f"table{self.number}" if self.number else "summary"

    def labelled(self, row: Row) -> str:
        """A row's label, with its number of seeds where rows of the table differ in it.

        Their means do not compare, as some seeds are better than others; paired differences do.
        """
        seeds = {one.id: len(cell.points) for one in self.rows if (cell := one.measured.get("AP"))}
        differ = len({count for count in seeds.values() if count}) > 1
        return f"{row.label} (n={seeds[row.id]})" if differ and seeds.get(row.id) else row.label

    @property
    def heading(self) -> str:
        """Its title, with its number in the paper."""
        return f"Table {self.number}. {self.title}" if self.number else self.title


def build(records: Records, runs: Mapping[str, Run], number: int) -> Table:
    """Lay one of the paper's tables beside what was measured.

    Args:
        records: From :func:`load_folder`.
        runs: The table of runs, by id.
        number: 1 to 5.

    Returns:
        The paper's rows in the paper's order; after each architecture's rows its CWD control and
        the suite's own runs for this table, before them its baseline where the paper's table has
        none.
    """
    title, columns = TABLES[number]
    drafts, unsteady = paper_rows.drafts_of(number, runs), records.edge.unsteady()
    rows: list[Row] = []
    for draft in drafts:
        published, source = paper_rows.published(draft.arch, draft.method)
        name = slug(f"{draft.arch} {draft.label.removeprefix(arch_name(draft.arch))}")
        twins = sum(row.id == name or row.id.startswith(f"{name}--") for row in rows)
        rows.append(
            Row(
                id=f"{name}--{twins + 1}" if twins else name,
                label=records.marked(draft.label, draft.run),
                arch=draft.arch,
                method=draft.method,
                run=draft.run,
                role=draft.role,
                first=bool(rows) and _begins_group(rows[-1].arch, draft.arch),
                paper=dict(draft.paper),
                paper_delta=paper_rows.paper_delta(draft, drafts),
                published=published,
                published_source=source,
                measured={
                    # What a run costs at its own width does not belong beside the paper's.
                    **measure(records, runs, draft.run, [c for c in columns if c.better == "↑"]),
                    **_costs(records, draft.arch, columns),
                },
                unsteady=draft.arch in unsteady,
            )
        )
    notes = [_teachers(records, runs, [row.run for row in rows], columns)]
    if number == 1:
        notes.append(records.edge.note())
    if number == 2 and not any(run.architecture.two_stage for run in runs.values()):
        notes.append(
            "Mask R-CNN R50, which the paper's text names, is a second track at paper scale."
        )
    return Table(number, title, records.scale, columns, rows, " ".join(filter(None, notes)))


def build_all(records: Records, runs: Mapping[str, Run]) -> list[Table]:
    """Every table of the paper, as :func:`build` builds one."""
    return [build(records, runs, number) for number in TABLES]


def _teachers(
    records: Records,
    runs: Mapping[str, Run],
    shown: Iterable[str | None],
    columns: Iterable[Column],
) -> str:
    """The measured AP of the teachers of a table's runs: a weak one has little to teach."""
    figure = next(column for column in columns if column.key == "AP")
    taught: dict[str, set[str]] = {}
    for run in (runs[name] for name in shown if name is not None and name in runs):
        if run.teacher:
            taught.setdefault(run.teacher, set()).add(arch_name(run.arch))
    said = []
    for teacher, students in taught.items():
        found = records.of_teacher(teacher, figure.record)
        if found is not None:
            name = arch_name(runs[teacher].arch) if teacher in runs else teacher
            said.append(f"{name} {found:.1f} (of {', '.join(sorted(students))})")
    kind = figure.record.partition(".")[0]
    return f"Measured {kind} AP of the teachers: {'; '.join(said)}." if said else ""


def measure(
    records: Records, runs: Mapping[str, Run], run: str | None, columns: Sequence[Column]
) -> dict[str, Cell]:
    """The measured cells of a run: column key → cell, without those that were not run."""
    baseline = baseline_of(run, runs)
    cells = {}
    for column in columns:
        points = records.points(run, column.record)
        if not points:
            continue
        reference = records.points(baseline, column.record)
        distilled = run is not None and run in runs and runs[run].method != "baseline"
        compared = distilled and column.better == "↑"
        delta = statistics.paired_delta(points, reference) if compared else None
        cells[column.key] = Cell(points, statistics.interval(points.values()), delta)
    return cells


def _costs(records: Records, arch: str, columns: Sequence[Column]) -> dict[str, Cell]:
    """What the architecture at full width and the paper's input size costs, where it is known."""
    costs = records.edge.costs().get(arch, {})
    return {
        column.key: Cell({}, statistics.interval([costs[column.record]]), None)
        for column in columns
        if column.record in costs
    }


def _begins_group(before: str, now: str) -> bool:
    """Other detectors stand before the RTMDet of their size, in one group with it."""
    return before != now and before in ARCHITECTURES
