"""Edge latency on the page: its tables, and the points of its figure."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pandas as pd
from scipy.stats import spearmanr

from mkd.edge.contents import shape_text
from mkd.edge.engines import ENGINES, place, place_name
from mkd.edge.feeds import image_shape
from mkd.edge.records import EdgeRecords, chip, engine_version, steady
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.labels import arch_name
from mkd.report.latency_figure import PRECISION_NAMES
from mkd.results import devices
from mkd.results.formats import NOT_RUN, UNSTEADY, number
from mkd.results.records import Records
from mkd.results.tables import Row, Table


def view(records: Records, table: Table) -> dict[str, Any]:
    """Everything the section on edge latency shows.

    Args:
        records: From :func:`mkd.results.records.load_folder`.
        table: Table 1, or that of a user's own runs.

    Returns:
        ``complexity``, rows of parameters and operations beside the paper's; ``hosts``, the
        latency records of each host and provider; ``refused``, what an engine does not take,
        and why; ``exported``, AP and latency of the exported students; ``note``, what the figures
        are of.
    """
    edge = records.edge
    rows = _printed(table)
    order = list(dict.fromkeys(row.arch for row in table.rows))
    return {
        "note": edge.note() if table.number else "",
        "complexity": [
            {"name": rows[model].label, "arch": model, **edge.complexity[model]}
            for model in order
            if model in edge.complexity and model in rows
        ],
        "convention": next((r["convention"] for r in edge.complexity.values()), ""),
        "hosts": _hosts(edge, order),
        "refused": [
            {
                "name": _name(record["model"]),
                "engine": engine_version(record),
                "precision": PRECISION_NAMES[record["precision"]],
                "reason": record["refused"],
            }
            for record in sorted(edge.refused, key=lambda r: (place(r), r["model"]))
        ],
        "exported": _exported(devices.rows(edge)),
    }


def _hosts(edge: EdgeRecords, order: Sequence[str]) -> list[dict[str, Any]]:
    """One table a host, provider and thread count; this scale's own first, then carried ones."""

    def key(record: dict[str, Any]) -> tuple[Any, ...]:
        return (
            record["scale"] is None,
            place(record),
            chip(record),
            record["host"]["os"],
            record["settings"]["threads"],
            engine_version(record),
        )

    def rank(record: dict[str, Any]) -> tuple[Any, ...]:
        model = record["model"]
        return (order.index(model) if model in order else len(order), model, record["precision"])

    hosts = []
    for (carried, provider, host, system, threads, version), group in groupby(
        sorted(edge.latency, key=key), key
    ):
        hosts.append(
            {
                "title": f"{host}, {system}: {version}"
                + f" {provider.upper()}" * (provider not in ENGINES)
                + f", {threads} thread{'s' if threads > 1 else ''}",
                "carried": carried,
                "rows": [
                    {
                        **record,
                        "name": _name(record["model"]),
                        "precision_name": PRECISION_NAMES[record["precision"]],
                        "steady": steady(record["graph"]),
                        "size": record["input_px"] or shape_text(image_shape(record["shapes"])),
                        # Older records do not say.
                        "end_to_end_refused": record.get("end_to_end_refused", ""),
                        "steady_end": record["end_to_end"]
                        and steady(record["end_to_end"])
                        and not _disturbed(record),
                        # Of fewer samples it is no more than the slowest one.
                        "p99_ms": record["graph"]["p99_ms"]
                        if record["graph"]["samples"] >= 100
                        else None,
                    }
                    for record in sorted(group, key=rank)
                ],
            }
        )
    return hosts


def _disturbed(record: dict[str, Any]) -> bool:
    """Whether other work ran before a file was timed; older records do not say."""
    before = (record.get("load") or {}).get("before")
    limit = record["settings"].get("load")
    return before is not None and limit is not None and before > limit


def _exported(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of :func:`mkd.results.devices.rows` in the page's words."""
    return [
        {
            **row,
            "provider": place_name(row["place"]) or "ONNX Runtime",
            "precision": PRECISION_NAMES[row["precision"]],
            # What was timed on another host stands before why this one's engine has no figure.
            "latency": (number(row["latency_ms"], 2) if row["latency_ms"] else "")
            or (UNSTEADY if row["timed"] else row["reason"] or NOT_RUN),
        }
        for row in rows
    ]


def points(records: Records, table: Table) -> pd.DataFrame:
    """A row a mark of :func:`mkd.report.latency_figure.scatter`.

    Args:
        records: From :func:`mkd.results.records.load_folder`.
        table: Table 1.

    Returns:
        Columns ``facet``; ``host`` of what was measured, and ``frontier``, whether nothing there is
        faster and better; ``run`` and its ``label``; ``method``, empty for another detector;
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
            "host": "",
            "frontier": False,
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
    for row in devices.rows(edge):
        if row["latency_ms"] is None or row["AP"] is None:
            continue
        seeds = records.by_run.get(row["run"], {})
        rows.append(
            {
                "facet": "measured",
                "host": row["host"],
                "run": row["run"],
                "label": row["run"],
                "method": next((r["method"] for r in seeds.values()), "baseline"),
                "precision": row["precision"],
                "provider": row["place"],
                "input_px": row["input_px"],
                "frontier": row["frontier"],
                "x": row["latency_ms"],
                "y": row["AP"],
            }
        )
    pairs = _pairs(edge.column(), _printed(table))
    if len(pairs) > 1:
        rows += [
            {
                "facet": "printed",
                "host": "",
                "frontier": False,
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


def _pairs(
    column: Sequence[dict[str, Any]], rows: Mapping[str, Row]
) -> list[tuple[str, float, float]]:
    """Model, printed and measured latency of every detector that has both."""
    return [
        (record["model"], float(row.paper["latency_ms"]), float(record["latency_ms"]))
        for record in column
        if (row := rows.get(record["model"])) and "latency_ms" in row.paper
    ]


def rank(records: Records, table: Table) -> str:
    """The rank correlation of measured and printed latency in a sentence, or nothing.

    It is given for all conditions with three detectors or more.
    """
    found, rows = [], _printed(table)
    columns = records.edge.columns()
    settings = [key[:2] for key in columns]
    for (where, precision, *_), column in sorted(columns.items()):
        pairs = _pairs(column, rows)
        if len(pairs) > 2:
            alike = spearmanr([printed for _, printed, _ in pairs], [ours for *_, ours in pairs])
            found.append(
                f"{number(float(alike.statistic), 2)} over {len(pairs)} detectors "
                f"({place_name(where)}, {PRECISION_NAMES[precision]}"
                f"{f', {chip(column[0])}' * (settings.count((where, precision)) > 1)})"
            )
    if not found:
        return ""
    words = "The rank correlation (Spearman) of measured and printed latency is "
    return f"{words}{', '.join(found)}."


def _name(model: str) -> str:
    names = {"yolov": "YOLOv", "yolox": "YOLOX", "ppyoloe": "PPYOLOE"}
    for prefix, name in names.items():
        if model.startswith(prefix):
            return name + model.removeprefix(prefix)
    return arch_name(model)
