"""Weights that a run has in the place of a training: those kept beside the suite, or any file.

A scale that only trains such weights keeps them packed, with fewer bits, each with its card.
Another scale names it under ``starts`` and takes them from there. The card is what the training
says of itself, with the figures the weights had. A file that a scale names under ``pretrained`` has
no card: what is known of it is its name and its digest.
"""

import lzma
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mkd import host, provenance
from mkd.data import fingerprint, splits
from mkd.errors import UserError
from mkd.experiment import paths
from mkd.experiment.code import code_digest
from mkd.experiment.suite import Suite
from mkd.files import sha256_file, write_atomic, write_json
from mkd.schemas import read_record
from mkd.training import outputs

NOT_TRAINED: Mapping[str, Any] = {
    "iterations": 0,
    "epochs": 0,
    "images_per_s": 0.0,
    "wall_s": 0.0,
    "step_s": 0.0,
    "curve": [],
}
"""What there is to say of a training that was another's."""


def keep(suite: Suite, run: str, seed: int, out: Path) -> None:
    """Write a trained and scored run's weights, packed with fewer bits, and their card.

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
    """Put weights in the place of a training: ``weights.pth`` and ``train.json``.

    Args:
        suite: The scale that takes them.
        run: The run's id.
        seed: Its seed.

    Raises:
        UserError: They are missing, broken, of another architecture or know other classes, or are
            kept ones of another configuration than the scale that trains them has now.
    """
    folder = Path(paths.run_path(suite, run, seed, ""))
    if run in suite.pretrained:
        _read(suite, run, seed, folder)
        return
    path = Path(paths.kept_weights(suite, run, seed))
    said = _checked(suite, run, seed, path)
    (folder / "train.json").unlink(missing_ok=True)
    own = folder / "weights.pth"
    write_atomic(own, lzma.decompress(path.read_bytes()))
    replace(said, weights=sha256_file(own), taken=path.name).write(folder)


def _read(suite: Suite, run: str, seed: int, folder: Path) -> None:
    """Write the weights of any file as the suite's own, and of its origin name and digest."""
    from mkd.training import released, weights

    path, resolved = paths.pretrained_file(suite, run, seed), suite.resolve(run, seed)
    known = splits.classes(suite.data_root, resolved.data)
    model, more = released.read(path, resolved, known, suite.scored(run))
    digests = {
        "config": resolved.decisive_digest(),
        "code": code_digest("mkd.training.released"),
    }
    inputs = {
        "data": fingerprint.recorded_digest(suite.results / "data.json"),
        "published": sha256_file(path),
    }
    (folder / "train.json").unlink(missing_ok=True)
    weights.save(model, folder / "weights.pth", {"run": run, "seed": seed, **digests, **more})
    outputs.Trained(
        config=resolved,
        digests=digests,
        inputs=inputs,
        weights=sha256_file(folder / "weights.pth"),
        teacher=resolved.teacher.run if resolved.teacher else None,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        train=NOT_TRAINED,
        **provenance.commit(),
        versions=provenance.versions(),
        host=host.describe([]),
        taken=path.name,
    ).write(folder)


def _checked(suite: Suite, run: str, seed: int, path: Path) -> outputs.Trained:
    """The card of kept weights, where both are those that the scale wants."""
    source = suite.starts or suite
    scale = source.file if source.own else source.scale
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
