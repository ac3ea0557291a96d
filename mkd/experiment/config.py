"""Configuration: a scale with its table of runs, and one run resolved to all that decides it.

Torch is not imported here: the Snakefile loads this module at every start.
"""

import re
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mkd import ROOT
from mkd.detectors.architectures import two_stage
from mkd.errors import UserError
from mkd.experiment import methods
from mkd.experiment.runs import Run, read_runs, teachers, with_own_teachers
from mkd.schemas import read_yaml, validate

DEFAULT_RUNS = "config/runs.tsv"
"""The suite's own table of runs, which a scale may replace or add to."""


@dataclass(frozen=True)
class Suite:
    """A scale with its table of runs.

    Attributes:
        scale: The scale's name.
        settings: The scale's file, checked against ``workflow/schemas/scale.schema.yaml``.
        runs: Runs by id, in the order of the table.
        config: ``config/config.yaml`` with what the command line replaced.
    """

    scale: str
    settings: dict[str, Any]
    runs: dict[str, Run]
    config: dict[str, Any]

    @property
    def results(self) -> Path:
        """The folder of this scale's results."""
        return Path(self.config["results"]) / self.scale

    @property
    def data_root(self) -> Path:
        """The folder of the scale's data set, in COCO's layout."""
        data = self.settings["data"]
        root = Path(self.config["data"][data["kind"]])
        if data["kind"] == "badges":
            return root / f"{data['train_images']}-{data['val_images']}"
        return root

    def run(self, run: str) -> Run:
        """The run of that id.

        Raises:
            UserError: There is none.
        """
        if run not in self.runs:
            raise UserError(
                f"unknown run '{run}': {self.config['runs']} has {', '.join(self.runs)}"
            )
        return self.runs[run]

    def seeds(self, run: str) -> list[int]:
        """Seeds of a run, from the scale or from ``seeds`` of the configuration.

        A run that is there to teach alone has one, which is all that its students see.
        """
        row, seeds = self.run(run), self.config["seeds"]
        if seeds is None:
            seeds = _per_run(self.settings["seeds"], row)
        return list(seeds[:1] if not row.tables and run in teachers(self.runs) else seeds)

    def teacher_seed(self, run: str) -> int:
        """The one seed of a teacher that all its students learn from: its first."""
        return self.seeds(run)[0]

    def epochs(self, run: str) -> int:
        """Length of a run in epochs of the train set."""
        train = self.section("train", run)
        if "teacher_epochs" in train and run in teachers(self.runs):
            return int(train["teacher_epochs"])
        return int(_per_run(train["epochs"], self.run(run)))

    def section(self, name: str, run: str) -> dict[str, Any]:
        """A section of the scale with what the scale replaces in it for Mask R-CNN."""
        other = self.settings.get("mask_rcnn", {}) if two_stage(self.run(run).arch) else {}
        return {**self.settings[name], **other.get(name, {})}

    def width(self, run: str) -> float:
        """Factor on the channels mmdet gives a run's architecture."""
        return float(Fraction(_per_run(self.settings["width"], self.run(run))))

    def backbone(self, run: str) -> str:
        """Size of a run's backbone, which runs of one size share: ``tiny``, ``r50``, …"""
        return self.run(run).arch.rsplit("-", 1)[1]

    def resolve(self, run: str, seed: int) -> dict[str, Any]:
        """A run in full: its row, its seed, the scale, its teacher's same.

        What of it decides the weights is what :func:`mkd.workflow.run_digests.config_digest` is of.
        """
        row = self.run(run)
        train = {**self.section("train", run), "epochs": self.epochs(run)}
        train.pop("teacher_epochs", None)
        plan = methods.plan(
            row.id,
            row.method,
            row.options,
            two_stage(row.arch),
            self.width(row.teacher or run),
            self.settings["input_px"],
        )
        return {
            "run": row.id,
            "arch": row.arch,
            "method": row.method,
            "distillation": asdict(plan),
            "seed": seed,
            "scale": self.scale,
            "data": self.settings["data"],
            "width": self.width(run),
            "input_px": self.settings["input_px"],
            "train": train,
            "pretrain": self.settings.get("pretrain"),
            "evaluate": self.section("evaluate", run),
            "teacher": self.resolve(row.teacher, self.teacher_seed(row.teacher))
            if row.teacher
            else None,
        }


def _per_run(value: Any, run: Run) -> Any:
    """A setting that is one value, or a mapping from run id or architecture to it."""
    if not isinstance(value, dict):
        return value
    return value.get(run.id, value.get(run.arch, value["default"]))


def default_config(path: Path = ROOT / "config/config.yaml") -> dict[str, Any]:
    """``config/config.yaml`` as it stands.

    Raises:
        UserError: It cannot be read, or is no mapping.
    """
    settings = read_yaml(path)
    if not isinstance(settings, dict):
        raise UserError(
            f"{path} has no settings: it names scale, seeds, runs, results, data and weights"
        )
    return settings


def load(replace: dict[str, Any] | None = None, path: Path = ROOT / "config/config.yaml") -> Suite:
    """Read and check the configuration.

    Args:
        replace: Values that take the place of the file's own, e.g. ``{"scale": "smoke"}``.
        path: The configuration file.

    Raises:
        UserError: A file, scale, run, method, option or key that is unknown or malformed.
    """
    config = {**default_config(path), **(replace or {})}
    if isinstance(config.get("seeds"), list):
        # Snakemake's --config leaves the items of a list as strings.
        config["seeds"] = [
            int(s) if isinstance(s, str) and re.fullmatch("[0-9]{1,10}", s) else s
            for s in config["seeds"]
        ]
    validate(config, "config", str(path))
    scales = path.parent / "scales"
    known = sorted(file.stem for file in scales.glob("*.yaml"))
    if config["scale"] not in known:
        raise UserError(f"unknown scale '{config['scale']}': {scales} has {', '.join(known)}")
    scale_file = scales / f"{config['scale']}.yaml"
    settings = read_yaml(scale_file)
    validate(settings, "scale", str(scale_file))
    root, table = path.parent.parent, config["runs"]
    # Whoever names another table wants its rows and no more.
    default = table == DEFAULT_RUNS
    runs = read_runs(root / (settings.get("runs", table) if default else table))
    if default and "mask_rcnn" in settings:
        runs |= read_runs(root / settings["mask_rcnn"]["runs"])
    if "teacher_epochs" in settings["train"]:
        runs = with_own_teachers(runs)
    suite = Suite(config["scale"], settings, runs, config)
    low, high = settings["train"]["resize_ratio"] or (1, 1)
    if low > high:
        raise UserError(
            f"{scale_file}: train.resize_ratio: the least ratio {low} is above the largest {high}: "
            "put the smaller one first"
        )
    for run in runs.values():
        train = suite.section("train", run.id)
        last = max([0, *train["sgd"]["milestones"]]) if "sgd" in train else 0
        for name, least in (("second_stage_epochs", train["second_stage_epochs"]),
                            ("sgd.milestones", last)):  # fmt: skip
            if least > suite.epochs(run.id):
                raise UserError(
                    f"{scale_file}: {name}={least} is more than the {suite.epochs(run.id)} epochs "
                    f"of run '{run.id}': make it smaller"
                )
        stop, epochs = run.options.get("stop_epoch"), suite.epochs(run.id)
        if stop is not None and stop >= epochs:
            raise UserError(
                f"run '{run.id}': stop_epoch={stop} stops nothing at scale '{suite.scale}', where "
                f"it has {epochs} epochs: choose an earlier one, or another table of runs"
            )
    return suite
