"""Training curves: one facet a run, every loss term by its name, mean over the seeds."""

import pandas as pd
from matplotlib.figure import Figure

from mkd.report import legend, style

MOST = 160
"""Points of a curve that are drawn; longer ones are averaged in equal steps."""
SOLID, DASHED, DOTTED, DASH_DOTTED = style.STROKES
TERMS = {
    "loss_cls": ("baseline", SOLID, "classification"),
    "loss_bbox": ("baseline", DASHED, "box"),
    "loss_mask": ("baseline", DASH_DOTTED, "mask"),
    "loss_multiscale": ("mkd", SOLID, "multi-scale"),
    "loss_fdmd": ("mkd", DASHED, "frequency mask (FDMD)"),
    "loss_fad": ("mkd", DOTTED, "feature alignment (FAD)"),
    "loss_fea": ("mkd", DASH_DOTTED, "feature (L_fea)"),
    "loss_cwd": ("cwd", SOLID, "CWD"),
    "loss_mgd": ("mgd", SOLID, "MGD"),
    "loss_fgd": ("fgd", SOLID, "FGD"),
    "loss_fkd": ("fkd", SOLID, "FKD"),
    "loss_pkd": ("pkd", SOLID, "PKD"),
}
"""Loss term → the method whose color it has, its stroke and its words: a term of a method has the
method's color, one of the detector's own the color of no distillation."""


def mean_curve(losses: pd.DataFrame) -> pd.DataFrame:
    """The mean over the seeds that logged it of each term, thinned to :data:`MOST` points.

    Args:
        losses: Of one run, from :func:`mkd.report.frames.losses`.

    Returns:
        Columns ``term`` (the known ones first), ``iteration`` and ``value``.
    """
    mean = losses.groupby(["term", "iteration"], as_index=False)["value"].mean()
    step = -(-mean.groupby("term")["value"].transform("size") // MOST)
    mean["part"] = mean.groupby("term").cumcount() // step
    thin = mean.groupby(["term", "part"], as_index=False)[["iteration", "value"]].mean()
    order = list(TERMS)
    at = thin["term"].map(lambda term: order.index(term) if term in TERMS else len(order))
    thin = thin.assign(at=at).sort_values(["at", "term", "part"], kind="stable", ignore_index=True)
    return thin[["term", "iteration", "value"]]


def curves(losses: pd.DataFrame) -> Figure:
    """Every loss term against the iteration, a facet a run, on a logarithmic axis.

    Args:
        losses: From :func:`mkd.report.frames.losses`.
    """
    runs = dict(zip(losses["run"], losses["label"], strict=True))
    found = {run: mean_curve(losses[losses["run"] == run]) for run in runs}
    seen = set(losses["term"])
    figure, cells = style.facets(
        list(runs.values()),
        [1.3] * len(runs),
        columns=2,
        left=0.58,
        legend=[
            legend.key("", style.color(method), words, stroke)
            for method, stroke, words in map(_look, [t for t in TERMS if t in seen])
        ]
        + [legend.key("", style.color(""), "another term", ":")] * bool(seen - TERMS.keys()),
    )
    for run, (ax,) in zip(runs, cells, strict=True):
        for term, curve in found[run].groupby("term", sort=False):
            method, stroke, _ = _look(str(term))
            first, last = curve["value"].iloc[0], curve["value"].iloc[-1]
            ax.plot(
                curve["iteration"],
                curve["value"],
                color=style.color(method),
                linestyle=stroke,
                # One point has no line.
                marker="." if len(curve) == 1 else "",
                label=f"{term}: {first:.3g} at first, {last:.3g} at last",
            )
        ax.set(xlim=(0, found[run]["iteration"].max() or 1), xlabel="iteration", ylabel="loss")
        style.logarithmic(ax, "y")
    return figure


def _look(term: str) -> tuple[str, object, str]:
    return TERMS.get(term, ("", ":", term.removeprefix("loss_")))
