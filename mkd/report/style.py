"""One look for every figure: one color and one mark a method, and how they are drawn.

Colors are read from the page's style sheet, so that a figure in a paper has the colors of the page
in light. Whatever is drawn with ``words`` says them: the page shows them where a pointer rests,
and they make up the figure's description (:mod:`mkd.report.export`).
"""

import math
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

from mkd import ROOT
from mkd.experiment.labels import METHOD_NAMES
from mkd.results.statistics import Interval

SHEET = ROOT / "report/static/report.css"
STYLE = ROOT / "report/mkd.mplstyle"
WIDTH = 8.0
"""Of a figure in inches, at the 8 points of the style's text."""
ABOVE, BELOW, RIGHT, BETWEEN = 0.3, 0.46, 0.15, 0.4
"""Inches above, below, right of and between the axes of a facet."""
LETTER = 0.066
"""Inches that a letter takes at most, on average."""

METHODS = {
    "baseline": ("s-baseline", "o", "no distillation"),
    "cwd": ("s-cwd", "s", "CWD"),
    "mkd": ("s-mkd", "D", "MKD"),
    "mgd": ("s-mgd", "^", "MGD"),
    "fgd": ("s-fgd", "v", "FGD"),
    "fkd": ("s-fkd", "P", "FKD"),
    "pkd": ("s-pkd", "X", "PKD"),
    "mkd-balanced": ("s-balanced", "p", "MKD, balanced"),
}
"""Method → its color's name, its mark and its name, in the one order of every legend."""
OTHER = ("s-other", "<")
"""Color and mark of what is none of those methods."""
FILLS = ("full", "none", "left", "bottom")
STROKES = ("-", (0, (4, 2)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
"""Marks and lines that tell runs of one detector and method apart, which share a color."""
LARGER = {"^": 1.25, "v": 1.25, "<": 1.25, "p": 1.25, "P": 1.3, "X": 1.25}
"""Marks that look small beside the others of their size."""


def styled() -> AbstractContextManager[None]:
    """What a figure is made and saved in: the suite's style and nothing of the user's own."""
    return style.context(["default", STYLE])


@cache
def palette() -> dict[str, str]:
    """The page's colors in light: name → ``#rrggbb``."""
    light = SHEET.read_text(encoding="utf-8").partition("@media")[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))


def color_name(method: str) -> str:
    """What the style sheet calls the one color of a method."""
    return METHODS.get(method, OTHER)[0]


def color(method: str) -> str:
    """The one color of a method, as ``#rrggbb``."""
    return palette()[color_name(method)]


def marker(method: str) -> str:
    """The one mark of a method."""
    return METHODS.get(method, OTHER)[1]


def mark_path(method: str, x: float, y: float, size: float) -> str:
    """A method's mark as an SVG path, for what is drawn without matplotlib.

    Args:
        method: As in :data:`METHODS`.
        x: Of its middle.
        y: Of its middle.
        size: Of the mark in the same unit.
    """
    mark = MarkerStyle(marker(method))
    size *= LARGER.get(marker(method), 1.0)
    outline = mark.get_path().transformed(mark.get_transform()).to_polygons(closed_only=False)
    parts = [[(x + size * p[0], y - size * p[1]) for p in np.asarray(part)] for part in outline]
    return "".join(f"M{'L'.join(f'{a:.1f},{b:.1f}' for a, b in part)}Z" for part in parts)


def name(method: str) -> str:
    """What a method is called in a figure."""
    return METHODS[method][2] if method in METHODS else METHOD_NAMES.get(method, method.upper())


def method_order(method: str) -> tuple[int, str]:
    """Where a method stands in every legend and panel; unknown ones last, by name."""
    return (list(METHODS).index(method) if method in METHODS else len(METHODS), method)


def facets(
    titles: Sequence[str],
    heights: Sequence[float],
    *,
    columns: int = 2,
    ratios: Sequence[float] = (1.0,),
    left: float = 0.6,
    right: float = RIGHT,
    full: float = WIDTH,
    legend: Sequence[Line2D] = (),
) -> tuple[Figure, list[list[Axes]]]:
    """An empty figure of facets, row by row, under one legend.

    Margins are given and not measured: to measure takes ten times as long as to draw.

    Args:
        titles: One a facet.
        heights: Of each facet's axes in inches; the highest of a row is the row's.
        columns: At most so many facets stand in a row.
        ratios: A facet is so many axes side by side, of these relative widths.
        left: Inches to the left of a facet's first axes, for its labels; between the others there
            is room for ticks alone.
        right: Inches to the right of a facet's last axes.
        full: Width of a full row in inches.
        legend: Its entries.

    Returns:
        The figure, and the axes of each facet.
    """
    across = min(columns, len(titles))
    width, pitch = full * across / columns, full / columns
    # An entry has a little over an inch, or what its words take on average.
    words = sum(0.4 + LETTER * len(str(entry.get_label())) for entry in legend)
    lines = -(-len(legend) // max(1, int(width / max(1.2, words / max(1, len(legend))))))
    rows = [max(heights[at : at + across]) for at in range(0, len(titles), across)]
    top = sum(rows) + len(rows) * (ABOVE + BELOW)
    height = top + 0.2 * lines + 0.08 * bool(lines)
    figure = Figure(figsize=(width, height))
    if legend:
        figure.legend(
            handles=legend,
            loc="upper left",
            bbox_to_anchor=(0.0, 1.0 - 0.04 / height),
            borderaxespad=0.0,
            ncols=-(-len(legend) // lines),
        )
    cells = []
    for at, title in enumerate(titles):
        row, column = divmod(at, across)
        bottom = top - sum(rows[: row + 1]) - row * (ABOVE + BELOW) - ABOVE
        free = pitch - left - right - BETWEEN * (len(ratios) - 1)
        start = column * pitch + left
        axes = []
        for ratio in ratios:
            wide = free * ratio / sum(ratios)
            axes.append(_axes(figure, start, bottom, wide, rows[row]))
            start += wide + BETWEEN
        axes[0].set_title(title, loc="left", x=-left * sum(ratios) / (free * ratios[0]), y=1.0)
        cells.append(axes)
    return figure, cells


def _axes(figure: Figure, start: float, bottom: float, wide: float, high: float) -> Axes:
    """Axes at a place in inches from the figure's lower left, with few and round ticks."""
    width, height = figure.get_size_inches()
    ax = figure.add_axes((start / width, bottom / height, wide / width, high / height))
    ax.locator_params("x", nbins=min(5, int(wide / 0.35)), steps=[1, 2, 2.5, 5, 10])
    ax.locator_params("y", nbins=5, steps=[1, 2, 2.5, 5, 10])
    # Given as well: by itself it measures every tick.
    ax.xaxis.set_label_coords(0.5, -0.26 / high)
    ax.yaxis.set_label_coords(-0.45 / wide, 0.5)
    return ax


def point(
    ax: Axes,
    x: float,
    y: float,
    method: str,
    words: str,
    *,
    hollow: bool = False,
    faint: bool = False,
    turn: int = 0,
) -> None:
    """A method's mark that says ``words``, filled by its turn, or hollow, or faint."""
    ax.plot(
        [x],
        [y],
        linestyle="none",
        **mark(method, turn, hollow=hollow),
        alpha=0.35 if faint else 1.0,
        label=words,
        zorder=3,
        clip_on=False,
    )


def mark(method: str, turn: int = 0, *, hollow: bool = False) -> dict[str, Any]:
    """How a method's mark looks, and that of a further run of the method: it is filled otherwise.

    Args:
        method: As in :data:`METHODS`.
        turn: How many runs of the method stand before it.
        hollow: Not filled, whatever its turn.
    """
    own, ground, fill = color(method), palette()["paper"], FILLS[turn % len(FILLS)]
    hollow = hollow or fill == "none"
    return {
        "marker": marker(method),
        # Hollow hides the line beneath it.
        "fillstyle": "full" if hollow else fill,
        "markerfacecolor": ground if hollow else own,
        "markerfacecoloralt": ground,
        "markeredgecolor": own if turn or hollow else ground,
        "markeredgewidth": 1.1 if turn or hollow else 0.6,
        "markersize": 5 * LARGER.get(marker(method), 1.0),
    }


def measured(
    ax: Axes,
    at: float,
    found: Interval,
    method: str,
    words: str,
    *,
    upright: bool = False,
    turn: int = 0,
) -> None:
    """A mean over seeds with its interval, along x or ``upright`` along y; faint without one."""
    if found.low is not None and found.high is not None:
        ends, level = [found.low, found.high], [at, at]
        ax.plot(*((level, ends) if upright else (ends, level)), color=color(method), label=words)
    place = (at, found.mean) if upright else (found.mean, at)
    point(ax, *place, method, words, faint=found.half_width is None, turn=turn)


def zero(ax: Axes, *, upright: bool = False) -> None:
    """The dotted line of no difference, across y or ``upright`` across x."""
    (ax.axhline if upright else ax.axvline)(0.0, **reference())


def reference() -> dict[str, Any]:
    """The look of a line that nothing was measured for."""
    return {"color": palette()["ink"], "linewidth": 0.7, "linestyle": (0, (2, 3)), "zorder": 1.5}


def logarithmic(ax: Axes, *axes: str) -> None:
    """Powers on these axes (``"x"``, ``"y"``), with plain numbers for ticks.

    Args:
        ax: With all its data: how many ticks a power of ten gets follows from its range.
        axes: Names.
    """
    for name in axes:
        if getattr(ax.dataLim, f"minpos{name}") == math.inf:
            # Nothing positive: there is no power to start from.
            continue
        getattr(ax, f"set_{name}scale")("log", nonpositive="mask")
        low, high = getattr(ax, f"get_{name}lim")()
        steps = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if high < 10 * low else (1.0, 2.0, 5.0)
        axis = getattr(ax, f"{name}axis")
        axis.set_major_locator(LogLocator(subs=(1.0,) if high > 300 * low else steps))
        axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_locator(NullLocator())
