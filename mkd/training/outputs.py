"""What a training leaves, ``weights.pth`` and ``train.json`` in its run's and seed's folder.

Both say whose they are, and the second is written with the digest of the first: neither can take
another's place without a word. Torch is not imported here before weights are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkd.errors import UserError
from mkd.experiment import paths
from mkd.experiment.resolved import ResolvedRun
from mkd.experiment.suite import Suite
from mkd.files import read_json, sha256_file, write_json
from mkd.host import Host
from mkd.schemas import validate

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Trained:
    """What a training says of its weights: ``workflow/schemas/trained.schema.yaml``.

    Attributes:
        config: The run.
        digests: Of the configuration and the code that decided the weights.
        inputs: Digests of the data and of the weights the training started and learned from.
        weights: Digest of the weights file.
        teacher: The run that taught, or the name of a file that no run wrote.
        started: When, in UTC.
        train: :class:`mkd.training.history.Summary` in plain values.
        commit: The checkout's.
        dirty: Whether tracked files differed from it.
        versions: Of the libraries.
        host: The machine.
        taken: The file the weights were taken from, where this scale did not train them.
    """

    config: ResolvedRun
    digests: dict[str, str]
    inputs: dict[str, str]
    weights: str
    teacher: str | None
    started: str
    train: Mapping[str, Any]
    commit: str | None
    dirty: bool
    versions: dict[str, str]
    host: Host
    taken: str | None = None

    def write(self, folder: Path) -> None:
        """Write ``train.json``."""
        write_json(folder / "train.json", self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Plain values, from which :func:`parse` makes it again."""
        return {**vars(self), "config": self.config.as_json()}


def read(folder: Path) -> Trained:
    """A training's ``train.json``.

    Args:
        folder: ``<run>/seed<seed>``.

    Raises:
        UserError: It is missing, broken or of another run or seed.
    """
    path = folder / "train.json"
    if not path.exists():
        raise UserError(f"{path} does not exist: train the run first")
    try:
        said = parse(path)
    except UserError as error:
        raise UserError(f"{error}: train the run again") from error
    config = said.config
    if (config.run, f"seed{config.seed}") != (folder.parent.name, folder.name):
        raise UserError(
            f"{path} is of {config.run}, seed {config.seed}, and does not belong in this folder: "
            "train the run again"
        )
    return said


def parse(path: Path) -> Trained:
    """What a file says of weights: a ``train.json``, or the card of weights that are kept.

    Raises:
        UserError: It is missing or broken.
    """
    content = read_json(path)
    validate(content, "trained", str(path))
    try:
        config = ResolvedRun.from_json(content["config"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    known = {field.name: content.get(field.name) for field in fields(Trained)}
    said = Trained(**{**known, "config": config})
    if config.decisive_digest() != said.digests["config"]:
        raise UserError(f"{path} was changed, its configuration has another digest than it says")
    return said


def read_trained(suite: Suite, run: str, seed: int) -> Trained:
    """A finished training's ``train.json``: its weights' own configuration, scored as today.

    Raises:
        UserError: The run is not trained, or the file is broken or another's.
    """
    said = read(Path(paths.run_path(suite, run, seed, "")))
    trained_by = suite.starts if suite.starts is not None and suite.started(run) else suite
    if said.config.scale != trained_by.scale:
        raise UserError(
            f"{suite.results} holds {run}, seed {seed}, of scale {said.config.scale}: train the "
            "run again"
        )
    config = said.config.model_copy(update={"evaluate": suite.evaluate(run)})
    return replace(said, config=config)


def load(model: "nn.Module", folder: Path, said: Trained) -> None:
    """Read a training's weights into its model.

    Args:
        model: The model that ``said`` speaks of.
        folder: ``<run>/seed<seed>``.
        said: What :func:`read` returned.

    Raises:
        UserError: The weights are missing, broken, or none that this training wrote.
    """
    from mkd.training import weights

    path, config = folder / "weights.pth", said.config
    meta = weights.load(model, path)
    weights.expect(meta, path, {"run": config.run, "seed": config.seed, **said.digests})
    check_digest(path, said)
    if meta.get("exp_on_reg") is False:
        # MMYOLO's head has none (mkd.training.released).
        model.bbox_head.exp_on_reg = False  # type: ignore[union-attr]


def teacher(path: Path, run: str) -> str:
    """What a student's record says of its teacher: the run's id, or the name of a user's own file.

    Args:
        path: The weights file.
        run: The run the table says.

    Raises:
        UserError: The file is broken, or not the one its own ``train.json`` was written with.
    """
    from mkd.training import weights

    if "run" not in weights.meta(path):
        return path.name
    if path.with_name("train.json").exists():
        check_digest(path, read(path.parent))
    return run


def check_digest(path: Path, said: Trained) -> None:
    """See that weights are those a training wrote.

    Raises:
        UserError: They are not.
    """
    if sha256_file(path) != said.weights:
        raise UserError(
            f"the weights file {path} is not the one that train.json beside it was written with: "
            "put the right file there, or train the run again"
        )
