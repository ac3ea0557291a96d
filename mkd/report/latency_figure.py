"""AP against latency, and measured against printed latency, each in a facet of its own."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mkd.report import style
from mkd.results.formats import number

PRECISION_NAMES = {
    "fp32": "FP32",
    "fp16": "FP16",
    "int8": "INT8",
    "int8-symmetric": "INT8, symmetric",
}


def scatter(frame: pd.DataFrame, scale: str) -> Figure:
    """A mark a detector: the paper's AP and latency, the measured ones, latency against latency.

    Args:
        frame: From :func:`mkd.report.latency_view.points`.
        scale: Of the measured ones.
    """
    facets = {
        "paper": (
            "Paper: AP against latency",
            "ms, as the paper prints it",
            "AP, COCO val2017",
        ),
        "measured": (
            f"Measured, {scale} scale: AP against latency",
            "ms, measured",
            f"AP, {scale} scale",
        ),
        "printed": (
            "Table 1’s detectors: measured against printed",
            "ms, as the paper prints it",
            "ms, measured",
        ),
    }
    shown = [facet for facet in facets if (frame["facet"] == facet).any()]
    figure, cells = style.facets(
        [facets[facet][0] for facet in shown], [2.2] * len(shown), legend=list(_keys(frame))
    )
    for facet, (ax,) in zip(shown, cells, strict=True):
        for point in frame[frame["facet"] == facet].to_dict("records"):
            style.point(
                ax,
                point["x"],
                point["y"],
                point["method"],
                _words(point, scale),
                hollow=point["precision"] != "fp32",
            )
        style.logarithmic(ax, *("x", "y") if facet == "printed" else ("x",))
        ax.set(xlabel=facets[facet][1], ylabel=facets[facet][2])
    return figure


def _keys(frame: pd.DataFrame) -> Iterable[Line2D]:
    methods = sorted(frame["method"].unique(), key=style.method_order)
    for method in methods:
        words = style.name(method) if method else "another detector"
        yield style.key(style.marker(method), style.color(method), words)
    if (frame["precision"] != "fp32").any():
        hollow = style.key("o", style.color("baseline"), "hollow: not FP32")
        hollow.set_markerfacecolor("none")
        yield hollow


def _words(point: Mapping[Hashable, Any], scale: str) -> str:
    name, x, y = point["label"], point["x"], point["y"]
    if point["facet"] == "paper":
        return f"{name}, paper: AP {y:.1f} at {x:.2f} ms"
    if point["facet"] == "printed":
        return f"{name}: paper {x:.2f} ms, here {y:.1f} ms"
    return (
        f"{name}, {PRECISION_NAMES[point['precision']]}, {point['provider'].upper()}, {scale} "
        f"scale at {point['input_px']:.0f} px: AP {number(y)} at {x:.2f} ms"
    )
