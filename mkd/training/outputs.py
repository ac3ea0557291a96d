"""What a training leaves, ``weights.pth`` and ``train.json`` in its run's and seed's folder.

Both say whose they are, and the second is written with the digest of the first: neither can take
another's place without a word. Torch is not imported here before weights are read.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkd.errors import UserError
from mkd.experiment import paths, run_digests
from mkd.experiment.config import Suite
from mkd.files import read_json, sha256_file
from mkd.schemas import validate

if TYPE_CHECKING:
    from torch import nn


def read(folder: Path) -> dict[str, Any]:
    """A training's ``train.json``.

    Args:
        folder: ``<run>/seed<seed>``.

    Returns:
        ``workflow/schemas/trained.schema.yaml``.

    Raises:
        UserError: It is missing, broken or of another run or seed.
    """
    path = folder / "train.json"
    if not path.exists():
        raise UserError(f"{path} does not exist: train the run first")
    try:
        said: dict[str, Any] = read_json(path)
        validate(said, "trained", str(path))
    except UserError as error:
        raise UserError(f"{error}: train the run again") from error
    try:
        whole = run_digests.decisive_digest(said["config"]) == said["digests"]["config"]
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise UserError(
            f"{path} was changed, its configuration has another digest than it says: train the run "
            "again"
        )
    run, seed = said["config"]["run"], said["config"]["seed"]
    if (run, f"seed{seed}") != (folder.parent.name, folder.name):
        raise UserError(
            f"{path} is of {run}, seed {seed}, and does not belong in this folder: train the run "
            "again"
        )
    return said


def read_trained(suite: Suite, run: str, seed: int) -> dict[str, Any]:
    """A finished training's ``train.json``: its weights' own configuration, scored as today.

    Raises:
        UserError: The run is not trained, or the file is broken or another's.
    """
    said = read(Path(paths.run_path(suite, run, seed, "")))
    if said["config"].get("scale") != suite.scale:
        raise UserError(
            f"{suite.results} holds {run}, seed {seed}, of scale {said['config'].get('scale')}: "
            "train the run again"
        )
    said["config"]["evaluate"] = suite.section("evaluate", run)
    return said


def load(model: "nn.Module", folder: Path, said: dict[str, Any]) -> None:
    """Read a training's weights into its model.

    Args:
        model: The model that ``said`` speaks of.
        folder: ``<run>/seed<seed>``.
        said: What :func:`read` returned.

    Raises:
        UserError: The weights are missing, broken, or none that this training wrote.
    """
    from mkd.training import weights

    path, config = folder / "weights.pth", said["config"]
    meta = weights.load(model, path)
    weights.expect(meta, path, {"run": config["run"], "seed": config["seed"], **said["digests"]})
    _check_digest(path, said)


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
        _check_digest(path, read(path.parent))
    return run


def _check_digest(path: Path, said: dict[str, Any]) -> None:
    if sha256_file(path) != said["weights"]:
        raise UserError(
            f"the weights file {path} is not the one that train.json beside it was written with: "
            "put the right file there, or train the run again"
        )
