"""Edge latency on the page: its tables, and the points of its figure."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import Any

import pandas as pd
from scipy.stats import spearmanr

from mkd.edge.records import MOST_SPREAD, EdgeRecords, steady
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.labels import arch_name
from mkd.report.latency_figure import PRECISION_NAMES
from mkd.results.formats import NOT_RUN, UNSTEADY, number
from mkd.results.records import Records
from mkd.results.tables import Row, Table


def view(records: Records, table: Table) -> dict[str, Any]:
    """Everything the section on edge latency shows.

    Args:
        records: From :func:`mkd.results.records.load_records`.
        table: Table 1, or that of a user's own runs.

    Returns:
        ``complexity``, rows of parameters and operations beside the paper's; ``hosts``, the
        latency records of each host and provider; ``exported``, AP and latency of the exported
        students; ``note``, what the figures are of.
    """
    edge = records.edge
    rows = _printed(table)
    order = list(dict.fromkeys(row.arch for row in table.rows))
    return {
        "note": edge.note() if table.number else "",
        "complexity": [
            {"name": rows[model].label, "arch": model, **edge.complexity[model]}
            for model in order
            if model in edge.complexity
        ],
        "convention": next((r["convention"] for r in edge.complexity.values()), ""),
        "hosts": _hosts(edge, order),
        "exported": _exported(edge),
    }


def _hosts(edge: EdgeRecords, order: Sequence[str]) -> list[dict[str, Any]]:
    """One table a host, provider and thread count; this scale's own first, then carried ones."""

    def key(record: dict[str, Any]) -> tuple[Any, ...]:
        host, version = record["host"], record["versions"]
        return (
            record["scale"] is None,
            record["provider"],
            ", ".join(host["gpu"]) or host["cpu"],
            host["os"],
            record["settings"]["threads"],
            version.get("onnxruntime-gpu", version.get("onnxruntime", "")),
        )

    def place(record: dict[str, Any]) -> tuple[Any, ...]:
        model = record["model"]
        return (order.index(model) if model in order else len(order), model, record["precision"])

    hosts = []
    for (carried, provider, chip, system, threads, version), group in groupby(
        sorted(edge.latency, key=key), key
    ):
        hosts.append(
            {
                "title": f"{chip}, {system}: ONNX Runtime {version} {provider.upper()}, "
                f"{threads} thread{'s' if threads > 1 else ''}",
                "carried": carried,
                "rows": [
                    {
                        **record,
                        "name": _name(record["model"]),
                        "precision_name": PRECISION_NAMES[record["precision"]],
                        "steady": steady(record["graph"]),
                        "steady_end": record["end_to_end"] and steady(record["end_to_end"]),
                        # Of fewer samples it is no more than the slowest one.
                        "p99_ms": record["graph"]["p99_ms"]
                        if record["graph"]["samples"] >= 100
                        else None,
                    }
                    for record in sorted(group, key=place)
                ],
            }
        )
    return hosts


def _exported(edge: EdgeRecords) -> list[dict[str, Any]]:
    """A row for each student and precision.

    It has the file's AP, its distance to torch's, and its latency on each provider beside that of
    the FP32 file.
    """
    timed = timings(edge)
    rows = []
    for run, record in edge.exported.items():
        for precision, file in record["files"].items():
            for provider, latency in timed.get((run, precision), {"": None}).items():
                first = timed.get((run, "fp32"), {}).get(provider)
                absent = UNSTEADY if provider else NOT_RUN
                rows.append(
                    {
                        "run": run,
                        "provider": provider.upper() or "–",
                        "precision": PRECISION_NAMES[precision],
                        "torch": record["torch"]["AP"],
                        "AP": file["metrics"]["AP"],
                        "delta": file["metrics"]["AP"] - record["torch"]["AP"],
                        "megabytes": file["bytes"] / 1e6,
                        "input_px": record["input_px"],
                        "latency": number(latency, 2) if latency else absent,
                        "speedup": first / latency if first and latency else None,
                    }
                )
    return rows


def timings(edge: EdgeRecords) -> dict[tuple[str, str], dict[str, float | None]]:
    """Run and precision of this scale → provider → latency, None where it was never steady.

    Students of one graph share one timing, the median of theirs: their weights cannot change it. It
    is steady where they agree as closely as the restarts of one timing must.
    """
    shared: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for record in edge.latency:
        if record["scale"] is not None:
            shared.setdefault(_graph(record, edge), []).append(record)
    found: dict[tuple[str, str], dict[str, float | None]] = {}
    for (_, precision, provider), records in shared.items():
        times = [record["latency_ms"] for record in records if steady(record["graph"])]
        middle = median(times) if times else None
        if middle and max(times) - min(times) > MOST_SPREAD * middle:
            middle = None
        for record in records:
            found.setdefault((record["model"], precision), {})[provider] = middle
    return found


def _graph(record: dict[str, Any], edge: EdgeRecords) -> tuple[str, str, str]:
    """What two timings must share to be of one thing; a model that is no student is its own."""
    exported = edge.exported.get(record["model"])
    graph = exported["graph"] if exported else record["model"]
    return graph, record["precision"], record["provider"]


def points(records: Records, table: Table) -> pd.DataFrame:
    """A row a mark of :func:`mkd.report.latency_figure.scatter`.

    Args:
        records: From :func:`mkd.results.records.load_records`.
        table: Table 1.

    Returns:
        Columns ``facet``; ``run`` and its ``label``; ``method``, empty for another detector;
        ``precision``; ``provider`` and ``input_px`` of what was measured; ``x``, a latency in ms;
        ``y``, an AP (``paper``, ``measured``) or a latency in ms (``printed``). No rows where
        nothing was timed.
    """
    edge = records.edge
    if not edge.latency:
        return pd.DataFrame()
    rows = [
        {
            "facet": "paper",
            "run": row.run or row.arch,
            "label": row.label,
            "method": row.method,
            "precision": "fp32",
            "x": float(row.paper["latency_ms"]),
            "y": float(row.paper["AP"]),
        }
        for row in table.rows
        if row.role == "paper"
        and row.method in ("", "baseline", "mkd")
        and {"AP", "latency_ms"} <= row.paper.keys()
    ]
    timed = timings(edge)
    for run, record in edge.exported.items():
        seeds = records.by_run.get(run, {})
        rows += [
            {
                "facet": "measured",
                "run": run,
                "label": run,
                "method": next((r["method"] for r in seeds.values()), "baseline"),
                "precision": precision,
                "provider": provider,
                "input_px": record["input_px"],
                "x": latency,
                "y": file["metrics"]["AP"],
            }
            for precision, file in record["files"].items()
            for provider, latency in timed.get((run, precision), {}).items()
            if latency is not None
        ]
    pairs = _pairs(edge, _printed(table))
    if len(pairs) > 1:
        rows += [
            {
                "facet": "printed",
                "run": model,
                "label": _name(model),
                "method": "baseline" if model in ARCHITECTURES else "",
                "precision": "fp32",
                "x": printed,
                "y": measured,
            }
            for model, printed, measured in pairs
        ]
    return pd.DataFrame(rows)


def _printed(table: Table) -> dict[str, Row]:
    """Architecture → its first row in the paper."""
    return {row.arch: row for row in reversed(table.rows) if row.role == "paper"}


def _pairs(edge: EdgeRecords, rows: Mapping[str, Row]) -> list[tuple[str, float, float]]:
    """Model, printed and measured latency of every detector that has both."""
    return [
        (record["model"], float(row.paper["latency_ms"]), float(record["latency_ms"]))
        for record in edge.column()
        if (row := rows.get(record["model"])) and "latency_ms" in row.paper
    ]


def rank(records: Records, table: Table) -> str:
    """The rank correlation of measured and printed latency in a sentence, or nothing."""
    pairs = _pairs(records.edge, _printed(table))
    if len(pairs) < 3:
        return ""
    found = spearmanr([printed for _, printed, _ in pairs], [ours for *_, ours in pairs])
    return (
        f"Over {len(pairs)} detectors the rank correlation (Spearman) of measured and printed "
        f"latency is {number(float(found.statistic), 2)}."
    )


def _name(model: str) -> str:
    names = {"yolov": "YOLOv", "yolox": "YOLOX", "ppyoloe": "PPYOLOE"}
    for prefix, name in names.items():
        if model.startswith(prefix):
            return name + model.removeprefix(prefix)
    return arch_name(model)
