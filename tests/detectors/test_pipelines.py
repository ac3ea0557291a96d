"""Pipelines are mmdet's own steps, at the size of a scale's input."""

from mkd.detectors import models, pipelines
from mkd.experiment.architectures import ARCHITECTURES


def test_without_mosaic_no_transform_keeps_state() -> None:
    first, second = pipelines.train_pipelines(
        ARCHITECTURES["rtmdet-tiny"], 128, False, (0.9, 1.1), False
    )
    assert first == second
    assert not any(step["type"].startswith("Cached") for step in first)
    sizes = [step.get("scale", step.get("size", step.get("crop_size"))) for step in first]
    assert {size for size in sizes if size} == {(128, 128)}


def test_at_paper_scale_the_pipelines_are_mmdets_own() -> None:
    first, second = pipelines.train_pipelines(ARCHITECTURES["rtmdet-tiny"], 640, True, None, False)
    official = models.official_config(ARCHITECTURES["rtmdet-tiny"])
    assert first == official.train_pipeline
    assert second == official.train_pipeline_stage2
    official = models.official_config(ARCHITECTURES["mask-rcnn-r50"])
    both = pipelines.train_pipelines(ARCHITECTURES["mask-rcnn-r50"], 640, False, None, False)
    assert both == (official.train_pipeline, official.train_pipeline)
