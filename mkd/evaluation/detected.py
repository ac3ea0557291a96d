"""What a trained detector finds on the val set, left by its training for the job that scores it.

Importing torch and mmdet takes longer than finding the objects of a small val set: the process that
trained a detector has both loaded. Torch is not imported here before a detector runs.
"""

import json
import time
from pathlib import Path
from typing import Any

from mkd.data.splits import classes
from mkd.files import write_atomic
from mkd.training import outputs

NAME = "unscored.json"
"""The file, in a run's and seed's folder; the job that scores it removes it."""


def leave(folder: Path, said: outputs.Trained, data_root: Path, key: dict[str, str]) -> None:
    """Detect, and write what is found and all that decided it.

    Args:
        folder: ``<run>/seed<seed>``.
        said: What the training says of the weights there.
        data_root: The data set's folder.
        key: Digests of what decides the detections beside the weights.

    Raises:
        UserError: The weights are not those of ``said``, or the disk is full.
    """
    found = detect(folder, said, data_root)
    # A million numbers nobody reads by eye: unindented, json writes them ten times as fast.
    write_atomic(folder / NAME, json.dumps({"key": _key(said, key), **found}, allow_nan=False))


def find(
    folder: Path, said: outputs.Trained, data_root: Path, key: dict[str, str]
) -> dict[str, Any]:
    """What the training left where the same decided it, else what the detector finds now.

    Args:
        folder: As for :func:`leave`.
        said: As there.
        data_root: As there.
        key: As there.

    Returns:
        What :func:`detect` does.

    Raises:
        UserError: As :func:`leave`.
    """
    try:
        left = json.loads((folder / NAME).read_bytes())
    except (OSError, ValueError):
        left = None
    if not isinstance(left, dict) or left.pop("key", None) != _key(said, key):
        return detect(folder, said, data_root)
    outputs.check_digest(folder / "weights.pth", said)
    return left


def detect(folder: Path, said: outputs.Trained, data_root: Path) -> dict[str, Any]:
    """Run a trained detector over the val set.

    Args:
        folder: As for :func:`leave`.
        said: As there.
        data_root: As there.

    Returns:
        ``detections`` as :func:`mkd.evaluation.detection.detect` gives them, ``complexity`` as
        :func:`mkd.detectors.models.complexity` does, and ``seconds``.

    Raises:
        UserError: As :func:`leave`.
    """
    from mkd.detectors import models
    from mkd.evaluation import detection

    began, resolved = time.monotonic(), said.config
    names = classes(data_root, resolved.data)
    model = models.build(models.model_config(resolved.architecture, len(names), resolved.width))
    outputs.load(model, folder, said)
    complexity = models.complexity(model, resolved.input_px)
    detections = detection.detect(model.eval(), resolved, data_root)
    seconds = round(time.monotonic() - began, 2)
    return {"detections": detections, "complexity": complexity, "seconds": seconds}


def _key(said: outputs.Trained, key: dict[str, str]) -> dict[str, str]:
    return {**key, "weights": said.weights}
