"""The list of figures on the page, in order, each drawn, saved and with its caption."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment.config import Suite
from mkd.files import read_json
from mkd.report import (
    attention_view,
    breakdown,
    curves,
    export,
    figures,
    frames,
    pictures,
    spectrum,
    style,
)
from mkd.results.records import Problem, Records
from mkd.results.tables import Table

CAPTIONS = ROOT / "report" / "captions"


def caption(name: str, **values: str) -> str:
    """A caption file as one paragraph; ``{name}`` in it is filled from ``values``."""
    text = " ".join((CAPTIONS / f"{name}.rst").read_text(encoding="utf-8").split())
    return text.format(**values).replace(" %", "\N{NO-BREAK SPACE}%")


def gallery(
    records: Records, suite: Suite, made: dict[int, Table], archs: list[str]
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Every figure, with or without anything to show, and what was wrong with its data.

    A plot is saved as ``<id>.svg`` and ``<id>.pdf`` in the scale's ``figures/``.

    Args:
        records: From :func:`mkd.results.records.load_records`.
        suite: The scale and its table of runs.
        made: The tables by number.
        archs: Architectures in the order of the page.
    """
    runs, scale = suite.runs, suite.scale
    problems: list[Problem] = []
    plot = partial(plotted, suite.results / "figures")

    picture, rule = drawn(
        suite.results,
        "qualitative",
        lambda data: (pictures.detections(data), data["rule"]),
        (None, "it is written with the pictures"),
        problems,
    )
    looks, measured = drawn(
        suite.results,
        "attention",
        lambda data: (attention_view.attention(data), data["measured"]),
        (None, "val images"),
        problems,
    )
    measured_masks = drawn(suite.results, "spectrum", spectrum.tidy, pd.DataFrame(), problems)
    found, losses = frames.metrics(records, runs), frames.losses(records, runs)

    def forest(name: str, title: str, number: int) -> dict[str, Any]:
        return plot(name, title, frames.differences(made[number], found), figures.forest, scale)

    shown = [
        forest("forest", "Difference to the baseline", 1),
        plot(
            "sizes",
            "Difference by object size",
            frames.by_size(found, runs, archs),
            figures.by_size,
        ),
        figure("detections", "Detections", picture, rule=rule),
        figure("attention", "Attention", looks, measured=measured),
        forest("instances", "Instance segmentation", 2),
        forest("teachers", "Choice of teacher", 3),
        forest("components", "Components left out", 4),
        plot(
            "weights",
            "Weight of the distillation loss",
            frames.weights(made[5], found, runs),
            figures.weights,
            scale,
        ),
        plot(
            "readings",
            "Other readings of the method",
            frames.readings(found, runs),
            figures.forest,
            scale,
        ),
        plot("spectrum", "The frequency term’s mask", measured_masks, spectrum.draw),
        plot("curves", "Training curves", losses, curves.curves) | {"runs": losses["run"].unique()},
        plot(
            "pr",
            "Precision and recall",
            frames.precision_recall(records, runs, archs),
            breakdown.precision_recall,
        ),
        plot("errors", "Errors by kind", frames.errors(records, runs, archs), breakdown.errors),
    ]
    return shown, problems


def plotted(
    folder: Path,
    name: str,
    title: str,
    frame: pd.DataFrame,
    draw: Callable[..., Figure],
    *more: Any,
) -> dict[str, Any]:
    """A figure drawn from a frame and saved, or nothing in its place where the frame is empty.

    Args:
        folder: Of its files; what an earlier page left there under its name does not stay.
        name: Its id, and the name of its files and of its caption.
        title: On the page and in the files.
        frame: Of :mod:`mkd.report.frames`.
        draw: Makes the figure of ``frame`` and ``more``.
        more: Further arguments.
    """
    if frame.empty:
        export.remove(folder, name)
        return figure(name, title)
    with style.styled():
        body = export.save(draw(frame, *more), folder, name, title)
    return figure(name, title, body) | {"files": True}


def figure(name: str, title: str, body: Markup | None = None, **values: str) -> dict[str, Any]:
    """A figure as the page takes it, with its caption filled from ``values``."""
    return {"id": name, "title": title, "body": body, "caption": caption(name, **values)}


def drawn(
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
