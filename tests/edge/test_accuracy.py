"""Detections of an exported file on the val set against torch's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mkd.data.splits import classes
from mkd.detectors import models
from mkd.edge import accuracy, engines, export, nms, opening, zoo
from mkd.edge.jobs import read_frames
from mkd.edge.opening import Settings
from mkd.evaluation import detection
from mkd.experiment import config
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.suite import Suite


@pytest.mark.slow
def test_the_exported_detector_detects_what_torch_does(smoke_data: Path, tmp_path: Path) -> None:
    suite = config.load({"scale": "smoke"})
    resolved = suite.resolve("tiny-baseline", 0)
    names = classes(smoke_data, suite.settings.data)
    model_config = models.model_config(ARCHITECTURES["rtmdet-tiny"], len(names), 0.5)
    detector = models.build(model_config).eval()
    card = zoo.card_of(model_config, model="m", arch="rtmdet-tiny", width=0.5, input_px=64)
    zoo.settle(detector, read_frames(_at(suite, smoke_data), "train", 4), card)
    detector.bbox_head.test_cfg.nms_pre = nms.PRE_TOP_K
    path = tmp_path / "m.onnx"
    export.export_raw(detector, card, path)
    test = detector.bbox_head.test_cfg
    nms.export(detector, {path: card}, test.nms.iou_threshold, test.score_thr, max_boxes=20)
    file = tmp_path / "m-detector.onnx"
    theirs = _by_image(detection.detect(detector, resolved, smoke_data))
    _, task, _ = opening.read(path, Settings())
    on_engine = accuracy.EngineDetector(
        engines.load("onnxruntime").open_model(task, path), detector
    )
    for model in (accuracy.OnnxDetector(file, detector), on_engine):
        _compare(_by_image(detection.detect(model.eval(), resolved, smoke_data)), theirs)


def _compare(ours: dict[int, np.ndarray], theirs: dict[int, np.ndarray]) -> None:
    assert ours.keys() == theirs.keys()
    assert len(ours) > 12
    for image, boxes in ours.items():
        np.testing.assert_allclose(boxes[:, 4], theirs[image][:, 4], atol=1e-3)
        # Scores may tie, so each box looks for its like anywhere among torch's.
        apart = np.abs(boxes[:, None] - theirs[image][None]).max(2).min(1)
        assert (apart < 0.5).mean() >= 0.9, image


def _at(suite: Suite, root: Path) -> Any:
    class Here:
        settings, data_root = suite.settings, root

    return Here()


def _by_image(found: dict[str, Any]) -> dict[int, np.ndarray]:
    images: dict[int, list[list[float]]] = {}
    for item in found["bbox"]:
        images.setdefault(item["image_id"], []).append([*item["bbox"], item["score"]])
    return {image: np.array(sorted(rows, key=lambda r: -r[4])) for image, rows in images.items()}
