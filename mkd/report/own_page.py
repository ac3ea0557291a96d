"""The page of a scale of one's own: methods against their baseline, and nothing of the paper's."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mkd import __version__
from mkd.experiment.labels import arch_name, method_name
from mkd.experiment.runs import Run, baseline_of
from mkd.experiment.suite import Suite
from mkd.files import write_atomic, write_json
from mkd.report import (
    figures,
    findings,
    frames,
    latency_view,
    style,
    title_view,
)
from mkd.report.gallery import detected, figure, of_both_pages, plotted
from mkd.report.provenance_view import DIGESTS, circumstances, entries
from mkd.report.render import assets, data, environment, rows
from mkd.results import formats, own_tables
from mkd.results.check import comparable
from mkd.results.records import Problem, Records, coverage, load_folder
from mkd.results.tables import Table

WORDS = {
    1: "raises AP: its interval lies above zero",
    -1: "lowers AP: its interval lies below zero",
    0: "cannot be told from the baseline: its interval holds zero",
}
"""What is said of a difference, by the sign of its interval."""
LEAST = 3
"""Paired seeds without which nothing is said, as of the paper's claims."""


def render(suite: Suite, out: Path, *, arguments: str = "") -> None:
    """Write the report of a scale of one's own.

    It is ``index.html``, ``data.json`` and the table's files, and each plot's files in the scale's
    ``figures/``. Only records, and the pictures' data the pipeline left, are read.

    Args:
        suite: The scale and its table of runs.
        out: Folder of the report; other files in it are left alone.
        arguments: What Snakemake's command line must say to mean this configuration.

    Raises:
        UserError: The disk is full.
    """
    records = load_folder(suite.results, suite.scale)
    table = own_tables.of_own(records, suite.runs)
    archs = list(dict.fromkeys(run.arch for run in suite.runs.values() if run.tables))
    shown, problems = _gallery(records, suite, table, archs)
    problems = [*records.problems, *comparable(suite, records), *problems]
    summary = suite.settings.summary
    classes = {arch: own_tables.by_class(records, suite.runs, arch) for arch in archs}
    page = (
        environment(suite)
        .get_template("own.html.j2")
        .render(
            **assets(),
            own=True,
            version=__version__,
            scale=suite.scale,
            summary=summary[:1].upper() + summary[1:],
            problems=problems,
            coverage=coverage(records, suite),
            compared=_several(suite.runs),
            conclusion=_conclusion(table),
            table=table,
            classes={arch_name(arch): found for arch, found in classes.items() if found},
            names={run.id: method_name(run) or "no distillation" for run in suite.runs.values()},
            figures=shown,
            latency=latency_view.view(records, table),
            settings=suite.settings.model_dump(exclude_unset=True),
            title=title_view.title(records),
            digest_names=DIGESTS,
            circumstances=circumstances(records),
            entries=entries(records, suite, suite.results, out, arguments),
            plots=Path(os.path.relpath(suite.results / "figures", out)).as_posix(),
            files=".",
        )
    )
    formats.write_tables([table], summary, out)
    write_json(out / "data.json", data(records, problems, suite, table=rows(table)))
    write_atomic(out / "index.html", page)


def _several(runs: Mapping[str, Run]) -> list[str]:
    """Where an architecture has several undistilled rows, the one that methods are set against."""
    said = []
    for arch in dict.fromkeys(run.arch for run in runs.values() if run.teacher):
        plain = [r.id for r in runs.values() if (r.arch, r.method) == (arch, "baseline")]
        if len(plain) > 1:
            said.append(f"of {arch_name(arch)} the run {baseline_of(plain[0], runs)}")
    return said


def _conclusion(table: Table) -> list[str]:
    """A sentence for each distilled run that has a baseline, by rule."""
    column, said = table.columns[0], []
    metric, name = column.key, column.record.replace(".", " ")
    for row in table.rows:
        delta = row.measured[metric].delta if metric in row.measured else None
        if delta is None:
            continue
        found = f"{row.label}: {formats.signed(delta.mean)} {formats.half(delta)} {name}, "
        if delta.half_width is None:
            said.append(f"{found}from one seed, which tells nothing of noise.")
        elif len(delta.points) < LEAST:
            said.append(f"{found}{len(delta.points)} seeds, too few to say more: give it {LEAST}.")
        else:
            said.append(f"{found}{len(delta.points)} seeds; it {WORDS[delta.sign]}.")
    return said or ["No run has a record with its baseline's yet."]


def _gallery(
    records: Records, suite: Suite, table: Table, archs: list[str]
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """The figures, with or without anything to show, and what was wrong with their data."""
    problems: list[Problem] = []
    runs, plot = suite.runs, partial(plotted, suite.results / "figures")
    picture, seen, rule = detected(suite.results, problems)
    around = frames.differences(table, frames.metrics(records, runs))
    chosen = {
        arch: sorted(
            (run for run in runs.values() if run.arch == arch),
            # First the one that the others are compared with.
            key=lambda run: (
                style.method_order(run.method),
                run.id != baseline_of(run.id, runs),
            ),
        )
        for arch in archs
    }
    common = of_both_pages(plot, records, suite, chosen, chosen)
    made = [
        plot(
            "forest",
            "Difference to the baseline",
            around,
            partial(figures.forest, scale=suite.scale),
            finding=findings.forest(around),
        ),
        common["sizes"],
        figure("detections", "Detections", picture, finding=seen, rule=rule),
        common["curves"],
        common["pr"],
        common["errors"],
    ]
    return [shown | {"number": at} for at, shown in enumerate(made, start=1)], problems
