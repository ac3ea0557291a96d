"""What the Snakefile asks of the suite: inputs, resources and digests of its jobs.

Torch is not imported here.
"""

import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mkd import ROOT, methods, provenance, runs
from mkd.config import Suite, default_config
from mkd.files import sha256_file
from mkd.provenance import digest

DATA_MODULES = ("data/badges", "data/scenes", "data/splits")
"""Modules that decide what the data set is. ``data/coco``, which checks it, is none of them: where
the data rule runs again, all that was trained does."""

IMAGENET = {
    "tiny": "cspnext-tiny_imagenet_600e",
    "s": "cspnext-s_imagenet_600e",
    "r50": "resnet50-0676ba61",
    "r101": "resnet101-63fe2227",
}
"""ImageNet weights by size of backbone: OpenMMLab's of mmdet's RTMDet configs, where m, l and x
start from scratch, and torchvision's (IMAGENET1K_V1) of its Mask R-CNN configs."""
ATTENTION_MODULES = (
    "architectures",
    "checkpoints",
    "detectors",
    "losses/common",
    "report/attention",
    "report/qualitative",
    "weights",
    "compat/ops",
)
"""Modules that decide what the maps of attention show of given weights."""
MASK_MODULES = ("losses/analysis", "losses/common", "losses/frequency_mask")
"""Modules that decide what the mask's figure shows."""
PICTURED = ("tiny-baseline", "tiny-cwd", "tiny-mkd")
"""Runs whose detections and attention are shown as pictures, before and after distillation."""
TABLE_MODULES = (
    "architectures",
    "edge/records",
    "names",
    "paper",
    "records",
    "report/formats",
    "runs",
    "schemas",
    "stats",
    "tables",
)
"""Modules that decide what a table says of given records."""
REPORT_MODULES = ("audit", "check", "claims", "deviations", "quotes", "verdicts")
"""Modules that, besides those of the tables and of ``report/``, decide what the report says."""


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
    data, record = suite.settings["data"], f"{suite.results.as_posix()}/data.json"
    planned = list(jobs)
    if (
        data["kind"] == "badges"
        and any(record in job.input for job in planned)
        and not any(record in job.output for job in planned)
    ):
        # It draws with OpenCV, which the Snakefile does without at every other start.
        from mkd.data import badges

        badges.generate(suite.data_root, data["train_images"], data["val_images"])


def config_arguments(suite: Suite) -> str:
    """What the command line replaced, as a user types it; nothing where nothing was."""
    changed = [f"{key}={json.dumps(value)}" for key, value in replaced(suite).items()]
    return shlex.join(["--config", *changed]) if changed else ""


def replaced(suite: Suite) -> dict[str, Any]:
    """What of ``config/config.yaml`` the command line replaced."""
    default = default_config()
    return {
        key: value
        for key, value in suite.config.items()
        if key not in default or value != default[key]
    }


def run_path(suite: Suite, run: str, seed: int | str, name: str) -> str:
    """A file of one run and seed; ``seed`` may be a wildcard."""
    return f"{suite.results.as_posix()}/runs/{run}/seed{seed}/{name}"


def teacher_weights(suite: Suite, run: str) -> list[str]:
    """The teacher's weights, or nothing for a baseline: a student's input beside the data."""
    teacher = suite.run(run).teacher
    if teacher is None:
        return []
    return [run_path(suite, teacher, suite.teacher_seed(teacher), "weights.pth")]


def backbone_weights(suite: Suite, run: str) -> list[str]:
    """The pretrained backbone a run starts from, where the scale makes its own: an input."""
    if suite.settings["train"]["pretrained"] != "crops":
        return []
    return [f"{suite.results.as_posix()}/pretrained/{suite.backbone(run)}.pth"]


def imagenet_weights(suite: Suite, run: str) -> Path | None:
    """The ImageNet weights mmdet's recipe starts a run from, where the scale uses them."""
    size = suite.backbone(run)
    if suite.settings["train"]["pretrained"] != "imagenet" or size not in IMAGENET:
        return None
    folder = Path(suite.config["weights"])
    # A release's digest may stand behind the name.
    found = sorted(folder.glob(f"{IMAGENET[size]}*.pth"))
    return found[0] if found else folder / f"{IMAGENET[size]}.pth"


def missing_weights(suite: Suite) -> list[Path]:
    """ImageNet weights the scale needs and the weights folder does not hold."""
    needed = {imagenet_weights(suite, run) for run in suite.runs}
    return sorted(path for path in needed if path is not None and not path.is_file())


def train_code(suite: Suite, run: str) -> str:
    """Digest of the code a run's training uses: the trainer and the losses of its method."""
    row = suite.run(run)
    plan = methods.plan(row.id, row.method, row.options)
    return provenance.code_digest([*provenance.TRAINING, *methods.loss_modules(plan)])


def training_digests(suite: Suite, run: str, seed: int) -> dict[str, str]:
    """What a training's result depends on beside the data: its resolved configuration, its code."""
    return {"config": config_digest(suite, run, seed), "code": train_code(suite, run)}


def config_digest(suite: Suite, run: str, seed: int) -> str:
    """Digest of what of a resolved run decides its weights: not how it is scored, nor how often it
    is kept on the way."""
    return decisive_digest(suite.resolve(run, seed))


def decisive_digest(resolved: dict[str, Any]) -> str:
    """:func:`config_digest` of a run that is resolved already."""
    return digest(_decisive(resolved))


def _decisive(resolved: dict[str, Any]) -> dict[str, Any]:
    decisive = {key: value for key, value in resolved.items() if key != "evaluate"}
    decisive["train"] = {k: v for k, v in resolved["train"].items() if k != "checkpoint_epochs"}
    if resolved["teacher"] is not None:
        decisive["teacher"] = _decisive(resolved["teacher"])
    return decisive


def evaluation_config(suite: Suite, run: str) -> str:
    """Digest of the settings a run is scored with."""
    return digest(suite.section("evaluate", run))


def records(suite: Suite, table: int | None = None) -> list[str]:
    """Record files of the runs one table shows, and of their teachers, or of all runs."""
    shown = _shown_runs(suite, table)
    wanted = dict.fromkeys([*(run.id for run in shown), *(r.teacher for r in shown if r.teacher)])
    return [
        run_path(suite, run, seed, "record.json") for run in wanted for seed in suite.seeds(run)
    ]


def pictured(suite: Suite) -> dict[str, str]:
    """Detections of the first seed of each of :data:`PICTURED` that the table has, by run."""
    return {
        run: run_path(suite, run, suite.seeds(run)[0], "detections.json")
        for run in PICTURED
        if run in suite.runs
    }


def attended(suite: Suite) -> dict[str, list[str]]:
    """Weights of every seed of :data:`PICTURED`, and last of the teacher of their last, MKD.

    Nothing where the table does not have that run.
    """
    after = suite.runs.get(PICTURED[-1])
    if after is None or after.teacher is None:
        return {}
    students = [run for run in PICTURED if run in suite.runs and run != after.teacher]
    return {
        run: [run_path(suite, run, seed, "weights.pth") for seed in suite.seeds(run)]
        for run in students
    } | {after.teacher: teacher_weights(suite, after.id)}


def shown(suite: Suite, table: int | None = None) -> str:
    """Digest of all that decides, besides code and records, what a table or the report shows: the
    scale and the rows of the table of runs."""
    return digest([suite.settings, [asdict(run) for run in _shown_runs(suite, table)]])


def _shown_runs(suite: Suite, table: int | None) -> list[runs.Run]:
    return list(suite.runs.values()) if table is None else runs.rows_of(table, suite.runs)


def table_code() -> str:
    """Digest of all that decides what a table says of given records."""
    return digest([provenance.code_digest(TABLE_MODULES), _files("config/paper")])


def paper_costs() -> str:
    """Digest of the paper's params and FLOPs, Table 1, and of the code that reads them."""
    return digest([provenance.code_digest(["paper"]), _files("config/paper/table1.csv")])


def report_code() -> str:
    """Digest of all that decides what the report says of given records, and how it looks."""
    modules = [f"report/{path.stem}" for path in (ROOT / "mkd/report").glob("*.py")]
    return digest(
        [
            provenance.code_digest([*TABLE_MODULES, *REPORT_MODULES, *modules]),
            _files("config/paper", "config/claims.yaml", "config/deviations.yaml", "report"),
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


def backbones(suite: Suite) -> dict[str, str]:
    """For each size of backbone the first run of the table that has it."""
    return {suite.backbone(run): run for run in reversed(suite.runs)}


def pretraining(suite: Suite, size: str) -> str:
    """Digest of what decides the pretrained backbone of one size."""
    return digest([suite.settings.get("pretrain"), size, suite.width(backbones(suite)[size])])


def teachers(suite: Suite) -> list[str]:
    """Ids of the runs that teach another, in order."""
    return sorted(runs.teachers(suite.runs))


def gpus(suite: Suite) -> int:
    """GPUs of one training job."""
    train = suite.settings["train"]
    return int(train["devices"]) if train["device"] == "cuda" else 0


def threads(suite: Suite, at_most: int | None = None) -> int:
    """CPU threads of a training, or of a job of ``at_most`` so many GPUs: one on the CPU, else one
    a GPU and one for each of its data loading processes."""
    count = gpus(suite) if at_most is None else min(at_most, gpus(suite))
    return max(1, count * (1 + int(suite.settings["train"]["workers"])))


def launcher(suite: Suite, at_most: int | None = None) -> str:
    """What starts a training or an evaluation: Python, a process for each GPU of its own.

    Args:
        suite: The scale.
        at_most: So many GPUs, where fewer than a training's are enough.
    """
    count = gpus(suite) if at_most is None else min(at_most, gpus(suite))
    if count == 0:
        return "python"
    picked = f"python -m mkd on-gpus {count} python"
    if count == 1:
        return picked
    return f"{picked} -m torch.distributed.run --standalone --nproc-per-node {count}"
