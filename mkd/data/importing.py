"""Data sets in the layouts of VOC and YOLO, written in COCO's.

Only annotations are written; images stay where they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pycocotools import mask as rle

from mkd.data import voc, yolo
from mkd.data.annotations import encode
from mkd.data.foreign import Box, Split
from mkd.errors import UserError
from mkd.files import read_json, write_json

OUT = "coco"
"""The folder of what is written, below the data set's own."""
MADE_BY = "mkd data import"
"""What such a file says of itself; another one is never replaced."""


def convert(root: Path) -> list[str]:
    """Write ``coco/train.json`` and ``coco/val.json``; nothing where a file of the set is broken.

    Args:
        root: Its folder, in VOC's or YOLO's layout.

    Returns:
        What was written, and the section ``data`` for a scale's file, line by line.

    Raises:
        UserError: It is neither layout, a file is broken (each is named), a class is unknown, a
            split is empty, or another file stands where these belong.
    """
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: name that of the data set")
    places = {name: root / OUT / f"{name}.json" for name in ("train", "val")}
    for path in places.values():
        _may_replace(path)
    if (root / "Annotations").is_dir():
        notes, names, splits = voc.read(root)
    elif sheet := yolo.sheet_of(root):
        notes, names, splits = yolo.read(root, sheet)
    else:
        raise UserError(
            f"{root} has neither VOC's layout (Annotations/, JPEGImages/, ImageSets/Main/) nor "
            "YOLO's (a .yaml file with train, val and names): bring it into one of them"
        )
    lines = list(notes)
    contents = {name: _content(splits[name], names) for name in places}
    for name, content in contents.items():
        empty = next((kind for kind in ("images", "annotations") if not content[kind]), None)
        if empty:
            what = "objects" if empty == "annotations" else empty
            raise UserError(
                "\n  ".join(
                    [f"the split {name} of {root} has no {what}: nothing is written", *lines]
                )
            )
    for name, path in places.items():
        content = contents[name]
        write_json(path, content)
        lines.append(
            f"{path}: {len(content['images'])} images, {len(content['annotations'])} objects, "
            f"{len(names)} classes ({', '.join(names[:6])}{', …' if len(names) > 6 else ''})"
        )
    sections = (f"{n}: [{OUT}/{n}.json, {_quoted(splits[n].images)}]" for n in places)
    lines += [
        "in your scale's file:",
        f"data: {{kind: coco, root: {_quoted(str(root.resolve()))}, {', '.join(sections)}}}",
    ]
    return lines


def _quoted(text: str) -> str:
    """Text as YAML reads it back within braces."""
    return yaml.safe_dump([text], default_flow_style=True, width=10**6, allow_unicode=True)[1:-2]


def _may_replace(path: Path) -> None:
    if not path.exists():
        return
    try:
        said = read_json(path)["info"]["made_by"]
    except (UserError, KeyError, TypeError):
        said = None
    if said != MADE_BY:
        raise UserError(f"{path} is there and was not written by `{MADE_BY}`: move it elsewhere")


def _content(split: Split, names: Sequence[str]) -> dict[str, Any]:
    """A split as COCO annotations; ids count from 1."""
    numbers = {name: at for at, name in enumerate(names, start=1)}
    images = [
        {"id": at, "file_name": name, "width": split.sizes[name][0], "height": split.sizes[name][1]}
        for at, name in enumerate(sorted(split.boxes), start=1)
    ]
    annotations = [
        {"id": at, "image_id": image, **item}
        for at, (image, item) in enumerate(_items(images, split.boxes, numbers), start=1)
    ]
    return {
        "info": {"made_by": MADE_BY},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
    }


def _items(
    images: Sequence[Mapping[str, Any]],
    boxes: Mapping[str, Sequence[Box]],
    numbers: Mapping[str, int],
) -> Iterator[tuple[int, dict[str, Any]]]:
    for image in images:
        for box in boxes[image["file_name"]]:
            left, top, right, bottom = (round(edge, 3) for edge in box.edges)
            width, height = round(right - left, 3), round(bottom - top, 3)
            item: dict[str, Any] = {
                "category_id": numbers[box.name],
                "bbox": [left, top, width, height],
                "area": round(width * height, 3),
                "iscrowd": 0,
            }
            if box.outline:
                item["segmentation"] = [[round(value, 3) for value in box.outline]]
                # Of the mask: an outline may go there and back, or cross itself. One without a
                # pixel leaves the box's.
                item["area"] = float(rle.area(encode(item, image))) or item["area"]
            if box.ignored:
                item["ignore"] = 1
            yield image["id"], item
