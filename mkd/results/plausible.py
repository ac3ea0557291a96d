"""Figures of records that cannot be, whatever made them."""

from collections.abc import Iterator
from typing import Any

from mkd.results.records import Problem, Records

ROUNDED = 0.01
"""Figures are kept to three digits, curves to four."""
CROWDS = 0.1


def implausible(records: Records) -> Iterator[Problem]:
    """Figures that no detections, trainings or timings can have, each as a problem."""
    for run, seed, record in records.each():
        where = f"{run} seed {seed}"
        for kind, figures in record["metrics"].items():
            yield from (Problem(where, f"{kind} {what}") for what in _impossible(figures))
        box = record["metrics"]["box"]
        for iou, curve in record.get("pr", {}).items():
            area, ap = 100 * sum(curve) / len(curve), box.get(f"AP{iou}")
            if ap is not None and abs(area - ap) > ROUNDED:
                yield Problem(where, f"box AP{iou} {ap} is not the area {area:.2f} under its curve")
        most = max(record.get("errors", {"": 0.0}).values())
        if box["AP50"] is not None and most > 100 - box["AP50"] + ROUNDED:
            yield Problem(
                where, f"AP50 {box['AP50']} leaves no {most} to lose to one kind of error"
            )
        if record["train"]["wall_s"] > record["wall_s"] + ROUNDED:
            yield Problem(where, "its training takes longer than all of it")
    edge = records.edge
    for name, record in edge.exported.items():
        engines = record.get("engines", {}).values()
        entries = [*record["files"].values(), *(e for engine in engines for e in engine.values())]
        figures = [record["torch"], *(e["metrics"] for e in entries if "metrics" in e)]
        for what in dict.fromkeys(what for one in figures for what in _impossible(one)):
            yield Problem(f"exported/{name}.json", what)
    for name, record in edge.published.items():
        for what in _impossible(record["metrics"]):
            yield Problem(f"published/{name}.json", what)
    for record in edge.latency:
        graph = record["graph"]
        order = [graph["p50_ms"], graph["p90_ms"], graph["p99_ms"]]
        if record["latency_ms"] != graph["latency_ms"] or order != sorted(order):
            yield Problem(f"latency of {record['model']}", "its figures do not fit together")


def _impossible(figures: dict[str, Any]) -> Iterator[str]:
    """AP is the mean over ten IoUs from .50 to .95, and falls from each to the next."""
    ap, ap50, ap75 = (figures.get(name) for name in ("AP", "AP50", "AP75"))
    if ap is None or ap50 is None:
        return
    # Detections on a crowd count at no IoU, which can turn the order by a hair.
    if ap > ap50 + CROWDS or (ap75 is not None and ap75 > ap50 + CROWDS):
        yield f"AP {ap} or AP75 {ap75} is above AP50 {ap50}"
    elif ap75 is not None:
        low, high = (ap50 + 5 * ap75) / 10, (ap50 + ap75) / 2
        if not low - CROWDS <= ap <= high + CROWDS:
            yield f"AP {ap} is no mean of AP50 {ap50}, AP75 {ap75} and what lies between"
