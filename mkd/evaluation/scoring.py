"""Accuracy of detections on the val set, by faster-coco-eval. Torch is not imported here."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from mkd.data.annotations import read, truth
from mkd.evaluation import error_kinds

STATS = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L")
"""COCO's six figures, in percent: AP over IoU .50:.05:.95, at .50, at .75, and by object area
(below 32², up to 96², above, in px² of the original image)."""

CURVES = {"50": 0.50, "75": 0.75}
"""IoUs at which precision is kept recall by recall."""


def score(annotations: Path, detections: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """COCO's figures of detections, and where the boxes' precision is lost.

    Args:
        annotations: The val annotations.
        detections: From :func:`detect`.

    Returns:
        ``metrics``, with ``box`` and, where there are masks, ``mask``: each the six :data:`STATS`
        in percent, None where the val set has no object of the kind. ``errors``: AP50 lost to
        each kind of error (:mod:`mkd.evaluation.error_kinds`). ``pr``, where there are boxes and
        objects: the precision at COCO's 101 recalls for each of :data:`CURVES`, mean over
        categories. ``classes``: for ``box`` and ``mask`` the AP of each category in percent, by
        name and in the order of the ids, None where the val set has no object of it.
    """
    objects = truth(read(annotations), "segm" in detections)
    coco = COCO(objects.content)
    metrics: dict[str, dict[str, Any]] = {}
    classes: dict[str, dict[str, float | None]] = {}
    found: dict[str, Any] = {
        "metrics": metrics,
        "classes": classes,
        "errors": error_kinds.errors(objects.content, objects.number(detections["bbox"])),
    }
    for kind, name in (("bbox", "box"), ("segm", "mask")):
        if kind not in detections:
            continue
        # A copy, as scoring turns the text of an RLE into bytes; by way of JSON at a fifth of
        # the time of deepcopy.
        loaded = coco.loadRes(objects.number(json.loads(json.dumps(detections[kind]))))
        evaluation = COCOeval_faster(coco, loaded, iouType=kind, print_function=lambda *_: None)
        evaluation.run()
        metrics[name] = {
            stat: None if value < 0 else round(100 * float(value), 3)
            for stat, value in zip(STATS, evaluation.stats, strict=False)
        }
        classes[name] = _by_class(evaluation, objects.content["categories"])
        if kind == "bbox" and detections[kind] and metrics[name]["AP"] is not None:
            found["pr"] = _curves(evaluation)
    return found


def _by_class(
    evaluation: COCOeval_faster, categories: list[dict[str, Any]]
) -> dict[str, float | None]:
    """AP of each category in percent, as COCO's own AP before its mean over categories."""
    names = {category["id"]: category["name"] for category in categories}
    found: dict[str, float | None] = {}
    for at, category in enumerate(evaluation.params.catIds):
        precision = evaluation.eval["precision"][:, :, at, 0, -1]
        absent = precision.max() < 0
        found[names[category]] = None if absent else round(100 * float(precision.mean()), 3)
    return found


def _curves(evaluation: COCOeval_faster) -> dict[str, list[float]]:
    """Precision at COCO's 101 recalls for each of :data:`CURVES`; objects of any size."""
    ious = evaluation.params.iouThrs
    # IoU × recall × category × area × detections an image; −1 for a category without objects.
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    precision = precision[:, :, (precision >= 0).all((0, 1))]
    return {
        name: [round(float(p), 4) for p in precision[np.abs(ious - iou).argmin()].mean(1)]
        for name, iou in CURVES.items()
    }
