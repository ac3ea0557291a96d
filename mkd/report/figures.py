"""The figures that compare runs by their difference to the undistilled baseline."""

import math
from textwrap import wrap
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from mkd.experiment.labels import arch_name
from mkd.report import legend, style
from mkd.report.frames import SIZES
from mkd.results.formats import bounds, counted, half, number, signed
from mkd.results.statistics import Interval, interval, usual_ends

ROW = 0.33
"""Inches of a forest's row."""


def overview(frame: pd.DataFrame, scale: str, *, columns: int) -> Figure:
    """ΔAP of every method on every detector, a facet a detector, one range for all.

    Means with their interval; the paper's own difference stands in figures behind each row. The
    range is that of the intervals of usual width. A mean beyond it is written at its end.

    Args:
        frame: From :func:`mkd.report.frames.differences`.
        scale: Of the measured ones.
        columns: Facets side by side: four on a page, one on a phone.
    """
    archs = list(frame["arch"].unique())
    rows = {arch: _by_method(frame[frame["arch"] == arch]) for arch in archs}
    longest = max(len(row["label"].iloc[0]) for found in rows.values() for row in found)
    figure, cells = style.facets(
        [arch_name(arch) for arch in archs],
        [0.21 * max(len(found), 3) for found in rows.values()],
        columns=columns,
        left=0.15 + style.LETTER * longest,
        right=0.55,
        full=OVERVIEW * columns,
    )
    low, high = _usual(frame)
    for arch, (ax,) in zip(archs, cells, strict=True):
        style.zero(ax)
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
        ax.set_xlim(low, high)
        ax.set_ylim(len(rows[arch]) - 0.5, -0.5)
        ax.set_yticks(
            range(len(rows[arch])),
            [row["label"].iloc[0] for row in rows[arch]],
            color=style.palette()["ink"],
        )
        ax.set_xlabel(f"ΔAP, {scale} scale")
        for name, row in zip(ax.get_yticklabels(), rows[arch], strict=True):
            if row.loc[row["source"] == "measured", "value"].count() == 1:
                name.set_color(style.palette()["quiet"])
        quiet: dict[str, Any] = {
            "color": style.palette()["quiet"],
            "transform": ax.get_yaxis_transform(),
        }
        ax.text(1.05, -0.85, "paper", va="center", **quiet)
        for at, row in enumerate(rows[arch]):
            _row(ax, None, at, row, scale, (low, high))
            for value in row.loc[row["source"] == "paper", "value"]:
                ax.text(1.05, at, signed(value), va="center", **quiet)
    return figure


OVERVIEW = 2.85
"""Inches of a facet of the overview."""


def _usual(frame: pd.DataFrame) -> tuple[float, float]:
    """The range of zero and of all measured intervals of usual width."""
    ours = frame[frame["source"] == "measured"].dropna(subset="value")
    ends = usual_ends(interval(rows["value"]) for _, rows in ours.groupby(["arch", "row"]))
    low, high = min([0.0, *ends]), max([0.0, *ends])
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def _beyond(ax: Axes, at: float, delta: Interval, method: str, words: str) -> None:
    """The mark of a mean that the axis does not reach, at its end, with the figure beside it."""
    left = delta.mean < 0
    style.point(ax, ax.get_xlim()[not left], at, method, words)
    ax.annotate(
        f"{'← ' * left}{signed(delta.mean)} {half(delta)}{' →' * (not left)}",
        (ax.get_xlim()[not left], at),
        xytext=(5 if left else -5, 0),
        textcoords="offset points",
        ha="left" if left else "right",
        va="center",
    )


def _by_method(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows in the order of every legend."""
    rows = [row for _, row in frame.groupby("row", sort=False)]
    return sorted(rows, key=lambda row: style.method_order(row["method"].iloc[0]))


def forest(frame: pd.DataFrame, scale: str) -> Figure:
    """ΔAP of every distilled row, a facet an architecture, one range for all.

    Measured means with their interval; the paper's own differences are hollow, on an axis of their
    own, where they can be read however far ours spread. At paper scale both share one.

    Args:
        frame: From :func:`mkd.report.frames.differences` or ``readings``.
        scale: Of the measured ones.
    """
    archs = list(frame["arch"].unique())
    printed = (frame["source"] == "paper").any()
    apart = printed and scale != "paper"
    rows = {arch: frame[frame["arch"] == arch].groupby("row", sort=False) for arch in archs}
    names = {label: "\n".join(wrap(label, 26, max_lines=2)) for label in frame["label"].unique()}
    longest = max(len(line) for name in names.values() for line in name.splitlines() or [""])
    figure, cells = style.facets(
        [arch_name(arch) for arch in archs],
        [ROW * len(rows[arch]) for arch in archs],
        ratios=(1.8, 1.0) if apart else (1.0,),
        left=0.2 + style.LETTER * max(longest, 8),
        legend=_keys(frame),
    )
    for arch, cell in zip(archs, cells, strict=True):
        ours, theirs = cell[0], cell[-1]
        for ax in dict.fromkeys(cell):
            style.zero(ax)
            ax.grid(axis="x")
            ax.grid(visible=False, axis="y")
            ax.set_ylim(len(rows[arch]) - 0.5, -0.5)
            ax.set_yticks([])
        ours.set_yticks(
            range(len(rows[arch])),
            [names[label] for label in rows[arch]["label"].first()],
            color=style.palette()["ink"],
        )
        ours.set_xlabel(f"ΔAP, {scale} scale")
        if apart:
            theirs.set_xlabel("ΔAP, paper")
        for at, (_, row) in enumerate(rows[arch]):
            _row(ours, theirs, at, row, scale)
    for column in range(1 + apart):
        _share_x([cell[column] for cell in cells])
    return figure


def _row(
    ours: Axes,
    theirs: Axes | None,
    at: int,
    row: pd.DataFrame,
    scale: str,
    ends: tuple[float, float] = (-math.inf, math.inf),
) -> None:
    label, method = row["label"].iloc[0], row["method"].iloc[0]
    values = row.loc[row["source"] == "measured", "value"].dropna()
    # Two marks on one axis stand one above the other.
    both = ours is theirs and (row["source"] == "paper").any()
    apart = 0.14 if both else 0.0
    if values.empty:
        ours.text(0.0, at, "  not run", va="center", color=style.palette()["quiet"])
    else:
        found = interval(values)
        words = f"{label}, measured at {scale} scale: {spoken(found)}"
        if ends[0] <= found.mean <= ends[1]:
            style.measured(ours, at - apart, found, method, words)
        else:
            _beyond(ours, at - apart, found, method, words)
    if theirs is None:
        return
    for value in row.loc[row["source"] == "paper", "value"]:
        words = f"{label}, paper: ΔAP {signed(value)} (COCO, 640 px)"
        style.point(theirs, value, at + apart, method, words, hollow=True)


def by_size(frame: pd.DataFrame) -> Figure:
    """ΔAP of small, medium and large objects, a facet an architecture, one mark a method.

    Args:
        frame: From :func:`mkd.report.frames.by_size`.
    """
    archs = list(frame["arch"].unique())
    figure, cells = style.facets(
        [arch_name(arch) for arch in archs], [1.9] * len(archs), legend=legend.run_keys(frame)
    )
    names, turns = legend.run_names(frame), legend.turns(frame)
    sizes = list(SIZES.values())
    for arch, (ax,) in zip(archs, cells, strict=True):
        here = frame[frame["arch"] == arch]
        style.zero(ax, upright=True)
        ax.set_xlim(-0.5, len(sizes) - 0.5)
        ax.set_xticks(range(len(sizes)), sizes)
        ax.set(xlabel="object size", ylabel=f"Δ {here['kind'].iloc[0]} AP to the baseline")
        runs = list(here["run"].unique())
        for (run, size), cell in here.groupby(["run", "size"], sort=False):
            deltas = cell["delta"].dropna()
            if deltas.empty:
                continue
            step = min(0.22, 0.7 / len(runs))
            at = sizes.index(size) + (runs.index(run) - (len(runs) - 1) / 2) * step
            key = cell["metric"].iloc[0].partition(".")[2]
            seeds = "; ".join(
                f"seed {seed}: {number(value, 2)}"
                for seed, value in zip(cell["seed"], cell["value"], strict=True)
            )
            words = (
                f"{names[run]}, {key}: {spoken(interval(deltas))}; "
                f"AP {number(interval(cell['value']).mean)} ({seeds})"
            )
            method = cell["method"].iloc[0]
            style.measured(ax, at, interval(deltas), method, words, upright=True, turn=turns[run])
    return figure


def weights(frame: pd.DataFrame, scale: str) -> Figure:
    """ΔAP against the weight α of the distillation loss, a facet an architecture.

    Measured with interval; the paper's differences at the same weights are hollow and, at another
    scale than the paper's, on an axis of their own. The CWD control is a level line: its weight
    is not varied.

    Args:
        frame: From :func:`mkd.report.frames.weights`.
        scale: Of the measured ones.
    """
    archs = list(frame["arch"].unique())
    apart = (frame["source"] == "paper").any() and scale != "paper"
    figure, cells = style.facets(
        [arch_name(arch) for arch in archs],
        [1.9] * len(archs),
        ratios=(1.8, 1.0) if apart else (1.0,),
        legend=_keys(frame),
    )
    for arch, cell in zip(archs, cells, strict=True):
        here = frame[frame["arch"] == arch]
        alphas = sorted(here["alpha"].dropna().unique())
        for ax in dict.fromkeys(cell):
            style.zero(ax, upright=True)
            ax.set_xscale("log")
            ax.set_xlim(min(alphas) / 2, max(alphas) * 2)
            ax.xaxis.set_major_locator(FixedLocator(alphas))
            ax.xaxis.set_major_formatter(FixedFormatter([f"{alpha:g}" for alpha in alphas]))
            ax.xaxis.set_minor_locator(NullLocator())
        cell[0].set(xlabel=f"α, {scale} scale", ylabel="ΔAP")
        if apart:
            cell[1].set_xlabel("α, paper")
        _weighed(cell[0], here[here["source"] == "measured"].dropna(subset="value"))
        for _, row in here[(here["source"] == "paper") & here["alpha"].notna()].iterrows():
            words = f"α = {row['alpha']:g}, paper: ΔAP {signed(row['value'])} (COCO, 640 px)"
            style.point(cell[-1], row["alpha"], row["value"], row["method"], words, hollow=True)
    return figure


def _weighed(ax: Axes, measured: pd.DataFrame) -> None:
    control = measured[measured["alpha"].isna()]
    if not control.empty:
        level, method = interval(control["value"]), control["method"].iloc[0]
        words = f"CWD control: {spoken(level)}"
        ax.axhline(level.mean, color=style.color(method), label=words)
        end = ax.get_yaxis_transform()
        quiet = style.palette()["quiet"]
        # On the side of the line where zero is not.
        side = "top" if level.mean < 0 else "bottom"
        ax.text(1, level.mean, "CWD", transform=end, ha="right", va=side, color=quiet)
    varied = measured.dropna(subset="alpha").groupby(["alpha", "run"])["value"].apply(interval)
    alphas = varied.index.get_level_values("alpha")
    ax.plot(alphas, [found.mean for found in varied], color=style.color("mkd"))
    for alpha, found in zip(alphas, varied, strict=True):
        words = f"α = {alpha:g}: {spoken(found)}"
        style.measured(ax, alpha, found, "mkd", words, upright=True)


def spoken(delta: Interval) -> str:
    """A difference in words."""
    seeds = counted(len(delta.points), "paired seed")
    spread = f", 95 % interval {bounds(delta, 2)}" if bounds(delta) else ""
    return f"ΔAP {signed(delta.mean, 2)}{spread}, {seeds}"


def _keys(frame: pd.DataFrame) -> list[Line2D]:
    return legend.method_keys(frame.dropna(subset="value")["method"])


def _share_x(axes: list[Axes]) -> None:
    """Give all the range of all."""
    lows, highs = zip(*(ax.get_xlim() for ax in axes), strict=True)
    for ax in axes:
        ax.set_xlim(min(lows), max(highs))
