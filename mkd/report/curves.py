"""Training curves: one panel a run, every loss term by its name, mean over the seeds."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from mkd.records import Records
from mkd.report.svg import Axis, Plot, legend, tag
from mkd.runs import Run

MOST = 160
"""Points of a curve that are drawn; longer ones are averaged in equal steps."""

# Loss term → (series class, words). The detector's own terms share one family of colors in
# every panel; a term of a method takes the method's.
TERMS = {
    "loss_cls": ("cls", "classification"),
    "loss_bbox": ("bbox", "box"),
    "loss_mask": ("mask", "mask"),
    "loss_multiscale": ("multiscale", "multi-scale"),
    "loss_fdmd": ("fdmd", "frequency mask (FDMD)"),
    "loss_fad": ("fad", "feature alignment (FAD)"),
    "loss_fea": ("fea", "feature (L_fea)"),
    "loss_cwd": ("fad", "CWD"),
    "loss_mgd": ("fdmd", "MGD"),
    "loss_fgd": ("multiscale", "FGD"),
    "loss_fkd": ("fea", "FKD"),
    "loss_pkd": ("fea", "PKD"),
}


def mean_curve(records: Records, run: str) -> dict[str, list[tuple[float, float]]]:
    """Loss term → (iteration, mean over the seeds that logged it), thinned to :data:`MOST`."""
    seen: dict[str, dict[int, list[float]]] = {}
    for record in records.by_run.get(run, {}).values():
        for point in record["train"]["curve"]:
            for name, value in point.items():
                if name.startswith("loss_") and isinstance(value, int | float):
                    seen.setdefault(name, {}).setdefault(int(point["iter"]), []).append(value)
    curves = {}
    for name in sorted(seen, key=lambda n: (list(TERMS).index(n) if n in TERMS else 99, n)):
        series = [(float(i), sum(v) / len(v)) for i, v in sorted(seen[name].items())]
        step = -(-len(series) // MOST)
        curves[name] = [_average(series[i : i + step]) for i in range(0, len(series), step)]
    return curves


def _average(part: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(a for a, _ in part) / len(part), sum(b for _, b in part) / len(part)


def panels(records: Records, runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    """A panel for each run with a curve: its run and its SVG with a legend."""
    made = []
    for run in [
        *(r for r in runs if r in records.by_run),
        *sorted(records.by_run.keys() - runs.keys()),
    ]:
        curves = mean_curve(records, run)
        if curves:
            made.append(
                {"run": run, "title": run, "body": _panel(run, curves, len(records.by_run[run]))}
            )
    return made


def _panel(run: str, curves: dict[str, list[tuple[float, float]]], seeds: int) -> Markup:
    values = [v for series in curves.values() for _, v in series]
    last = max(i for series in curves.values() for i, _ in series)
    plot = Plot(Axis(0, last, "iteration"), Axis.around(values, "loss", log=True), height=230)
    entries = []
    for name, series in curves.items():
        kind, words = TERMS.get(name, ("other", name.removeprefix("loss_")))
        plot.line(series, kind, f"{name}: {series[0][1]:.3g} at first, {series[-1][1]:.3g} at last")
        entries.append((kind, "circle", words))
    described = f"Losses of {run} against iteration, logarithmic, mean of {seeds} seed(s): " + (
        "; ".join(f"{n} from {s[0][1]:.3g} to {s[-1][1]:.3g}" for n, s in curves.items())
    )
    return plot.render(described) + tag("div", legend(entries, "line"))
