"""Data sets checked as a whole: what the check accepts, a detector that learned it scores 100 on.

A seeded generator makes small data sets in COCO's layout and spoils them in every field. The
oracle answers with the labels the training's data set gives, by way of the metric that writes real
detections down.
"""

import copy
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

# isort: split
import numpy as np
import torch
from mmdet.registry import DATASETS, METRICS
from mmengine.structures import InstanceData
from PIL import Image
from pycocotools import mask as rle

from mkd import jobs
from mkd.data import annotations as coco_annotations
from mkd.data import coco, fingerprint, splits
from mkd.errors import UserError
from mkd.evaluation import scoring
from mkd.experiment import config
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.datasets import Coco
from mkd.experiment.runs import Run
from mkd.experiment.scale import Scale
from mkd.experiment.suite import Suite
from mkd.jobs.around import readable_images
from mkd.training.pretraining import CropDataset

FILES = {name: Path(split.annotations) for name, split in Coco.layout.items()}
FOLDERS = {name: Path(split.images) for name, split in Coco.layout.items()}
DATA = Coco(kind="coco")
NAMES = ("cat", "dog", "très long", "犬")


def polygon(x: float, y: float, w: float, h: float) -> list[list[float]]:
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def as_rle(item: dict[str, Any], image: dict[str, Any], compressed: bool) -> dict[str, Any]:
    encoded = coco_annotations.encode(item, image)
    assert encoded is not None
    if compressed:
        return {"size": encoded["size"], "counts": encoded["counts"].decode()}
    flat = rle.decode(encoded).ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return {
        "size": encoded["size"],
        "counts": np.diff(np.concatenate([[0], edges])).astype(int).tolist(),
    }


def plain(chance: random.Random) -> dict[str, Any]:
    """A sound annotation file of three images."""
    images = [
        {"id": at + 1, "file_name": f"{at}.png", "width": width, "height": height}
        for at, (width, height) in enumerate(((64, 48), (48, 64), (56, 56)))
    ]
    found: list[dict[str, Any]] = []
    for image in images:
        for _ in range(chance.randint(1, 5)):
            w, h = chance.randint(4, 30), chance.randint(4, 30)
            x, y = chance.randint(0, image["width"] - w), chance.randint(0, image["height"] - h)
            found.append(
                {
                    "id": len(found) + 1,
                    "image_id": image["id"],
                    "category_id": chance.randint(1, 4),
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": polygon(x, y, w, h),
                }
            )
    categories = [{"id": at + 1, "name": name} for at, name in enumerate(NAMES)]
    return {"images": images, "annotations": found, "categories": categories}


def write(
    root: Path, contents: dict[str, Any], orientation: int = 1, encode: str = "utf-8"
) -> None:
    for split, content in contents.items():
        (root / FILES[split]).parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, ensure_ascii=encode == "ascii")
        (root / FILES[split]).write_bytes(text.encode(encode, "surrogatepass"))
        for at, image in enumerate(content["images"]):
            name = image.get("file_name")
            if not isinstance(name, str) or not name or "\0" in name or name.startswith(("/", ".")):
                continue
            size = ((64, 48), (48, 64), (56, 56))[at % 3]
            if orientation > 4:
                size = size[::-1]
            path = root / FOLDERS[split] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            exif = Image.Exif()
            exif[0x112] = orientation
            Image.new("RGB", size, (at * 40, 90, 30)).save(path, "PNG", exif=exif)


def renumber(content: dict[str, Any], field: str, kind: str, new: Callable[[int], int]) -> None:
    for record in content[kind]:
        record["id"] = new(record["id"])
    for item in content["annotations"]:
        item[field] = new(item[field])


ODD: tuple[Any, ...] = (
    None,
    True,
    "1",
    1.5,
    -1,
    0,
    2**70,
    float("nan"),
    float("inf"),
    [],
    {},
    1e300,
)


def spoil(content: dict[str, Any], chance: random.Random) -> str:
    """One change, of any kind."""
    items, images, categories = (content[k] for k in ("annotations", "images", "categories"))
    item, image = chance.choice(items), chance.choice(images)
    x, y, w, h = item["bbox"] if len(item["bbox"]) == 4 else (1, 1, 9, 9)
    changes: dict[str, Callable[[], Any]] = {
        "any field": lambda: (
            r := chance.choice(chance.choice([items, images, categories])),
            r.__setitem__(chance.choice(list(r)), chance.choice(ODD)),
        ),
        "lost field": lambda: (
            (r := chance.choice(chance.choice([items, images, categories])))
            and r.pop(chance.choice(list(r)))
        ),
        "ids from 0": lambda: [a.__setitem__("id", n) for n, a in enumerate(items)],
        "ids below 0": lambda: [a.__setitem__("id", -n) for n, a in enumerate(items)],
        "huge ids": lambda: [a.__setitem__("id", 2**62 + n) for n, a in enumerate(items)],
        "same ids": lambda: item.__setitem__("id", items[0]["id"]),
        "image ids": lambda: renumber(content, "image_id", "images", lambda i: i * 10**9 - 10**9),
        "category ids": lambda: renumber(
            content, "category_id", "categories", lambda i: 90 - 30 * i
        ),
        "order": lambda: [chance.shuffle(part) for part in (items, categories)],
        "box of no size": lambda: item.__setitem__("bbox", [x, y, 0, 0]),
        "box below 0": lambda: item.__setitem__("bbox", [x, y, -w, h]),
        "box outside": lambda: item.__setitem__("bbox", [x + 500, y, w, h]),
        "box over the edge": lambda: item.__setitem__("bbox", [x - 9.25, y + 7.75, w, h]),
        "sliver": lambda: item.__setitem__("bbox", [x, y, 0.6, h]),
        "area 0": lambda: item.__setitem__("area", 0),
        "all areas 0": lambda: [a.__setitem__("area", 0) for a in items],
        "crowd": lambda: item.__setitem__("iscrowd", chance.choice([1, True])),
        "ignored": lambda: item.__setitem__("ignore", chance.choice([1, True])),
        "twin": lambda: items.append({**item, "id": 10**6 + len(items)}),
        "many": lambda: items.extend([{**item, "id": 10**7 + n} for n in range(120)]),
        "no mask": lambda: item.pop("segmentation", None),
        "empty mask": lambda: item.__setitem__(
            "segmentation", chance.choice([[], [[]], {}, [[1, 2, 3, 4]], "x", [["a"] * 6]])
        ),
        "thin mask": lambda: item.__setitem__("segmentation", [[x, y, x, y + h, x, y]]),
        "two parts": lambda: item.__setitem__(
            "segmentation", [*polygon(x, y, w, h), [1, 2, 3, 4], *polygon(x, y, 2, 2)]
        ),
        "far mask": lambda: item.__setitem__("segmentation", polygon(0, 0, 1e8, 9)),
        "RLE": lambda: item.__setitem__("segmentation", as_rle(item, owner(), True)),
        "all RLE": lambda: [
            a.__setitem__(
                "segmentation", as_rle(a, images[a["image_id"] - 1], chance.random() < 0.5)
            )
            for a in items
        ],
        "runs": lambda: item.__setitem__("segmentation", as_rle(item, owner(), False)),
        "broken RLE": lambda: item.__setitem__(
            "segmentation",
            {
                "size": [owner()["height"], owner()["width"]],
                "counts": chance.choice(
                    ["", "zz~", "o" * 40, "PPPPPP1", [1, 2], [-1, 4], "\u00e9"]
                ),
            },
        ),
        "turned RLE": lambda: item.__setitem__(
            "segmentation", {"size": [owner()["width"] + 1, 3], "counts": [0, 6]}
        ),
        "name": lambda: chance.choice(categories).__setitem__(
            "name", chance.choice(["Cat", "dog"])
        ),
        "one more category": lambda: categories.append({"id": 99, "name": "x"}),
        "folder": lambda: image.__setitem__("file_name", "a folder/ü ß/1 2.png"),
        "above": lambda: image.__setitem__(
            "file_name", chance.choice(["../0.png", "/etc/hostname", ".hidden.png", "", "a\0b"])
        ),
        "empty image": lambda: items.__setitem__(
            slice(None), [a for a in items if a["image_id"] != image["id"]] or items
        ),
        "extra": lambda: item.__setitem__("attributes", {"occluded": float("nan")}),
        "size": lambda: image.__setitem__("width", chance.choice([0, -1, 640])),
    }

    def owner() -> dict[str, Any]:
        return next(i for i in images if i["id"] == item["image_id"])

    kind = chance.choice(list(changes))
    try:
        changes[kind]()
    except (
        KeyError,
        TypeError,
        IndexError,
        StopIteration,
        ArithmeticError,
        ValueError,
        AssertionError,
    ):
        return "nothing"  # an earlier change is in the way
    return kind


@pytest.fixture(scope="module")
def base() -> Suite:
    return config.load({"scale": "desk"})


def suite_of(base: Suite, root: Path, masks: bool, **data: Any) -> Suite:
    """A scale over a data set of one's own, a batch an image."""
    settings = in_batches_of(1, base.settings, data=Coco(kind="coco", **data))
    arch = "rtmdet-ins-tiny" if masks else "rtmdet-tiny"
    runs = {"a": Run("a", arch, None, "baseline", {}, (1,))}
    folders = {"coco": str(root), "badges": str(root)}
    changed = {**base.config, "data": folders, "results": str(root / "results")}
    return replace(base, settings=settings, config=changed, runs=runs)


def in_batches_of(size: int, settings: Scale, **other: Any) -> Scale:
    parts = {
        name: getattr(settings, name).model_copy(update={"batch_size": size})
        for name in ("train", "pretrain")
        if getattr(settings, name)
    }
    return settings.model_copy(update={**parts, **other})


def taught(suite: Suite, masks: bool, pipeline: list[Any] | None = None) -> Any:
    data, root = suite.settings.data, suite.data_root
    classes = splits.classes(root, data)
    made = splits.dataset_config(data, root, "train", classes, pipeline or [], masks)
    # Serializing collects all garbage, a second at a time.
    return DATASETS.build({**made, "serialize_data": False})


def oracle(suite: Suite, masks: bool) -> dict[str, Any]:
    """Scores of the train set's labels, given as detections of the val images of those ids."""
    root = suite.data_root
    annotations = root / FILES["val"]
    names = ["bbox", "segm"] if masks else ["bbox"]
    prefix = root / "found"
    metric = METRICS.build(
        {
            "type": "NamedCocoMetric",
            "ann_file": str(annotations),
            "metric": names,
            "format_only": True,
            "outfile_prefix": str(prefix),
        }
    )
    dataset = taught(suite, masks)
    metric.dataset_meta = dataset.metainfo
    for at in range(len(dataset)):
        image = dataset.get_data_info(at)
        objects = [item for item in image["instances"] if not item["ignore_flag"]]
        boxes = torch.tensor([item["bbox"] for item in objects], dtype=torch.float64)
        found = InstanceData(
            bboxes=boxes.reshape(-1, 4),
            scores=torch.ones(len(objects)),
            labels=torch.tensor([item["bbox_label"] for item in objects], dtype=torch.long),
        )
        if masks:
            found.masks = [
                coco_annotations.encode({"segmentation": item["mask"]}, image) for item in objects
            ]
        shape = (image["height"], image["width"])
        metric.process(
            {}, [{"pred_instances": found, "img_id": image["img_id"], "ori_shape": shape}]
        )
    metric.compute_metrics(metric.results)
    read = {name: json.loads(Path(f"{prefix}.{name}.json").read_bytes()) for name in names}
    return dict(scoring.score(annotations, read)["metrics"])


def prepare(suite: Suite) -> dict[str, Any]:
    out = suite.data_root / "data.json"
    jobs.prepare_data(suite, out)
    return dict(json.loads(out.read_bytes()))


def same_but_mixed(content: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The same objects, its categories in another order and under other ids."""
    other = copy.deepcopy(content)
    renumber(other, "category_id", "categories", lambda i: 7 * (i * 3 % 5))
    chance.shuffle(other["categories"])
    return other


def test_of_what_is_accepted_the_own_labels_score_100(
    base: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts: Counter[str] = Counter()
    for seed in range(240):
        chance = random.Random(seed)
        content = plain(chance)
        masks = seed % 2 == 1
        changes = [spoil(content, chance) for _ in range(chance.randint(1, 3))]
        try:
            val = same_but_mixed(content, chance) if chance.random() < 0.5 else content
        except (KeyError, TypeError):
            val = content
        root = tmp_path / f"set {seed}"
        encoding = chance.choice(["utf-8", "utf-8-sig", "utf-16", "ascii", "utf-8", "latin-1"])
        try:
            write(root, {"train": content, "val": val}, chance.choice([1, 1, 2, 5, 6, 8]), encoding)
        except (UnicodeEncodeError, TypeError, ValueError):
            verdicts["not written"] += 1
            continue
        suite = suite_of(base, root, masks)
        where = f"seed {seed}, masks {masks}, {encoding}: {', '.join(changes)}"
        try:
            record = prepare(suite)
        except UserError as error:
            verdicts["refused"] += 1
            sentence = str(error)
            assert "\n" not in sentence, where
            assert not (root / "data.json").exists()
            continue
        except Exception as error:  # what it is all about
            raise AssertionError(where) from error
        verdicts["accepted"] += 1
        dataset = taught(suite, masks)
        objects = [o for at in range(len(dataset)) for o in dataset.get_data_info(at)["instances"]]
        summary = record["splits"]["train"]
        assert summary["instances"] == sum(not o["ignore_flag"] for o in objects), where
        for name, metrics in oracle(suite, masks).items():
            assert metrics["AP"] == 100, f"{where}: {name} {metrics}"
            assert set(metrics.values()) <= {100.0, None}, f"{where}: {name} {metrics}"
    assert verdicts["accepted"] > 60
    assert verdicts["refused"] > 60
    capsys.readouterr()
    print(dict(verdicts))


@pytest.fixture
def sound(base: Suite, tmp_path: Path) -> tuple[Suite, dict[str, Any]]:
    content = plain(random.Random(5))
    write(tmp_path, {"train": content, "val": content})
    return suite_of(base, tmp_path, False), content


def refused(suite: Suite) -> str:
    with pytest.raises(UserError) as caught:
        prepare(suite)
    return str(caught.value)


def test_categories_in_another_order_and_under_other_ids_change_nothing(
    sound: tuple[Suite, dict[str, Any]],
) -> None:
    suite, content = sound
    other = same_but_mixed(content, random.Random(1))
    assert [c["name"] for c in other["categories"]] != list(NAMES)
    write(suite.data_root, {"train": content, "val": other})
    prepare(suite)
    assert oracle(suite, False)["box"]["AP"] == 100
    crops = CropDataset(suite.data_root, DATA, 32)
    names = {c["id"]: c["name"] for c in content["categories"]}
    expected = [names[a["category_id"]] for a in content["annotations"]]
    assert Counter(crops.classes[label] for label in crops.labels) == Counter(expected)


@pytest.mark.parametrize(("name", "said"), [("Dog", "'dog'"), ("cat", "the category name 'cat' 2")])
def test_a_category_of_another_name_is_named(
    sound: tuple[Suite, dict[str, Any]], name: str, said: str
) -> None:
    suite, content = sound
    other = copy.deepcopy(content)
    other["categories"][1]["name"] = name
    write(suite.data_root, {"val": other})
    assert said in refused(suite)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_frame_that_is_checked_is_the_frame_that_is_loaded(
    sound: tuple[Suite, dict[str, Any]], orientation: int
) -> None:
    suite, content = sound
    write(suite.data_root, {"train": content, "val": content}, orientation)
    prepare(suite)
    for at, image in enumerate(content["images"]):
        loaded = taught(suite, False, [{"type": "LoadImageFromFile"}])[at]
        assert loaded["img"].shape[:2] == (image["height"], image["width"])
    if orientation > 4:
        for image in content["images"]:
            image["width"], image["height"] = image["height"], image["width"]
        text = json.dumps(content)
        for file in FILES.values():
            (suite.data_root / file).write_text(text)
        assert "as it is shown, turned as its EXIF says" in refused(suite)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("every", [1, 2])
def test_as_many_objects_are_taught_with_rle_as_with_polygons(
    sound: tuple[Suite, dict[str, Any]], every: int, compressed: bool
) -> None:
    from mkd.detectors import pipelines

    suite, content = sound
    root = suite.data_root
    suite = suite_of(suite, root, True)
    assert not splits.bitmap_masks(root, DATA)
    images = {image["id"]: image for image in content["images"]}
    for item in content["annotations"][::every]:
        item["segmentation"] = as_rle(item, images[item["image_id"]], compressed)
    write(root, {"train": content, "val": content})
    prepare(suite)
    assert splits.bitmap_masks(root, DATA)
    steps = pipelines.train_pipelines(ARCHITECTURES["rtmdet-ins-tiny"], 640, False, None, True)[0][
        :2
    ]
    dataset = taught(suite, True, [*steps, {"type": "PackDetInputs", "meta_keys": ()}])
    count = sum(len(dataset[at]["data_samples"].gt_instances) for at in range(len(dataset)))
    assert count == len(content["annotations"])


def test_objects_without_a_mask_are_said_where_masks_are_taught_alone(
    sound: tuple[Suite, dict[str, Any]],
) -> None:
    suite, content = sound
    del content["annotations"][0]["segmentation"]
    write(suite.data_root, {"train": content, "val": content})
    prepare(suite)
    assert "has no segmentation" in refused(suite_of(suite, suite.data_root, True))


def test_a_few_bad_boxes_are_counted_and_nothing_left_is_said(
    sound: tuple[Suite, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    suite, content = sound
    content["annotations"][0]["bbox"] = [3, 3, 0, 0]
    write(suite.data_root, {"train": content, "val": content})
    assert prepare(suite)["splits"]["train"]["dropped"] == {"objects under 1 px wide or high": 1}
    assert "left out 1 objects under 1 px" in capsys.readouterr().out
    assert len(CropDataset(suite.data_root, DATA, 32)) == len(content["annotations"]) - 1
    larger = replace(suite, settings=in_batches_of(4, suite.settings))
    assert "fewer than the 4 of one batch" in refused(larger)
    data = suite.settings.data.model_copy(update={"train_images": 99})
    part = replace(suite, settings=suite.settings.model_copy(update={"data": data}))
    assert "images, fewer than the 99 of scale" in refused(part)
    for item in content["annotations"]:
        item["area"] = 0
    write(suite.data_root, {"train": content, "val": content})
    assert "objects of area 0" in refused(suite)


def test_the_batch_of_crops_counts_where_crops_are_pretrained_on(
    sound: tuple[Suite, dict[str, Any]],
) -> None:
    suite, content = sound
    pretrain = config.load({"scale": "smoke"}).settings.pretrain
    assert pretrain is not None
    large = pretrain.model_copy(update={"batch_size": len(content["annotations"]) + 1})
    for start in ("none", "crops"):
        train = suite.settings.train.model_copy(update={"pretrained": start})
        changes = {"train": train, "pretrain": large}
        asked = replace(suite, settings=suite.settings.model_copy(update=changes))
        if start == "none":
            prepare(asked)
        else:
            assert "of one batch of the pretraining on crops" in refused(asked)


def test_a_split_that_is_trained_on_and_scored_is_refused(
    sound: tuple[Suite, dict[str, Any]],
) -> None:
    suite, _ = sound
    both = {split: list(DATA.splits["train"]) for split in ("train", "val")}
    assert "must not be trained on" in refused(suite_of(suite, suite.data_root, False, **both))


def test_val_images_that_are_copies_of_train_images_are_told(
    sound: tuple[Suite, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    suite, content = sound
    prepare(suite)
    count = len(content["images"])
    assert f"val: kept, but {count} images are, byte for byte, images of" in capsys.readouterr().out
    for path in (suite.data_root / FOLDERS["val"]).iterdir():
        image = Image.open(path).convert("RGB")
        image.putpixel((0, 0), (1, 2, 3))
        image.save(path)
    prepare(suite)
    assert "byte for byte" not in capsys.readouterr().out


def test_crops_of_one_class_are_no_pretraining(sound: tuple[Suite, dict[str, Any]]) -> None:
    suite = suite_of(config.load({"scale": "smoke"}), sound[0].data_root, False)
    prepare(suite)
    path = suite.data_root / FILES["train"]
    content = json.loads(path.read_text())
    for item in content["annotations"]:
        item["category_id"] = content["annotations"][0]["category_id"]
    path.write_text(json.dumps(content))
    assert "objects of one class alone" in refused(suite)


def test_images_beyond_those_a_scale_takes_are_not_counted(
    sound: tuple[Suite, dict[str, Any]],
) -> None:
    suite, _ = sound
    record = prepare(suite_of(suite, suite.data_root, False, train_images=2))
    assert record["splits"]["train"]["usable"] == 2
    assert record["splits"]["train"]["dropped"] == {"images beyond train_images": 1}


def test_changed_data_are_refused_and_moved_data_are_not(
    sound: tuple[Suite, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, _ = sound
    recorded = prepare(suite)["digest"]
    root, pairs = suite.data_root, Coco.layout.values()
    record = root / "data.json"
    assert fingerprint.verify(record, root, *pairs) == recorded
    image = root / FOLDERS["val"] / "0.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:-1] + b"X")
    with pytest.raises(UserError, match="have changed since `mkd data` checked them"):
        fingerprint.verify(record, root, *pairs)
    image.unlink()
    image.write_bytes(whole)
    read = []
    anew = fingerprint.digest
    monkeypatch.setattr(fingerprint, "digest", lambda *of: read.append(of) or anew(*of))
    # The second finds what the first has found.
    for _ in range(2):
        assert fingerprint.verify(record, root, *pairs) == recorded
    assert len(read) == 1
    with (root / FILES["train"]).open("a") as file:
        file.write(" ")
    with pytest.raises(UserError, match="put the earlier files back"):
        fingerprint.verify(record, root, *pairs)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "[" * 100_000, "\udcff"])
def test_json_that_two_readers_may_read_differently_is_refused(
    tmp_path: Path, text: str, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(partial(sys.setrecursionlimit, sys.getrecursionlimit()))
    sys.setrecursionlimit(10**6)  # as some libraries do
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match="not valid JSON"):
        coco_annotations.read(path)


def test_nothing_found_has_no_figure_for_sizes_that_are_not_there(
    sound: tuple[Suite, dict[str, Any]],
) -> None:
    suite, _ = sound
    metrics = scoring.score(suite.data_root / FILES["val"], {"bbox": []})["metrics"]["box"]
    assert (metrics["AP"], metrics["AP_S"], metrics["AP_L"]) == (0, 0, None)


def test_an_image_that_opencv_cannot_read_is_found_without_decoding_it(
    sound: tuple[Suite, dict[str, Any]],
) -> None:
    suite, _ = sound
    name = suite.data_root / FOLDERS["train"] / "0.png"
    Image.new("RGB", (64, 48)).save(name, "ICO", sizes=[(64, 48)])
    with pytest.raises(UserError, match=r"0\.png is damaged \(OpenCV reads no images of this"):
        coco.check(suite.data_root, FILES["train"], FOLDERS["train"], decode=0)


def test_a_broken_image_is_named_with_its_whole_path(tmp_path: Path) -> None:
    sentence = "/a folder/of mine/1 2.jpg of the"
    with pytest.raises(UserError, match=sentence), readable_images(tmp_path):
        raise AssertionError("failed to load image: /a folder/of mine/1 2.jpg")


@pytest.mark.parametrize("counts", ["\ud800", "é", ""])
def test_an_rle_of_other_letters_is_no_mask(counts: str) -> None:
    item = {"segmentation": {"size": [48, 64], "counts": counts}}
    assert coco_annotations.encode(item, {"height": 48, "width": 64}) is None
