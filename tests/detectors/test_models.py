"""Detectors are mmdet's own, narrowed in order."""

import pytest

from mkd.detectors import models  # before mmdet

# isort: split
import torch

from mkd.detectors.architectures import Architecture
from mkd.errors import UserError
from mkd.experiment.architectures import ARCHITECTURES


@pytest.mark.parametrize(
    ("arch", "params_m", "macs_g"),
    [
        ("rtmdet-tiny", 4.90, 8.09),
        ("rtmdet-s", 8.89, 14.83),
        ("rtmdet-m", 24.71, 39.21),
        ("rtmdet-l", 52.32, 80.12),
        ("mask-rcnn-r50", 44.40, 144.29),
    ],
)
def test_params_and_macs_at_full_width(arch: str, params_m: float, macs_g: float) -> None:
    model = models.build(models.model_config(ARCHITECTURES[arch], 80))
    counted = models.complexity(model, 640)
    assert counted["params_m"] == pytest.approx(params_m, abs=0.005)
    assert counted["macs_g"] == pytest.approx(macs_g, abs=0.005)


@pytest.mark.parametrize("entry", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_an_entry_says_what_mmdets_configuration_is(entry: Architecture) -> None:
    model = models.official_config(entry).model
    assert entry.two_stage == ("roi_head" in model)
    head = model.roi_head if entry.two_stage else model.bbox_head
    assert entry.has_masks == ("mask_head" in head or head.type.startswith("RTMDetIns"))
    start = model.backbone.get("init_cfg", {}).get("checkpoint", "")
    assert entry.imagenet is None or entry.two_stage or entry.imagenet in start
    assert bool(entry.imagenet) == bool(start)


def test_half_width_halves_every_recorded_channel() -> None:
    for layers in ("neck", "backbone"):
        full = models.feature_channels(models.model_config(ARCHITECTURES["rtmdet-s"], 80), layers)
        half = models.feature_channels(
            models.model_config(ARCHITECTURES["rtmdet-s"], 80, 0.5), layers
        )
        assert full == [2 * channels for channels in half]


def test_a_width_that_leaves_odd_channels_is_refused() -> None:
    with pytest.raises(UserError, match=r"width 0\.3 makes 96 channels of rtmdet-tiny into 28\.8"):
        models.model_config(ARCHITECTURES["rtmdet-tiny"], 80, 0.3)


@pytest.mark.parametrize("layers", ["neck", "neck_output", "backbone"])
def test_feature_sources_are_modules_of_the_detector(layers: str) -> None:
    config = models.model_config(ARCHITECTURES["rtmdet-tiny"], 6, 0.5)
    names = dict(models.build(config).named_modules())
    for source, _ in models.feature_sources(config, layers):
        assert source in names


@pytest.mark.parametrize(("layers", "levels"), [("neck", 5), ("backbone", 4)])
def test_every_level_of_mask_rcnn_has_the_channels_said(layers: str, levels: int) -> None:
    config = models.model_config(ARCHITECTURES["mask-rcnn-r50"], 6, 0.25)
    model = models.build(config).eval()
    image = torch.zeros(1, 3, 256, 256)
    found = {"backbone": model.backbone(image), "neck": model.extract_feat(image)}
    sources = models.feature_sources(config, layers)
    maps = [found[name][index] for name, index in sources]
    assert len(found[layers]) == len(maps) == levels
    assert [m.shape[1] for m in maps] == models.feature_channels(config, layers)
    assert [256 // m.shape[2] for m in maps] == [4, 8, 16, 32, 64][:levels]


def test_the_cost_of_mask_rcnn_is_that_of_all_its_proposals_whatever_the_weights() -> None:
    model = models.build(models.model_config(ARCHITECTURES["mask-rcnn-r50"], 6, 0.25))
    first = models.complexity(model, 128)
    models.init_weights(model)
    assert models.complexity(model, 128) == first
    assert model.rpn_head.test_cfg.nms.iou_threshold == 0.7
    assert not hasattr(model.forward, "keywords")


def test_a_detector_keeps_as_many_detections_as_its_scale_says_or_as_mmdet_does() -> None:
    kept = {"rtmdet-tiny": 300, "rtmdet-ins-tiny": 100, "mask-rcnn-r50": 100}
    for arch, own in kept.items():
        model = models.build(
            models.model_config(ARCHITECTURES[arch], 6, 0.25 if "mask" in arch else 0.5)
        )
        head = getattr(model, "roi_head", None) or model.bbox_head
        models.keep_at_most(model, None)
        assert head.test_cfg.max_per_img == own
        models.keep_at_most(model, 20)
        assert head.test_cfg.max_per_img == 20
