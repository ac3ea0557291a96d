"""Detectors, from mmdet's own configs and a user's.

A scale may make RTMDet and Mask R-CNN narrow; structure stays mmdet's. Any other detector has the
channels that its config says.
RTMDet: Lyu et al. 2022, arXiv 2212.07784. Mask R-CNN: He et al. 2017, arXiv 1703.06870.
"""

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


def keep_at_most(model: BaseModel, detections: int | None) -> None:
    """Keep that many detections of an image, the best; None: as many as mmdet's config."""
    if detections is None:
        return
    head = getattr(model, "roi_head", None) or model.bbox_head
    head.test_cfg.max_per_img = detections


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
