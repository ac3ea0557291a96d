"""A run and seed: trained, and scored."""

import hashlib
import json
import os
import time
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mkd import host, provenance
from mkd.data import fingerprint
from mkd.errors import UserError
from mkd.evaluation import detected
from mkd.experiment import paths, run_digests
from mkd.experiment.resolved import ResolvedRun
from mkd.experiment.suite import Suite
from mkd.files import read_json, sha256_file, write_atomic
from mkd.jobs import work_folder
from mkd.jobs.around import hide_gpus, readable_images
from mkd.schemas import validate, write_record
from mkd.training import outputs


def train(
    suite: Suite,
    run: str,
    seed: int,
    data: Path,
    backbone_weights: Path | None,
    teacher_weights: Path | None,
    start_weights: Path | None,
) -> None:
    """Train one run with one seed; write ``weights.pth`` and ``train.json``.

    Args:
        suite: The scale and its table of runs.
        run: The run's id.
        seed: Its seed.
        data: What :func:`prepare_data` wrote.
        backbone_weights: Weights the backbone starts from, where the scale makes its own.
        teacher_weights: The teacher's weights file, where the run has a teacher.
        start_weights: Weights the whole detector starts from, where another scale trained some.

    Raises:
        UserError: The run is not trained, goes on from a stem that is not named, or does not; a
            file is missing or does not fit, or the data have changed.
    """
    hide_gpus(suite)
    from mkd.detectors import models
    from mkd.training import config_check, loss_check, trainer, weights

    _check_start(suite, run, seed, start_weights)
    made_by = provenance.commit()
    launcher = "pytorch" if "TORCHELASTIC_RUN_ID" in os.environ else "none"
    started = datetime.now(UTC)
    resolved = suite.resolve(run, seed)
    config_check.check(resolved.architecture)
    loss_check.rehearse(rehearsed(suite, resolved))
    backbone_weights = backbone_weights or paths.imagenet_weights(suite, run)
    digests = run_digests.training_digests(resolved)
    start = {"backbone": backbone_weights, "teacher": teacher_weights, "start": start_weights}
    for path in filter(None, start.values()):
        if not path.is_file():
            raise UserError(f"the weights file {path} does not exist: make or fetch it first")
    first = os.environ.get("RANK", "0") == "0"
    inputs = {
        "data": fingerprint.verify_data(suite, data)
        if first
        else fingerprint.recorded_digest(data),
        **{name: sha256_file(path) for name, path in start.items() if path is not None},
    }
    _check_masks(suite, run, data, "train")
    # Neither another configuration nor other code, data or teacher may go on from this run's
    # checkpoints.
    key = provenance.digest([digests, inputs])[:12]
    teacher = None if resolved.teacher is None else resolved.teacher.run
    if teacher_weights is not None:
        if teacher is None:
            raise UserError(f"run '{run}' has no teacher: leave --teacher out")
        teacher = outputs.teacher(teacher_weights, teacher)
    work_dir = suite.results / "work" / f"{run}-seed{seed}-{key}"
    with work_folder.hold(work_dir) if first else nullcontext(), readable_images(suite.data_root):
        student, summary = trainer.train(
            resolved,
            suite.data_root,
            work_dir,
            backbone_weights,
            teacher_weights,
            start_weights,
            launcher,
            key,
        )
        if not first:
            return
        folder = Path(paths.run_path(suite, run, seed, ""))
        # A kill between the two must not leave one training's weights beside another's words.
        (folder / "train.json").unlink(missing_ok=True)
        weights.save(student, folder / "weights.pth", {"run": run, "seed": seed, **digests})
        said = outputs.Trained(
            config=resolved,
            digests=digests,
            inputs=inputs,
            weights=sha256_file(folder / "weights.pth"),
            teacher=teacher,
            started=started.isoformat(timespec="seconds"),
            train=summary.as_json(),
            **made_by,
            versions=provenance.versions(),
            host=host.describe(models.gpus(resolved.train.device)),
        )
        said.write(folder)
        if resolved.train.device == "cpu":
            decided = _detected_by(suite, run, inputs["data"])
            # What fails here fails in the job that scores too, which says so and loses no training.
            with suppress(Exception):
                detected.leave(folder, said, suite.data_root, decided)
        work_folder.remove(work_dir)


def _check_start(suite: Suite, run: str, seed: int, start_weights: Path | None) -> None:
    """Refuse to train what is taken from a file or another scale, and a start that is not its."""
    if suite.taken(run):
        named = suite.pretrained.get(run)
        source = named.file if named else f"scale {suite.starts and suite.starts.scale}"
        raise UserError(
            f"run '{run}' is not trained here, its weights are those of {source}: `mkd take` puts "
            "them in place"
        )
    stem = paths.start_weights(suite, run, seed)
    if bool(stem) != (start_weights is not None):
        raise UserError(
            f"run '{run}' goes on from a stem: add --start {stem[0]}"
            if stem
            else f"run '{run}' goes on from no stem: leave --start out"
        )


def _check_masks(suite: Suite, run: str, data: Path, split: str) -> None:
    """Refuse a detector with masks that was put into the table after data without were checked."""
    checked = read_json(data).get("splits", {}).get(split, {})
    if suite.run(run).architecture.has_masks and not checked.get("masks", True):
        raise UserError(
            f"run '{run}' has masks, and objects of the {split} set in {suite.data_root} have "
            "none: add them and check the data again, or take the run out of the table"
        )


def _detected_by(suite: Suite, run: str, data_digest: str) -> dict[str, str]:
    """What decides a trained detector's detections beside its weights."""
    return {
        "data": data_digest,
        "evaluation_code": run_digests.evaluation_code(),
        "evaluation_config": run_digests.evaluation_config(suite, run),
    }


def rehearsed(suite: Suite, resolved: ResolvedRun) -> list[ResolvedRun]:
    """The runs whose losses are tried before one is trained.

    A run with a teacher tries its own. Runs without one are trained first, and try those of the
    whole table.
    """
    if resolved.teacher is not None:
        return [resolved]
    trained = (run for run in suite.runs if not suite.taken(run))
    return [suite.resolve(run, suite.seeds(run)[0]) for run in trained]


def evaluate(suite: Suite, run: str, seed: int, data: Path, log: str) -> None:
    """Score a trained run on the val set; write ``detections.json`` and ``record.json``."""
    hide_gpus(suite)
    from mkd.evaluation import scoring

    scored = {**provenance.commit(), "versions": provenance.versions()}
    folder, row = Path(paths.run_path(suite, run, seed, "")), suite.run(run)
    said, data_digest = outputs.read_trained(suite, run, seed), fingerprint.verify_data(suite, data)
    _check_masks(suite, run, data, "val")
    resolved = said.config
    annotations = suite.data_root / resolved.data.splits["val"].annotations
    _check_fits(suite, run, seed, said, data_digest)
    decided = _detected_by(suite, run, data_digest)
    with readable_images(suite.data_root):
        found = detected.find(folder, said, suite.data_root, decided)
    began = time.monotonic()
    # A million numbers nobody reads by eye: unindented, json writes them ten times as fast.
    detections = json.dumps(found["detections"], allow_nan=False).encode()
    record: dict[str, Any] = {
        "kind": "detection",
        "schema": 1,
        "run": run,
        "seed": seed,
        "scale": suite.scale,
        "arch": row.arch,
        "teacher": said.teacher,
        "taken": said.taken,
        "method": row.method,
        "options": row.said,
        **scoring.score(annotations, found["detections"]),
        **found["complexity"],
        "input_px": resolved.input_px,
        "train": said.train,
        "digests": {
            **said.digests,
            **said.inputs,
            **decided,
            "weights": said.weights,
            "detections": hashlib.sha256(detections).hexdigest(),
        },
        # Of the training: weights may be scored anew long after, elsewhere.
        "commit": said.commit,
        "versions": said.versions,
        "host": said.host,
        "started": said.started,
        "scored": scored,
        "dirty": said.dirty or scored["dirty"],
        "wall_s": round(said.train["wall_s"] + found["seconds"] + time.monotonic() - began, 2),
        "log": log,
    }
    what = f"the record of {run}, seed {seed}"
    validate(record, "record", what)
    write_atomic(folder / "detections.json", detections)
    write_record(folder / "record.json", record, "record", what)
    (folder / detected.NAME).unlink(missing_ok=True)


def _check_fits(suite: Suite, run: str, seed: int, said: outputs.Trained, data_digest: str) -> None:
    """Refuse weights that today's row, scale or data would not make: their record names those."""
    other = []
    if said.digests["config"] != run_digests.config_digest(suite, run, seed):
        other.append("with another configuration than config/ has now")
    if said.taken is None and said.inputs["data"] != data_digest:
        other.append(f"on other data than {suite.data_root} holds now")
    if other:
        raise UserError(f"{run}, seed {seed}, was trained {' and '.join(other)}: train it again")
