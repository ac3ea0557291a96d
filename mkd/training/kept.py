"""Weights that are kept beside the suite, as released checkpoints are, each with its card.

A scale that only trains such weights keeps them in half precision, packed. Another names it under
``starts`` and takes them from there, in the place of a training. The card is what the training
says of itself, with the figures the weights had.
"""

import lzma
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mkd.errors import UserError
from mkd.experiment import paths
from mkd.experiment.config import Suite
from mkd.files import sha256_file, write_atomic, write_json
from mkd.schemas import read_record
from mkd.training import outputs


def keep(suite: Suite, run: str, seed: int, out: Path) -> None:
    """Write a trained and scored run's weights, half precision and packed, and their card.

    Args:
        suite: The scale that trained it.
        run: The run's id.
        seed: Its seed.
        out: The packed weights file; its card lies beside it.

    Raises:
        UserError: The run is not trained or scored, or its files do not fit together.
    """
    from mkd.training import weights

    folder = Path(paths.run_path(suite, run, seed, ""))
    said = outputs.read_trained(suite, run, seed)
    record = read_record(folder / "record.json", "record")
    source = folder / "weights.pth"
    if not sha256_file(source) == said.weights == record["digests"]["weights"]:
        raise UserError(f"{source} is not what was trained and scored: train {run} again")
    card(out).unlink(missing_ok=True)
    weights.pack(source, out)
    kept = replace(said, weights=sha256_file(out), train=_without_curve(said.train))
    write_json(card(out), {**kept.as_json(), "metrics": record["metrics"]})


def take(suite: Suite, run: str, seed: int) -> None:
    """Put kept weights in the place of a training: ``weights.pth`` and ``train.json``.

    Args:
        suite: The scale that takes them.
        run: The run's id.
        seed: Its seed.

    Raises:
        UserError: They are missing, broken, or of another configuration than the scale that
            trains them has now.
    """
    path = Path(paths.kept_weights(suite, run, seed))
    said = _checked(suite, run, seed, path)
    folder = Path(paths.run_path(suite, run, seed, ""))
    (folder / "train.json").unlink(missing_ok=True)
    own = folder / "weights.pth"
    write_atomic(own, lzma.decompress(path.read_bytes()))
    replace(said, weights=sha256_file(own), taken=path.name).write(folder)


def _checked(suite: Suite, run: str, seed: int, path: Path) -> outputs.Trained:
    """The card of kept weights, where both are those that the scale wants."""
    scale = suite.starts.scale if suite.starts else suite.scale
    remedy = f"make them with `snakemake starts --config scale={scale}`"
    if not path.is_file():
        raise UserError(f"the weights file {path} does not exist: {remedy}")
    said = outputs.parse(card(path))
    if sha256_file(path) != said.weights:
        raise UserError(f"the weights file {path} is not the one its card is of: {remedy}")
    if said.config.decisive_digest() != suite.resolve(run, seed).decisive_digest():
        raise UserError(
            f"the weights file {path} was trained with another configuration than scale '{scale}' "
            f"has now: {remedy}"
        )
    return said


def card(weights: Path) -> Path:
    """Where the card of kept weights lies."""
    return weights.with_name(weights.name.removesuffix(paths.PACKED) + ".json")


def _without_curve(train: Mapping[str, Any]) -> dict[str, Any]:
    return {**train, "curve": []}
