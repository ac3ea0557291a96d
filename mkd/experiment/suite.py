"""A scale with its table of runs, and one run resolved to all that decides it (no torch)."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from mkd import ROOT
from mkd.errors import UserError, meant
from mkd.experiment import methods
from mkd.experiment.resolved import ResolvedRun
from mkd.experiment.runs import Run, teachers
from mkd.experiment.scale import Evaluate, Scale, TrainSettings

SEED = "{seed}"
"""What stands for the seed in the name of a file of weights."""
SEEDS = 2**32
"""As many as NumPy takes."""


class Named(NamedTuple):
    """Weights that a run has in the place of a training.

    Attributes:
        file: A path or pattern; :data:`SEED` in it is the run's seed.
        scored: Whether they are scored; what knows other classes can only teach.
    """

    file: str
    scored: bool


@dataclass(frozen=True)
class Suite:
    """A scale with its table of runs.

    Attributes:
        scale: The scale's name.
        settings: The scale's file.
        runs: Runs by id, in the order of the table.
        config: ``config/config.yaml`` with what the command line replaced.
        starts: The scale that trained the weights this one starts from, where it names one.
        file: The scale's file.
        own: Whether that is a user's own, outside ``config/scales``: nothing of the paper's is
            made or shown.
        table: The table of runs that was read.
    """

    scale: str
    settings: Scale
    runs: dict[str, Run]
    config: dict[str, Any]
    starts: "Suite | None" = None
    file: Path = ROOT / "config/scales"
    own: bool = False
    table: str = "config/runs.tsv"

    @property
    def results(self) -> Path:
        """The folder of this scale's results."""
        return Path(self.config["results"]) / self.scale

    @property
    def data_root(self) -> Path:
        """The folder of the scale's data set, in COCO's layout."""
        data = self.settings.data
        try:
            return data.folder(Path(self.config["data"][data.kind]), self.file.parent)
        except RuntimeError as error:
            # Of "~name" where there is no such user.
            raise UserError(f"{self.file}: data.root: {error} Write the folder in full") from error

    @property
    def planned(self) -> list[str]:
        """Ids of the runs that are made unasked: all but the rows of ``config/readings.tsv``."""
        return [name for name, run in self.runs.items() if not run.reading]

    def run(self, run: str) -> Run:
        """The run of that id.

        Raises:
            UserError: There is none.
        """
        if run not in self.runs:
            raise UserError(
                f"unknown run '{run}': {self.table} has {', '.join(self.runs)}"
                f"{meant(run, self.runs)}"
            )
        return self.runs[run]

    def seeds(self, run: str) -> list[int]:
        """Seeds of a run, from the scale or from ``seeds`` of the configuration.

        A run that is there to teach alone has one, which is all that its students see; one that
        is taken from another scale has those of that scale.
        """
        row, seeds = self.run(run), self.config["seeds"]
        if self.starts is not None and self.started(run):
            return self.starts.seeds(run)
        if seeds is None:
            seeds = _per_run(self.settings.seeds, row)
        one = not row.tables and run in teachers(self.runs)
        named = self.pretrained.get(run)
        one |= named is not None and SEED not in named.file
        return list(seeds[:1] if one else seeds)

    @cached_property
    def pretrained(self) -> dict[str, Named]:
        """Weights files of the runs that are not trained, by run."""
        rows = {run.id: run.weights for run in self.runs.values() if run.weights is not None}
        told = self.config.get("pretrained") or {}
        named = {**rows, **(self.settings.pretrained or {}), **told}
        return {
            run: Named(
                file if isinstance(file, str) else dict(file)["teaches"], isinstance(file, str)
            )
            for run, file in named.items()
        }

    def taken(self, run: str) -> bool:
        """Whether a run's weights are read from a file, and not trained."""
        return self.started(run) or run in self.pretrained

    def started(self, run: str) -> bool:
        """Whether a run's weights are those of another scale, which trained it."""
        return run not in self.pretrained and self.starts is not None and run in self.starts.runs

    def scored(self, run: str) -> bool:
        """Whether a run is scored; a teacher that knows other classes is not."""
        named = self.pretrained.get(run)
        return named is None or named.scored

    def start(self, run: str, seed: int) -> tuple[str, int] | None:
        """The run of :attr:`starts`, and its seed, whose weights a training starts from.

        It is the stem of the run's own seed, whether one was kept or not: two seeds from one stem
        vary by less than seeds do.
        """
        row = self.run(run)
        if self.starts is None or self.settings.starts is None or self.taken(run):
            return None
        stem = (self.settings.starts.stems or {}).get(row.arch)
        return None if stem is None else (stem, seed if row.start is None else row.start)

    def teacher_seed(self, run: str, seed: int) -> int:
        """The seed of the teacher that one seed of a student learns from.

        It is the teacher's first. A teacher that is the student's own start has that start's seed.
        """
        teacher, start = self.run(run).teacher, self.start(run, seed)
        if teacher is None:
            raise ValueError(f"run '{run}' has no teacher")
        return start[1] if start and start[0] == teacher else self.seeds(teacher)[0]

    def train(self, run: str) -> TrainSettings:
        """How a run is trained: the scale's recipe, with what the run has of its own.

        For Mask R-CNN it has what the scale replaces.
        """
        if self.starts is not None and self.started(run):
            return self.starts.train(run)
        row, own = self.run(run), self.settings.train
        values, length = own.model_dump(exclude={"by_run", "teacher_epochs"}), own.epochs
        if row.architecture.two_stage and self.settings.mask_rcnn is not None:
            other = self.settings.mask_rcnn.train
            values |= other.model_dump(exclude_none=True)
            length = other.epochs or length
        if own.teacher_epochs is not None and run in teachers(self.runs):
            length = own.teacher_epochs
        values["epochs"] = _per_run(length, row)
        if own.by_run and run in own.by_run:
            values |= own.by_run[run].model_dump(exclude_none=True)
        return TrainSettings.model_validate(values)

    def epochs(self, run: str) -> int:
        """Length of a run in epochs of the train set."""
        return self.train(run).epochs

    def evaluate(self, run: str) -> Evaluate:
        """How a run is scored."""
        other = self.settings.mask_rcnn if self.run(run).architecture.two_stage else None
        return (other or self.settings).evaluate

    def width(self, run: str) -> float:
        """Factor on the channels mmdet gives a run's architecture; 1 where its config is all."""
        if self.run(run).architecture.generic:
            return 1.0
        return float(Fraction(_per_run(self.settings.width, self.run(run))))

    def check_seed(self, run: str, seed: int) -> None:
        """Refuse a seed that NumPy does not take.

        Raises:
            UserError: With the run's order added it is below 0, or too large.
        """
        if seed < 0 or seed + self.run(run).order >= SEEDS:
            raise UserError(
                f"run '{run}': seed {seed} is none: a seed, with the run's order added, is a whole "
                f"number from 0 to {SEEDS - 1}"
            )

    def resolve(self, run: str, seed: int) -> ResolvedRun:
        """A run in full: its row, its seed, the scale, its teacher's same.

        Raises:
            UserError: The seed is none that NumPy takes.
        """
        self.check_seed(run, seed)
        if self.starts is not None and self.started(run):
            return self.starts.resolve(run, seed)
        row, start, data = self.run(run), self.start(run, seed), self.settings.data
        if row.shuffled_labels is not None:
            data = data.model_copy(update={"shuffled_labels": row.shuffled_labels})
        teacher = row.teacher and self.resolve(row.teacher, self.teacher_seed(run, seed))
        return ResolvedRun(
            run=row.id,
            architecture=row.architecture,
            method=row.method,
            distillation=methods.plan(
                row.id,
                row.method,
                row.options,
                row.architecture.two_stage,
                self.width(row.teacher or run),
                self.settings.input_px,
            ),
            seed=seed,
            order=row.order,
            scale=self.scale,
            data=data,
            width=self.width(run),
            input_px=self.settings.input_px,
            train=self.train(run),
            pretrain=self.settings.pretrain,
            evaluate=self.evaluate(run),
            start=self.starts.resolve(*start) if self.starts and start else None,
            weights=Path(self.pretrained[run].file).name if run in self.pretrained else None,
            teacher=teacher or None,
        )


def _per_run(value: Any, run: Run) -> Any:
    """A setting that is one value, or a mapping from run id or architecture to it."""
    if not isinstance(value, dict):
        return value
    return value.get(run.id, value.get(run.arch, value["default"]))
