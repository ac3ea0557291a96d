import json
import os
import shutil
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from mkd.data import annotations, badges, coco, fingerprint, overlap
from mkd.data.summary import table
from mkd.errors import UserError

TINY_COCO = Path(
    os.environ.get("MKD_TINY_COCO", Path(__file__).parents[3] / "shared" / "data" / "tiny_coco")
)
TRAIN = ("annotations/instances_train.json", "train")
VAL = ("annotations/instances_val.json", "val")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pristine") / "badges"
    badges.generate(root, 6, 2, processes=1, progress=False)
    return root


@pytest.fixture
def root(pristine, tmp_path) -> Path:
    return shutil.copytree(pristine, tmp_path / "badges")


@pytest.fixture
def refuse(root):
    def change_and_check(change) -> str:
        path = root / TRAIN[0]
        content = json.loads(path.read_text())
        path.write_text(json.dumps(change(content) or content))
        return refusal(root)

    return change_and_check


def refusal(root: Path, annotations: str = TRAIN[0], images: str = TRAIN[1], **options) -> str:
    with pytest.raises(UserError) as caught:
        coco.check(root, annotations, images, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(root) in sentence, "the sentence does not say where"
    return sentence


@pytest.mark.skipif(
    not TINY_COCO.is_dir(), reason=f"no real COCO images at {TINY_COCO} (MKD_TINY_COCO sets it)"
)
@pytest.mark.parametrize(("split", "instances", "crowds"), [("train", 465, 5), ("val", 377, 5)])
def test_real_coco_passes(split, instances, crowds):
    names = f"annotations/instances_{split}2017.json", f"{split}2017"
    found = coco.check(TINY_COCO, *names, decode=None)
    assert len(found.classes) == 80
    assert (found.classes[0], found.classes[-1]) == ("person", "toothbrush")
    assert (found.images, found.instances, found.crowds) == (50, instances, crowds)
    assert found.small + found.medium + found.large == instances
    assert min(found.small, found.medium, found.large) > 0
    assert found.masks
    assert len(fingerprint.digest(TINY_COCO, names)) == 64


def test_instances_without_a_segmentation_show_in_the_summary(root):
    path = root / TRAIN[0]
    content = json.loads(path.read_text())
    del content["annotations"][-1]["segmentation"]
    path.write_text(json.dumps(content))
    assert not coco.check(root, *TRAIN).masks


def test_missing_files_and_folders_are_named(root):
    assert "instances_2099.json cannot be read" in refusal(root, "instances_2099.json")
    assert "train2099 cannot be read" in refusal(root, images="train2099")
    for index in (1, 2, 3, 4):
        (root / f"train/{index:06d}.bmp").unlink()
    sentence = refusal(root)
    assert "4 of the 6 images" in sentence
    assert "000001.bmp, 000002.bmp, 000003.bmp, …" in sentence


def test_a_cut_annotation_file(root):
    path = root / TRAIN[0]
    path.write_bytes(path.read_bytes()[:-200])
    assert "not valid JSON" in refusal(root)


@pytest.mark.parametrize("text", ["[]", "{}", '{"images": [], "annotations": 3}', "\x00\xff"])
def test_a_file_of_another_kind(root, text):
    (root / TRAIN[0]).write_text(text, encoding="latin-1")
    assert "lists no images" in refusal(root) or "not valid JSON" in refusal(root)


@pytest.mark.parametrize("kind", ["images", "annotations", "categories"])
def test_an_empty_list_is_named(refuse, kind):
    assert f"lists no {kind}" in refuse(lambda content: {**content, kind: []})


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("images", "file_name", 7),
        ("images", "width", None),
        ("annotations", "image_id", "1"),
        ("annotations", "bbox", {"x": 1}),
        ("annotations", "area", None),
        ("categories", "name", None),
    ],
)
def test_a_field_of_a_wrong_type_is_named(refuse, kind, field, value):
    def change(content):
        content[kind][1][field] = value

    assert f"number 1 of its {kind} has no valid {field}" in refuse(change)


@pytest.mark.parametrize(
    ("kind", "field", "value", "said"),
    [
        ("annotations", "image_id", 999, "names the image_id 999"),
        ("annotations", "category_id", 999, "names the category_id 999"),
        ("annotations", "id", 2, "annotation id 2 2 times"),
        ("images", "id", 2, "image id 2 2 times"),
        ("images", "file_name", "000002.bmp", "image file_name '000002.bmp' 2 times"),
        ("categories", "id", 2, "category id 2 2 times"),
        ("annotations", "bbox", [1, 2, 3], "has the bbox [1, 2, 3]"),
        ("annotations", "bbox", [1, 2, 3, float("nan")], "has the bbox [1, 2, 3, nan]"),
        ("annotations", "area", float("inf"), "the area inf"),
    ],
)
def test_records_that_do_not_hold_together(refuse, kind, field, value, said):
    def change(content):
        content[kind][0][field] = value

    assert said in refuse(change)


@pytest.mark.parametrize(
    ("beside", "touching"),
    [((-9, 5), (-8, 5)), ((64, 5), (63, 5)), ((5, -9), (5, -8)), ((5, 48), (5, 47))],
)
def test_a_box_wholly_beside_its_image_is_not_taught(beside, touching):
    def flaw(corner: tuple[int, int]) -> str | None:
        item = {"bbox": [*corner, 9, 9], "area": 81}
        return annotations.flaw(item, {"width": 64, "height": 48})

    assert flaw(beside) == "outside their image"
    assert flaw(touching) is None


def test_what_is_kept_and_looks_like_a_mistake_is_counted(root):
    path = root / TRAIN[0]
    content = json.loads(path.read_text())
    first = content["annotations"][0]
    content["annotations"].append({**first, "id": 10**6})
    path.write_text(json.dumps(content))
    found = coco.check(root, *TRAIN)
    assert found.doubtful == {"have the image, category and box of another": 1}
    assert "train: kept, but 1 have the image, category and box of another" in table(
        {"train": found}
    )


def test_corners_in_the_place_of_sides_are_told(refuse):
    def as_corners(content):
        for item in content["annotations"]:
            x, y, w, h = item["bbox"]
            item["bbox"] = [x, y, x + w, y + h]

    assert "boxes in" in (said := refuse(as_corners))
    assert "leave their image: a bbox is [x, y, width, height] in px" in said


def test_an_image_of_both_splits_is_refused(root):
    overlap.check_apart(root, TRAIN, VAL)
    shutil.copytree(root / "val", root / "train", dirs_exist_ok=True)
    overlap.check_apart(root, TRAIN, VAL)
    with pytest.raises(UserError, match=r"000000\.bmp and 1 more images are in train and in val"):
        overlap.check_apart(root, TRAIN, (VAL[0], TRAIN[1]))
    (root / "linked").symlink_to(root / "train")
    with pytest.raises(UserError, match="must not be trained on"):
        overlap.check_apart(root, TRAIN, (VAL[0], "linked"))


def test_a_val_image_that_is_a_copy_of_a_train_image_is_told(root):
    def said() -> str:
        return overlap.copied(root, TRAIN, VAL, *fingerprint.read_all(root, TRAIN, VAL)[1])

    assert said() == ""
    shutil.copy(root / "train/000004.bmp", root / "val/000001.bmp")
    assert "1 images are, byte for byte, images of train" in said()
    assert said().endswith("the first is 000001.bmp, in train 000004.bmp")
    # What no annotation file lists is in no split.
    (root / "train/more.bmp").write_bytes((root / "val/000000.bmp").read_bytes())
    assert "val: kept, but 1 images" in said()


def test_a_class_without_an_object_is_told_of_each_split(root):
    def change(split: str, *names: str) -> None:
        path = root / split
        content = json.loads(path.read_text())
        ids = {item["id"] for item in content["categories"] if item["name"] in names}
        content["annotations"] = [
            item for item in content["annotations"] if item["category_id"] not in ids
        ]
        path.write_text(json.dumps(content))

    first, second, *_ = coco.check(root, *TRAIN).classes
    change(TRAIN[0], first, second)
    asked = coco.check(root, *VAL, scored=True).objects
    gone, *_ = (name for name in sorted(asked, key=asked.__getitem__) if asked[name])
    change(VAL[0], gone)
    found = coco.check(root, *VAL, scored=True)
    shown = table({"train": coco.check(root, *TRAIN), "val": coco.check(root, *VAL, scored=True)})
    assert f"train: has no object of {first!r}, {second!r}, which training cannot learn" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("val: has no object of ")]
    assert repr(gone) in line
    assert sum(found.objects.values()) == found.instances
    assert list(found.objects) == list(found.classes)


def test_a_category_has_a_name(refuse):
    def change(content):
        content["categories"][0]["name"] = " "

    assert "no name: give it one" in refuse(change)


def test_only_crowds_are_nothing_to_learn(refuse):
    def change(content):
        for item in content["annotations"]:
            item["iscrowd"] = 1

    assert "annotates no object" in refuse(change)


def test_a_damaged_image_is_found_by_decoding(root):
    image = root / "train/000003.bmp"
    image.write_bytes(image.read_bytes()[:100_000])
    assert "000003.bmp is damaged" in refusal(root)
    # Two of six are the first and the fourth.
    assert "000003.bmp is damaged" in refusal(root, decode=2)
    assert coco.check(root, *TRAIN, decode=1).images == 6
    image.write_bytes(b"")
    assert "000003.bmp is damaged" in refusal(root, decode=None)


def test_exif_that_is_cut_off_is_a_damaged_image(root):
    image = root / "train/000003.bmp"
    Image.open(image).save(image, format="PNG")
    content, exif = image.read_bytes(), b"eXIfII*\0"
    chunk = struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif))
    at = content.index(b"IDAT") - 4
    image.write_bytes(content[:at] + chunk + content[at:])
    assert "000003.bmp is damaged" in refusal(root, decode=1)


def test_an_image_of_another_size(root):
    Image.new("RGB", (100, 50)).save(root / "train/000005.bmp")
    assert "is 100 by 50 px" in refusal(root)


def test_digest_follows_the_data_and_not_its_place(pristine, root):
    expected = fingerprint.digest(pristine, TRAIN, VAL)
    assert fingerprint.digest(root, TRAIN, VAL) == expected
    assert fingerprint.digest(root, VAL, TRAIN) != expected
    (root / "train/.hidden").touch()
    assert fingerprint.digest(root, TRAIN, VAL) == expected
    (root / "train/000000.bmp").rename(root / "train/renamed.bmp")
    assert fingerprint.digest(root, TRAIN, VAL) != expected
    (root / "train/renamed.bmp").rename(root / "train/000000.bmp")
    with (root / "val/000000.bmp").open("ab") as file:
        file.write(b"0")
    assert fingerprint.digest(root, TRAIN, VAL) != expected


def test_digest_follows_the_annotations(pristine, root):
    path = root / VAL[0]
    path.write_text(path.read_text().replace("disc-0", "disc-9"))
    assert fingerprint.digest(root, TRAIN, VAL) != fingerprint.digest(pristine, TRAIN, VAL)
    path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        fingerprint.digest(root, TRAIN, VAL)
