"""Where precision is lost: precision–recall curves and errors by kind, from the records.

Both are drawn only from records that carry them, under ``pr`` and ``errors``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mkd.names import arch_name, method_name
from mkd.records import Records
from mkd.report.figures import Panel, plain, style
from mkd.report.svg import Axis, Plot
from mkd.runs import Run
from mkd.stats import interval

COMPARED = ("baseline", "cwd", "mkd")
IOUS = {"50": "IoU 0.50", "75": "IoU 0.75"}
KINDS = {
    "classification": "wrong class",
    "localization": "poor box",
    "both": "wrong class, poor box",
    "duplicate": "duplicate",
    "background": "background",
    "missed": "missed object",
}


def _carrying(records: Records, runs: Mapping[str, Run], arch: str, key: str) -> list[Run]:
    return [
        run
        for run in plain(runs, arch)
        if run.method in COMPARED
        and any(key in record for record in records.by_run.get(run.id, {}).values())
    ]


def _mean(records: Records, run: str, *keys: str) -> Any:
    """The mean over seeds of a figure, or of a list of figures element by element."""
    found = []
    for record in records.by_run[run].values():
        value: Any = record
        for key in keys:
            value = value.get(key) if value else None
        if value is not None:
            found.append(value)
    if found and isinstance(found[0], list):
        return [interval(column).mean for column in zip(*found, strict=True)]
    return interval(found).mean if found else None


def precision_recall(
    records: Records, runs: Mapping[str, Run], archs: Sequence[str]
) -> list[Panel]:
    """Precision against recall, a panel for each architecture and IoU, a line for each method.

    A record's ``pr`` maps ``"50"`` and ``"75"`` to the precision at COCO's 101 recall levels,
    mean over categories, at most 100 detections an image.
    """
    panels = []
    for arch in archs:
        drawn = _carrying(records, runs, arch, "pr")
        for key, words in IOUS.items():
            if len(drawn) < 2:
                continue
            plot = Plot(Axis(0, 1, "recall"), Axis(0, 1, "precision"), width=340, height=260)
            said = []
            for run in drawn:
                curve = _mean(records, run.id, "pr", key)
                name, (series, shape) = method_name(run) or "no distillation", style(run.method)
                points = [(i / (len(curve) - 1), value) for i, value in enumerate(curve)]
                title = f"{name}, {words}: AP {100 * sum(curve) / len(curve):.1f}"
                said.append(title)
                plot.line(points, series, title)
                for recall, precision in points[10::20]:
                    plot.mark(recall, precision, series, shape=shape, title=title)
            described = f"Precision against recall of {arch_name(arch)}: {'; '.join(said)}"
            panels.append(
                {
                    "title": f"{arch_name(arch)}, {words}",
                    "body": plot.render(described),
                    "methods": {run.method for run in drawn},
                }
            )
    return panels


def errors(records: Records, runs: Mapping[str, Run], archs: Sequence[str]) -> list[Panel]:
    """AP50 lost to each kind of error, a panel an architecture.

    A record's ``errors`` maps each of :data:`KINDS` to the AP50, in percent, that would be gained
    if errors of that kind alone were mended (TIDE, Bolya et al. 2020, §3).
    """
    panels = []
    for arch in archs:
        drawn = _carrying(records, runs, arch, "errors")
        if len(drawn) < 2:
            continue
        lost = {
            run: {k: _mean(records, run.id, "errors", k) or 0.0 for k in KINDS} for run in drawn
        }
        most = max(v for values in lost.values() for v in values.values())
        plot = Plot(
            Axis(0, most * 1.08 or 1.0, "AP50 lost"),
            Axis(len(KINDS) - 0.5, -0.5, show=False),
            width=380,
            height=54 + 40 * len(KINDS),
            left=150,
            grid="x",
        )
        said = []
        for at, (kind, words) in enumerate(KINDS.items()):
            plot.text(0.0, at, words, anchor="end", dx=-8, kind="strong")
            for i, run in enumerate(drawn):
                series, shape = style(run.method)
                value = lost[run][kind]
                spot = at + (i - (len(drawn) - 1) / 2) * 0.24
                title = f"{method_name(run) or 'no distillation'}, {words}: {value:.2f} AP50"
                said.append(title)
                plot.span((0.0, spot), (value, spot), series, title=title)
                plot.mark(value, spot, series, shape=shape, title=title)
        panels.append(
            {
                "title": arch_name(arch),
                "body": plot.render("; ".join(said)),
                "methods": {run.method for run in drawn},
            }
        )
    return panels
