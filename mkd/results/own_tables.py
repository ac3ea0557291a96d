"""The table of a user's own runs, and AP by class: methods against their baseline."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from mkd.experiment.architectures import has_masks
from mkd.experiment.labels import arch_name, method_name
from mkd.experiment.runs import Run, baseline_of
from mkd.results import statistics
from mkd.results.records import Records
from mkd.results.tables import SIX, Cell, Column, Row, Table, ap_columns, measure


def of_own(records: Records, runs: Mapping[str, Run]) -> Table:
    """A user's own runs: each method against the undistilled detector of its size.

    Args:
        records: From :func:`load_folder`.
        runs: The table of runs, by id.

    Returns:
        Mask AP where every row has masks, as its title says. An architecture's baseline stands
        before its other rows; architectures of teachers alone come last.
    """
    archs = list(dict.fromkeys(run.arch for run in runs.values() if run.tables))
    archs += [run.arch for run in runs.values() if run.arch not in archs]
    kind = _kind(runs)
    columns = (
        *ap_columns(kind, *(column.key for column in SIX)),
        Column("params_m", "Params", "params_m", "M", 2, "↓"),
        Column("macs_g", "MACs", "macs_g", "G", 2, "↓"),
    )
    rows: list[Row] = []
    for arch in dict.fromkeys(archs):
        here = [run for run in runs.values() if run.arch == arch]
        here.sort(key=lambda run: run.method != "baseline")
        for run in here:
            name = method_name(run)
            label = f"{arch_name(arch)}+{name}" if name else arch_name(arch)
            rows.append(
                Row(
                    id=run.id,
                    label=records.marked(label, run.id),
                    arch=arch,
                    method=run.method,
                    run=run.id,
                    role=run.method if run.method == "baseline" else "suite",
                    first=bool(rows) and rows[-1].arch != arch,
                    measured=measure(records, runs, run.id, columns),
                )
            )
    times = Counter(row.label for row in rows)
    # They differ by their teacher alone, or by settings of the scale's file.
    rows = [
        replace(row, label=f"{row.label} ({row.run})") if times[row.label] > 1 else row
        for row in rows
    ]
    title = f"Methods against their baseline ({kind} AP)"
    return Table(0, title, records.scale, columns, rows)


def _kind(runs: Mapping[str, Run]) -> str:
    return "mask" if all(has_masks(run.arch) for run in runs.values()) else "box"


def by_class(records: Records, runs: Mapping[str, Run], arch: str) -> dict[str, dict[str, Cell]]:
    """The table's AP of each class, by class and then by run of one architecture.

    Args:
        records: From :func:`load_folder`.
        runs: The table of runs, by id.
        arch: The architecture.

    Returns:
        Classes in the order of the data set, runs with the baseline first; without classes that no
        run has a figure of.
    """
    kind = _kind(runs)
    here = sorted(
        (run for run in runs.values() if run.arch == arch),
        key=lambda run: run.method != "baseline",
    )
    points: dict[str, dict[str, dict[int, float]]] = {}
    for run in here:
        for seed, record in sorted(records.by_run.get(run.id, {}).items()):
            for name, value in record.get("classes", {}).get(kind, {}).items():
                if value is not None:
                    points.setdefault(name, {}).setdefault(run.id, {})[seed] = value
    return {
        name: {
            run: Cell(seeds, statistics.interval(seeds.values()), _delta(seeds, run, by_run, runs))
            for run, seeds in by_run.items()
        }
        for name, by_run in points.items()
    }


def _delta(
    seeds: Mapping[int, float],
    run: str,
    by_run: Mapping[str, Mapping[int, float]],
    runs: Mapping[str, Run],
) -> statistics.Interval | None:
    if runs[run].method == "baseline":
        return None
    return statistics.paired_delta(seeds, by_run.get(baseline_of(run, runs) or "", {}))
