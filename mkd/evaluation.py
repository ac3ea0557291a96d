"""Accuracy of a detector on the val set: mmdet detects, faster-coco-eval scores."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mkd import detectors  # before mmdet

# isort: split
import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

import mkd.data.dataset  # noqa: F401  (registers)
from mkd import error_kinds
from mkd.architectures import has_masks
from mkd.data import splits
from mkd.data.annotations import read, truth

STATS = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L")
"""COCO's six figures, in percent: AP over IoU .50:.05:.95, at .50, at .75, and by object area
(below 32², up to 96², above, in px² of the original image)."""

CURVES = {"50": 0.50, "75": 0.75}
"""IoUs at which precision is kept recall by recall."""


def detect(model: BaseModel, resolved: dict[str, Any], data_root: Path) -> dict[str, list[Any]]:
    """Run a detector over the val set.

    Args:
        model: The detector, in evaluation mode.
        resolved: The run as :meth:`mkd.config.Suite.resolve` gives it.
        data_root: The data set's folder.

    Returns:
        COCO results (boxes x y w h in pixels of the original image) under ``bbox`` and, for
        detectors with masks, RLE under ``segm``.
    """
    kind = resolved["data"]["kind"]
    metric = ["bbox", "segm"] if has_masks(resolved["arch"]) else ["bbox"]
    detectors.keep_at_most(model, resolved["evaluate"]["max_per_image"])
    loader = loader_config(resolved, data_root, splits.classes(data_root, kind))
    return coco_results(model, loader, data_root / splits.SPLITS[kind]["val"][0], metric)


def loader_config(
    resolved: dict[str, Any], data_root: Path, class_names: tuple[str, ...]
) -> ConfigDict:
    """mmengine's configuration of the loader of the val set that :func:`detect` reads."""
    return ConfigDict(
        batch_size=resolved["evaluate"]["batch_size"],
        num_workers=resolved["train"]["workers"],
        sampler={"type": "DefaultSampler", "shuffle": False},
        dataset=splits.dataset_config(
            resolved["data"],
            data_root,
            "val",
            class_names,
            detectors.test_pipeline(resolved["arch"], resolved["input_px"]),
        ),
    )


def coco_results(
    model: BaseModel,
    loader: ConfigDict,
    annotations: Path,
    metric: Sequence[str] = ("bbox",),
    scope: str = "mmdet",
) -> dict[str, list[Any]]:
    """Run a detector over the images of a loader.

    Args:
        model: The detector, in evaluation mode.
        loader: mmengine's configuration of a test loader.
        annotations: The annotations of its images.
        metric: ``bbox``, and ``segm`` for masks.
        scope: Whose registry names the loader's parts, ``mmdet`` or ``mmyolo``.

    Returns:
        COCO results by metric, as :func:`detect` gives them.
    """
    # mmengine's last scope stays in force: afterwards it is mmdet's again.
    with TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope(scope):
        prefix = Path(folder, "val")
        runner = Runner(
            model=model,
            work_dir=folder,
            default_scope=scope,
            log_level="WARNING",
            # mmengine gives a name's second Runner the scope of its first.
            experiment_name=prefix.parent.name,
            test_dataloader=loader,
            test_cfg={},
            test_evaluator={
                "type": "mmdet.NamedCocoMetric",
                "ann_file": str(annotations),
                "metric": list(metric),
                "format_only": True,
                "outfile_prefix": str(prefix),
            },
            default_hooks={"logger": None, "checkpoint": None, "runtime_info": None},
            visualizer={"type": "Visualizer", "vis_backends": []},
        )
        runner.test()
        return {
            name: json.loads(prefix.with_suffix(f".{name}.json").read_bytes()) for name in metric
        }


def score(annotations: Path, detections: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """COCO's figures of detections, and where the boxes' precision is lost.

    Args:
        annotations: The val annotations.
        detections: From :func:`detect`.

    Returns:
        ``metrics``, with ``box`` and, where there are masks, ``mask``: each the six :data:`STATS`
        in percent, None where the val set has no object of the kind. ``errors``: AP50 lost to
        each kind of error (:mod:`mkd.error_kinds`). ``pr``, where there are boxes and objects:
        the precision at COCO's 101 recalls for each of :data:`CURVES`, mean over categories.
    """
    objects = truth(read(annotations), "segm" in detections)
    coco = COCO(objects.content)
    metrics: dict[str, dict[str, Any]] = {}
    found: dict[str, Any] = {
        "metrics": metrics,
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
        if kind == "bbox" and detections[kind] and metrics[name]["AP"] is not None:
            found["pr"] = _curves(evaluation)
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
