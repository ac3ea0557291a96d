"""Data pipelines of detectors: the steps of their configs, at the size of a scale's input."""

from collections.abc import Sequence
from typing import Any

from mkd.detectors.architectures import Architecture
from mkd.detectors.models import official_config

_MIXING = {"Mosaic", "CachedMosaic", "MixUp", "CachedMixUp", "YOLOXMixUp", "RandomAffine",
           "CopyPaste"}  # fmt: skip
"""Steps that make one image of several, and the one that cuts a mosaic to size."""
_SIZES = {"scale", "scales", "img_scale", "size", "crop_size"}
"""Arguments of a pipeline's steps that are sizes in pixels."""


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
