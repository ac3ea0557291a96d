"""AP against latency, and measured against printed latency, each in a facet of its own."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mkd.edge.engines import place_name
from mkd.report import legend, style
from mkd.results.formats import number

PRECISION_NAMES = {
    "fp32": "FP32",
    "fp16": "FP16",
    "int8": "INT8",
    "int8-symmetric": "INT8, symmetric",
}


def scatter(frame: pd.DataFrame, scale: str) -> Figure:
    """A mark a detector: the paper's AP and latency, those of each host, latency against latency.

    Args:
        frame: From :func:`mkd.report.latency_view.points`.
        scale: Of the measured ones.
    """
    panels = [
        (title, x, y, points) for title, x, y, points in _panels(frame, scale) if not points.empty
    ]
    figure, cells = style.facets(
        [title for title, *_ in panels], [2.2] * len(panels), legend=list(_keys(frame))
    )
    for (_, x, y, points), (ax,) in zip(panels, cells, strict=True):
        for point in points.to_dict("records"):
            style.point(
                ax,
                point["x"],
                point["y"],
                point["method"],
                _words(point, scale),
                hollow=point["precision"] != "fp32",
            )
        front = points[points["frontier"]].sort_values("x")
        if len(front) > 1:
            ax.step(front["x"], front["y"], where="post", label="_frontier", **style.reference())
        style.logarithmic(ax, *("x", "y") if points["facet"].iloc[0] == "printed" else ("x",))
        ax.set(xlabel=x, ylabel=y)
    return figure


def _panels(frame: pd.DataFrame, scale: str) -> Iterable[tuple[str, str, str, pd.DataFrame]]:
    """Title, axes and points: the paper's, one a host, measured against printed."""
    of = {name: frame[frame["facet"] == name] for name in ("paper", "measured", "printed")}
    printed = "ms, as the paper prints it"
    yield "Paper: AP against latency", printed, "AP, COCO val2017", of["paper"]
    hosts = of["measured"]["host"].unique() if not of["measured"].empty else ()
    for host in hosts:
        points = of["measured"][of["measured"]["host"] == host]
        several = f"{host}, {scale} scale"
        alone = f"Measured, {scale} scale: AP against latency"
        title = several if len(hosts) > 1 else alone
        yield title, "ms, measured", f"AP, {scale} scale", points
    title = "Table 1’s detectors: measured against printed"
    yield title, printed, "ms, measured", of["printed"]


def _keys(frame: pd.DataFrame) -> Iterable[Line2D]:
    methods = sorted(frame["method"].unique(), key=style.method_order)
    for method in methods:
        words = style.name(method) if method else "another detector"
        yield legend.key(style.marker(method), style.color(method), words)
    if (frame["precision"] != "fp32").any():
        hollow = legend.key("o", style.color("baseline"), "hollow: not FP32")
        hollow.set_markerfacecolor("none")
        yield hollow
    if frame["frontier"].any():
        yield Line2D([], [], label="frontier of its host", **style.reference())


def _words(point: Mapping[Hashable, Any], scale: str) -> str:
    name, x, y = point["label"], point["x"], point["y"]
    if point["facet"] == "paper":
        return f"{name}, paper: AP {y:.1f} at {x:.2f} ms"
    if point["facet"] == "printed":
        return f"{name}: paper {x:.2f} ms, here {y:.1f} ms"
    return (
        f"{name}, {PRECISION_NAMES[point['precision']]}, {place_name(point['provider'])}, {scale} "
        f"scale at {point['input_px']:.0f} px: AP {number(y)} at {x:.2f} ms"
    )
