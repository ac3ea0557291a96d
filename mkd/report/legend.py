"""Legends, and what a figure calls a run: its method, and itself where a method has several."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from mkd.report import style


def turns(frame: pd.DataFrame) -> dict[str, int]:
    """Run → how many runs of its detector and method stand before it."""
    runs = frame[["arch", "method", "run"]].drop_duplicates()
    return dict(zip(runs["run"], runs.groupby(["arch", "method"]).cumcount(), strict=True))


def run_names(frame: pd.DataFrame) -> dict[str, str]:
    """Run → its method, and the run itself where a detector has several with that method."""
    runs = frame[["arch", "method", "run"]].drop_duplicates()
    several = runs.duplicated(["arch", "method"], keep=False)
    return {
        run: f"{style.name(method)} ({run})" if one_of_several else style.name(method)
        for run, method, one_of_several in zip(runs["run"], runs["method"], several, strict=True)
    }


def key(marker: str, color: str, words: str, linestyle: Any = "none") -> Line2D:
    """One entry of a legend."""
    return Line2D(
        [],
        [],
        marker=marker,
        markersize=5 * style.LARGER.get(marker, 1.0),
        color=color,
        linestyle=linestyle,
        label=words,
    )


def run_keys(frame: pd.DataFrame, *, lines: bool = False) -> list[Line2D]:
    """The legend's entries of a frame's runs: one a method, and one for each further run of it.

    Args:
        frame: With the columns ``arch``, ``method`` and ``run``.
        lines: Whether further runs are told apart by their lines, too.
    """
    methods = frame[["run", "method"]].drop_duplicates().set_index("run")["method"]
    names = run_names(frame)
    further = [
        Line2D(
            [],
            [],
            color=style.color(methods[run]),
            linestyle=style.STROKES[at % len(style.STROKES)] if lines else "none",
            label=names[run],
            **style.mark(methods[run], at),
        )
        for run, at in turns(frame).items()
        if at
    ]
    return method_keys(methods) + further


def method_keys(methods: Iterable[str]) -> list[Line2D]:
    """The legend's entries of those methods."""
    return [
        key(style.marker(method), style.color(method), style.name(method))
        for method in sorted(set(methods), key=style.method_order)
    ]
