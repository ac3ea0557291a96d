"""What the Snakefile asks of the suite: inputs, resources and digests of its jobs.

Torch is not imported here.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from mkd import ROOT
from mkd.data import making
from mkd.experiment import config, paths, run_digests, runs
from mkd.experiment.code import code_digest
from mkd.experiment.paths import run_path, teacher_weights
from mkd.experiment.suite import Suite
from mkd.files import sha256_file
from mkd.provenance import digest
from mkd.schemas import checked_yaml

FIRST = ("tiny-baseline", "tiny-cwd", "tiny-mkd", "tiny-mkd-balanced")
"""Rows around the open question, which are made before all others."""
PICTURED = ("tiny-baseline", "tiny-cwd", "tiny-mkd")
"""Runs whose detections and attention are shown as pictures, without and with distillation."""


RESAMPLED = ("tiny-baseline", "tiny-cwd")
"""The runs whose AP, and difference in AP, are bootstrapped over the val images."""


def restore_data(suite: Suite, jobs: Iterable[Any]) -> None:
    """Make the embedded data set again where its folder was deleted and jobs are about to read it.

    The data rule cannot: once it runs, all that was trained is older than its output and is
    trained again, on the very same images.

    Args:
        suite: The scale; data of its user's own are left alone.
        jobs: Snakemake's jobs that are about to run.

    Raises:
        UserError: The folder holds something else, or the disk is full.
    """
    record, planned = f"{suite.results.as_posix()}/data.json", list(jobs)
    if any(record in job.input for job in planned) and not any(
        record in job.output for job in planned
    ):
        making.make(suite.settings.data, suite.data_root)


def data_code(suite: Suite) -> str:
    """Digest of the code that makes the scale's data set, where the suite makes it."""
    maker = suite.settings.data.maker
    return code_digest(f"mkd.data.{maker.module}") if maker is not None else ""


def records(suite: Suite, table: int | None = None) -> list[str]:
    """Record files of the runs one table shows, or of all runs, and of their teachers.

    Readings have a list of their own, and what only teaches has no record.
    """
    return _records(suite, [run for run in _shown_runs(suite, table) if not run.reading])


def first(suite: Suite) -> list[str]:
    """The runs of :data:`FIRST` that the table has, and their teachers; none of an own scale.

    What only teaches is not among them: it has no record.
    """
    if suite.own:
        return []
    rows = [suite.runs[run] for run in FIRST if run in suite.runs]
    wanted = {run.id for run in rows} | {run.teacher for run in rows if run.teacher}
    return sorted(filter(suite.scored, wanted))


def readings(suite: Suite) -> list[str]:
    """Record files of the readings beyond the paper's rows."""
    return _records(suite, [run for run in suite.runs.values() if run.reading])


def readings_tables(suite: Suite) -> list[int]:
    """The tables that show readings where those were run."""
    return sorted({table for run in suite.runs.values() if run.reading for table in run.tables})


def _records(suite: Suite, shown: Iterable[runs.Run]) -> list[str]:
    wanted = dict.fromkeys([*(run.id for run in shown), *(r.teacher for r in shown if r.teacher)])
    return [
        run_path(suite, run, seed, "record.json")
        for run in filter(suite.scored, wanted)
        for seed in suite.seeds(run)
    ]


def taking(suite: Suite, run: str, seed: int) -> str:
    """Digest of what decides weights that are read from a file, beside the file."""
    decided = run_digests.config_digest(suite, run, seed)
    if run not in suite.pretrained:
        return decided
    file = str(paths.pretrained_file(suite, run, seed))
    return digest([decided, file, suite.scored(run), code_digest("mkd.training.released")])


def starts_arguments(suite: Suite) -> str:
    """What the command line replaced, for the scale that trains what this one starts from.

    Rows, seeds and weights that were named are of this scale.
    """
    if suite.starts is None:
        return ""
    own = ("runs", "seeds", "pretrained")
    values = {key: value for key, value in config.replaced(suite).items() if key not in own}
    scale = str(suite.starts.file) if suite.starts.own else suite.starts.scale
    return config.arguments({**values, "scale": scale})


def here(cores: int | None) -> int:
    """Cores of a workflow that a job runs on this machine; a cluster's are more than it has."""
    return min(cores or 1, os.cpu_count() or 1)


def starts_threads(suite: Suite, cores: int) -> int:
    """Threads of the workflow that trains one of the weights this scale starts from.

    One on the CPU, so that several train side by side; all where they would share a GPU, or what
    is trained first: a teacher, or a backbone on crops.
    """
    if suite.starts is None:
        return 1
    first = suite.starts.settings.train.pretrained == "crops"
    shared = gpus(suite.starts) or any(run.teacher for run in suite.starts.runs.values())
    return cores if first or shared else 1


def pictured(suite: Suite) -> dict[str, str]:
    """Detections of the first seed of each of :data:`PICTURED` that the table has, by run.

    Of an own scale they are those of the first distilled runs, and before them of their baseline.
    """
    shown: tuple[str, ...] = PICTURED
    if suite.own:
        distilled = [run.id for run in suite.runs.values() if run.teacher]
        first = runs.baseline_of(next(iter(distilled), None), suite.runs)
        alike = [run for run in distilled if runs.baseline_of(run, suite.runs) == first]
        shown = tuple(filter(None, [first, *alike[: len(PICTURED) - 1]]))
    return {
        run: run_path(suite, run, suite.seeds(run)[0], "detections.json")
        for run in shown
        if run in suite.runs and suite.scored(run)
    }


def attended(suite: Suite) -> dict[str, list[str]]:
    """Weights of every seed of :data:`PICTURED`, and last of the teacher of their last, MKD.

    Nothing where the table does not have that run, or the teacher knows other classes.
    """
    after = suite.runs.get(PICTURED[-1])
    if suite.own or after is None or after.teacher is None or not suite.scored(after.teacher):
        return {}
    students = [run for run in PICTURED if run in suite.runs and run != after.teacher]
    return {
        run: [run_path(suite, run, seed, "weights.pth") for seed in suite.seeds(run)]
        for run in students
    } | {after.teacher: teacher_weights(suite, after.id, suite.seeds(after.id)[0])}


def counted(suite: Suite) -> dict[str, str]:
    """``train.json`` of the first seed of each undistilled student that the gates speak of.

    Nothing where the table lacks one of them, or it only teaches: the gate on levels is not run.
    """
    # Not by mkd.results.gates, whose imports would cost every start of Snakemake half a second.
    students = checked_yaml(ROOT / "config/gates.yaml", "gates")["students"]
    if not _all_scored(suite, students):
        return {}
    return {run: run_path(suite, run, suite.seeds(run)[0], "train.json") for run in students}


def resampled(suite: Suite) -> dict[str, str]:
    """Detections of the first seed of each of :data:`RESAMPLED`, or nothing without both."""
    if not _all_scored(suite, RESAMPLED):
        return {}
    return {run: run_path(suite, run, suite.seeds(run)[0], "detections.json") for run in RESAMPLED}


def _all_scored(suite: Suite, wanted: Iterable[str]) -> bool:
    """Whether a scale of the suite's own has all these runs, and a record of each."""
    return not suite.own and all(run in suite.runs and suite.scored(run) for run in wanted)


def shown(suite: Suite, table: int | None = None) -> str:
    """Digest of what a table or the report shows, besides what code and records decide.

    That is the scale and the rows of the table of runs.
    """
    return digest([suite.settings.model_dump(), [asdict(run) for run in _shown_runs(suite, table)]])


def beside(suite: Suite) -> str:
    """Digest of the records of the longer scale that the report lays beside this one's."""
    longer = suite.settings.longer or ""
    roots = (suite.results.parent / longer, ROOT / "results/reference" / longer) if longer else ()
    return digest(
        [
            sha256_file(path)
            for root in roots
            for path in sorted(root.glob("runs/*/seed*/record.json"))
            if path.is_file()
        ]
    )


def _shown_runs(suite: Suite, table: int | None) -> list[runs.Run]:
    return list(suite.runs.values()) if table is None else runs.rows_of(table, suite.runs)


def table_code() -> str:
    """Digest of all that decides what a table says of given records."""
    return digest(
        [
            code_digest("mkd.results.tables", "mkd.results.formats", whole=True),
            _files("config/paper"),
        ]
    )


def paper_costs() -> str:
    """Digest of the paper's params and FLOPs, Table 1, and of the code that reads them."""
    return digest([code_digest("mkd.paper.facts", whole=True), _files("config/paper/table1.csv")])


def report_code() -> str:
    """Digest of all that decides what the report says of given records, and how it looks."""
    return digest(
        [
            code_digest("mkd.report.render", "mkd.report.own_page", whole=True),
            _files(
                "config/paper",
                "config/claims.yaml",
                "config/deviations.yaml",
                "config/gates.yaml",
                "CITATION.cff",
                "report",
            ),
        ]
    )


def _files(*names: str) -> dict[str, str]:
    """Digest of each file of the checkout that is named, or stands in a folder that is."""
    paths = [ROOT / name for name in names]
    found = {
        file
        for path in paths
        for file in (path.rglob("*") if path.is_dir() else (path,))
        if file.is_file()
    }
    return {file.relative_to(ROOT).as_posix(): sha256_file(file) for file in sorted(found)}


def teachers(suite: Suite) -> list[str]:
    """Ids of the runs that teach another, in order."""
    return sorted(runs.teachers(suite.runs))


def gpus(suite: Suite, at_most: int | None = None) -> int:
    """GPUs of one training job, or of a job that takes ``at_most`` so many."""
    train = suite.settings.train
    count = train.devices if train.device == "cuda" else 0
    return count if at_most is None else min(at_most, count)


def threads(suite: Suite, at_most: int | None = None) -> int:
    """CPU threads of the same job: one without a GPU, else one for each and each of its loaders."""
    return max(1, gpus(suite, at_most) * (1 + suite.settings.train.workers))


def launcher(suite: Suite, at_most: int | None = None) -> str:
    """What starts a training or an evaluation: Python, a process for each GPU of its own.

    Args:
        suite: The scale.
        at_most: So many GPUs, where fewer than a training's are enough.
    """
    count = gpus(suite, at_most)
    if count == 0:
        return "python"
    picked = f"python -m mkd on-gpus {count} python"
    if count == 1:
        return picked
    # This machine's own name, which torch would ask for, need not resolve.
    where = "--standalone --local-addr 127.0.0.1"
    return f"{picked} -m torch.distributed.run {where} --nproc-per-node {count}"
