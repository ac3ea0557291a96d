"""A run with all that decides it: what a training, a scoring and an export are told.

It is resolved once (:meth:`mkd.experiment.config.Suite.resolve`) and handed down. ``train.json``
keeps it, and its digest is how a result is found to be of another configuration.
"""

from typing import Any

from pydantic import ValidationError

from mkd.detectors.architectures import Architecture
from mkd.errors import UserError
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.datasets import Data
from mkd.experiment.plan import Plan
from mkd.experiment.scale import Evaluate, Pretrain, TrainSettings
from mkd.experiment.section import Px, Section, Seed
from mkd.provenance import digest

NOT_DECISIVE: Any = {"evaluate": True, "train": {"checkpoint_epochs"}}
"""What of a run leaves its weights as they are: how they are scored, how often they are kept."""


class ResolvedRun(Section):
    """A row of the table of runs, with its seed, its scale's settings, and its teacher's same.

    Attributes:
        arch: Name of the architecture.
        detector: mmdet's configuration of it.
        distillation: What is distilled.
        width: Factor on the channels mmdet gives the architecture.
        input_px: Side of the square input in pixels.
    """

    run: str
    arch: str
    detector: str
    method: str
    distillation: Plan
    seed: Seed
    scale: str
    data: Data
    width: float
    input_px: Px
    train: TrainSettings
    pretrain: Pretrain | None
    evaluate: Evaluate
    teacher: "ResolvedRun | None"

    @property
    def architecture(self) -> Architecture:
        """The entry of the table of architectures."""
        return ARCHITECTURES[self.arch]

    def as_json(self) -> dict[str, Any]:
        """Plain values, from which :meth:`from_json` makes the run again."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, value: Any) -> "ResolvedRun":
        """The run that :meth:`as_json` gave.

        Raises:
            UserError: It is none, or of an architecture that the suite does not have.
        """
        try:
            run = cls.model_validate(value)
        except ValidationError as error:
            raise UserError(f"it has no run in full: {first_error(error)}") from error
        if run.arch not in ARCHITECTURES:
            raise UserError(f"it is of the unknown arch '{run.arch}'")
        return run

    def decisive_digest(self) -> str:
        """SHA-256 of what decides the weights.

        What is None counts as left out, so that a setting that is new and optional reruns nothing.
        """
        taught = {"teacher": NOT_DECISIVE} if self.teacher is not None else {}
        exclude = {**NOT_DECISIVE, **taught}
        return digest(self.model_dump(mode="json", exclude=exclude, exclude_none=True))


def first_error(error: ValidationError) -> str:
    """The first thing that a model refuses, and where it stands, in one line."""
    found = error.errors()[0]
    at = ".".join(str(part) for part in found["loc"])
    words = found["msg"].removeprefix("Value error, ")
    return f"{at}: {words}" if at else words
