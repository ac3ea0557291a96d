"""The exporting jobs: a model of Table 1 with its complexity, a trained run with its AP."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.model import BaseModel
from numpy.typing import NDArray

from mkd import provenance
from mkd.data import annotations, fingerprint
from mkd.data.splits import classes
from mkd.detectors import models
from mkd.edge import accuracy, export, graph, nms, quantize, zoo
from mkd.edge import suite as edge
from mkd.edge.engines import Model
from mkd.edge.metadata import Card, detector_path, precision_path
from mkd.edge.preprocessing import prepare
from mkd.errors import UserError
from mkd.experiment import paths
from mkd.experiment.architectures import has_masks
from mkd.experiment.suite import Suite
from mkd.files import sha256_file
from mkd.schemas import read_record, write_record
from mkd.training import outputs
from mkd.training.outputs import read_trained

CHECKED_IMAGES = 2
"""Val images on which an export is compared with torch."""
SETTLED_IMAGES, SETTLED_PX, RANGED_IMAGES = 4, 320, 1
"""Train images, and their size, from which a random model takes its batch norm statistics; and
those its INT8 file takes its ranges from: it is timed and never scored, and each takes a second."""


def export_model(
    suite: Suite, model: str, out: Path, precisions: Sequence[str], record: Path | None
) -> dict[str, float]:
    """Export a detector of Table 1 at full width, with seeded random weights.

    Args:
        suite: Gives the input size and the images.
        model: Its name.
        out: The FP32 file; other precisions and the detectors are written beside it.
        precisions: Of :data:`mkd.edge.metadata.PRECISIONS`; FP32 is always written.
        record: Where the complexity record goes, or None.

    Returns:
        The largest relative difference to torch, by output.
    """
    settings = edge.settings(suite)
    detector, card = zoo.build(model)
    card = replace(card, input_px=settings.input_px)
    complexity = zoo.complexity(detector, model, card.input_px)
    few = replace(card, input_px=min(SETTLED_PX, card.input_px))
    zoo.settle(detector, read_frames(suite, "train", SETTLED_IMAGES), few)
    difference = _export(suite, detector, card, out, precisions, RANGED_IMAGES)
    if record is not None:
        found = {
            **complexity,
            "onnx": {
                "opset": graph.OPSET,
                "tolerance": export.TOLERANCE,
                "relative_difference": difference,
            },
            "engines": accuracy.on_engines(out, {"fp32", *precisions}, _images(suite, card)),
            **provenance.commit(),
            "versions": provenance.versions(),
        }
        write_record(record, found, "complexity", f"the complexity record of {model}")
    return difference


def export_run(
    suite: Suite, run: str, seed: int, out: Path, precisions: Sequence[str], record: Path | None
) -> dict[str, float]:
    """Export a trained run, and score each of its files, on each engine too.

    Args:
        suite: Has the run and its data.
        run: Its id.
        seed: Which of its seeds.
        out: As for :func:`export_model`.
        precisions: As for :func:`export_model`.
        record: Where the AP of each file on the val set goes, or None to leave it out.

    Returns:
        The largest relative difference to torch, by output.

    Raises:
        UserError: The run is not trained, or an AP is asked for of RTMDet-Ins, whose masks are not
            decoded in the exported graph.
    """
    began, started = time.monotonic(), datetime.now(UTC)
    folder = Path(paths.run_path(suite, run, seed, ""))
    if record is not None and suite.run(run).architecture.has_masks:
        raise UserError(
            f"{run} is {suite.run(run).arch}: its masks are not decoded in the exported graph and "
            "have no AP there; export it without --record"
        )
    if suite.run(run).architecture.generic:
        raise UserError(
            f"{run} is {suite.run(run).arch}: a detector of a configuration of its own is not "
            "exported, choose RTMDet"
        )
    said = read_trained(suite, run, seed)
    fingerprint.verify_data(suite)
    resolved = said.config
    names = classes(suite.data_root, resolved.data)
    config = models.model_config(resolved.architecture, len(names), resolved.width)
    detector = models.build(config)
    outputs.load(detector, folder, said)
    models.keep_at_most(detector.eval(), resolved.evaluate.max_per_image)
    card = zoo.card_of(
        config,
        model=run,
        arch=resolved.architecture.name,
        width=resolved.width,
        seed=seed,
        weights="trained",
        input_px=resolved.input_px,
    )
    calibration_images = edge.settings(suite).calibration_images
    difference = _export(suite, detector, card, out, precisions, calibration_images)
    if record is None:
        return difference
    scored = {}
    for precision in ("fp32", *(p for p in precisions if p != "fp32")):
        file = precision_path(out, precision)
        exported = accuracy.OnnxDetector(detector_path(file), detector)
        scored[precision] = {
            "metrics": accuracy.average_precision(exported, resolved, suite.data_root),
            "bytes": file.stat().st_size,
            "digest": sha256_file(file),
        }

    def score(model: Model) -> dict[str, Any]:
        on_engine = accuracy.EngineDetector(model, detector)
        return accuracy.average_precision(on_engine, resolved, suite.data_root)

    found = {
        "kind": "exported",
        "schema": 1,
        "run": run,
        "seed": seed,
        "scale": suite.scale,
        "arch": card.arch,
        "width": card.width,
        "input_px": card.input_px,
        "torch": read_record(folder / "record.json", "record")["metrics"]["box"],
        "graph": provenance.digest(graph.signature(out)),
        "files": scored,
        "engines": accuracy.on_engines(out, scored, _images(suite, card), score),
        "onnx": {
            "opset": graph.OPSET,
            "tolerance": export.TOLERANCE,
            "relative_difference": difference,
        },
        "calibration_images": calibration_images,
        "digests": {"weights": said.weights},
        **provenance.commit(),
        "versions": provenance.versions(),
        "started": started.isoformat(timespec="seconds"),
        "wall_s": round(time.monotonic() - began, 2),
    }
    write_record(record, found, "exported", f"the record of the exported run {run}")
    return difference


def read_frames(suite: Suite, split: str, count: int) -> list[NDArray[np.uint8]]:
    """Images spread evenly over a split, H×W×3 each, channels B, G, R.

    Raises:
        UserError: The annotation file or an image is missing or broken.
    """
    listed, folder = suite.settings.data.splits[split]
    path = suite.data_root / listed
    try:
        names = [image["file_name"] for image in annotations.read(path)["images"]]
    except (UserError, LookupError, TypeError) as error:
        raise UserError(
            f"{path} is missing or is no COCO annotation file: run `mkd data` first"
        ) from error
    count = min(count, len(names))
    frames = []
    for index in range(count):
        file = suite.data_root / folder / names[index * len(names) // count]
        frame = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if frame is None:
            raise UserError(f"the image {file} is missing or cannot be decoded: fetch it again")
        frames.append(frame.astype(np.uint8, copy=False))
    return frames


def _images(suite: Suite, card: Card) -> list[NDArray[np.float32]]:
    """Prepared val images on which outputs are compared."""
    return [prepare(frame, card) for frame in read_frames(suite, "val", CHECKED_IMAGES)]


def _export(
    suite: Suite,
    detector: BaseModel,
    card: Card,
    out: Path,
    precisions: Sequence[str],
    calibration_images: int,
) -> dict[str, float]:
    """All files of one detector, the FP32 one compared with torch before others follow from it."""
    export.export_raw(detector, card, out)
    difference = export.check(detector, out, _images(suite, card))
    calibration: list[NDArray[np.float32]] = []
    if any(precision.startswith("int8") for precision in precisions):
        frames = read_frames(suite, "train", calibration_images)
        calibration = [prepare(frame, card) for frame in frames]
    files = {out: card}
    for precision in precisions:
        file = precision_path(out, precision)
        if precision == "fp16":
            quantize.to_fp16(out, card, file)
        elif precision != "fp32":
            quantize.to_int8(out, card, calibration, file, precision == "int8-symmetric")
        files[file] = card.at(precision)
    for file in files:
        # One of an earlier export would be timed as this one's.
        detector_path(file).unlink(missing_ok=True)
    if not has_masks(card.arch):  # boxes alone would be half a detector
        test = detector.bbox_head.test_cfg
        nms.export(detector, files, test.nms.iou_threshold, test.score_thr, test.max_per_img)
    return {name: float(f"{value:.3g}") for name, value in difference.items()}
