"""AP of a detector's published checkpoint: MMYOLO's own test pipeline, COCO's own val set."""

import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from mkd import host, provenance
from mkd.data import fingerprint
from mkd.detectors import models
from mkd.edge import suite as edge
from mkd.edge import zoo
from mkd.edge.models import MODELS
from mkd.errors import UserError
from mkd.evaluation import detection, scoring
from mkd.experiment.suite import Suite
from mkd.files import sha256_file
from mkd.schemas import write_record
from mkd.training import weights


def evaluate(suite: Suite, model: str, data: Path, out: Path) -> None:
    """Score the published checkpoint of a detector of Table 1 on the val set.

    Args:
        suite: Its data are COCO's; its weights folder holds the checkpoint.
        model: Its name.
        data: What ``mkd data`` wrote.
        out: The record, ``workflow/schemas/published.schema.yaml``.

    Raises:
        UserError: There is no such model or checkpoint, the data are not COCO's, the checkpoint
            is broken or of another architecture.
    """
    began, started = time.monotonic(), datetime.now(UTC)
    dataset, source = suite.settings.data, MODELS.get(model)
    if source is None:
        others = ", ".join(name for name, config in MODELS.items() if config is not None)
        raise UserError(f"no published checkpoint is scored of '{model}', only of {others}")
    if not dataset.published_classes:
        raise UserError(
            f"published checkpoints know COCO's classes and scale '{suite.scale}' has the data set "
            f"{dataset.kind}: use --config scale=lab or scale=paper"
        )
    config = zoo.mmyolo_config(model)
    file = edge.checkpoint(suite, model)
    if file is None:
        raise UserError(
            f"{suite.config['weights']} holds no checkpoint of {model}: put MMYOLO's release "
            f"{Path(source).name}_….pth there"
        )
    data_digest = fingerprint.verify_data(suite, data)
    detector = zoo.mmyolo_build(config.model)
    weights.load(detector, file, more=True)
    zoo.deploy(detector)
    annotations = suite.data_root / dataset.splits["val"].annotations
    loader = config.test_dataloader
    loader.dataset.data_root = str(suite.data_root)
    found = detection.coco_results(detector.eval(), loader, annotations, scope="mmyolo")
    scored = scoring.score(annotations, found)
    record = {
        "kind": "published",
        "schema": 1,
        "model": model,
        "scale": suite.scale,
        "metrics": scored["metrics"]["box"],
        "checkpoint": file.name,
        "digests": {
            "weights": sha256_file(file),
            "data": data_digest,
        },
        **provenance.commit(),
        "versions": provenance.versions(),
        "host": host.describe(models.gpus("cuda") if torch.cuda.is_available() else []),
        "started": started.isoformat(timespec="seconds"),
        "wall_s": round(time.monotonic() - began, 2),
    }
    write_record(out, record, "published", f"the record of the published {model}")
