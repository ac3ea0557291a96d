"""Edge latency on the page: the paper's points and the measured ones, never in one panel."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup
from scipy.stats import spearmanr

from mkd.edge.records import EdgeRecords
from mkd.names import arch_name
from mkd.records import Records
from mkd.report.figures import Panel, style
from mkd.report.formats import NOT_RUN, UNSTEADY, number
from mkd.report.svg import Axis, Plot, legend
from mkd.tables import Row, Table

PRECISION_NAMES = {
    "fp32": "FP32",
    "fp16": "FP16",
    "int8": "INT8",
    "int8-symmetric": "INT8, symmetric",
}


def view(records: Records, table: Table) -> dict[str, Any]:
    """Everything the section on edge latency shows.

    Args:
        records: From :func:`mkd.records.load_records`.
        table: Table 1.

    Returns:
        ``complexity``, rows of parameters and operations beside the paper's; ``hosts``, the
        latency records of each host and provider; ``exported``, AP and latency of the exported
        students; ``panels`` and ``legend`` of the picture; ``rank``, the rank correlation of
        measured and printed latency in words, or empty; ``note``, what the figures are of.
    """
    edge = records.edge
    rows = {row.arch: row for row in reversed(table.rows) if row.role == "paper"}
    order = list(dict.fromkeys(row.arch for row in table.rows))
    panels = [*_paper_panel(table), *_measured_panel(edge, records), *_against(edge, rows)]
    return {
        "note": edge.note(),
        "complexity": [
            {"name": rows[model].label, "arch": model, **edge.complexity[model]}
            for model in order
            if model in edge.complexity
        ],
        "convention": next((r["convention"] for r in edge.complexity.values()), ""),
        "hosts": _hosts(edge, order),
        "exported": _exported(edge),
        "panels": panels if edge.latency else [],
        "legend": legend(
            [
                ("baseline", "circle", "no distillation, FP32"),
                ("mkd", "diamond", "MKD, FP32"),
                ("other", "circle", "another detector, FP32"),
            ]
        )
        + Markup('<p class="small">Hollow marks are not FP32.</p>'),
        "rank": _rank(edge, rows),
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
    """Each student and precision: AP of the file, its distance to torch's, its latency on each
    provider beside the FP32 file's on the same."""
    timed = _timed(edge)
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


def _timed(edge: EdgeRecords) -> dict[tuple[str, str], dict[str, float | None]]:
    """Run and precision of this scale → provider → latency, None where it was never steady."""
    timed: dict[tuple[str, str], dict[str, float | None]] = {}
    for record in edge.latency:
        if record["scale"] is not None:
            providers = timed.setdefault((record["model"], record["precision"]), {})
            steady = record["graph"]["passed"]
            providers[record["provider"]] = record["latency_ms"] if steady else None
    return timed


def _paper_panel(table: Table) -> list[Panel]:
    """The paper's AP against the paper's latency."""
    rows = [
        row
        for row in table.rows
        if row.role == "paper" and {"AP", "latency_ms"} <= row.paper.keys()
    ]
    rows = [row for row in rows if row.method in ("", "baseline", "mkd")]
    points = [
        (
            float(row.paper["latency_ms"]),
            float(row.paper["AP"]),
            row.method or "other",
            f"{row.label}, paper: AP {row.paper['AP']} at {row.paper['latency_ms']} ms",
            False,
        )
        for row in rows
    ]
    labels = ("ms, as the paper prints it", "AP, COCO val2017")
    return [{"title": "Paper: AP against latency", "body": _scatter(points, *labels)}]


def _measured_panel(edge: EdgeRecords, records: Records) -> list[Panel]:
    """The students' AP against the latency of the files that AP was measured on."""
    timed = _timed(edge)
    points = []
    for run, record in edge.exported.items():
        seeds = records.by_run.get(run, {})
        method = next((r["method"] for r in seeds.values()), "baseline")
        for precision, file in record["files"].items():
            ap = file["metrics"]["AP"]
            for provider, latency in timed.get((run, precision), {}).items():
                if latency is None:
                    continue
                words = (
                    f"{run}, {PRECISION_NAMES[precision]}, {provider.upper()}, {records.scale} "
                    f"scale at {record['input_px']} px: AP {number(ap)} at {latency:.2f} ms"
                )
                points.append((latency, ap, method, words, precision != "fp32"))
    if not points:
        return []
    labels = ("ms, measured", f"AP, {records.scale} scale")
    title = f"Measured, {records.scale} scale: AP against latency"
    return [{"title": title, "body": _scatter(points, *labels)}]


def _against(edge: EdgeRecords, rows: Mapping[str, Row]) -> list[Panel]:
    """Measured latency of the detectors of Table 1 against what the paper prints for them."""
    points = [
        (
            printed,
            measured,
            _series(model),
            f"{_name(model)}: paper {printed} ms, here {measured:.1f} ms",
            False,
        )
        for model, printed, measured in _pairs(edge, rows)
    ]
    if len(points) < 2:
        return []
    labels = ("ms, as the paper prints it", "ms, measured")
    return [
        {
            "title": "Table 1’s detectors: measured against printed latency",
            "body": _scatter(points, *labels, log_y=True),
        }
    ]


def _pairs(edge: EdgeRecords, rows: Mapping[str, Row]) -> list[tuple[str, float, float]]:
    """Model, printed and measured latency of every detector that has both."""
    return [
        (record["model"], float(row.paper["latency_ms"]), float(record["latency_ms"]))
        for record in edge.column()
        if (row := rows.get(record["model"])) and "latency_ms" in row.paper
    ]


def _rank(edge: EdgeRecords, rows: Mapping[str, Row]) -> str:
    pairs = _pairs(edge, rows)
    if len(pairs) < 3:
        return ""
    found = spearmanr([printed for _, printed, _ in pairs], [ours for *_, ours in pairs])
    return (
        f"Over {len(pairs)} detectors the rank correlation (Spearman) of measured and printed "
        f"latency is {number(float(found.statistic), 2)}."
    )


def _scatter(
    points: Sequence[tuple[float, float, str, str, bool]],
    x_label: str,
    y_label: str,
    log_y: bool = False,
) -> Markup:
    plot = Plot(
        Axis.around([x for x, *_ in points], x_label, log=True),
        Axis.around([y for _, y, *_ in points], y_label, log=log_y),
        width=372,
        height=260,
    )
    for x, y, method, words, hollow in points:
        series, shape = style(method)
        plot.mark(x, y, series, shape=shape, title=words, hollow=hollow)
    return plot.render("; ".join(words for *_, words, _ in points))


def _series(model: str) -> str:
    return "baseline" if model.startswith("rtmdet") else "other"


def _name(model: str) -> str:
    names = {"yolov": "YOLOv", "yolox": "YOLOX", "ppyoloe": "PPYOLOE"}
    for prefix, name in names.items():
        if model.startswith(prefix):
            return name + model.removeprefix(prefix)
    return arch_name(model)
