"""Detectors are mmdet's own, narrowed in order."""

import pytest

from mkd import detectors
from mkd.errors import UserError


@pytest.mark.parametrize(
    ("arch", "params_m", "macs_g"),
    [
        ("rtmdet-tiny", 4.90, 8.09),
        ("rtmdet-s", 8.89, 14.83),
        ("rtmdet-m", 24.71, 39.21),
        ("rtmdet-l", 52.32, 80.12),
    ],
)
def test_params_and_macs_at_full_width(arch: str, params_m: float, macs_g: float) -> None:
    model = detectors.build(detectors.model_config(arch, 80))
    counted = detectors.complexity(model, 640)
    assert counted["params_m"] == pytest.approx(params_m, abs=0.005)
    assert counted["macs_g"] == pytest.approx(macs_g, abs=0.005)


def test_half_width_halves_every_recorded_channel() -> None:
    for layers in ("neck", "backbone"):
        full = detectors.feature_channels(detectors.model_config("rtmdet-s", 80), layers)
        half = detectors.feature_channels(detectors.model_config("rtmdet-s", 80, 0.5), layers)
        assert full == [2 * channels for channels in half]


def test_a_width_that_leaves_odd_channels_is_refused() -> None:
    with pytest.raises(UserError, match=r"width 0\.3 makes 96 channels of rtmdet-tiny into 28\.8"):
        detectors.model_config("rtmdet-tiny", 80, 0.3)


@pytest.mark.parametrize("layers", ["neck", "neck_output", "backbone"])
def test_feature_sources_are_modules_of_the_detector(layers: str) -> None:
    names = dict(detectors.build(detectors.model_config("rtmdet-tiny", 6, 0.5)).named_modules())
    for source, _ in detectors.feature_sources(layers):
        assert source in names


def test_without_mosaic_no_transform_keeps_state() -> None:
    first, second = detectors.train_pipelines("rtmdet-tiny", 128, False, (0.9, 1.1), False)
    assert first == second
    assert not any(step["type"].startswith("Cached") for step in first)
    sizes = [step.get("scale", step.get("size", step.get("crop_size"))) for step in first]
    assert {size for size in sizes if size} == {(128, 128)}


def test_at_paper_scale_the_pipelines_are_mmdets_own() -> None:
    first, second = detectors.train_pipelines("rtmdet-tiny", 640, True, None, False)
    official = detectors.official_config("rtmdet-tiny")
    assert first == official.train_pipeline
    assert second == official.train_pipeline_stage2
