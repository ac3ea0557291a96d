"""A detector's detections on the val set, as mmdet makes them."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mkd.detectors import models, pipelines  # before mmdet

# isort: split
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

import mkd.data.dataset  # noqa: F401  (registers)
from mkd.data import splits
from mkd.experiment.resolved import ResolvedRun


def detect(model: BaseModel, resolved: ResolvedRun, data_root: Path) -> dict[str, list[Any]]:
    """Run a detector over the val set.

    Args:
        model: The detector, in evaluation mode.
        resolved: The run.
        data_root: The data set's folder.

    Returns:
        COCO results (boxes x y w h in pixels of the original image) under ``bbox`` and, for
        detectors with masks, RLE under ``segm``.
    """
    metric = ["bbox", "segm"] if resolved.architecture.has_masks else ["bbox"]
    models.keep_at_most(model, resolved.evaluate.max_per_image)
    loader = loader_config(resolved, data_root, splits.classes(data_root, resolved.data))
    annotations = data_root / resolved.data.splits["val"].annotations
    return coco_results(model, loader, annotations, metric)


def loader_config(
    resolved: ResolvedRun, data_root: Path, class_names: tuple[str, ...]
) -> ConfigDict:
    """mmengine's configuration of the loader of the val set that :func:`detect` reads."""
    return ConfigDict(
        batch_size=resolved.evaluate.batch_size,
        num_workers=resolved.train.workers,
        sampler={"type": "DefaultSampler", "shuffle": False},
        dataset=splits.dataset_config(
            resolved.data,
            data_root,
            "val",
            class_names,
            pipelines.test_pipeline(resolved.architecture, resolved.input_px),
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
