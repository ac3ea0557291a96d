"""Configuration: a scale, the table of runs, and one run resolved to all that decides it.

Torch is not imported here: the Snakefile loads this module at every start.
"""

import csv
import hashlib
import json
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from mkd import methods
from mkd.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "workflow" / "schemas"
ARCHITECTURES = (
    *(f"rtmdet-{size}" for size in ("tiny", "s", "m", "l", "x")),
    *(f"rtmdet-ins-{size}" for size in ("tiny", "s")),
    *(f"mask-rcnn-{size}" for size in ("r50", "r101")),
)


def two_stage(arch: str) -> bool:
    """Whether an architecture proposes boxes and then judges them, as Mask R-CNN does."""
    return arch.startswith("mask-rcnn-")


def has_masks(arch: str) -> bool:
    """Whether an architecture segments the objects it detects."""
    return "-ins-" in arch or two_stage(arch)


@dataclass(frozen=True)
class Run:
    """One row of ``config/runs.tsv``.

    Attributes:
        id: The run's name.
        arch: One of :data:`ARCHITECTURES`.
        teacher: Id of the baseline run whose weights teach, or None.
        method: A key of :data:`mkd.methods.METHODS`.
        options: The method's options (:func:`mkd.methods.plan`).
        tables: Numbers of the paper's tables the run appears in.
    """

    id: str
    arch: str
    teacher: str | None
    method: str
    options: dict[str, Any] = field(hash=False)
    tables: tuple[int, ...]


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
        train = self._section("train", run)
        if "teacher_epochs" in train and run in teachers(self.runs):
            return int(train["teacher_epochs"])
        return int(_per_run(train["epochs"], self.run(run)))

    def _section(self, name: str, run: str) -> dict[str, Any]:
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
        """All that decides a run's weights: its row, its seed, the scale, its teacher's same."""
        row = self.run(run)
        train = {**self._section("train", run), "epochs": self.epochs(run)}
        train.pop("teacher_epochs", None)
        plan = methods.plan(row.id, row.method, row.options, two_stage(row.arch))
        return {
            "run": row.id,
            "arch": row.arch,
            "method": row.method,
            "distillation": {
                "losses": plan.losses,
                "layers": plan.layers,
                "adapter": plan.adapter,
                "stop_epoch": plan.stop_epoch,
                "term_weights": methods.size_weights(
                    plan, self.width(row.teacher or run), self.settings["input_px"]
                ),
            },
            "seed": seed,
            "scale": self.scale,
            "data": self.settings["data"],
            "width": self.width(run),
            "input_px": self.settings["input_px"],
            "train": train,
            "pretrain": self.settings.get("pretrain"),
            "evaluate": self._section("evaluate", run),
            "teacher": self.resolve(row.teacher, self.teacher_seed(row.teacher))
            if row.teacher
            else None,
        }


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _per_run(value: Any, run: Run) -> Any:
    """A setting that is one value, or a mapping from run id or architecture to it."""
    if not isinstance(value, dict):
        return value
    return value.get(run.id, value.get(run.arch, value["default"]))


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


@cache
def _schema(name: str) -> Any:
    return _read_yaml(SCHEMAS / f"{name}.schema.yaml")


def validate(value: Any, schema: str, where: str) -> None:
    """Check a value against ``workflow/schemas/<schema>.schema.yaml``.

    Raises:
        UserError: The first thing that does not fit, and where it stands.
    """
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(_schema(schema)).iter_errors(value)
    )
    if error is not None:
        at = ".".join(str(part) for part in error.absolute_path)
        raise UserError(f"{where}: {at + ': ' if at else ''}{error.message}")


def default_config(path: Path = ROOT / "config/config.yaml") -> dict[str, Any]:
    """``config/config.yaml`` as it stands."""
    return dict(_read_yaml(path))


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
        config["seeds"] = [int(s) if str(s).isdigit() else s for s in config["seeds"]]
    validate(config, "config", str(path))
    scales = path.parent / "scales"
    known = sorted(file.stem for file in scales.glob("*.yaml"))
    if config["scale"] not in known:
        raise UserError(f"unknown scale '{config['scale']}': {scales} has {', '.join(known)}")
    scale_file = scales / f"{config['scale']}.yaml"
    settings = _read_yaml(scale_file)
    validate(settings, "scale", str(scale_file))
    root, table = path.parent.parent, config["runs"]
    # Whoever names another table wants its rows and no more.
    default = table == default_config(path)["runs"]
    runs = read_runs(root / (settings.get("runs", table) if default else table))
    if default and "mask_rcnn" in settings:
        runs |= read_runs(root / settings["mask_rcnn"]["runs"])
    if "teacher_epochs" in settings["train"]:
        runs = _with_own_teachers(runs)
    return Suite(config["scale"], settings, runs, config)


def teachers(runs: dict[str, Run]) -> set[str]:
    """Ids of the runs that teach another."""
    return {run.teacher for run in runs.values() if run.teacher is not None}


def _with_own_teachers(runs: dict[str, Run]) -> dict[str, Run]:
    """The runs, with one more for each teacher that is also a table's baseline.

    A scale whose teachers train longer than their students cannot have one run for both roles.
    """
    names = {
        name: f"{name.removesuffix('-baseline')}-teacher"
        for name in runs
        if name in teachers(runs) and runs[name].tables
    }
    students = {
        run.id: replace(run, teacher=names.get(run.teacher or "", run.teacher))
        for run in runs.values()
    }
    return students | {new: replace(runs[name], id=new, tables=()) for name, new in names.items()}


def read_runs(path: Path) -> dict[str, Run]:
    """Read the table of runs.

    Raises:
        UserError: The first row that is malformed, or names an unknown thing.
    """
    try:
        with open(path, newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t"))
    except FileNotFoundError as error:
        raise UserError(f"the table of runs {path} does not exist") from error
    validate(rows, "runs", str(path))
    runs: dict[str, Run] = {}
    for row in rows:
        name = row["run"]
        if name in runs:
            raise UserError(f"{path}: run '{name}' stands there twice: remove one row")
        if row["arch"] not in ARCHITECTURES:
            raise UserError(
                f"{path}: run '{name}' has the unknown arch '{row['arch']}'; "
                f"there are {', '.join(ARCHITECTURES)}"
            )
        runs[name] = Run(
            id=name,
            arch=row["arch"],
            teacher=None if row["teacher"] == "-" else row["teacher"],
            method=row["method"],
            options=_options(path, name, row["options"]),
            tables=()
            if row["tables"] == "-"
            else tuple(int(table) for table in row["tables"].split(",")),
        )
    for run in runs.values():
        methods.plan(run.id, run.method, run.options)
        if (run.teacher is None) != (run.method == "baseline"):
            raise UserError(
                f"{path}: run '{run.id}': a baseline has no teacher and every other method has one"
            )
        if run.teacher is not None and (
            run.teacher not in runs or runs[run.teacher].method != "baseline"
        ):
            raise UserError(
                f"{path}: the teacher '{run.teacher}' of run '{run.id}' is not a baseline run "
                "of the table: add its row"
            )
    return runs


def _options(path: Path, run: str, text: str) -> dict[str, Any]:
    if text == "-":
        return {}
    options: dict[str, Any] = {}
    for pair in text.split():
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"{path}: run '{run}': option '{pair}' is not written key=value")
        options[key] = _value(value)
    return options


def _value(text: str) -> Any:
    try:
        # YAML takes 1e-3, without a point, for a word.
        return yaml.safe_load(text) if text.isdigit() else float(text)
    except ValueError:
        return yaml.safe_load(text)
