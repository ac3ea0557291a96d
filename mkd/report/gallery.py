"""The list of figures on the page, in order, each with its panels, legend and caption."""

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mkd.config import ROOT, Suite
from mkd.records import Problem, Records
from mkd.report import breakdown, curves, figures, pictures
from mkd.report.figures import Panel
from mkd.tables import Table

CAPTIONS = ROOT / "report" / "captions"


def caption(name: str, **values: str) -> str:
    """A caption file as one paragraph; ``{name}`` in it is filled from ``values``."""
    text = " ".join((CAPTIONS / f"{name}.rst").read_text().split())
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
    picture, rule, problems = _pictures(suite.results)
    shown = [
        _figure("forest", "Difference to the baseline", figures.forest(made[1])),
        _figure("sizes", "Difference by object size", figures.by_size(records, runs, archs)),
        _figure("detections", "Detections", body=picture, rule=rule),
        _figure("masks", "Instance segmentation", figures.forest(made[2])),
        _figure("teachers", "Choice of teacher", figures.forest(made[3])),
        _figure("components", "Components left out", figures.forest(made[4])),
        _figure("weights", "Weight of the distillation loss", figures.weights(made[5], runs)),
        _figure("readings", "Other readings of the method", figures.readings(records, runs)),
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
    **values: str,
) -> dict[str, Any]:
    methods = {method for panel in panels or () for method in panel.get("methods", ())}
    return {
        "id": name,
        "title": title,
        "panels": panels,
        "body": body,
        "legend": figures.method_legend(sorted(methods)) if methods else "",
        "caption": caption(name, **values),
    }


def _pictures(results: Path) -> tuple[Markup | None, str, list[Problem]]:
    path = results / "figures" / "qualitative.json"
    rule = "it is written with the pictures"
    if not path.exists():
        return None, rule, []
    try:
        data = json.loads(path.read_bytes())
        return pictures.detections(data), data["rule"], []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        where = str(path.relative_to(results))
        return None, rule, [Problem(where, f"not the pictures' data: {error!r}")]
