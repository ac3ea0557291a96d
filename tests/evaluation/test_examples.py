"""Which images are shown, and how a detection is judged."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mkd import jobs
from mkd.errors import UserError
from mkd.evaluation import examples
from mkd.experiment.suite import Suite
from mkd.report import pictures

NAMES = {1: "disc", 2: "ring"}


def thing(image: int, bbox: list[float], category: int = 1, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "bbox": bbox, "category_id": category,
            "area": bbox[2] * bbox[3], "iscrowd": 0, **more}  # fmt: skip


def seen(bbox: list[float], score: float, category: int = 1) -> dict[str, Any]:
    return {"image_id": 1, "bbox": bbox, "score": score, "category_id": category}


def test_images_come_by_id_and_need_two_objects_one_of_them_small() -> None:
    big, small = [0, 0, 50, 50], [0, 0, 31, 32]
    truth = {
        "images": [{"id": i} for i in (9, 4, 3, 2, 1)],
        "annotations": [
            thing(9, big), thing(9, small),
            thing(4, big), thing(4, small),
            thing(3, small),
            thing(2, big), thing(2, [0, 0, 32, 32]),
            thing(1, big), thing(1, small, iscrowd=1),
        ],
    }  # fmt: skip
    assert [image["id"] for image in examples.choose(truth)] == [4, 9]


def test_each_object_is_found_once_by_the_best_score() -> None:
    truth = [thing(1, [0, 0, 10, 10]), thing(1, [50, 50, 10, 10])]
    found = [seen([0, 0, 10, 9], 0.5), seen([1, 0, 10, 10], 0.9), seen([50, 50, 10, 4], 0.8)]
    judged = examples.judge(truth, found, NAMES)
    assert [box["score"] for box in judged["hit"]] == [0.9]
    assert [box["score"] for box in judged["false"]] == [0.8, 0.5]
    assert [box["bbox"] for box in judged["miss"]] == [[50, 50, 10, 10]]


def test_the_wrong_class_is_false_and_a_low_score_is_not_shown() -> None:
    truth = [thing(1, [0, 0, 10, 10])]
    judged = examples.judge(
        truth, [seen([0, 0, 10, 10], 0.9, 2), seen([0, 0, 10, 10], 0.29)], NAMES
    )
    assert [box["category"] for box in judged["false"]] == ["ring"]
    assert len(judged["miss"]) == 1


def test_a_detection_on_a_crowd_counts_for_nothing() -> None:
    truth = [thing(1, [0, 0, 100, 100], iscrowd=1)]
    judged = examples.judge(truth, [seen([10, 10, 20, 20], 0.9)], NAMES)
    assert judged == {"hit": [], "false": [], "miss": []}


@pytest.mark.parametrize(
    ("a", "b", "crowd", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], False, 1.0),
        ([0, 0, 10, 10], [5, 0, 10, 10], False, 1 / 3),
        ([0, 0, 10, 10], [10, 0, 10, 10], False, 0.0),
        ([0, 0, 10, 10], [5, 0, 10, 10], True, 0.5),
    ],
)
def test_iou(a: list[float], b: list[float], crowd: bool, expected: float) -> None:
    assert examples.iou(a, b, crowd=crowd) == pytest.approx(expected)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((300, 600, 3), 120, np.uint8))
    image = {"id": 1, "file_name": "a.png", "width": 600, "height": 300}
    truth = {
        "images": [image],
        "annotations": [thing(1, [0, 0, 20, 20]), thing(1, [100, 100, 90, 90], 2)],
        "categories": [{"id": key, "name": name} for key, name in NAMES.items()],
    }
    (tmp_path / "val.json").write_text(json.dumps(truth))
    found = {"bbox": [seen([0, 0, 20, 20], 0.7), {**seen([0, 0, 9, 9], 0.9), "image_id": 2}]}
    (tmp_path / "found.json").write_text(json.dumps(found))
    return {name: tmp_path / name for name in ("val.json", "found.json", "out.json", "a.png")}


def test_make_writes_what_the_picture_shows(files: dict[str, Path]) -> None:
    folder = files["a.png"].parent
    examples.make(folder, files["val.json"], {"plain <b>": files["found.json"]}, files["out.json"])
    written = json.loads(files["out.json"].read_text())
    assert written["rule"] == examples.RULE
    assert len(written["images"][0]["photo"]) < 20_000
    picture = str(pictures.detections(written))
    assert "2 objects, 1 small" in picture
    assert "1 found, 0 false, 1 missed" in picture
    assert "plain &lt;b&gt;" in picture
    assert picture.count("data:image/webp") == 1
    assert picture.count('href="#photo-0"') == 2


def test_a_false_detection_has_its_words_in_its_title_alone(files: dict[str, Path]) -> None:
    seen_twice = [seen([0, 0, 20, 20], 0.7), seen([50, 50, 20, 20], 0.6)]
    files["found.json"].write_text(json.dumps({"bbox": seen_twice}))
    folder = files["a.png"].parent
    examples.make(folder, files["val.json"], {"plain": files["found.json"]}, files["out.json"])
    picture = str(pictures.detections(json.loads(files["out.json"].read_text())))
    assert re.search(r"<title>false: \w+, score 0.60", picture)
    assert 'class="name b-hit"' in picture
    assert 'class="name b-false"' not in picture


def named(drawn: str) -> list[tuple[float, float, float, str]]:
    """Left end, line, height of letters and words of each name in a picture."""
    found = re.findall(
        r'<text class="name b-\w+" style="font-size:(\S+)px" x="(\S+)" y="(\S+)">(.*?)</text>',
        drawn,
    )
    return [(float(x), float(y), float(size), words) for size, x, y, words in found]


@pytest.mark.parametrize(
    "bbox",
    [[0, 0, 20, 20], [280, 0, 20, 20], [140, 180, 20, 20], [270, 190, 29, 9], [0, 190, 4, 5]],
)
def test_a_boxs_name_and_a_small_ones_corner_stay_in_the_picture(bbox: list[float]) -> None:
    box = {"bbox": bbox, "category": "disc", "small": True, "score": 0.87}
    image = {"width": 300, "height": 200}
    ((x, y, size, words),) = named(pictures.names([("hit", box)], image))
    assert words == "disc 0.87"
    assert 0 <= x <= 300 - 0.5 * size * len(words)
    assert 0.8 * size <= y <= 200
    drawn = str(pictures.outline("hit", box, image))
    places = re.findall(
        r'<rect class="corner b-hit" x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)">', drawn
    )
    (corner,) = (tuple(map(float, place)) for place in places)
    left, top, width, height = corner
    assert (left + width, top) == pytest.approx((bbox[0] + bbox[2], bbox[1]), abs=1e-3)
    assert 0 < width <= bbox[2]
    assert 0 < height <= bbox[3]


def test_names_cover_no_other_and_what_has_no_room_has_its_title() -> None:
    boxes = [
        {"bbox": [40 + at, 60 + at, 90, 50], "category": f"disc{at}", "small": False}
        for at in range(9)
    ]
    image = {"id": 1, "width": 300, "height": 200, "truth": boxes, "found": {}}
    picture = str(pictures.detections({"images": [{**image, "photo": "data:1"}]}))
    said = named(picture)
    assert 3 <= len(said) < len(boxes)
    for at, (x, y, size, _) in enumerate(said):
        for other_x, other_y, _, words in said[:at]:
            apart = abs(y - other_y) >= 0.99 * size
            assert apart or x >= other_x + 0.5 * size * len(words), words
    wide = {"bbox": [0, 20, 9, 9], "category": "a disc of a long name", "small": True}
    assert not pictures.names([("hit", wide)], {"width": 40, "height": 200})
    assert [f"<title>object: disc{at}</title>" in picture for at in range(9)] == [True] * 9


def test_every_tile_uses_the_photograph_of_its_own_image() -> None:
    none: dict[str, list[Any]] = {"hit": [], "miss": [], "false": []}
    images = [
        {"id": at, "photo": f"data:{at}", "width": 9, "height": 9, "truth": [],
         "found": {"plain": none}}
        for at in range(11, 17)
    ]  # fmt: skip
    differing = {"rule": "", "images": images[4:]}
    picture = str(pictures.detections({"images": images[:4], "differing": differing}))
    photos = dict(re.findall(r'<image id="(\S+)" href="data:(\d+)"', picture))
    tiles = re.findall(r'aria-label="Image (\d+), .*?<use href="#(\S+)"', picture)
    assert [(image, photos[used]) for image, used in tiles] == [
        (str(at), str(at)) for at in (11, 12, 15, 13, 14, 16) for _ in ("truth", "plain")
    ]


def test_two_runs_of_one_name_are_both_shown(
    own: Suite, files: dict[str, Path], checked: Callable[..., None]
) -> None:
    for annotations, images in own.settings.data.splits.values():
        for file, place in (("val.json", annotations), ("a.png", f"{images}/a.png")):
            path = own.data_root / place
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(files[file], path)
    checked(own, own.results / "data.json")
    own.runs["tiny-mkd"] = replace(own.runs["tiny-cwd"], id="tiny-mkd", teacher="m-baseline")
    for run, score in (("tiny-baseline", 0.7), ("tiny-cwd", 0.8), ("tiny-mkd", 0.9)):
        path = own.results / f"runs/{run}/seed0/detections.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"bbox": [seen([0, 0, 20, 20], score)]}))
    jobs.pictures(own, files["out.json"])
    (image,) = json.loads(files["out.json"].read_text())["images"]
    assert {name: judged["hit"][0]["score"] for name, judged in image["found"].items()} == {
        "RTMDet-tiny": 0.7,
        "RTMDet-tiny with CWD": 0.8,
        "RTMDet-tiny with CWD (tiny-mkd)": 0.9,
    }


def test_the_images_that_differ_most_are_found_and_said_to_be_so(files: dict[str, Path]) -> None:
    folder = files["a.png"].parent
    same = {"bbox": [seen([0, 0, 20, 20], 0.7), seen([100, 100, 90, 90], 0.8, 2)]}
    (folder / "same.json").write_text(json.dumps(same))
    found = {"first": files["found.json"], "one": files["found.json"]}
    found["other"] = folder / "same.json"
    examples.make(folder, files["val.json"], found, files["out.json"])
    differing = json.loads(files["out.json"].read_text())["differing"]
    assert [image["id"] for image in differing["images"]] == [1]
    assert "where one and other differ most" in differing["rule"]
    assert "Not chosen blindly" in str(
        pictures.detections(json.loads(files["out.json"].read_text()))
    )
    examples.make(
        folder,
        files["val.json"],
        dict.fromkeys(("a", "b"), folder / "same.json"),
        files["out.json"],
    )
    assert json.loads(files["out.json"].read_text())["differing"]["images"] == []


def test_the_most_different_image_comes_first_and_equal_ones_by_id() -> None:
    images = [{"id": at} for at in (3, 2, 1)]
    objects = {at: [thing(at, [0, 0, 10, 10]), thing(at, [50, 50, 10, 10])] for at in (1, 2, 3)}
    hit = [seen([0, 0, 10, 10], 0.9)]
    found = [{1: hit, 2: hit, 3: [*hit, *hit, *hit]}, {}]
    ranked = examples.differing(images, objects, found, NAMES)
    assert [image["id"] for image in ranked] == [3, 1]


@pytest.mark.parametrize("name", ["val.json", "found.json", "a.png"])
def test_a_missing_file_is_one_sentence(files: dict[str, Path], name: str) -> None:
    files[name].unlink()
    with pytest.raises(UserError, match=name):
        examples.make(
            files["a.png"].parent, files["val.json"], {"x": files["found.json"]}, files["out.json"]
        )
    assert not files["out.json"].exists()
