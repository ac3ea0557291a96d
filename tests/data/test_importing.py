"""VOC's and YOLO's layouts, made from the suite's own data set and read back."""

import json
import random
import re
import shutil
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from mkd import cli, schemas
from mkd.data import coco, importing
from mkd.errors import UserError
from mkd.experiment.datasets import Coco

FEW = {"train": 8, "val": 4}


def truth(data: Path, split: str) -> dict[str, Any]:
    content = json.loads((data / f"annotations/instances_{split}.json").read_text())
    content["images"] = content["images"][: FEW[split]]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    return dict(content)


def write_yolo(data: Path, root: Path) -> Path:
    names: list[str] = []
    for split in FEW:
        content = truth(data, split)
        names = [category["name"] for category in content["categories"]]
        ids = [category["id"] for category in content["categories"]]
        for folder in ("images", "labels"):
            (root / folder / split).mkdir(parents=True)
        for image in content["images"]:
            name = image["file_name"]
            shutil.copy(data / split / name, root / f"images/{split}/{split}_{name}")
            lines = []
            for item in content["annotations"]:
                if item["image_id"] == image["id"]:
                    x, y, w, h = item["bbox"]
                    sides = (image["width"], image["height"]) * 2
                    values = (x + w / 2, y + h / 2, w, h)
                    shares = " ".join(f"{v / s:.8f}" for v, s in zip(values, sides, strict=True))
                    lines.append(f"{ids.index(item['category_id'])} {shares}")
            label = root / f"labels/{split}/{split}_{Path(name).stem}.txt"
            label.write_text("\n".join(lines))
    sheet = {"train": "images/train", "val": "images/val", "names": dict(enumerate(names))}
    (root / "data.yaml").write_text(yaml.safe_dump(sheet))
    return root


def boxes(content: dict[str, Any]) -> list[tuple[str, str, tuple[float, ...]]]:
    names = {category["id"]: category["name"] for category in content["categories"]}
    files = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
    return sorted(
        (files[a["image_id"]], names[a["category_id"]], tuple(a["bbox"]))
        for a in content["annotations"]
    )


def read_back(root: Path) -> Coco:
    """The section that is printed, as a scale's file would have it."""
    *_, section = importing.convert(root)
    return Coco(**yaml.safe_load(section)["data"])


@pytest.mark.parametrize("layout", ["voc", "voc from 0", "yolo"])
def test_every_box_comes_back_and_the_section_works(
    smoke_data: Path, voc: Callable[..., Path], tmp_path: Path, layout: str
) -> None:
    root = tmp_path / "a folder, with: odd {letters}"
    if layout == "yolo":
        write_yolo(smoke_data, root)
    else:
        voc(smoke_data, root, from_one=layout == "voc")
    if layout == "voc from 0":
        # One box at the edge tells that pixels count from 0.
        path = next(iter(sorted((root / "Annotations").iterdir())))
        tree = ElementTree.parse(path)
        next(tree.iter("xmin")).text = "0"
        tree.write(path)
    data = read_back(root)
    folder = data.folder(tmp_path, tmp_path)
    for split, pair in data.splits.items():
        found = coco.check(folder, *pair, decode=0, scored=split == "val")
        assert found.images == FEW[split]
        wanted = truth(smoke_data, split)
        for image in wanted["images"]:
            image["file_name"] = f"{split}_{image['file_name']}"
        ours, theirs = boxes(json.loads((folder / pair.annotations).read_text())), boxes(wanted)
        assert [item[:2] for item in ours] == [item[:2] for item in theirs]
        far = [
            abs(a - b)
            for one, other in zip(ours, theirs, strict=True)
            for a, b in zip(one[2], other[2], strict=True)
        ]
        # One edge was moved to 0.
        assert sum(value > 1.01 for value in far) <= 2 * (layout == "voc from 0")
        assert layout != "yolo" or max(far) < 0.01


def test_difficult_objects_are_neither_taught_nor_asked_for(
    smoke_data: Path, voc: Callable[..., Path], tmp_path: Path
) -> None:
    root = voc(smoke_data, tmp_path / "voc")
    for at, path in enumerate((root / "Annotations").iterdir()):
        yes = "1" if at % 2 else "True"
        path.write_text(path.read_text().replace("<difficult>0", f"<difficult>{yes}", 1))
    importing.convert(root)
    content = json.loads((root / "coco/val.json").read_text())
    assert sum(item.get("ignore", 0) for item in content["annotations"]) == FEW["val"]


def test_outlines_become_polygons(smoke_data: Path, tmp_path: Path) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    label = next(iter(sorted((root / "labels/val").iterdir())))
    label.write_text("0 0.25 0.25 0.75 0.25 0.75 0.5\n")
    importing.convert(root)
    content = json.loads((root / "coco/val.json").read_text())
    image = content["images"][0]
    item = next(a for a in content["annotations"] if "segmentation" in a)
    width, height = image["width"], image["height"]
    assert item["bbox"] == [width / 4, height / 4, width / 2, height / 4]
    assert item["area"] == pytest.approx(width * height / 16, rel=1e-3)


def test_a_box_that_rounding_moved_over_an_edge_ends_there(
    smoke_data: Path, tmp_path: Path
) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    label = next(iter(sorted((root / "labels/val").iterdir())))
    label.write_text("0 0.245 0.755 0.5 0.5\n0 0.755 0.245 0.5 0.5\n")
    importing.convert(root)
    content = json.loads((root / "coco/val.json").read_text())
    width, height = content["images"][0]["width"], content["images"][0]["height"]
    below, right = (item["bbox"] for item in content["annotations"][:2])
    assert below == pytest.approx([0, 0.505 * height, 0.495 * width, 0.495 * height], abs=0.01)
    assert right == pytest.approx([0.505 * width, 0, 0.495 * width, 0.495 * height], abs=0.01)


@pytest.mark.parametrize(
    ("folder", "changes"),
    [("set", {"path": "set"}), (".", {"train": "../images/train", "val": "../images/val"})],
)
def test_a_sheet_may_name_its_splits_from_another_folder(
    smoke_data: Path, tmp_path: Path, folder: str, changes: dict[str, str]
) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    wanted = boxes_of(root)
    sheet = yaml.safe_load((root / "data.yaml").read_text())
    (root / "data.yaml").write_text(yaml.safe_dump(sheet | changes))
    (root / folder).mkdir(exist_ok=True)
    for kind in ("images", "labels"):
        (root / kind).rename(root / folder / kind)
    assert boxes_of(root) == wanted


def boxes_of(root: Path) -> list[Any]:
    """Every box of both splits, imported anew."""
    importing.convert(root)
    return [boxes(json.loads((root / f"coco/{split}.json").read_text())) for split in FEW]


def test_a_missing_label_file_is_an_image_without_objects(smoke_data: Path, tmp_path: Path) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    next(iter(sorted((root / "labels/train").iterdir()))).unlink()
    said = importing.convert(root)
    assert len(json.loads((root / "coco/train.json").read_text())["images"]) == FEW["train"]
    assert "train: 1 of 8 images have no file of labels and count as showing nothing" in said[1]


@pytest.mark.parametrize(
    ("outline", "share"),
    [
        # Two squares of a quarter of the side, there and back along a line between them.
        ((0, 0, 0.25, 0, 0.25, 0.25, 0, 0.25, 0, 0, 0.5, 0.5, 0.5, 0.75, 0.75, 0.75, 0.75, 0.5,
          0.5, 0.5, 0, 0), 1 / 8),
        # Its corners in no order around it: half of it is drawn.
        ((0.25, 0.25, 0.75, 0.25, 0.25, 0.75, 0.75, 0.75), 1 / 8),
        # Nothing is drawn of a line; its box is thin.
        ((0.25, 0.25, 0.75, 0.25, 0.25, 0.2501), 0.5 * 0.0001),
    ],
)  # fmt: skip
def test_an_outlines_area_is_that_of_its_mask(
    smoke_data: Path, tmp_path: Path, outline: tuple[float, ...], share: float
) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    label = sorted((root / "labels/train").iterdir())[0]
    label.write_text(" ".join(map(str, (0, *outline))))
    importing.convert(root)
    content = json.loads((root / "coco/train.json").read_text())
    image = next(i for i in content["images"] if Path(i["file_name"]).stem == label.stem)
    (item,) = (a for a in content["annotations"] if a["image_id"] == image["id"])
    assert item["area"] == pytest.approx(share * image["width"] * image["height"], rel=0.08, abs=1)


def test_a_split_without_objects_says_where_labels_are_looked_for(
    smoke_data: Path, tmp_path: Path
) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    (root / "labels").rename(root / "Labels")
    with pytest.raises(UserError, match=r"has no objects: nothing is written(.|\n)*looked for in "):
        importing.convert(root)


def test_a_linked_image_has_the_labels_beside_the_link(smoke_data: Path, tmp_path: Path) -> None:
    root = write_yolo(smoke_data, tmp_path / "images" / "yolo")
    wanted = importing.convert(root)
    for at, path in enumerate(sorted((root / "images").rglob("*.bmp"))):
        path.rename(tmp_path / f"{at}.bmp")
        path.symlink_to(tmp_path / f"{at}.bmp")
    assert importing.convert(root) == wanted
    taught = next(iter((root / "images/train").iterdir()))
    (root / "images/val/again.bmp").symlink_to(taught.resolve())
    with pytest.raises(UserError, match=r"images/val/again\.bmp and 0 more images are in train"):
        importing.convert(root)


def test_images_of_a_linked_folder_are_read_and_hidden_ones_are_not(
    smoke_data: Path, tmp_path: Path
) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    for kind in ("images", "labels"):
        (root / kind / "train").rename(tmp_path / kind)
        (root / kind / "train").mkdir()
        (root / kind / "train/b").symlink_to(tmp_path / kind)
    hidden = root / "images/val/.ipynb_checkpoints/a-checkpoint.jpg"
    hidden.parent.mkdir()
    hidden.write_bytes(b"")
    importing.convert(root)
    counts = [len(json.loads((root / f"coco/{split}.json").read_text())["images"]) for split in FEW]
    assert counts == list(FEW.values())


def test_labels_that_are_there_and_cannot_be_read_are_broken(
    smoke_data: Path, tmp_path: Path
) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    first, second, *_ = sorted((root / "labels/train").iterdir())
    first.unlink()
    first.mkdir()
    second.unlink()
    second.symlink_to(root / "nowhere.txt")
    with pytest.raises(UserError, match="2 files are broken"):
        importing.convert(root)


@pytest.mark.parametrize("layout", ["voc", "yolo"])
def test_a_split_without_objects_is_refused(
    smoke_data: Path, voc: Callable[..., Path], tmp_path: Path, layout: str
) -> None:
    root = (voc if layout == "voc" else write_yolo)(smoke_data, tmp_path / layout)
    if layout == "voc":
        (root / "ImageSets/Main/val.txt").write_text("")
    else:
        shutil.rmtree(root / "labels/val")
    with pytest.raises(UserError, match="the split val of .* has no (images|objects)"):
        importing.convert(root)
    assert not (root / "coco").exists()


def spoiled(word: str) -> Callable[[Path], Any]:
    return lambda path: path.write_text(word)


def replaced(old: str, new: str) -> Callable[[Path], Any]:
    return lambda path: path.write_text(path.read_text().replace(old, new, 1))


LAUGHS = '<!DOCTYPE a [<!ENTITY b "lol"><!ENTITY c "&b;&b;&b;">]><annotation>&c;</annotation>'
READS = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation>&b;</annotation>'
XML = {
    "cut off": (spoiled("<annotation><object>"), "is not XML"),
    "empty": (spoiled(""), "is not XML"),
    "entities that grow": (spoiled(LAUGHS), "has a document type or entities"),
    "entities in UTF-16": (
        lambda path: path.write_bytes(LAUGHS.encode("utf-16")),
        "has a document type or entities",
    ),
    "an entity that reads a file": (spoiled(READS), "has a document type or entities"),
    "binary": (lambda path: path.write_bytes(b"\xff\xfe\x00\xd8" * 9), "is not XML"),
    "an unknown encoding": (spoiled('<?xml version="1.0" encoding="klingon"?><a/>'), "is not XML"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    "no name": (spoiled("<a><object><bndbox/></object></a>"), "has no name or no box"),
    "words for numbers": (replaced("<xmin>", "<xmin>nan"), "no box of four numbers"),
    "outside": (replaced("<xmax>", "<xmax>9"), "has a box outside its image"),
    "drawn from right to left": (
        lambda path: path.write_text(
            path.read_text().replace("xmin>", "@>").replace("xmax>", "xmin>").replace("@>", "xmax>")
        ),
        "has a box whose end lies before its beginning",
    ),
    "another size": (replaced("<width>", "<width>1"), "px and its image is"),
    "difficult": (replaced("<difficult>0", "<difficult>maybe"), "has difficult 'maybe' at its"),
}


def test_a_size_that_is_written_with_a_point_is_the_same(
    smoke_data: Path, voc: Callable[..., Path], tmp_path: Path
) -> None:
    root = voc(smoke_data, tmp_path / "voc")
    wanted = importing.convert(root)
    for path in (root / "Annotations").iterdir():
        text = re.sub(r"<(width|height)>(\d+)<", r"<\1>\2.0<", path.read_text())
        assert ".0<" in text
        path.write_text(text)
    assert importing.convert(root) == wanted


@pytest.mark.parametrize("kind", XML)
def test_a_broken_file_of_voc_is_named_and_nothing_is_written(
    smoke_data: Path,
    voc: Callable[..., Path],
    tmp_path: Path,
    kind: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = voc(smoke_data, tmp_path / "voc")
    spoil, words = XML[kind]
    first, second, *_ = sorted((root / "Annotations").iterdir())
    for path in (first, second):
        spoil(path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "import", str(root)])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("mkd: 2 files are broken, nothing is written")
    assert f"{first} " in said
    assert f"{second} " in said
    assert said.count(words) == 2
    assert not (root / "coco").exists()


YOLO = {
    "too few": ("0 0.5 0.5 0.1", "line 1: is no class number with four shares"),
    "six numbers": ("0 0.5 0.5 0.1 0.1 0.9", "line 1: is no class number|neither box nor outline"),
    "words": ("cat 0.5 0.5 0.1 0.1", "line 1: is no class number"),
    "not a number": ("0 0.5 nan 0.1 0.1", "line 1: is no class number"),
    "an unknown class": ("99 0.5 0.5 0.1 0.1", "line 1: names the class 99, and the last one is"),
    "a negative class": ("-1 0.5 0.5 0.1 0.1", "line 1: is no class number"),
    "pixels": ("0 12 12 5 5", "line 1: lies outside the image"),
    "over the left edge": ("0 0.1 0.5 0.24 0.1", "line 1: lies outside the image"),
    "over the lower edge": ("0 0.5 0.9 0.1 0.24", "line 1: lies outside the image"),
    "a negative side": ("0 0.5 0.5 -0.1 0.1", "line 1: lies outside the image"),
}


@pytest.mark.parametrize("kind", YOLO)
def test_a_broken_file_of_yolo_is_named(smoke_data: Path, tmp_path: Path, kind: str) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    line, words = YOLO[kind]
    label = next(iter(sorted((root / "labels/val").iterdir())))
    label.write_text(f"{line}\n")
    with pytest.raises(UserError, match=words) as caught:
        importing.convert(root)
    assert f"{label} " in str(caught.value)
    assert not (root / "coco").exists()


@pytest.mark.parametrize("text", ["[", "a: 1", "train: a\nval: b\nnames: {1: a}", "- 1", "",
                                  "train: nowhere\nval: images/val\nnames: [a]",
                                  "train: images/train\nval: images/val\nnames: [a, a]",
                                  "train: images/train\nval: images/train\nnames: [a,b,c,d,e,f]",
                                  "train: [images/train, images/val]\nval: images/val\n"
                                  "names: [a,b,c,d,e,f]",
                                  "train: images/train\nval: images/val\nkpt_shape: [17, 3]\n"
                                  "names: [a,b,c,d,e,f]",
                                  "train: images/train\nval:\nnames: [a,b,c,d,e,f]",
                                  "train: images/train\nval: images/val\nnames: [no,b,c,d,e,f]",
                                  "train: images/train\nval: images/val\nnames: [~,b,c,d,e,f]",
                                  "train: images/train\nval: images/val\nnames: [[a],b,c,d,e,f]",
                                  "train: images/train\nval: images/val\nnames: [a,b,c,d,e,f]\n"
                                  "names: [b,a,c,d,e,f]",
                                  "train: images/train\nval: images/val\n"
                                  "names: {0: a, 1: b, 2: c, 3: d, 4: e, 5: f, 0: g}",
                                  "train: images/train\nval: images/val\npath: [a]\n"
                                  "names: [a,b,c,d,e,f]",
                                  "train: 3\nval: [images/val]\nnames: !!python/object:os.x [a]",
                                  "? {a: 1}\n: b"])  # fmt: skip
def test_a_sheet_that_says_too_little(smoke_data: Path, tmp_path: Path, text: str) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    (root / "data.yaml").write_text(text)
    with pytest.raises(UserError, match=r"data\.yaml"):
        importing.convert(root)


def test_images_of_a_split_in_two_folders_with_nothing_in_common_are_known_again(
    smoke_data: Path, tmp_path: Path
) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    sheet = yaml.safe_load((root / "data.yaml").read_text())
    for split in FEW:
        (root / split).mkdir()
        for kind in ("images", "labels"):
            (root / kind / split).rename(root / split / kind)
    sheet |= {"train": ["train/images", "val/images"], "val": "val/images"}
    (root / "data.yaml").write_text(yaml.safe_dump(sheet))
    with pytest.raises(UserError, match="are in train and in val"):
        importing.convert(root)


def test_a_list_may_be_longer_than_a_small_file(smoke_data: Path, tmp_path: Path) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    few = sorted(str(path.relative_to(root)) for path in (root / "images/train").iterdir())
    (root / "train.txt").write_text("".join(f"{name}\n" for name in few * 10_000))
    assert (root / "train.txt").stat().st_size > schemas.MOST_BYTES
    sheet = yaml.safe_load((root / "data.yaml").read_text())
    (root / "data.yaml").write_text(yaml.safe_dump(sheet | {"train": "train.txt"}))
    importing.convert(root)
    assert len(json.loads((root / "coco/train.json").read_text())["images"]) == FEW["train"]


def test_labels_without_an_image_and_a_wrong_count_of_classes_are_told(
    smoke_data: Path, tmp_path: Path
) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    (root / "labels/train/classes.txt").write_text("cat")
    assert not [line for line in importing.convert(root) if "left out" in line]
    image = min((root / "images/train").iterdir())
    image.rename(image.with_suffix(".jfif"))
    (root / "labels/val/lost.txt").write_text("0 0.5 0.5 0.2 0.2")
    sheet = root / "data.yaml"
    sheet.write_text(sheet.read_text() + "nc: 99\n")
    said = importing.convert(root)
    assert "nc is 99 there and names has 6: names counts" in said
    lost = [line for line in said if "1 files of labels are left out" in line]
    assert [line.partition(":")[0] for line in lost] == ["train", "val"]
    assert lost[0].endswith(f"labels/train/{image.stem}.txt")


def test_of_several_sheets_the_one_that_names_splits_and_classes_is_taken(
    smoke_data: Path, tmp_path: Path
) -> None:
    root = write_yolo(smoke_data, tmp_path / "yolo")
    (root / "data.yaml").rename(root / "set.YAML")
    (root / "args.yaml").write_text("epochs: 3\n")
    assert importing.convert(root)[0] == f"read {root / 'set.YAML'}"


def test_the_first_box_that_begins_before_1_is_named(
    smoke_data: Path, voc: Callable[..., Path], tmp_path: Path
) -> None:
    root = voc(smoke_data, tmp_path / "voc")
    assert importing.convert(root)[0].startswith("boxes are read as VOC defines them")
    path = sorted((root / "Annotations").glob("train_*.xml"))[2]
    path.write_text(re.sub(r"<xmin>\d+", "<xmin>0", path.read_text(), count=1))
    said = importing.convert(root)[0]
    assert "because boxes begin before 1 in 1 of 12 images" in said
    assert f", the first is JPEGImages/{path.stem}." in said


def test_lists_of_trainval_and_test_and_of_one_class_are_read(
    smoke_data: Path, voc: Callable[..., Path], tmp_path: Path
) -> None:
    root = voc(smoke_data, tmp_path / "voc")
    wanted = boxes_of(root)
    for name, other in (("train", "trainval"), ("val", "test")):
        path = root / f"ImageSets/Main/{name}.txt"
        marked = zip(path.read_text().split(), cycle(("-1", " 1")))
        path.with_stem(other).write_text("".join(f"{stem} {mark}\n" for stem, mark in marked))
        path.unlink()
    assert boxes_of(root) == wanted


def test_what_is_scored_is_not_trained_on(
    smoke_data: Path, voc: Callable[..., Path], tmp_path: Path
) -> None:
    root = voc(smoke_data, tmp_path / "voc")
    lists = root / "ImageSets/Main"
    shutil.copy(lists / "train.txt", lists / "val.txt")
    with pytest.raises(UserError, match="must not be trained on"):
        importing.convert(root)


def test_a_users_own_file_is_never_replaced(
    smoke_data: Path, voc: Callable[..., Path], tmp_path: Path
) -> None:
    root = voc(smoke_data, tmp_path / "voc")
    importing.convert(root)
    importing.convert(root)
    (root / "coco/train.json").write_text('{"mine": 1}')
    with pytest.raises(UserError, match="was not written by `mkd data import`"):
        importing.convert(root)
    assert (root / "coco/train.json").read_text() == '{"mine": 1}'


def test_neither_layout(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither VOC's layout"):
        importing.convert(tmp_path)
    with pytest.raises(UserError, match="there is no folder"):
        importing.convert(tmp_path / "none")


def test_whatever_is_in_a_file_ends_in_a_sentence(
    smoke_data: Path, voc: Callable[..., Path], tmp_path: Path
) -> None:
    """Bytes changed, cut and doubled at random: it is read, or refused by name."""
    draw, refused = random.Random(0), []
    for layout, write in (("voc", voc), ("yolo", write_yolo)):
        root = write(smoke_data, tmp_path / layout)
        names = [
            path for path in sorted(root.rglob("*")) if path.suffix in (".xml", ".txt", ".yaml")
        ]
        kept = {path: path.read_bytes() for path in names}
        for _ in range(60):
            path = draw.choice(names)
            content = bytearray(kept[path])
            for _ in range(draw.randint(1, 6)):
                at = draw.randrange(len(content) + 1)
                content[at : at + draw.randint(0, 9)] = bytes(
                    draw.randrange(256) for _ in range(draw.randint(0, 6))
                )
            path.write_bytes(content)
            try:
                importing.convert(root)
            except UserError as error:
                refused.append(str(error))
            path.write_bytes(kept[path])
    assert len(refused) > 60
    assert all(str(tmp_path) in words for words in refused)


def test_a_comment_is_no_document_type_in_utf_16_either(
    smoke_data: Path, voc: Callable[..., Path], tmp_path: Path
) -> None:
    root = voc(smoke_data, tmp_path / "voc")
    path = next((root / "Annotations").iterdir())
    text = path.read_text().replace("<annotation>", "<annotation><!-- by hand -->", 1)
    path.write_bytes(text.encode("utf-16"))
    importing.convert(root)
    assert (root / "coco/val.json").is_file()
