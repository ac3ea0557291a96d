"""Any data set in COCO's layout, looked through before hours of training rest on it."""

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mkd.errors import UserError

_FIELDS: dict[str, dict[str, Any]] = {
    "images": {"id": int, "file_name": str, "width": int, "height": int},
    "annotations": {
        "id": int,
        "image_id": int,
        "category_id": int,
        "bbox": list,
        "area": int | float,
    },
    "categories": {"id": int, "name": str},
}
# COCO's own bounds between small, medium and large, in px² of annotation area.
_MEDIUM, _LARGE = 32**2, 96**2


@dataclass(frozen=True)
class DatasetSummary:
    """What one split holds: classes by id; crowd regions apart from the instances."""

    classes: tuple[str, ...]
    images: int
    instances: int
    crowds: int
    small: int
    medium: int
    large: int
    masks: bool
    """Whether every instance has a segmentation."""


def check(
    root: Path, annotations: str | Path, images: str | Path, decode: int | None = 32
) -> DatasetSummary:
    """Check one split, and sum it up.

    Every annotation record is looked at and every image file must exist; images spread evenly
    over the split are decoded in full and compared with their annotated size.

    Args:
        root: Folder of the data set.
        annotations: Annotation file, relative to ``root``.
        images: Folder of the images, relative to ``root``.
        decode: Number of images to decode; None for all (COCO's train2017 takes many minutes).

    Raises:
        UserError: A file is missing or unreadable, or the annotations do not hold together; the
            sentence names the first culprits.
    """
    path, folder = Path(root, annotations), Path(root, images)
    content = _load(path)
    classes = _unique(content["categories"], "category", path)
    known = _unique(content["images"], "image", path)
    _unique(content["annotations"], "annotation", path)
    for item in content["annotations"]:
        for field, ids in (("image_id", known), ("category_id", classes)):
            if item[field] not in ids:
                raise UserError(
                    f"annotation {item['id']} in {path} names the {field} {item[field]}, "
                    "which the file does not list: fetch or convert the annotations again"
                )
        box, area = item["bbox"], item["area"]
        if len(box) != 4 or not all(map(_is_number, [*box, area])):
            raise UserError(
                f"annotation {item['id']} in {path} has the bbox {box} and the area {area}, not "
                "[x, y, width, height] in px and a number of px²: convert the annotations again"
            )
    _check_files(content["images"], folder, path, decode)

    instances = [item for item in content["annotations"] if not item.get("iscrowd")]
    if not instances:
        raise UserError(f"{path} annotates no object: there is nothing to learn or measure")
    sizes = Counter((item["area"] >= _MEDIUM) + (item["area"] >= _LARGE) for item in instances)
    return DatasetSummary(
        classes=tuple(
            item["name"] for item in sorted(content["categories"], key=lambda item: item["id"])
        ),
        images=len(known),
        instances=len(instances),
        crowds=len(content["annotations"]) - len(instances),
        small=sizes[0],
        medium=sizes[1],
        large=sizes[2],
        masks=all(item.get("segmentation") for item in instances),
    )


def digest(root: Path, *splits: tuple[str | Path, str | Path]) -> str:
    """A data digest that is cheap at COCO's size: it reads no image.

    Args:
        root: Folder of the data set; its own name and place do not count.
        splits: Annotation file and image folder of each split, relative to ``root``.

    Returns:
        SHA-256, 64 hex digits, over each split's annotation bytes and its image files' sorted
        names and sizes in bytes; hidden files do not count.

    Raises:
        UserError: An annotation file or an image folder is missing.
    """
    total = hashlib.sha256()
    for annotations, images in splits:
        total.update(hashlib.sha256(_read(Path(root, annotations))).digest())
        for entry in sorted(_list(Path(root, images)), key=lambda entry: entry.name):
            total.update(f"{entry.name}\0{entry.stat().st_size}\n".encode())
        total.update(b"\0")
    return total.hexdigest()


def recorded_digest(record: Path) -> str:
    """The digest as ``mkd data`` wrote it.

    Raises:
        UserError: The file is missing or something else.
    """
    try:
        return str(json.loads(record.read_bytes())["digest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{record} is not what `mkd data` writes: run `mkd data --out {record}` first"
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"annotation file {path} cannot be read ({error.strerror}): "
            "put the data set there, or set its path in the configuration"
        ) from error


def _list(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return [
            entry
            for entry in os.scandir(folder)
            if entry.is_file() and not entry.name.startswith(".")
        ]
    except OSError as error:
        raise UserError(
            f"image folder {folder} cannot be read ({error.strerror}): "
            "put the images there, or set its path in the configuration"
        ) from error


def _load(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The annotation file, its three lists present, filled and with all their fields."""
    try:
        content = json.loads(_read(path))
    except ValueError as error:
        raise UserError(
            f"{path} is not valid JSON ({error}): it may be cut off, fetch or generate it again"
        ) from error
    for kind, fields in _FIELDS.items():
        records = content.get(kind) if isinstance(content, dict) else None
        if not isinstance(records, list) or not records:
            raise UserError(
                f"{path} lists no {kind}: it is not a COCO annotation file of instances, "
                "name the right one (COCO's are instances_*.json)"
            )
        for number, record in enumerate(records):
            held = record if isinstance(record, dict) else {}
            wrong = [f for f, kind_of in fields.items() if not isinstance(held.get(f), kind_of)]
            if wrong:
                raise UserError(
                    f"{path}: number {number} of its {kind} has no valid {', '.join(wrong)}: "
                    "convert the annotations to COCO's format of instances again"
                )
    return content


def _unique(records: list[dict[str, Any]], kind: str, path: Path) -> set[int]:
    counts = Counter(record["id"] for record in records)
    (common, times), *_ = counts.most_common(1)
    if times > 1:
        raise UserError(
            f"{path} gives the {kind} id {common} {times} times: ids must differ, "
            "convert or merge the annotations again"
        )
    return set(counts)


def _is_number(value: Any) -> bool:
    # NaN and the infinities, which json.loads lets through, fail the comparison.
    return isinstance(value, int | float) and abs(value) < 1e9


def _check_files(
    records: list[dict[str, Any]], folder: Path, path: Path, decode: int | None
) -> None:
    present = {entry.name for entry in _list(folder)}
    # File names with a folder in them are rare, and not in the listing.
    names = (record["file_name"] for record in records)
    missing = [n for n in names if n not in present and not (folder / n).is_file()]
    if missing:
        few = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise UserError(
            f"{len(missing)} of the {len(records)} images of {path} are missing in {folder} "
            f"({few}): fetch them again, or set the right image folder in the configuration"
        )
    count = len(records) if decode is None else min(decode, len(records))
    for number in range(count):
        record = records[number * len(records) // count]
        file = folder / record["file_name"]
        try:
            with Image.open(file) as image:
                image.load()
                size = image.size
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"image {file} is damaged ({error}): fetch it again") from error
        if size != (record["width"], record["height"]):
            raise UserError(
                f"image {file} is {size[0]} by {size[1]} px, but {path} says {record['width']} by "
                f"{record['height']}: images and annotations are of different data sets"
            )
