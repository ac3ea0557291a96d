"""The list of figures on the page, in order, each drawn, saved and with its caption."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment.runs import Run
from mkd.experiment.suite import Suite
from mkd.files import read_json
from mkd.report import (
    attention_view,
    breakdown,
    curves,
    export,
    figures,
    findings,
    frames,
    latency_figure,
    latency_view,
    pictures,
    spectrum,
    style,
)
from mkd.results.records import Problem, Records
from mkd.results.tables import Table

CAPTIONS = ROOT / "report" / "captions"
COMPARED = ("baseline", "cwd", "mkd")
"""Methods of which the suite's own precision–recall curves and errors are shown."""


def caption(name: str, **values: str) -> str:
    """A caption file as one paragraph; ``{name}`` in it is filled from ``values``."""
    text = " ".join((CAPTIONS / f"{name}.rst").read_text(encoding="utf-8").split())
    return text.format(**values).replace(" %", "\N{NO-BREAK SPACE}%")


def gallery(
    records: Records,
    suite: Suite,
    made: dict[int, Table],
    archs: list[str],
    folders: tuple[Path, Path],
    min_seeds: int,
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Every figure by its number, with or without anything to show, and what its data lack.

    A plot is saved as ``<id>.svg`` and ``<id>.pdf``. The first is the overview that opens the page.

    Args:
        records: From :func:`mkd.results.records.load_folder`.
        suite: The scale and its table of runs.
        made: The tables by number.
        archs: Architectures in the order of the page.
        folders: The scale's, where the pictures' data lie, and that of the plots.
        min_seeds: Seeds that a test asks for.
    """
    runs, scale = suite.runs, suite.scale
    problems: list[Problem] = []
    source, folder = folders
    plot = partial(plotted, folder)

    picture, seen, rule = detected(source, problems)
    looks, alike, measured = drawn(
        source,
        "attention",
        lambda data: (attention_view.attention(data), findings.attention(data), data["measured"]),
        (None, "", "val images"),
        problems,
    )
    masks = drawn(source, "spectrum", spectrum.tidy, pd.DataFrame(), problems)
    found = frames.metrics(records, runs)
    by_table = {number: frames.differences(made[number], found) for number in (1, 2, 3, 4)}
    alphas = frames.weights(made[5], found, runs)
    others = frames.readings(found, runs)
    chosen = {arch: frames.at_defaults(runs, arch) for arch in archs}
    few = {
        arch: [run for run in of_arch if run.method in COMPARED] for arch, of_arch in chosen.items()
    }
    common = of_both_pages(plot, records, suite, chosen, few)
    latency = latency_view.points(records, made[1])
    shown = [
        plot(
            "overview",
            "What every method adds",
            by_table[1],
            partial(figures.overview, scale=scale, columns=4),
            finding=findings.overview(by_table[1], min_seeds),
            narrow=partial(figures.overview, scale=scale, columns=1),
        ),
        figure("detections", "Detections", picture, finding=seen, rule=rule),
        plot(
            "components",
            "Components left out",
            by_table[4],
            partial(figures.forest, scale=scale),
            finding=findings.around(by_table[4]),
        ),
        common["sizes"],
        plot(
            "weights",
            "Weight of the distillation loss",
            alphas,
            partial(figures.weights, scale=scale),
            finding=findings.weights(alphas),
            fold=True,
        ),
        plot(
            "teachers",
            "Choice of teacher",
            by_table[3],
            partial(figures.forest, scale=scale),
            finding=findings.forest(by_table[3]),
            fold=True,
        ),
        plot(
            "instances",
            "Instance segmentation",
            by_table[2],
            partial(figures.forest, scale=scale),
            finding=findings.forest(by_table[2]),
            fold=True,
        ),
        plot(
            "readings",
            "Other readings of the method",
            others,
            partial(figures.forest, scale=scale),
            finding=findings.around(others),
            fold=True,
        ),
        common["errors"],
        common["pr"],
        figure("attention", "Attention", looks, finding=alike, fold=True, measured=measured),
        plot(
            "spectrum",
            "The frequency term’s mask",
            masks,
            spectrum.draw,
            finding=findings.spectrum(masks),
            fold=True,
        ),
        common["curves"],
        plot(
            "ap-latency",
            "AP and latency",
            latency,
            partial(latency_figure.scatter, scale=scale),
            finding=latency_view.rank(records, made[1]),
            fold=True,
        ),
    ]
    return [{**figure, "number": at} for at, figure in enumerate(shown, start=1)], problems


def of_both_pages(
    plot: Callable[..., dict[str, Any]],
    records: Records,
    suite: Suite,
    chosen: Mapping[str, Sequence[Run]],
    few: Mapping[str, Sequence[Run]],
) -> dict[str, dict[str, Any]]:
    """Figures that this page and that of a user's own runs have, by id.

    Args:
        plot: :func:`plotted` with its folder.
        records: From :func:`mkd.results.records.load_folder`.
        suite: The scale and its table of runs.
        chosen: The runs that are compared, by architecture in the order of the page.
        few: Those of which precision and recall, and errors, are shown.
    """
    losses = frames.losses(records, suite.runs)
    sizes = frames.by_size(frames.metrics(records, suite.runs), chosen)
    lost = frames.errors(records, few)
    curved = frames.precision_recall(records, few)
    rows = (
        ("sizes", "Difference by object size", sizes, figures.by_size, findings.by_size),
        ("errors", "Errors by kind", lost, breakdown.errors, findings.errors),
        (
            "pr",
            "Precision and recall",
            curved,
            breakdown.precision_recall,
            findings.precision_recall,
        ),
        ("curves", "Training curves", losses, curves.curves, findings.curves),
    )
    return {
        name: plot(name, title, frame, draw, finding=find(frame), fold=True)
        for name, title, frame, draw, find in rows
    }


def plotted(
    folder: Path,
    name: str,
    title: str,
    frame: pd.DataFrame,
    draw: Callable[[pd.DataFrame], Figure],
    *,
    finding: str,
    fold: bool = False,
    narrow: Callable[[pd.DataFrame], Figure] | None = None,
) -> dict[str, Any]:
    """A figure drawn from a frame and saved, or nothing in its place where the frame is empty.

    Args:
        folder: Of its files; what an earlier page left there under its name does not stay.
        name: Its id, and the name of its files and of its caption.
        title: On the page and in the files.
        frame: Of :mod:`mkd.report.frames`.
        draw: Makes the figure of ``frame``.
        finding: What it shows, in a sentence.
        fold: Whether it is shown when asked for.
        narrow: Makes the same figure for a phone.
    """
    if frame.empty:
        export.remove(folder, name)
        return figure(name, title, finding=finding, fold=fold)
    with style.styled():
        body = export.save(draw(frame), folder, name, title)
        small = export.inline(narrow(frame), f"{name}-narrow", title) if narrow else None
    return figure(name, title, body, finding=finding, fold=fold) | {
        "files": True,
        "narrow": small,
    }


def figure(
    name: str,
    title: str,
    body: Markup | None = None,
    *,
    finding: str,
    fold: bool = False,
    **values: str,
) -> dict[str, Any]:
    """A figure as the page takes it, with its caption filled from ``values``."""
    return {
        "id": name,
        "title": title,
        "body": body,
        "narrow": None,
        "files": False,
        "finding": finding,
        "fold": fold,
        "caption": caption(name, **values),
    }


def detected(results: Path, problems: list[Problem]) -> tuple[Any, str, str]:
    """The picture of detections, what is seen in it, and how its images were chosen."""
    found: tuple[Any, str, str] = drawn(
        results,
        "qualitative",
        lambda data: (pictures.detections(data), findings.detections(data), data["rule"]),
        (None, "", "it is written with the pictures"),
        problems,
    )
    return found


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
