"""What of the edge suite's records is missing, mixed or of other weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkd.edge import suite as edge
from mkd.edge.engines import place
from mkd.edge.records import AP_DRIFT, EdgeRecords, engine_version
from mkd.experiment.suite import Suite

AP_TOLERANCE = 0.1
"""Largest difference allowed between the AP of an FP32 file and torch's."""


def check(
    suite: Suite, records: EdgeRecords, root: Path, weights: dict[tuple[str, int], str]
) -> Iterator[tuple[str, str]]:
    """Where something is worth a look, and what.

    Args:
        suite: The scale as it stands now.
        records: Of its results folder.
        root: That folder; one without any such record is not looked at.
        weights: Run and seed → digest of the weights its record speaks of.
    """
    if not any((records.complexity, records.latency, records.exported, records.published)):
        return
    own = [record for record in records.latency if record["scale"] is not None]
    yield from _missing(suite, own, root)
    yield from _mixed(records, own)
    for record in own:
        if records.outdated(record):
            words = "is of another file than the one that is exported now: time it again"
            yield f"latency of {record['model']} {record['precision']} on {place(record)}", words
    for run, record in records.exported.items():
        where = f"exported/{run}.json"
        if record["digests"].get("weights") != weights.get((run, record["seed"])):
            yield where, "is of other weights than the run's record"
        yield from _drifts(where, record)
        file, torch = record["files"]["fp32"]["metrics"]["AP"], record["torch"]["AP"]
        if None not in (file, torch) and abs(file - torch) > AP_TOLERANCE:
            yield where, f"the FP32 file has an AP of {file} and torch {torch}"


def _drifts(where: str, record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """APs of engines that lie far from torch's."""
    torch = record["torch"]["AP"]
    # The FP32 file has a bound of its own.
    own = {name: file for name, file in record["files"].items() if name != "fp32"}
    engines = {"onnxruntime": own, **record.get("engines", {})}
    for engine, entries in engines.items():
        for precision, entry in entries.items():
            found = entry["metrics"]["AP"] if "metrics" in entry else None
            if None not in (found, torch) and abs(found - torch) > AP_DRIFT:
                yield where, f"{engine} {precision} has an AP of {found} and torch {torch}"


def _missing(suite: Suite, own: list[dict[str, Any]], root: Path) -> Iterator[tuple[str, str]]:
    """Records the scale plans, on the providers that were timed."""
    timed = {place(record) for record in own} or {"cpu"}
    names = [*edge.zoo(suite), *edge.students(suite)]
    planned = [
        *edge.complexity_records(suite),
        *edge.exported_records(suite),
        *edge.latency_records(suite, names, sorted(timed)),
    ]
    for path in planned:
        file = root / Path(path).relative_to(suite.results)
        if not file.exists():
            yield str(file.relative_to(root)), "was not made"


def _mixed(records: EdgeRecords, own: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """What must be one for a column to compare like with like."""
    for where in sorted({place(record) for record in own}):
        hosts = {
            (
                record["host"]["cpu"],
                *record["host"]["gpu"],
                record["settings"]["threads"],
                engine_version(record),
            )
            for record in own
            if place(record) == where
        }
        if len(hosts) > 1:
            words = "; ".join(sorted(", ".join(map(str, host)) for host in hosts))
            yield (
                "latency",
                f"{where}: hosts, threads or versions of the engine differ: {words}",
            )
    sizes = sorted({record["input_px"] for record in records.complexity.values()})
    if len(sizes) > 1:
        yield "complexity", f"counted at {', '.join(map(str, sizes))} px: Table 1 wants one size"
