"""COCO annotations, read and judged one way by the check, the training and the scoring.

A flawed object is not taught, and not asked for either: it counts as a crowd where detections are
scored. So a detector that says what it was taught scores 100.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools import mask as rle

from mkd.errors import UserError
from mkd.files import shallow_stack

Item = Mapping[str, Any]

FARTHEST = 1e5
"""Coordinates of an outline, px: beyond, drawing it takes minutes and gigabytes."""


def read(path: Path) -> Any:
    """The content of an annotation file.

    It is JSON in UTF-8, -16 or -32, with or without a byte order mark.

    Raises:
        UserError: The file is missing, is not JSON, or names a key twice.
    """
    content = read_bytes(path)
    try:
        with shallow_stack():
            return json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not valid JSON ({error}): it may be cut off, fetch or generate it again"
        ) from error


def read_bytes(path: Path) -> bytes:
    """The bytes of an annotation file.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"annotation file {path} cannot be read ({error.strerror}): "
            "put the data set there, or set its path in the configuration"
        ) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found


def flaw(item: Item, image: Item, masks: bool = False) -> str | None:
    """Why an object is not taught, or None.

    The rules are those of mmdet's ``CocoDataset``; the last one is for detectors with masks.

    Args:
        item: Its annotation.
        image: The record of its image.
        masks: Whether its mask is taught too.
    """
    if item.get("ignore"):
        return "marked to be ignored"
    if item["area"] <= 0:
        return "of area 0"
    x, y, width, height = item["bbox"]
    if width < 1 or height < 1:
        return "under 1 px wide or high"
    across = min(x + width, image["width"]) - max(x, 0)
    down = min(y + height, image["height"]) - max(y, 0)
    if across <= 0 or down <= 0:
        return "outside their image"
    if masks:
        mask = encode(item, image)
        if mask is not None and not rle.area(mask):
            return "with a mask of no pixel"
    return None


def encode(item: Item, image: Item) -> dict[str, Any] | None:
    """An object's mask as compressed RLE, from polygons or RLE; None where it has no sound one."""
    shape, size = item.get("segmentation"), [image["height"], image["width"]]
    if isinstance(shape, list):
        # As mmdet does, which leaves the other parts out.
        parts = [part for part in shape if _is_outline(part)]
        return dict(rle.merge(rle.frPyObjects(parts, *size))) if parts else None
    if not isinstance(shape, dict) or shape.get("size") != size:
        return None
    counts = shape.get("counts")
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts):
            return None
        return dict(rle.frPyObjects(shape, *size)) if sum(counts) == size[0] * size[1] else None
    if not isinstance(counts, str):
        return None
    return {"size": size, "counts": counts.encode()} if _runs(counts) == size[0] * size[1] else None


def is_rle(item: Item) -> bool:
    """Whether an object's mask is RLE, not polygons."""
    return isinstance(item.get("segmentation"), dict)


def _is_outline(part: Any) -> bool:
    return (
        isinstance(part, list)
        and len(part) >= 6
        and len(part) % 2 == 0
        and all(is_number(value) and abs(value) <= FARTHEST for value in part)
    )


def _runs(counts: str) -> int:
    """Pixels a compressed RLE says it covers; −1 where it is none.

    pycocotools writes past its memory, or ends at will, on text that is no RLE.
    """
    if not counts.isascii():  # half of a UTF-16 pair cannot be encoded at all
        return -1
    runs: list[int] = []
    value = shift = 0
    for letter in counts.encode():
        digit = letter - 48
        if not 0 <= digit < 64 or shift > 30:
            return -1
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        # From the fourth on a run is written as the difference to the one before the last.
        run = value + (runs[-2] if len(runs) > 2 else 0)
        if run < 0:
            return -1
        runs.append(run)
        value = shift = 0
    return -1 if shift else sum(runs)


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number of pixels that can be reckoned with."""
    # NaN and the infinities, which json.loads lets through, fail the comparison.
    return type(value) in (int, float) and abs(value) < 1e9


@dataclass(frozen=True)
class Truth:
    """What detections are scored against, under ids of its own.

    COCO's tools take an object with the id 0 for one that was not found, and cannot hold every id
    JSON can: all ids count from 1 here, images and categories in the order of their own.

    Attributes:
        content: COCO annotations; a flawed object is a crowd.
        images: The id of each image, by its id in the file.
        categories: The id of each category, by its id in the file.
    """

    content: dict[str, Any]
    images: dict[int, int]
    categories: dict[int, int]

    def number(self, detections: Iterable[Item]) -> list[dict[str, Any]]:
        """COCO results under these ids."""
        return [
            {
                **found,
                "image_id": self.images[found["image_id"]],
                "category_id": self.categories[found["category_id"]],
            }
            for found in detections
        ]


def truth(content: Item, masks: bool) -> Truth:
    """A whole annotation file as detections are scored against it.

    Args:
        content: The file's content.
        masks: Whether masks are scored: each object gets its mask as RLE.
    """
    images, categories = (
        {key: at for at, key in enumerate(sorted(r["id"] for r in content[kind]), start=1)}
        for kind in ("images", "categories")
    )
    by_id = {image["id"]: image for image in content["images"]}
    objects = []
    for number, item in enumerate(content["annotations"], start=1):
        image = by_id[item["image_id"]]
        ignored = bool(item.get("iscrowd")) or flaw(item, image, masks) is not None
        kept = {
            "id": number,
            "image_id": images[item["image_id"]],
            "category_id": categories[item["category_id"]],
            "bbox": item["bbox"],
            "area": item["area"],
            "iscrowd": int(ignored),
        }
        if masks:
            x, y, width, height = item["bbox"]
            box = [[x, y, x, y + height, x + width, y + height, x + width, y]]
            kept["segmentation"] = encode(item, image) or box
        objects.append(kept)
    numbered = {
        "images": [{**image, "id": images[image["id"]]} for image in content["images"]],
        "categories": [{**c, "id": categories[c["id"]]} for c in content["categories"]],
        "annotations": objects,
    }
    return Truth(numbered, images, categories)
