"""The list of figures on the page, in order, each with its panels, legend and caption."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mkd import ROOT
from mkd.config import Suite
from mkd.errors import UserError
from mkd.files import read_json
from mkd.records import Problem, Records
from mkd.report import attention_view, breakdown, curves, figures, pictures, spectrum
from mkd.report.figures import Panel
from mkd.tables import Table

CAPTIONS = ROOT / "report" / "captions"


def caption(name: str, **values: str) -> str:
    """A caption file as one paragraph; ``{name}`` in it is filled from ``values``."""
    text = " ".join((CAPTIONS / f"{name}.rst").read_text(encoding="utf-8").split())
    return text.format(**values).replace(" %", "\N{NO-BREAK SPACE}%")


def gallery(
    records: Records, suite: Suite, made: dict[int, Table], archs: list[str]
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Every figure, with or without anything to show, and what was wrong with its data.

    Args:
        records: From :func:`mkd.records.load_records`.
        suite: The scale and its table of runs.
        made: The tables by number.
        archs: Architectures in the order of the page.
    """
    runs = suite.runs
    problems: list[Problem] = []
    picture, rule = _drawn(
        suite.results,
        "qualitative",
        lambda data: (pictures.detections(data), data["rule"]),
        (None, "it is written with the pictures"),
        problems,
    )
    looks, measured = _drawn(
        suite.results,
        "attention",
        lambda data: (attention_view.attention(data), data["measured"]),
        (None, "val images"),
        problems,
    )
    masks = _drawn(suite.results, "masks", spectrum.panels, None, problems)
    shown = [
        _figure("forest", "Difference to the baseline", figures.forest(made[1])),
        _figure("sizes", "Difference by object size", figures.by_size(records, runs, archs)),
        _figure("detections", "Detections", body=picture, rule=rule),
        _figure("attention", "Attention", body=looks, measured=measured),
        _figure("masks", "Instance segmentation", figures.forest(made[2])),
        _figure("teachers", "Choice of teacher", figures.forest(made[3])),
        _figure("components", "Components left out", figures.forest(made[4])),
        _figure("weights", "Weight of the distillation loss", figures.weights(made[5], runs)),
        _figure("readings", "Other readings of the method", figures.readings(records, runs)),
        _figure("spectrum", "The frequency term’s mask", masks, legend=spectrum.key()),
        _figure("curves", "Training curves", curves.panels(records, runs)),
        _figure("pr", "Precision and recall", breakdown.precision_recall(records, runs, archs)),
        _figure("errors", "Errors by kind", breakdown.errors(records, runs, archs)),
    ]
    return shown, problems


def _figure(
    name: str,
    title: str,
    panels: list[Panel] | None = None,
    body: Markup | None = None,
    legend: Markup | None = None,
    **values: str,
) -> dict[str, Any]:
    methods = sorted({m for panel in panels or () for m in panel.get("methods", ())})
    return {
        "id": name,
        "title": title,
        "panels": panels,
        "body": body,
        "legend": (figures.method_legend(methods) if methods else panels and legend) or "",
        "caption": caption(name, **values),
    }


def _drawn(
    results: Path, name: str, draw: Callable[[Any], Any], nothing: Any, problems: list[Problem]
) -> Any:
    """What ``draw`` makes of ``figures/<name>.json``; ``nothing`` where that is not there."""
    path = results / "figures" / f"{name}.json"
    if not os.path.lexists(path):
        return nothing
    try:
        return draw(read_json(path))
    except UserError as error:
        words = str(error).removeprefix(f"{path}: ")
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        words = repr(error)
    problems.append(
        Problem(path.relative_to(results).as_posix(), f"not the figure's data: {words}")
    )
    return nothing
