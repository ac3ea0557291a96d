"""What is shown of runs: tables, pictures, the report and the reference."""

from pathlib import Path

from mkd import ROOT
from mkd.data import fingerprint
from mkd.errors import UserError
from mkd.experiment import config, labels
from mkd.experiment.suite import Suite
from mkd.files import write_json
from mkd.jobs.around import readable_images
from mkd.workflow import pipeline


def table(suite: Suite, number: int) -> None:
    """Write one of the paper's tables, paper against measured, as CSV, Markdown and LaTeX."""
    from mkd.results import formats, tables
    from mkd.results.records import load_folder

    records = load_folder(suite.results, suite.scale)
    built = tables.build(records, suite.runs, number)
    formats.write_tables([built], suite.settings.summary, suite.results / "tables")


def pictures(suite: Suite, out: Path) -> None:
    """Lay the detections of a few runs on the same val images, for the report."""
    from mkd.evaluation import examples

    fingerprint.verify_data(suite)
    annotations, images = suite.settings.data.splits["val"]
    found = {}
    for name, path in pipeline.pictured(suite).items():
        run = suite.run(name)
        method = labels.method_name(run)
        shown = f"{labels.arch_name(run.arch)}{method and f' with {method}'}"
        # Two runs may differ by their teacher alone.
        found[f"{shown} ({name})" if shown in found else shown] = Path(path)
    examples.make(suite.data_root / images, suite.data_root / annotations, found, out)


def attention(suite: Suite, out: Path) -> None:
    """Map where a student looks with and without distillation, and its teacher, for the report."""
    from mkd.evaluation import attention as maps

    annotations, images = suite.settings.data.splits["val"]
    runs = {}
    attended = pipeline.attended(suite)
    if not attended:
        raise UserError(
            f"{suite.table} has no distilled run '{pipeline.PICTURED[-1]}', or its teacher is not "
            "scored: there is nothing to show with and without distillation"
        )
    fingerprint.verify_data(suite)
    *students, teacher = attended.items()
    for name, files in students:
        run = suite.run(name)
        method = labels.method_name(run)
        how = f"with {method}" if method else "undistilled"
        runs[f"{labels.arch_name(run.arch)}, {how}"] = [Path(path) for path in files]
    arch = labels.arch_name(suite.run(teacher[0]).arch)
    runs[f"{arch}, the teacher"] = [Path(path) for path in teacher[1]]
    with readable_images(suite.data_root):
        maps.make(suite.data_root / images, suite.data_root / annotations, runs, out)


def spectrum(out: Path) -> None:
    """Measure what the frequency term's mask does to the loss, for the report."""
    from mkd.losses import analysis

    write_json(out, analysis.measure_masks())


def report(suite: Suite) -> None:
    """Render the report of what has been run."""
    from mkd.report import own_page, render

    page = own_page if suite.own else render
    out = suite.results / "report"
    # The rule of the whole report puts it back.
    (out / ".whole").unlink(missing_ok=True)
    page.render(suite, out, arguments=config.arguments(config.replaced(suite)))


def reference(suite: Suite, source: Path, root: Path = ROOT) -> None:
    """Keep a results folder as the scale's reference, and render the default scale's page.

    That page has the answer of the longer scale too.

    Args:
        suite: The scale and its table of runs.
        source: The scale's results folder, or its reference.
        root: The checkout that keeps it.

    Raises:
        UserError: As :func:`mkd.results.reference.update`; then nothing is written.
    """
    from mkd.report import render
    from mkd.results import reference

    reference.update(suite, source, root)
    default = config.load()
    shown = suite if suite.scale == default.scale else default
    kept = reference.folder(shown.scale, root)
    if suite.scale in (shown.scale, shown.settings.longer) and kept.is_dir():
        render.render(shown, root / "docs/report", source=kept)
