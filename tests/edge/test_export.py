"""Exported graphs: what they compute and detect, and that distillation leaves them as they are."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import mkd.compat  # noqa: F401  (before mmdet)

# isort: split
from mmdet.structures import DetDataSample
from mmdet.testing import demo_mm_inputs

from mkd.edge import accuracy, engines, export, graph, jobs, nms, opening, quantize, zoo
from mkd.edge import metadata as cards
from mkd.edge.preprocessing import prepare
from mkd.errors import UserError
from mkd.evaluation import detection
from mkd.experiment import config


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_raw_outputs_are_torchs_on_real_images(exported: Any) -> None:
    found = export.check(exported.detector, exported.path, exported.inputs)
    assert set(found) == {f"{role}_{level}" for role in ("cls", "bbox") for level in range(3)}
    assert max(found.values()) < export.TOLERANCE


def test_weights_that_changed_after_the_export_are_noticed(exported: Any, small: Any) -> None:
    other, _ = small("rtmdet-tiny")
    other.load_state_dict(exported.detector.state_dict())
    with torch.no_grad():
        other.bbox_head.rtm_cls[0].bias += 1.0
    with pytest.raises(UserError, match="'cls_0' differs from torch"):
        export.check(other, exported.path, exported.inputs)


def test_an_output_that_is_no_number_is_noticed(exported: Any, tmp_path: Path) -> None:
    model = onnx.load(exported.path)
    (last,) = (node for node in model.graph.node if "cls_0" in node.output)
    last.output[0] = "before"
    nothing = onnx.helper.make_tensor("nothing", onnx.TensorProto.FLOAT, [], [float("nan")])
    model.graph.initializer.append(nothing)
    model.graph.node.append(onnx.helper.make_node("Add", ["before", "nothing"], ["cls_0"]))
    onnx.save(model, tmp_path / "nan.onnx")
    with pytest.raises(UserError, match="'cls_0' differs from torch by inf"):
        export.check(exported.detector, tmp_path / "nan.onnx", exported.inputs)


def test_the_detector_finds_what_mmdets_own_head_finds(exported: Any) -> None:
    detector, images = exported.detector, exported.inputs[0]
    boxes, scores, labels = session(cards.detector_path(exported.path)).run(
        ["boxes", "scores", "labels"], {"images": images}
    )
    detector.bbox_head.test_cfg.update(nms_pre=nms.PRE_TOP_K, max_per_img=50)
    detector.bbox_head.test_cfg.nms.iou_threshold = 0.65
    sample = DetDataSample(
        metainfo={"img_shape": (64, 64), "ori_shape": (64, 64), "scale_factor": (1.0, 1.0)}
    )
    with torch.no_grad():
        (theirs,) = detector(torch.from_numpy(images), [sample], mode="predict")
    theirs = theirs.pred_instances
    assert len(boxes) == len(theirs) == 50
    np.testing.assert_allclose(scores, theirs.scores, atol=1e-4)
    np.testing.assert_allclose(boxes, theirs.bboxes, atol=0.05)
    assert (labels == theirs.labels.numpy()).mean() > 0.95  # two scores may tie


def test_the_detector_keeps_what_scores_above_its_own_threshold(
    exported: Any, tmp_path: Path
) -> None:
    path, feed = tmp_path / "a.onnx", {"images": exported.inputs[0]}
    shutil.copy(exported.path, path)
    detector = cards.detector_path(path)

    def scores(least: float) -> np.ndarray:
        nms.export(exported.detector, {path: exported.card}, 0.65, least, max_boxes=50)
        (found,) = session(detector).run(["scores"], feed)
        return np.asarray(found)

    every = scores(0.001)
    middle = float(np.median(every))
    np.testing.assert_array_equal(scores(middle), every[every > middle])
    assert 0 < (every > middle).sum() < len(every)


def test_the_files_say_what_they_are(exported: Any) -> None:
    for path in (exported.path, cards.detector_path(exported.path)):
        model = onnx.load(path)
        assert [(o.domain, o.version) for o in model.opset_import] == [("", graph.OPSET)]
        assert cards.loads(model.metadata_props[0].value, path) == exported.card
        assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)


def test_a_distilled_student_exports_the_graph_of_its_baseline(
    exported: Any, distiller: Any, tmp_path: Path
) -> None:
    student = _distilled_once(distiller)
    path = tmp_path / "student.onnx"
    export.export_raw(student, exported.card, path)
    assert graph.signature(path) == graph.signature(exported.path)
    with pytest.raises(UserError, match="differs from torch"):  # so the weights are others
        export.check(student, exported.path, exported.inputs)


@pytest.mark.parametrize("change", ["operator", "attribute", "shape"])
def test_a_graph_that_does_other_work_has_another_signature(
    exported: Any, tmp_path: Path, change: str
) -> None:
    model = onnx.load(exported.path)
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    if change == "operator":
        next(n for n in model.graph.node if n.op_type == "Sigmoid").op_type = "Tanh"
    elif change == "attribute":
        next(a for a in conv.attribute if a.name == "strides").ints[0] += 1
    else:
        weight = next(w for w in model.graph.initializer if w.name == conv.input[1])
        weight.dims[0] += 1
    model.graph.doc_string = "no work"
    path = tmp_path / "changed.onnx"
    path.write_bytes(model.SerializeToString())
    assert graph.signature(path) != graph.signature(exported.path)


def test_a_detector_of_two_stages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="of two stages is not exported"):
        export.export_raw(None, cards.Card("m", "mask-rcnn-r50"), tmp_path / "x.onnx")


def test_a_mask_head_is_exported_raw(small: Any, frames: Any, tmp_path: Path) -> None:
    detector, card = small("rtmdet-ins-tiny")
    zoo.settle(detector, frames, card)
    path = tmp_path / "ins.onnx"
    export.export_raw(detector, card, path)
    found = export.check(detector, path, [prepare(frames[0], card)])
    levels = {f"{role}_{level}" for role in ("cls", "bbox", "kernel") for level in range(3)}
    assert set(found) == levels | {"mask_0"}
    with torch.no_grad():
        *_, masks = detector(torch.zeros(1, 3, 64, 64))
    assert session(path).get_outputs()[-1].shape == list(masks.shape)


@pytest.mark.parametrize("symmetric", [False, True])
def test_int8_has_a_scale_a_channel_and_a_range_a_tensor(
    exported: Any, tmp_path: Path, symmetric: bool
) -> None:
    path = tmp_path / "int8.onnx"
    quantize.to_int8(exported.path, exported.card, exported.inputs, path, symmetric)
    model = onnx.load(path)
    made = {output: node for node in model.graph.node for output in node.output}
    values = {value.name: onnx.numpy_helper.to_array(value) for value in model.graph.initializer}
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    for conv in convs:
        images, weight = (made[name] for name in conv.input[:2])
        assert images.op_type == weight.op_type == "DequantizeLinear"
        assert values[weight.input[0]].dtype == np.int8
        assert values[weight.input[1]].shape == (values[weight.input[0]].shape[0],)
        zero = values[images.input[2]]
        assert zero.dtype == (np.int8 if symmetric else np.uint8)
        assert zero == 0 or not symmetric
    assert len(convs) > 50
    card = cards.loads(model.metadata_props[0].value, path)
    assert card.precision == ("int8-symmetric" if symmetric else "int8")
    for ours, theirs in _both(path, exported):
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("symmetric", [False, True])
def test_int8_computes_what_fp32_does_to_a_step(tmp_path: Path, symmetric: bool) -> None:
    random = np.random.default_rng(0)
    weight = random.normal(size=(8, 3, 3, 3)).astype(np.float32)
    weight *= 10.0 ** np.arange(-4, 4)[:, None, None, None]  # one scale would lose seven of them
    images = random.normal(size=(1, 3, 16, 16)).astype(np.float32)
    kind = onnx.TensorProto.FLOAT
    nodes = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["images", "w"], ["y"], "conv", pads=[1, 1, 1, 1])],
        "conv",
        [onnx.helper.make_tensor_value_info("images", kind, images.shape)],
        [onnx.helper.make_tensor_value_info("y", kind, (1, 8, 16, 16))],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    model = onnx.helper.make_model(
        nodes,
        opset_imports=[onnx.helper.make_opsetid("", graph.OPSET)],
        ir_version=graph.IR_VERSION,
    )
    card = cards.Card("conv", input_px=16)
    graph.save(model, card, tmp_path / "conv.onnx")
    quantize.to_int8(tmp_path / "conv.onnx", card, [images], tmp_path / "int8.onnx", symmetric)
    ours, theirs = (
        session(tmp_path / name).run(None, {"images": images})[0][0]
        for name in ("int8.onnx", "conv.onnx")
    )
    # The output has one range, so its step is that of the loudest channel.
    assert np.abs(ours - theirs).max() < np.abs(theirs).max() / 50
    assert np.corrcoef(ours[7].ravel(), theirs[7].ravel())[0, 1] > 0.999


def test_fp16_halves_the_weights_and_keeps_fp32_ends(exported: Any, tmp_path: Path) -> None:
    path = tmp_path / "fp16.onnx"
    quantize.to_fp16(exported.path, exported.card, path)
    assert path.stat().st_size < 0.6 * exported.path.stat().st_size
    for ours, theirs in _both(path, exported):
        assert ours.dtype == np.float32
        assert np.abs(ours - theirs).max() < 0.02 * np.abs(theirs).max()


def test_calibration_is_on_train_images_spread_over_the_split(
    smoke_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never on val images, on which the file is scored. What an earlier export left is removed."""
    data = {"badges": str(smoke_data.parent), "coco": str(smoke_data.parent)}
    suite = config.load({"scale": "smoke", "data": data})
    given: list[Any] = []
    monkeypatch.setattr(jobs.export, "export_raw", lambda *_: None)
    monkeypatch.setattr(jobs.export, "check", lambda *_: {"a": 0.0})
    monkeypatch.setattr(jobs.quantize, "to_int8", lambda _, __, images, *___: given.extend(images))
    card = cards.Card("m", "rtmdet-ins-tiny", input_px=64)
    earlier = tmp_path / "a-int8-detector.onnx"
    earlier.write_bytes(b"")
    jobs._export(suite, None, card, tmp_path / "a.onnx", ["int8"], 3)
    listed = json.loads((smoke_data / "annotations/instances_train.json").read_text())["images"]
    wanted = [listed[at * len(listed) // 3]["file_name"] for at in range(3)]
    expected = [prepare(cv2.imread(str(smoke_data / "train" / name)), card) for name in wanted]
    assert [*map(np.array_equal, given, expected)] == [True] * 3
    assert not earlier.exists()


def test_an_empty_calibration_set_is_one_sentence(exported: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="calibration set of small is empty"):
        quantize.to_int8(exported.path, exported.card, [], tmp_path / "int8.onnx", False)
    assert not list(tmp_path.iterdir())


def _both(path: Path, exported: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    feed = {"images": exported.inputs[0]}
    return list(
        zip(session(path).run(None, feed), session(exported.path).run(None, feed), strict=True)
    )


def _distilled_once(distiller: Any) -> Any:
    """A student after one step of MKD, taken out of its distiller."""
    model = distiller("mkd", seed=3)
    batch = demo_mm_inputs(2, [[3, 64, 64]] * 2, num_classes=6, num_items=[2, 3])
    terms = model(**model.data_preprocessor(batch, True), mode="loss")
    loss, _ = model.parse_losses(terms)
    optimizer = torch.optim.SGD(model.student.parameters(), lr=0.01)
    loss.backward()
    optimizer.step()
    return model.student.eval()


@pytest.mark.slow
def test_the_exported_detector_detects_what_torch_does(exported: Any, smoke_data: Path) -> None:
    resolved = config.load({"scale": "smoke"}).resolve("tiny-baseline", 0)
    as_many = resolved.evaluate.model_copy(update={"max_per_image": 50})
    resolved = resolved.model_copy(update={"evaluate": as_many})
    detector, path = exported.detector, exported.path
    detector.bbox_head.test_cfg.nms_pre = nms.PRE_TOP_K
    theirs = _by_image(detection.detect(detector, resolved, smoke_data))
    _, task, _ = opening.read(path, opening.Settings())
    on_engine = accuracy.EngineDetector(
        engines.load("onnxruntime").open_model(task, path), detector
    )
    for model in (accuracy.OnnxDetector(cards.detector_path(path), detector), on_engine):
        _compare(_by_image(detection.detect(model.eval(), resolved, smoke_data)), theirs)


def _compare(ours: dict[int, np.ndarray], theirs: dict[int, np.ndarray]) -> None:
    assert ours.keys() == theirs.keys()
    assert len(ours) > 12
    for image, boxes in ours.items():
        np.testing.assert_allclose(boxes[:, 4], theirs[image][:, 4], atol=1e-3)
        # Scores may tie, so each box looks for its like anywhere among torch's.
        apart = np.abs(boxes[:, None] - theirs[image][None]).max(2).min(1)
        assert (apart < 0.5).mean() >= 0.9, image


def _by_image(found: dict[str, Any]) -> dict[int, np.ndarray]:
    images: dict[int, list[list[float]]] = {}
    for item in found["bbox"]:
        images.setdefault(item["image_id"], []).append([*item["bbox"], item["score"]])
    return {image: np.array(sorted(rows, key=lambda r: -r[4])) for image, rows in images.items()}
