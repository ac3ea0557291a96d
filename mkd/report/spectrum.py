"""What the random mask of the frequency term does to the loss: measured against closed forms."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mkd.report import legend, style

MASKS = {"literal": ("mkd", "literal mask"), "hermitian": ("", "Hermitian mask")}
"""Mask → method whose look it has (the literal one is the method's), words."""
SHOWN = {
    "residual": ("Loss of a perfect student", "loss at S = T, of T’s power", 0.0),
    "minimizer_scale": ("Student that minimizes the loss", "c, where S = c·T is best", 1.0),
}
"""What was measured → title of its facet, label of its axis, where nothing is lost."""


def tidy(measured: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row a value: ``mask``, ``mask_ratio``, ``metric`` and ``value``.

    A metric is one of :data:`SHOWN`, or the same by its closed form, ``…_expected``.

    Args:
        measured: What :func:`mkd.losses.analysis.measure_masks` gave.
    """
    metrics = [name + kind for name in SHOWN for kind in ("", "_expected")]
    frame = pd.DataFrame(measured)[["mask", "mask_ratio", *metrics]]
    return frame.melt(["mask", "mask_ratio"], var_name="metric").astype(
        {"mask_ratio": float, "value": float}
    )


def draw(frame: pd.DataFrame) -> Figure:
    """The residual at S = T and the minimizer's scale against ζ, marks on their closed forms.

    Args:
        frame: From :func:`tidy`.
    """
    figure, cells = style.facets(
        [title for title, *_ in SHOWN.values()],
        [1.9] * len(SHOWN),
        legend=[
            legend.key(style.marker(method), style.color(method), words)
            for method, words in MASKS.values()
        ],
    )
    for (name, (_, label, ideal)), (ax,) in zip(SHOWN.items(), cells, strict=True):
        ax.axhline(ideal, **style.reference())
        for mask, (method, words) in MASKS.items():
            here = frame[frame["mask"] == mask]
            ours = here[here["metric"] == name]
            form = here[here["metric"] == f"{name}_expected"]
            ax.plot(
                form["mask_ratio"],
                form["value"],
                color=style.color(method),
                label=f"{words}, closed form",
            )
            for ratio, value, closed in zip(
                ours["mask_ratio"], ours["value"], form["value"], strict=True
            ):
                said = (
                    f"{words}, ζ = {ratio:g}: {value:.3f} measured, {closed:.3f} by the closed form"
                )
                style.point(ax, ratio, value, method, said)
        ax.set(xlim=(0, 1), xlabel="mask ratio ζ", ylabel=label)
    return figure
