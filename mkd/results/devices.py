"""What a trained student scores and costs on each host and engine: AP and latency of one file."""

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from mkd.edge.engines import ENGINES, place
from mkd.edge.records import AP_DRIFT, EdgeRecords, chip, conditions, engine_version, steady
from mkd.edge.spread import APART
from mkd.edge.suite import exported_precision
from mkd.results.formats import counted

Timed = tuple[Any, ...]
"""A graph and the conditions that it was timed under."""


def rows(edge: EdgeRecords) -> list[dict[str, Any]]:
    """A row for each student, precision, engine and host; this scale's own first.

    A record counts where it is of the very file that was scored here.

    Returns:
        Each with ``run``; ``precision``; ``input_px``; ``megabytes`` of the file; ``torch`` and
        ``AP`` in percent, and ``delta`` between them; ``drifts``, whether that is over
        :data:`~mkd.edge.records.AP_DRIFT`; ``place`` of :func:`mkd.edge.engines.place`, empty
        where ONNX Runtime timed nothing; ``host``, its chip and threads, and ``carried``;
        ``version`` of the engine; ``latency_ms``, None where there is none that was steady, and
        ``timed``; ``speedup`` over FP32 on the same host, place and version; ``reason`` why the
        engine has no figure, or empty; ``frontier``, whether no row of its host has at least its
        AP in less time.
    """
    found = [row for record in edge.exported.values() for row in _of_run(edge, record)]
    same = ("run", "host", "place", "version", "carried")
    for row in found:
        like = [
            other
            for other in found
            if all(other[key] == row[key] for key in same) and other["precision"] == "fp32"
        ]
        first, own = (like[0]["latency_ms"] if like else None), row["latency_ms"]
        row["speedup"] = first / own if first and own else None
        row["frontier"] = own is not None and not any(_beats(other, row) for other in found)
    return sorted(found, key=lambda row: bool(row["carried"]))


def _of_run(edge: EdgeRecords, exported: dict[str, Any]) -> Iterator[dict[str, Any]]:
    shared = timings(edge)
    timed = [
        record
        for record in edge.latency
        if record["model"] == exported["run"] and not edge.outdated(record)
    ]
    scored = [("", precision, file) for precision, file in exported["files"].items()]
    for engine, by_precision in exported.get("engines", {}).items():
        scored += [(engine, precision, entry) for precision, entry in by_precision.items()]
    for engine, precision, entry in scored:
        ap = entry["metrics"]["AP"] if "metrics" in entry else None
        torch = exported["torch"]["AP"]
        delta = None if None in (ap, torch) else ap - torch
        file = exported["files"].get(exported_precision(engine, precision))
        row = {
            "run": exported["run"],
            "precision": precision,
            "input_px": exported["input_px"],
            "megabytes": file["bytes"] / 1e6 if file else None,
            "torch": torch,
            "AP": ap,
            "delta": delta,
            "drifts": delta is not None and abs(delta) > AP_DRIFT,
            "reason": entry.get("refused", ""),
        }
        latencies = [
            record
            for record in timed
            if record["precision"] == precision
            and _engine(record) == engine
            # A board may have timed another of the run's files at this precision.
            and (file is None or record["digests"]["model"] == file["digest"])
        ]
        for record in latencies:
            yield {
                **row,
                "place": place(record),
                "host": _host(record),
                "version": engine_version(record),
                "carried": record["scale"] is None,
                "timed": True,
                "latency_ms": _latency(record, edge, shared),
            }
        if not any(record["scale"] is not None for record in latencies):
            said = row["reason"] or next(
                (
                    record["refused"]
                    for record in edge.refused
                    if (record["model"], _engine(record), record["precision"])
                    == (exported["run"], engine, precision)
                ),
                "",
            )
            yield {
                **row,
                "place": engine,
                "host": "",
                "version": "",
                "carried": False,
                "timed": False,
                "latency_ms": None,
                "reason": said,
            }


def _host(record: dict[str, Any]) -> str:
    return f"{chip(record)}, {counted(record['settings']['threads'], 'thread')}"


def _engine(record: dict[str, Any]) -> str:
    """The engine that timed a record; empty for ONNX Runtime, which has several places."""
    return place(record) if place(record) in ENGINES else ""


def timings(edge: EdgeRecords) -> dict[Timed, float | None]:
    """Graph and conditions → latency of this scale, None where it was never steady.

    Students of one graph share one timing, the median of theirs: their weights cannot change it. It
    is steady where they agree as closely as the restarts of one timing must.
    """
    found: dict[Timed, list[dict[str, Any]]] = {}
    for record in edge.latency:
        if record["scale"] is not None and not edge.outdated(record):
            found.setdefault(_graph(record, edge), []).append(record)
    return {graph: _middle(records) for graph, records in found.items()}


def _middle(records: list[dict[str, Any]]) -> float | None:
    times = [float(record["latency_ms"]) for record in records if steady(record["graph"])]
    if not times or max(times) - min(times) > APART * median(times):
        return None
    return median(times)


def _latency(
    record: dict[str, Any],
    edge: EdgeRecords,
    shared: Mapping[Timed, float | None],
) -> float | None:
    if record["scale"] is not None:
        return shared[_graph(record, edge)]
    return float(record["latency_ms"]) if steady(record["graph"]) else None


def _graph(record: dict[str, Any], edge: EdgeRecords) -> Timed:
    """What two timings must share to be of one thing; a model that is no student is its own."""
    graph = edge.exported.get(record["model"], {}).get("graph", record["model"])
    return graph, *conditions(record)


def _beats(other: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether another row of the host is faster and no worse, or as fast and better."""
    if other["host"] != row["host"] or None in (other["latency_ms"], other["AP"], row["AP"]):
        return False
    better, faster = other["AP"] - row["AP"], row["latency_ms"] - other["latency_ms"]
    return better >= 0 and faster >= 0 and (better > 0 or faster > 0)
