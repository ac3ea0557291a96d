"""A run with all that decides it: what a training, a scoring and an export are told.

It is resolved once (:meth:`mkd.experiment.suite.Suite.resolve`) and handed down. ``train.json``
keeps it, and its digest is how a result is found to be of another configuration.
"""

import json
from typing import Any

from pydantic import ValidationError

from mkd.detectors.architectures import Architecture
from mkd.errors import UserError
from mkd.experiment.datasets import Data
from mkd.experiment.plan import Plan
from mkd.experiment.scale import Evaluate, Pretrain, TrainSettings
from mkd.experiment.section import Px, Section, Seed
from mkd.provenance import digest

NOT_DECISIVE: Any = {
    "evaluate": True,
    "data": {"root", "train", "val"},
    "train": {"checkpoint_epochs"},
    "architecture": {"family", "label", "imagenet"},
}
"""What of a run leaves its weights as they are: how they are scored, how often they are kept, and
what is only shown or checked. The ImageNet weights a training starts from have their own digest,
and so have the data, wherever they lie."""
OF_A_FILE = {"run", "seed", "scale", "architecture", "width", "weights"}
"""What decides weights that are read from a file."""


class ResolvedRun(Section):
    """A row of the table of runs, with its seed, its scale's settings, and its teacher's same.

    Attributes:
        architecture: As its entry stood in the table of architectures.
        distillation: What is distilled.
        width: Factor on the channels mmdet gives the architecture.
        input_px: Side of the square input in pixels.
        order: Added to the seed for all that a training draws.
        start: The run whose weights it starts from.
        weights: Name of the file its weights are read from, where it is not trained.
    """

    run: str
    architecture: Architecture
    method: str
    distillation: Plan
    seed: Seed
    order: int = 0
    scale: str
    data: Data
    width: float
    input_px: Px
    train: TrainSettings
    pretrain: Pretrain | None
    evaluate: Evaluate
    start: "ResolvedRun | None" = None
    weights: str | None = None
    teacher: "ResolvedRun | None"

    @property
    def draws(self) -> int:
        """The seed of all that a training draws."""
        return self.seed + self.order

    def as_json(self) -> dict[str, Any]:
        """Plain values, from which :meth:`from_json` makes the run again."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, value: Any) -> "ResolvedRun":
        """The run that :meth:`as_json` gave.

        Raises:
            UserError: It is none.
        """
        try:
            # As JSON: there a section is a mapping, and text is no number all the same.
            return cls.model_validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            raise UserError(f"it has no run in full: {first_error(error)}") from error

    def decisive_digest(self) -> str:
        """SHA-256 of what decides the weights.

        What is None counts as left out, so that a setting that is new and optional reruns nothing.
        """
        return digest(self.model_dump(mode="json", exclude=self._not_decisive(), exclude_none=True))

    def _not_decisive(self) -> dict[str, Any]:
        if self.weights is not None:
            rest = type(self).model_fields.keys() - OF_A_FILE
            return NOT_DECISIVE | dict.fromkeys(rest, True)
        others = {"start": self.start, "teacher": self.teacher}
        return NOT_DECISIVE | {
            name: other._not_decisive() for name, other in others.items() if other is not None
        }


def first_error(error: ValidationError) -> str:
    """The first thing that a model refuses, and where it stands, in one line."""
    found = error.errors()[0]
    at = ".".join(str(part) for part in found["loc"])
    words = found["msg"].removeprefix("Value error, ")
    return " ".join(f"{at}: {words}".split()) if at else words
