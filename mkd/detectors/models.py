"""Detectors and their data pipelines, from mmdet's own configs and a user's.

A scale may make RTMDet and Mask R-CNN narrow, and every input small; structure and order stay
mmdet's. Any other detector has the channels that its config says.
RTMDet: Lyu et al. 2022, arXiv 2212.07784. Mask R-CNN: He et al. 2017, arXiv 1703.06870.
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any

import mkd.compat  # noqa: F401  (before mmdet)

# isort: split
import mmdet
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.analysis import FlopAnalyzer, parameter_count
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import BaseModel

from mkd.detectors.architectures import Architecture
from mkd.errors import UserError

register_all_modules(init_default_scope=True)

_CONFIGS = Path(mmdet.__file__).parent / ".mim" / "configs"


def official_config(arch: Architecture) -> Config:
    """An architecture's configuration: mmdet's own, or a user's file.

    Raises:
        UserError: The file is no configuration with a model.
    """
    if not arch.generic:
        return deepcopy(_official_config(arch.config))
    path = Path(arch.config) if arch.digest is not None else _CONFIGS / arch.config
    return deepcopy(_generic_config(path))


@cache
def _official_config(config: str) -> Config:
    return Config.fromfile(_CONFIGS / config)


@cache
def _generic_config(path: Path) -> Config:
    """With mmdet's defaults for what a configuration may leave out."""
    try:
        config = Config.fromfile(path)
    except (Exception, SystemExit) as error:  # whatever a file of a user's own raises
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{path} cannot be read as an mmdet config: {said}") from error
    if not isinstance(config.get("model"), dict) or "backbone" not in config.model:
        raise UserError(f"{path} has no model with a backbone: name an mmdet config of a detector")
    for base in ("datasets/coco_detection.py", "default_runtime.py"):
        for key, value in Config.fromfile(_CONFIGS / "_base_" / base).items():
            if key not in config:
                config[key] = value
    return config


def model_config(arch: Architecture, num_classes: int, width: float = 1.0) -> ConfigDict:
    """A detector's model configuration.

    Args:
        arch: The architecture.
        num_classes: Number of classes.
        width: Factor on every channel count.

    Raises:
        UserError: ``width`` leaves a channel count that is not a multiple of 8.
    """
    model = official_config(arch).model
    if arch.generic:
        _set_classes({key: part for key, part in model.items() if key != "backbone"}, num_classes)
        _drop_pretrained(model)
        # The input's size is the scale's.
        model.get("data_preprocessor", {}).pop("batch_augments", None)
        return model
    model.backbone.pop("init_cfg", None)
    if arch.two_stage:
        model.backbone.base_channels = _narrow(64, width, arch.name)
        roi = model.roi_head
        heads = [model.rpn_head, *(roi[key] for key in roi if isinstance(roi[key], dict))]
        classifiers = [roi.bbox_head, roi.mask_head]
    else:
        model.backbone.widen_factor *= width
        heads = classifiers = [model.bbox_head]
    model.neck.in_channels = [_narrow(c, width, arch.name) for c in model.neck.in_channels]
    for part in (model.neck, *heads):
        for key in _CHANNELS & part.keys():
            if isinstance(part[key], int):
                part[key] = _narrow(part[key], width, arch.name)
    for head in classifiers:
        head.num_classes = num_classes
    return model


def thaw(model: ConfigDict) -> None:
    """Let a backbone learn that starts from nothing: mmdet freezes stages and norms of a ResNet."""
    if "frozen_stages" in model.backbone:
        model.backbone.frozen_stages = -1
    if "norm_eval" in model.backbone:
        model.backbone.norm_eval = False


def build(model: ConfigDict, device: str = "cpu") -> BaseModel:
    """Build a detector; on the CPU synchronized batch norm becomes plain batch norm."""
    model = ConfigDict(model)
    if device == "cpu":
        _replace(model, "SyncBN", "BN")
    return MODELS.build(model)


def init_weights(model: BaseModel) -> None:
    """Initialize a detector from torch's global generator, as mmdet does."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    # It would log the origin of every single tensor.
    logger.setLevel("WARNING")
    model.init_weights()
    logger.setLevel(level)


def feature_sources(model: ConfigDict, layers: str) -> list[tuple[str, int | None]]:
    """Where the features of each level are recorded (:class:`mkd.experiment.plan.Plan`).

    Returns:
        A module's name and, where its output is a tuple, the index in it, one a level, the finest
        first. For
        ``neck`` the convolution of each neck output, before its norm and activation, as in
        OpenMMLab's RTMDet recipe; an FPN has neither, so there it is the output itself.
    """
    levels = range(len(feature_channels(model, layers)))
    if layers == "neck" and model.neck.type != "FPN":
        return [(f"neck.out_convs.{level}.conv", None) for level in levels]
    return [("backbone" if layers == "backbone" else "neck", level) for level in levels]


def feature_channels(model: ConfigDict, layers: str) -> list[int]:
    """Channels of the features :func:`feature_sources` names, one a level."""
    if layers == "backbone":
        return [int(channels) for channels in model.neck.in_channels]
    return [int(model.neck.out_channels)] * model.neck.get("num_outs", len(model.neck.in_channels))


def train_pipelines(
    arch: Architecture,
    input_px: int,
    mosaic: bool,
    resize_ratio: Sequence[float] | None,
    bitmap_masks: bool,
) -> tuple[list[Any], list[Any]]:
    """The train pipelines of both stages.

    Args:
        arch: The architecture; where it has masks they load them.
        input_px: Side of the square input in pixels; 640 is mmdet's own size for every
            architecture, for Mask R-CNN the resize to 1333×800 that keeps the ratio.
        mosaic: Whether the first stage is mmdet's (cached Mosaic and MixUp). Without it both
            stages are mmdet's second one, which keeps no state between images, so that a
            resumed run sees what an unbroken one sees. Mask R-CNN has one stage, without; so
            has any other detector, without the steps that mix images.
        resize_ratio: Replaces mmdet's ratio range of the random resize.
        bitmap_masks: Decode masks to bitmaps (needed for RLE) instead of keeping polygons.

    Returns:
        First and second stage.
    """
    config = official_config(arch)
    first = config.train_pipeline
    second = config.get("train_pipeline_stage2", first)
    if arch.generic:
        first = second = _single_images(second)
    if not mosaic:
        first = second
    stages = []
    for pipeline in (first, second):
        pipeline = _sized(arch, pipeline, input_px)
        for step in pipeline:
            if step["type"] == "RandomResize" and resize_ratio is not None:
                step["ratio_range"] = tuple(resize_ratio)
            if bitmap_masks and step.get("with_mask"):
                step["poly2mask"] = True
        stages.append(pipeline)
    return stages[0], stages[1]


def test_pipeline(arch: Architecture, input_px: int) -> list[Any]:
    """mmdet's test pipeline at an input size in pixels, without annotations."""
    steps = _sized(arch, official_config(arch).test_pipeline, input_px)
    return [step for step in steps if step["type"] != "LoadAnnotations"]


def keep_at_most(model: BaseModel, detections: int | None) -> None:
    """Keep that many detections of an image, the best; None: as many as mmdet's config."""
    if detections is None:
        return
    head = getattr(model, "roi_head", None) or model.bbox_head
    head.test_cfg.max_per_img = detections


_MIXING = {"Mosaic", "CachedMosaic", "MixUp", "CachedMixUp", "YOLOXMixUp", "RandomAffine",
           "CopyPaste"}  # fmt: skip
"""Steps that make one image of several, and the one that cuts a mosaic to size."""
_SIZES = {"scale", "scales", "img_scale", "size", "crop_size"}
"""Arguments of a pipeline's steps that are sizes in pixels."""
_CHANNELS = {"in_channels", "feat_channels", "out_channels", "conv_out_channels", "fc_out_channels"}


def _narrow(channels: int, width: float, arch: str) -> int:
    narrow = channels * width
    if narrow != int(narrow) or int(narrow) % 8:
        raise UserError(
            f"width {width} makes {channels} channels of {arch} into {narrow:g}, "
            "not a multiple of 8: choose another width in the scale's file"
        )
    return int(narrow)


def _replace(config: Any, old: str, new: str) -> None:
    items = config.items() if isinstance(config, dict) else enumerate(config)
    for key, value in list(items):
        if value == old:
            config[key] = new
        elif isinstance(value, (dict, list)):
            _replace(value, old, new)


def _set_classes(config: Any, num_classes: int) -> None:
    for key, value in list(config.items() if isinstance(config, dict) else enumerate(config)):
        if key == "num_classes":
            config[key] = num_classes
        elif isinstance(value, (dict, list)):
            _set_classes(value, num_classes)


def _drop_pretrained(config: Any) -> None:
    """Weights are the scale's matter, and may be of a place that cannot be reached."""
    for key, value in list(config.items() if isinstance(config, dict) else enumerate(config)):
        if key == "pretrained" or (
            key == "init_cfg" and isinstance(value, dict) and value.get("type") == "Pretrained"
        ):
            config.pop(key)
        elif isinstance(value, (dict, list)):
            _drop_pretrained(value)


def _single_images(pipeline: list[Any]) -> list[Any]:
    """A pipeline without the steps that mix images, with the loading that those leave to others.

    YOLOX's own last epochs are without them too.
    """
    steps = [step for step in pipeline if step["type"] not in _MIXING]
    if not any(step["type"].startswith("LoadImage") for step in steps):
        steps = [
            {"type": "LoadImageFromFile"},
            {"type": "LoadAnnotations", "with_bbox": True},
            *steps,
        ]
    return steps


def _sized(arch: Architecture, pipeline: list[Any], input_px: int) -> list[Any]:
    return _fitted(pipeline, input_px) if arch.generic else _scaled(pipeline, input_px)


def _fitted(value: Any, input_px: int, size: bool = False) -> Any:
    """A copy of any pipeline with its sizes in pixels scaled; 640 leaves them as they are."""
    if isinstance(value, dict):
        return {key: _fitted(item, input_px, key in _SIZES) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_fitted(item, input_px, size) for item in value)
    if size and isinstance(value, int) and not isinstance(value, bool):
        return max(1, value * input_px // 640)
    return value


def _scaled(value: Any, input_px: int) -> Any:
    """A copy of a pipeline with mmdet's sizes in pixels scaled to another input size."""
    if isinstance(value, dict):
        return {key: _scaled(item, input_px) for key, item in value.items()}
    if isinstance(value, list):
        return [_scaled(item, input_px) for item in value]
    if isinstance(value, tuple):
        return tuple(_scaled(item, input_px) for item in value)
    if value in (640, 1280, 800, 1333) and not isinstance(value, bool):
        return value * input_px // 640
    return value


def complexity(model: BaseModel, input_px: int) -> dict[str, float]:
    """Parameters and multiply-accumulates of one forward pass.

    Args:
        model: A detector.
        input_px: Side of the square input in pixels.

    Returns:
        ``params_m`` in millions and ``macs_g`` in billions as mmengine counts them: one MAC is
        one multiply-accumulate, which MMDetection prints as a FLOP and the YOLO papers as two.
        Mask R-CNN's are of as many proposals as its test setting keeps at most.
    """
    training = model.training
    forward = model.forward
    if hasattr(model, "rpn_head"):
        sample = DetDataSample(metainfo={"img_shape": (input_px, input_px)})
        model.forward = partial(forward, data_samples=[sample])
        overlap = model.rpn_head.test_cfg.nms
        threshold, overlap.iou_threshold = overlap.iou_threshold, 1.0
    image = torch.zeros(1, 3, input_px, input_px, device=next(model.parameters()).device)
    counter = FlopAnalyzer(model.eval(), image)
    # Else it lists every operator that is not a multiply-accumulate, and modules never called.
    macs = counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    if hasattr(model, "rpn_head"):
        model.forward, overlap.iou_threshold = forward, threshold
    model.train(training)
    return {
        "params_m": round(parameter_count(model)[""] / 1e6, 4),
        "macs_g": round(macs / 1e9, 4),
    }


def gpus(device: str) -> list[str]:
    """Names of the GPUs a job on ``device`` sees."""
    if device == "cpu":
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
