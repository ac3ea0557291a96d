"""What the random mask of the frequency term does to the loss: measured against closed forms."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from mkd.report.figures import Panel
from mkd.report.svg import Axis, Plot, legend

MASKS = {
    "literal": ("mkd", "diamond", "literal mask"),
    "hermitian": ("other", "square", "Hermitian mask"),
}
"""Mask → style class, mark, words."""
SHOWN = {
    "residual": ("Loss of a perfect student", "loss at S = T, of T’s power", 0.0),
    "minimizer_scale": ("Student that minimizes the loss", "c, where S = c·T is best", 1.0),
}
"""What was measured → title of its panel, label of its axis, where nothing is lost."""


def key() -> Markup:
    """The legend of both panels."""
    return legend([*MASKS.values()])


def panels(measured: Sequence[dict[str, Any]]) -> list[Panel]:
    """The residual at S = T and the minimizer's scale against ζ, marks on their closed forms.

    Args:
        measured: What :func:`mkd.losses.analysis.measure_masks` gave.
    """
    return [
        {"title": title, "body": _panel(measured, name, label, ideal)}
        for name, (title, label, ideal) in SHOWN.items()
    ]


def _panel(measured: Sequence[dict[str, Any]], name: str, label: str, ideal: float) -> Markup:
    x = Axis(0, 1, "mask ratio ζ")
    plot = Plot(
        x,
        Axis.around([point[name] for point in measured], label, include=ideal),
        width=360,
        left=54,
    )
    plot.rule(y=ideal)
    said = []
    for mask, (series, shape, words) in MASKS.items():
        points = [point for point in measured if point["mask"] == mask]
        form = [(point["mask_ratio"], point[f"{name}_expected"]) for point in points]
        plot.line(form, series, f"{words}, closed form")
        for point in points:
            title = (
                f"{words}, ζ = {point['mask_ratio']:g}: {point[name]:.3f} measured, "
                f"{point[f'{name}_expected']:.3f} by the closed form"
            )
            said.append(title)
            plot.mark(point["mask_ratio"], point[name], series, shape=shape, title=title)
    return plot.render("; ".join(said))
