"""A published checkpoint: found by its name, scored as MMYOLO does, shown, or refused."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mkd import cli
from mkd.edge import models
from mkd.edge import suite as edge
from mkd.errors import UserError
from mkd.experiment import config, paths
from mkd.experiment.suite import Suite
from mkd.files import sha256_file
from mkd.results import formats, tables
from mkd.results.records import load_folder
from mkd.schemas import validate

NAME = Path(models.MODELS["yolov5-n"]).name
FEW = 4
PUBLISHED = {
    "kind": "published",
    "schema": 1,
    "model": "yolov7",
    "scale": "desk",
    "metrics": {"AP": 50.9, "AP50": None},
    "checkpoint": "yolov7_l_syncbn_fast_8x16b-300e_coco.pth",
    "digests": {"weights": "1" * 64, "data": "2" * 64},
    "commit": None,
    "dirty": False,
    "versions": {},
    "host": {"cpu": "A", "cores": 1, "memory_gb": 1, "gpu": [], "os": "Linux", "python": "3.11"},
    "started": "2026-01-01T00:00:00+00:00",
    "wall_s": 1.0,
}


@pytest.fixture
def coco(tiny_coco: Path, tmp_path: Path, checked: Callable[[Suite, Path], None]) -> Suite:
    """Scale lab over a few real images, its weights folder empty."""
    truth = json.loads((tiny_coco / "annotations/instances_val2017.json").read_bytes())
    truth["images"] = truth["images"][:FEW]
    kept = {image["id"] for image in truth["images"]}
    truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in kept]
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    for split in ("train2017", "val2017"):
        (root / f"annotations/instances_{split}.json").write_text(json.dumps(truth))
        (root / split).symlink_to(tiny_coco / "val2017")
    (tmp_path / "weights").mkdir()
    data = {"badges": str(root), "coco": str(root)}
    folders = {"results": str(tmp_path / "results"), "weights": str(tmp_path / "weights")}
    suite = config.load({"scale": "lab", "data": data, **folders})
    checked(suite, tmp_path / "data.json")
    return suite


def arguments(suite: Suite, model: str = "yolov5-n") -> list[str]:
    root = Path(suite.config["weights"]).parent
    settings = [f"{key}={json.dumps(suite.config[key])}" for key in ("data", "results", "weights")]
    return [
        *("published", "--model", model, "--data", str(root / "data.json")),
        *("--out", str(root / "record.json"), "--config", f"scale={suite.scale}", *settings),
    ]


def put(suite: Suite, state: Any) -> Path:
    """A checkpoint as mmengine writes it, its log included, under the name of a release."""
    from mmengine.logging import MessageHub

    hub = MessageHub("published")
    hub.update_scalar("train/loss", np.float64(1.5))
    saved = {"meta": {"epoch": 300}, "state_dict": state, "message_hub": hub.state_dict()}
    draft = Path(suite.config["weights"]) / "draft"
    torch.save(saved, draft)
    file = draft.with_name(f"{NAME}_20220919_090739-{sha256_file(draft)[:8]}.pth")
    draft.rename(file)
    return file


def test_two_files_that_may_be_a_release_are_one_sentence(tmp_path: Path) -> None:
    """A stand-in of random weights beside the release would be scored, or trained from, for it."""
    suite = config.load({"scale": "lab", "weights": str(tmp_path)})
    assert edge.checkpoint(suite, "yolov5-n") is None
    imagenet = suite.run("tiny-baseline").architecture.imagenet
    # What is still being fetched is no file yet.
    (tmp_path / f"{imagenet}.pth.part").touch()
    assert paths.imagenet_weights(suite, "tiny-baseline") == tmp_path / f"{imagenet}.pth"
    for name in (NAME, imagenet):
        (tmp_path / f"{name}_20220919_090739-8113c0eb.pth").touch()
    assert edge.checkpoint(suite, "yolov5-n") == tmp_path / f"{NAME}_20220919_090739-8113c0eb.pth"
    start = paths.imagenet_weights(suite, "tiny-baseline")
    assert start == tmp_path / f"{imagenet}_20220919_090739-8113c0eb.pth"
    for name in (NAME, imagenet):
        (tmp_path / f"{name}-random.pth").touch()
    with pytest.raises(UserError, match=r"yolov5-n may be .*random\.pth or .*: move all but one"):
        edge.checkpoint(suite, "yolov5-n")
    with pytest.raises(UserError, match=r"the ImageNet weights may be .*: move all but one"):
        paths.imagenet_weights(suite, "tiny-baseline")


needs_mmyolo = pytest.mark.skipif(not models.mmyolo_installed(), reason="MMYOLO is not installed")


@needs_mmyolo
@pytest.mark.slow
def test_a_checkpoint_is_found_and_scored_on_the_val_set(coco: Suite, tmp_path: Path) -> None:
    from mkd.edge import zoo

    assert edge.published_records(coco) == []
    torch.manual_seed(0)
    detector = zoo.mmyolo_build(zoo.mmyolo_config("yolov5-n").model)
    file = put(coco, detector.state_dict())
    assert edge.published_records(coco) == [f"{coco.results}/published/yolov5-n.json"]
    cli.main(arguments(coco))
    record = json.loads((tmp_path / "record.json").read_text())
    validate(record, "published", "the record")
    assert (record["checkpoint"], record["scale"]) == (file.name, "lab")
    data = json.loads((tmp_path / "data.json").read_text())["digest"]
    assert record["digests"] == {"weights": sha256_file(file), "data": data}
    assert record["metrics"]["AP"] < 5


@needs_mmyolo
@pytest.mark.slow
def test_labels_and_images_are_cocos_own_and_the_loader_mmyolos(
    coco: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detector that answers with the truth has an AP of nearly 100."""
    from mmengine.structures import InstanceData

    from mkd.edge import zoo
    from mkd.evaluation import detection, scoring

    whole = zoo.mmyolo_config("yolov5-n")
    detector = zoo.mmyolo_build(whole.model).eval()
    annotations = coco.data_root / "annotations/instances_val2017.json"
    truth = json.loads(annotations.read_bytes())
    classes = sorted(category["id"] for category in truth["categories"])
    sizes = set()

    def answer(self: Any, inputs: Any, data_samples: Any, mode: str) -> Any:
        for sample in data_samples:
            mine = [a for a in truth["annotations"] if a["image_id"] == sample.img_id]
            boxes = torch.tensor([a["bbox"] for a in mine], dtype=torch.float32)
            boxes[:, 2:] += boxes[:, :2]
            labels = torch.tensor([classes.index(a["category_id"]) for a in mine])
            scores = torch.ones(len(mine))
            sample.pred_instances = InstanceData(bboxes=boxes, scores=scores, labels=labels)
        sizes.add(tuple(inputs.shape[2:]))
        return data_samples

    monkeypatch.setattr(type(detector), "forward", answer)
    loader = whole.test_dataloader
    loader.dataset.data_root = str(coco.data_root)
    found = detection.coco_results(detector, loader, annotations, scope="mmyolo")
    assert len({item["image_id"] for item in found["bbox"]}) == FEW
    assert scoring.score(annotations, found)["metrics"]["box"]["AP"] > 95
    assert {max(size) for size in sizes} == {672}  # MMYOLO's rectangles, half a stride around


@needs_mmyolo
def test_a_checkpoint_that_is_not_sound_is_one_sentence(
    coco: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    file = put(coco, {"nothing": torch.ones(1)})
    assert _said(coco, capsys).startswith(f"mkd: the weights file {file} does not fit")
    file.unlink()
    file = put(coco, {"nothing": os.system})
    assert "names posix.system, which weights do not need" in _said(coco, capsys)
    file.rename(file.with_name(f"{NAME}_20220919_090739-00000000.pth"))
    file.with_name(f"{NAME}_20220919_090739-00000000.pth").write_bytes(b"")
    assert "is damaged, it is cut short" in _said(coco, capsys)


@pytest.mark.parametrize(
    ("model", "scale", "words"),
    [
        ("yolov5-n", "lab", f"holds no checkpoint of yolov5-n: put MMYOLO's release {NAME}_"),
        ("yolov5-n", "desk", "scale 'desk' has the data set badges"),
        ("rtmdet-tiny", "lab", "no published checkpoint is scored of 'rtmdet-tiny'"),
        ("yolov9", "lab", "no published checkpoint is scored of 'yolov9'"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(
    coco: Suite, capsys: pytest.CaptureFixture[str], model: str, scale: str, words: str
) -> None:
    if words.startswith("holds") and not models.mmyolo_installed():
        pytest.skip("MMYOLO is not installed")
    assert words in _said(replace(coco, scale=scale), capsys, model)


def test_published_weights_take_the_place_of_a_quoted_ap_and_say_so(tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    (tmp_path / "published/yolov7.json").write_text(json.dumps(PUBLISHED))
    records = load_folder(tmp_path, "desk")
    assert records.problems == []
    table = tables.build(records, config.load({"scale": "desk"}).runs, 1)
    text = [" ".join(line.split()) for line in formats.markdown(table, "s").splitlines()]
    lines = {line.split(" | ")[0][2:]: line for line in text}
    assert "| 50.9 (published weights) | – |" in lines["YOLOv7"]  # the paper has no AP50 of it
    assert lines["YOLOv5-n"].endswith("| quoted | quoted |")
    assert lines["RTMDet-l"].endswith("| not run | not run |")
    assert "its published weights were scored" in table.note
    assert "published weights" not in tables.build(load_folder(tmp_path, "lab"), {}, 1).note


def _said(suite: Suite, capsys: pytest.CaptureFixture[str], model: str = "yolov5-n") -> str:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments(suite, model))
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line
