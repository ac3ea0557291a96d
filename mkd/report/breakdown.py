"""Where precision is lost: precision–recall curves and errors by kind."""

import pandas as pd
from matplotlib.figure import Figure

from mkd.experiment.labels import arch_name
from mkd.report import legend, style
from mkd.results.statistics import interval

IOUS = {"50": "IoU 0.50", "75": "IoU 0.75"}
KINDS = {
    "classification": "wrong class",
    "localization": "poor box",
    "both": "wrong class, poor box",
    "duplicate": "duplicate",
    "background": "background",
    "missed": "missed object",
}


def precision_recall(frame: pd.DataFrame) -> Figure:
    """Precision against recall, a facet an architecture and IoU, a line a method.

    Args:
        frame: From :func:`mkd.report.frames.precision_recall`.
    """
    panels = [(arch, iou) for arch in frame["arch"].unique() for iou in IOUS]
    figure, cells = style.facets(
        [f"{arch_name(arch)}, {IOUS[iou]}" for arch, iou in panels],
        [2.0] * len(panels),
        legend=legend.run_keys(frame, lines=True),
    )
    names, turns = legend.run_names(frame), legend.turns(frame)
    for (arch, iou), (ax,) in zip(panels, cells, strict=True):
        here = frame[(frame["arch"] == arch) & (frame["iou"] == iou)]
        for (run, method), seeds in here.groupby(["run", "method"], sort=False):
            curve = seeds.groupby("recall")["value"].mean()
            ax.plot(
                curve.index,
                curve,
                color=style.color(method),
                linestyle=style.STROKES[turns[run] % len(style.STROKES)],
                markevery=(10, 20),
                **style.mark(method, turns[run]),
                label=f"{names[run]}, {IOUS[iou]}: AP {100 * curve.mean():.1f}",
            )
        ax.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    return figure


def errors(frame: pd.DataFrame) -> Figure:
    """AP50 lost to each kind of error, a facet an architecture, a bar a method.

    Args:
        frame: From :func:`mkd.report.frames.errors`.
    """
    archs = list(frame["arch"].unique())
    figure, cells = style.facets(
        [arch_name(arch) for arch in archs],
        [0.38 * len(KINDS)] * len(archs),
        left=1.45,
        legend=legend.run_keys(frame),
    )
    names, turns = legend.run_names(frame), legend.turns(frame)
    for arch, (ax,) in zip(archs, cells, strict=True):
        here = frame[frame["arch"] == arch]
        runs = dict(zip(here["run"], here["method"], strict=True))
        for at, (kind, words) in enumerate(KINDS.items()):
            for i, (run, method) in enumerate(runs.items()):
                seeds = here[(here["kind"] == kind) & (here["run"] == run)]["value"]
                lost = interval(seeds).mean if len(seeds) else 0.0
                spot = at + (i - (len(runs) - 1) / 2) * min(0.24, 0.72 / len(runs))
                said = f"{names[run]}, {words}: {lost:.2f} AP50"
                ax.plot([0, lost], [spot, spot], color=style.color(method), label=said)
                style.point(ax, lost, spot, method, said, turn=turns[run])
        ax.set_yticks(range(len(KINDS)), KINDS.values(), color=style.palette()["ink"])
        ax.set(ylim=(len(KINDS) - 0.5, -0.5), xlabel="AP50 lost")
        # Mending one kind alone may cost a little elsewhere.
        ax.set_xlim(left=min(0.0, here.groupby(["kind", "run"])["value"].mean().min()))
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
    return figure
