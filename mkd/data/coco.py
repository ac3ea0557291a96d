"""Any data set in COCO's layout, looked through before hours of training rest on it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkd.data import annotations as coco_annotations
from mkd.data import image_files
from mkd.data.annotations import Item, encode, flaw, is_number
from mkd.data.summary import DatasetSummary
from mkd.errors import UserError

_FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "images": {"id": (int,), "file_name": (str,), "width": (int,), "height": (int,)},
    "annotations": {
        "id": (int,),
        "image_id": (int,),
        "category_id": (int,),
        "bbox": (list,),
        "area": (int, float),
    },
    "categories": {"id": (int,), "name": (str,)},
}
_FLAGS = ("iscrowd", "ignore")
# COCO's own bounds between small, medium and large, in px² of annotation area.
_MEDIUM, _LARGE = 32**2, 96**2
MIN_SIDE = 32
"""mmdet's training leaves smaller images out, px."""
MOST = 100
"""Detections COCO's evaluation counts in an image and category."""
_LARGEST_ID = 2**63
MISREAD = 0.1
"""Share of boxes beyond their image from which on all are taken for misread."""


def check(
    root: Path,
    annotations: str | Path,
    images: str | Path,
    decode: int | None = 32,
    *,
    masks: bool = False,
    scored: bool = False,
    first: int | None = None,
) -> DatasetSummary:
    """Check one split, and sum it up as training, or the scoring, will see it.

    Every annotation record is looked at, and of every image file its size, in the frame that a
    viewer shows and OpenCV loads: turned as its EXIF says. Images spread evenly over the split
    are decoded in full.

    Args:
        root: Folder of the data set.
        annotations: Annotation file, relative to ``root``.
        images: Folder of the images, relative to ``root``.
        decode: Number of images to decode; None for all (COCO's train2017 takes many minutes).
        masks: Whether masks are taught and scored: every object must have one.
        scored: Whether detections are scored on the split; else it is trained on.
        first: Training takes that many of the images it keeps; None for all.

    Raises:
        UserError: A file is missing or unreadable, or the annotations do not hold together; the
            sentence names the first culprits.
    """
    path, folder = Path(root, annotations), Path(root, images)
    content = load(path)
    known = _check_content(content, path)
    image_files.check(content["images"], folder, path, decode)
    annotated = {item["image_id"] for item in content["annotations"]}
    kept = [i for i, image in known.items() if scored or _is_kept(image, annotated)]
    chosen = set(kept if scored else kept[:first])
    dropped: Counter[str] = Counter()
    for number, image in known.items():
        if number not in chosen and not scored:
            small = min(image["width"], image["height"]) < MIN_SIDE
            what = "without an annotation" if number not in annotated else "beyond train_images"
            dropped[f"images {f'under {MIN_SIDE} px' if small else what}"] += 1
    instances = []
    crowds = 0
    for item in content["annotations"]:
        image = known[item["image_id"]]
        if item["image_id"] not in chosen:
            continue
        if masks:
            _check_mask(item, image, path)
        why = flaw(item, image, masks)
        if why is not None:
            dropped[f"objects {why}"] += 1
        elif item.get("iscrowd"):
            crowds += 1
        else:
            instances.append(item)
    if not instances:
        dropped["objects marked as crowds"] = crowds
        reasons = ", ".join(f"{count} {why}" for why, count in dropped.items() if count)
        raise UserError(
            f"{path} annotates no object that can be taught or asked for"
            f"{f' ({reasons})' if reasons else ''}: convert the annotations again"
        )
    outside = sum(_leaves(item["bbox"], known[item["image_id"]]) for item in instances)
    if outside > len(instances) * MISREAD:
        raise UserError(
            f"{outside} of {len(instances)} boxes in {path} leave their image: a bbox is [x, y, "
            "width, height] in px, convert the annotations again"
        )
    doubtful = {
        "have the image, category and box of another": len(instances)
        - len({(item["image_id"], item["category_id"], *item["bbox"]) for item in instances}),
        "leave their image by more than a hundredth of its larger side": outside,
    }
    if scored:
        _check_crowding(instances, path)
    sizes = Counter((item["area"] >= _MEDIUM) + (item["area"] >= _LARGE) for item in instances)
    names = {item["id"]: item["name"] for item in content["categories"]}
    counted = Counter(names[item["category_id"]] for item in instances)
    return DatasetSummary(
        classes=tuple(names[number] for number in sorted(names)),
        objects={names[number]: counted[names[number]] for number in sorted(names)},
        images=len(known),
        usable=len(chosen) if scored else len({item["image_id"] for item in instances}),
        instances=len(instances),
        crowds=crowds,
        small=sizes[0],
        medium=sizes[1],
        large=sizes[2],
        masks=all(item.get("segmentation") for item in instances),
        densest=max(Counter(item["image_id"] for item in instances).values()),
        dropped=dict(dropped),
        doubtful={why: count for why, count in doubtful.items() if count},
    )


def _check_content(content: dict[str, Any], path: Path) -> dict[int, Item]:
    """Look at every record of an annotation file; its images by id."""
    _unique(content["categories"], "id", "category", path)
    _unique(content["categories"], "name", "category", path)
    for category in content["categories"]:
        if not category["name"].strip():
            raise UserError(f"{path} gives category {category['id']} no name: give it one")
    _unique(content["images"], "id", "image", path)
    _unique(content["images"], "file_name", "image", path)
    _unique(content["annotations"], "id", "annotation", path)
    known = {image["id"]: image for image in content["images"]}
    classes = {category["id"] for category in content["categories"]}
    for item in content["annotations"]:
        _check_item(item, known, classes, path)
    return known


def _check_mask(item: Item, image: Item, path: Path) -> None:
    if flaw(item, image) is None and encode(item, image) is None:
        raise UserError(
            f"annotation {item['id']} in {path} has no segmentation that is a polygon of three "
            "points or more or an RLE of its image's size, and the table of runs has a "
            "detector with masks: add the masks, or name a table of runs without"
        )


def _leaves(box: list[float], image: Item) -> bool:
    (x, y, w, h), width, height = box, image["width"], image["height"]
    slack = 0.01 * max(width, height)
    return min(x, y) < -slack or x + w > width + slack or y + h > height + slack


def load(path: Path) -> dict[str, list[Item]]:
    """The annotation file, its three lists present, filled and with all their fields."""
    content = coco_annotations.read(path)
    for kind, fields in _FIELDS.items():
        records = content.get(kind) if isinstance(content, dict) else None
        if not isinstance(records, list) or not records:
            raise UserError(
                f"{path} lists no {kind}: it is not a COCO annotation file of instances, "
                "name the right one (COCO's are instances_*.json)"
            )
        for number, record in enumerate(records):
            wrong = list(_wrong_fields(record, fields))
            if wrong:
                raise UserError(
                    f"{path}: number {number} of its {kind} has no valid {', '.join(wrong)}: "
                    "convert the annotations to COCO's format of instances again"
                )
    return dict(content)


def _wrong_fields(record: Any, fields: Mapping[str, tuple[type, ...]]) -> Iterator[str]:
    held = record if isinstance(record, dict) else {}
    for name, types in fields.items():
        value = held.get(name)
        # A bool is an int to isinstance.
        if type(value) not in types or (types == (int,) and abs(value or 0) >= _LARGEST_ID):
            yield name
    yield from (flag for flag in _FLAGS if held.get(flag) not in (None, 0, 1))


def _check_item(
    item: Mapping[str, Any], images: Mapping[int, Any], classes: set[int], path: Path
) -> None:
    for field, ids in (("image_id", images), ("category_id", classes)):
        if item[field] not in ids:
            raise UserError(
                f"annotation {item['id']} in {path} names the {field} {item[field]}, "
                "which the file does not list: fetch or convert the annotations again"
            )
    box, area = item["bbox"], item["area"]
    if len(box) != 4 or not all(map(is_number, [*box, area])):
        raise UserError(
            f"annotation {item['id']} in {path} has the bbox {box} and the area {area}, not "
            "[x, y, width, height] in px and a number of px²: convert the annotations again"
        )


def _unique(records: list[Item], field: str, kind: str, path: Path) -> None:
    (common, times), *_ = Counter(record[field] for record in records).most_common(1)
    if times > 1:
        raise UserError(
            f"{path} gives the {kind} {field} {common!r} {times} times: {field}s must differ, "
            "convert or merge the annotations again"
        )


def _is_kept(image: Mapping[str, Any], annotated: set[int]) -> bool:
    return image["id"] in annotated and min(image["width"], image["height"]) >= MIN_SIDE


def _check_crowding(instances: list[Item], path: Path) -> None:
    counted = Counter((item["image_id"], item["category_id"]) for item in instances)
    ((image, category), count), *_ = counted.most_common(1)
    if count > MOST:
        raise UserError(
            f"image {image} of {path} has {count} objects of the category {category}, and COCO's "
            f"evaluation counts {MOST} detections of a category in an image: cut the image into "
            "smaller ones, or mark groups as crowds"
        )
