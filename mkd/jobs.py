"""The jobs Snakemake starts: each reads its inputs, works, and writes its outputs whole.

One function a verb of the command line; heavy imports are made by the job that needs them.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mkd import ROOT, host, provenance
from mkd.data import coco, fingerprint, making
from mkd.errors import UserError
from mkd.evaluation import detected
from mkd.experiment import labels, paths, run_digests
from mkd.experiment.config import Suite, default_config
from mkd.experiment.resolved import ResolvedRun
from mkd.files import sha256_file, write_atomic, write_json
from mkd.schemas import validate, write_record
from mkd.training import outputs
from mkd.workflow import locks, pipeline


def prepare_data(suite: Suite, out: Path) -> None:
    """Make the embedded data set where the scale uses it, check the data, write its digest."""
    data, root = suite.settings.data, suite.data_root
    if not making.make(data, root) and not root.is_dir():
        where = (
            "put COCO 2017 there (annotations/, train2017/, val2017/) or name its folder under "
            "data.coco in config/config.yaml"
            if data.published_classes
            else f"name the right one under data.root in {suite.file}"
        )
        raise UserError(f"the data folder {root} does not exist: {where}")
    for run, path in paths.missing_pretrained(suite).items():
        raise UserError(
            f"the weights file {path} of run '{run}' is not there: put it there, or correct its "
            "name; `mkd weights` lists all that this scale reads"
        )
    missing = paths.missing_weights(suite)
    if missing:
        raise UserError(
            f"scale '{suite.scale}' starts from ImageNet weights that are not there: "
            f"{', '.join(map(str, missing))}; put the releases of these names there (cspnext: "
            "OpenMMLab's, resnet: torchvision's)"
        )
    splits = data.splits
    masks = any(run.architecture.has_masks for run in suite.runs.values())
    # First, so that what changes while it is looked at is found.
    stamp = fingerprint.stamp(root, *splits.values())
    summaries = {
        "train": coco.check(root, *splits["train"], masks=masks, first=data.first_images),
        "val": coco.check(root, *splits["val"], masks=masks, scored=True),
    }
    coco.check_classes(summaries["train"], summaries["val"], root)
    _check_batches(suite, summaries["train"])
    print(coco.table(summaries))
    write_json(
        out,
        {
            "digest": fingerprint.digest(root, *splits.values()),
            "stamp": stamp,
            "splits": {name: vars(summary) for name, summary in summaries.items()},
        },
    )


def _check_batches(suite: Suite, train: coco.DatasetSummary) -> None:
    trains = [suite.train(run) for run in suite.runs if not suite.taken(run)]
    batch = max((train.batch_size * train.devices for train in trains), default=1)
    if train.usable < batch:
        raise UserError(
            f"{train.usable} images of the train set in {suite.data_root} can be learned from, "
            f"fewer than the {batch} of one batch of scale '{suite.scale}': add images, or make "
            "batch_size in the scale's file smaller"
        )
    pretraining = suite.settings.pretrain
    crops = pretraining.batch_size if pretraining is not None else 1
    if train.instances < crops:
        raise UserError(
            f"the train set in {suite.data_root} has {train.instances} objects, fewer than the "
            f"{crops} of one batch of the pretraining on crops: add images, or make "
            "pretrain.batch_size in the scale's file smaller"
        )


def pretrain(suite: Suite, size: str, data: Path | None, out: Path) -> None:
    """Pretrain the backbone of one size on crops of the train set.

    Args:
        suite: The scale and its table of runs.
        size: The backbone's size.
        data: What :func:`prepare_data` wrote; None for the scale's own.
        out: The weights file.

    Raises:
        UserError: No run has that size, the scale pretrains nothing, or the data have changed.
    """
    settings, sizes = suite.settings, run_digests.backbones(suite)
    if size not in sizes or settings.pretrain is None:
        raise UserError(
            f"scale '{suite.scale}' pretrains no backbone '{size}': "
            f"{'its sizes are ' + ', '.join(sizes) if settings.pretrain else 'nor any other'}"
        )
    fingerprint.verify_data(suite, data)
    _hide_gpus(suite)
    from mkd.training import pretraining, weights

    run = suite.run(sizes[size])
    with TemporaryDirectory() as folder:
        backbone, accuracy = pretraining.pretrain(
            run.architecture,
            suite.width(run.id),
            settings.pretrain,
            suite.data_root,
            settings.data,
            Path(folder),
        )
    weights.save(backbone, out, {"backbone": size, "accuracy": accuracy})


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
    """
    _hide_gpus(suite)
    from mkd.detectors import models
    from mkd.training import loss_check, trainer, weights

    if run in suite.pretrained:
        raise UserError(
            f"run '{run}' is not trained, its weights are those of {suite.pretrained[run].file}: "
            "`mkd take` puts them in place"
        )
    made_by = provenance.commit()
    launcher = "pytorch" if "TORCHELASTIC_RUN_ID" in os.environ else "none"
    started = datetime.now(UTC)
    resolved = suite.resolve(run, seed)
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
    # Neither another configuration nor other code, data or teacher may go on from this run's
    # checkpoints.
    key = provenance.digest([digests, inputs])[:12]
    teacher = None if resolved.teacher is None else resolved.teacher.run
    if teacher_weights is not None:
        if teacher is None:
            raise UserError(f"run '{run}' has no teacher: leave --teacher out")
        teacher = outputs.teacher(teacher_weights, teacher)
    work_dir = suite.results / "work" / f"{run}-seed{seed}-{key}"
    with locks.hold(work_dir) if first else nullcontext(), _readable_images(suite.data_root):
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
        shutil.rmtree(work_dir)


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
    _hide_gpus(suite)
    from mkd.evaluation import scoring

    scored = {**provenance.commit(), "versions": provenance.versions()}
    folder, row = Path(paths.run_path(suite, run, seed, "")), suite.run(run)
    said, data_digest = outputs.read_trained(suite, run, seed), fingerprint.verify_data(suite, data)
    resolved = said.config
    annotations = suite.data_root / resolved.data.splits["val"].annotations
    _check_fits(suite, run, seed, said, data_digest)
    decided = _detected_by(suite, run, data_digest)
    with _readable_images(suite.data_root):
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


def table(suite: Suite, number: int) -> None:
    """Write one of the paper's tables, paper against measured, as CSV, Markdown and LaTeX."""
    from mkd.results import formats, tables
    from mkd.results.records import load_records

    records = load_records(suite.results.parent, suite.scale)
    built = tables.build(records, suite.runs, number)
    formats.write_tables([built], suite.settings.summary, suite.results / "tables")


def pictures(suite: Suite, out: Path) -> None:
    """Lay the detections of a few runs on the same val images, for the report."""
    from mkd.evaluation import examples

    fingerprint.verify_data(suite)
    annotations, images = suite.settings.data.splits["val"]
    found = {}
    for name, path in pipeline.pictured(suite).items():
        run = suite.run(name)
        method = labels.method_name(run)
        found[f"{labels.arch_name(run.arch)}{method and f' with {method}'}"] = Path(path)
    examples.make(suite.data_root / images, suite.data_root / annotations, found, out)


def attention(suite: Suite, out: Path) -> None:
    """Map where a student looks before and after distillation, and its teacher, for the report."""
    from mkd.evaluation import attention as maps

    annotations, images = suite.settings.data.splits["val"]
    runs = {}
    attended = pipeline.attended(suite)
    if not attended:
        raise UserError(
            f"{suite.config['runs']} has no distilled run '{pipeline.PICTURED[-1]}': there is "
            "nothing to show before and after"
        )
    fingerprint.verify_data(suite)
    *students, teacher = attended.items()
    for name, files in students:
        run = suite.run(name)
        method = labels.method_name(run)
        when = f"after {method}" if method else "before"
        runs[f"{labels.arch_name(run.arch)}, {when}"] = [Path(path) for path in files]
    arch = labels.arch_name(suite.run(teacher[0]).arch)
    runs[f"{arch}, the teacher"] = [Path(path) for path in teacher[1]]
    with _readable_images(suite.data_root):
        maps.make(suite.data_root / images, suite.data_root / annotations, runs, out)


def spectrum(out: Path) -> None:
    """Measure what the frequency term's mask does to the loss, for the report."""
    from mkd.losses import analysis

    write_json(out, analysis.measure_masks())


def report(suite: Suite) -> None:
    """Render the report of what has been run."""
    from mkd.report import own_page, render

    page = own_page if suite.own else render
    page.render(suite, suite.results / "report", arguments=pipeline.config_arguments(suite))


def reference(suite: Suite, source: Path, root: Path = ROOT) -> None:
    """Keep a results folder as the scale's reference, and render the page of the default scale.

    Args:
        suite: The scale and its table of runs.
        source: The scale's results folder, or its reference.
        root: The checkout that keeps it.

    Raises:
        UserError: As :func:`mkd.results.reference.update`; then nothing is written.
    """
    from mkd.report import render
    from mkd.results import reference

    reference.update(suite, source, root)
    if suite.scale == default_config()["scale"]:
        kept = reference.folder(suite.scale, root)
        render.render(suite, root / "docs/report", source=kept)


def _hide_gpus(suite: Suite) -> None:
    """Before torch looks: mmengine takes whatever GPU it sees, also for a scale that has none."""
    if suite.settings.train.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@contextmanager
def _readable_images(root: Path) -> Iterator[None]:
    """mmcv's word for an image it cannot decode, as a sentence."""
    try:
        yield
    except AssertionError as error:
        found = re.search(r"failed to load image: (.+)", str(error))
        if found is None:
            raise
        raise UserError(
            f"the image {found[1]} of the data set {root} cannot be decoded: fetch it again"
        ) from error
