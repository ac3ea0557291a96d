"""The fourteen detectors of Table 1."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mkd.edge import export, models, nms, zoo
from mkd.edge.preprocessing import prepare
from mkd.errors import UserError
from mkd.paper import facts

needs_mmyolo = pytest.mark.skipif(not models.mmyolo_installed(), reason="MMYOLO is not installed")


def test_the_zoo_is_table_1() -> None:
    archs = dict.fromkeys(row.arch for row in facts.load().table(1))
    assert list(models.MODELS) == list(archs)
    assert len(archs) == 14


def test_an_unknown_model_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match="unknown model 'yolov9': Table 1 has yolov5-n, "):
        zoo.build("yolov9")


def test_without_mmyolo_its_rows_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    assert models.available() == ["rtmdet-tiny", "rtmdet-s", "rtmdet-m", "rtmdet-l"]
    with pytest.raises(UserError, match="needs MMYOLO"):
        zoo.build("yolov7")


def test_rtmdet_tiny_counts_what_mmdet_publishes() -> None:
    detector, _ = zoo.build("rtmdet-tiny")
    counted = zoo.complexity(detector, "rtmdet-tiny", 640)
    assert (round(counted["params_m"], 1), round(counted["macs_g"], 1)) == (4.9, 8.1)
    assert counted["paper"] == {"params_m": 4.8, "macs_g": 8.1}
    assert counted["deviation"]["params_m"] == pytest.approx(0.02, abs=0.001)
    assert zoo.complexity(detector, "rtmdet-tiny", 320)["deviation"] is None


@needs_mmyolo
@pytest.mark.parametrize(
    ("model", "fused"), [("yolov6-s", 35), ("yolov7", 3), ("ppyoloe-l", 33), ("yolov6-l", 0)]
)
def test_deploy_form_computes_what_training_form_did(
    monkeypatch: pytest.MonkeyPatch, model: str, fused: int
) -> None:
    monkeypatch.setattr(zoo, "deploy", lambda detector: detector)
    detector, _ = zoo.build(model)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    raw = export.RawOutputs(detector).eval()
    with torch.no_grad():
        before = raw(images)
        monkeypatch.undo()
        zoo.deploy(detector)
        after = raw(images)
    names = [name for name, _ in detector.named_modules()]
    assert sum(name.endswith("rbr_reparam") for name in names) == fused
    assert not any("rbr_dense" in name or "rbr_1x1" in name for name in names)
    for one, two in zip(before, after, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4 * float(one.abs().max()))


@needs_mmyolo
@pytest.mark.slow
@pytest.mark.parametrize("model", ["yolov5-n", "yolox-m", "yolov6-s", "ppyoloe-l"])
def test_candidates_are_those_of_mmyolos_own_head(model: str, frames: Any) -> None:
    detector, card = zoo.build(model)
    card = replace(card, input_px=64)
    zoo.settle(detector, frames, card)
    images = torch.from_numpy(np.asarray(prepare(frames[0], card)))
    with torch.no_grad():
        raw = detector(images)
        sizes = [tuple(level.shape[2:]) for level in raw[0]]
        decode = nms.Candidates(detector, sizes, 64)
        boxes, scores, labels = decode(*(level for role in raw for level in role))
        (theirs,) = detector.bbox_head.predict_by_feat(
            *raw,
            batch_img_metas=[
                {"ori_shape": (64, 64), "scale_factor": np.ones(2), "img_shape": (64, 64)}
            ],
            cfg=detector.bbox_head.test_cfg,
            rescale=False,
            with_nms=False,
        )
    corners = theirs.bboxes.clamp(0, 64)
    kept = (corners[:, 2:] > corners[:, :2]).all(1)
    order = theirs.scores[kept].argsort(descending=True)[:100]
    torch.testing.assert_close(scores[:100], theirs.scores[kept][order])
    torch.testing.assert_close(boxes[:20], corners[kept][order][:20])
    assert (labels[:100] == theirs.labels[kept][order]).float().mean() > 0.95  # ties
