"""Data sets in the layouts of VOC and YOLO, written in COCO's.

Only annotations are written; images stay where they are. VOC: ``Annotations/*.xml``,
``JPEGImages/`` and ``ImageSets/Main/{train,val}.txt`` (Everingham et al. 2010). YOLO: a YAML file
with ``train``, ``val`` and ``names``, and for each image in ``images/`` a text file in
``labels/``, a line an object, in shares of the image's sides.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import yaml
from PIL import Image

from mkd.data import coco
from mkd.errors import UserError
from mkd.files import read_json, write_json
from mkd.schemas import read_text

OUT = "coco"
"""The folder of what is written, below the data set's own."""
MADE_BY = "mkd data import"
"""What such a file says of itself; another one is never replaced."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
SHOWN = 20
"""So many broken files are named."""
MOST_XML = 2**22
"""Bytes of an annotation file that are read."""
SLACK = 0.01
"""Share of a side by which a box of YOLO's may leave its image, as rounding does."""


class Broken(ValueError):
    """What is wrong with one file, in words that follow its name."""


@dataclass(frozen=True)
class Box:
    """One object.

    Attributes:
        name: Its class.
        edges: Left, top, right and bottom in pixels from the image's corner.
        outline: A polygon x, y, x, y, … in pixels, where there is one.
        ignored: Whether it is not taught, and not asked for.
    """

    name: str
    edges: tuple[float, float, float, float]
    outline: tuple[float, ...] = ()
    ignored: bool = False


@dataclass
class Split:
    """The images of one split, by file name below ``images``."""

    images: str
    boxes: dict[str, list[Box]] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)


def convert(root: Path) -> list[str]:
    """Write ``coco/train.json`` and ``coco/val.json`` of a data set, both or neither.

    Args:
        root: Its folder, in VOC's or YOLO's layout.

    Returns:
        What was written, and the section ``data`` for a scale's file, line by line.

    Raises:
        UserError: It is neither layout, a file is broken (each is named), a class is unknown, or
            another file stands where these belong.
    """
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: name that of the data set")
    places = {name: root / OUT / f"{name}.json" for name in ("train", "val")}
    for path in places.values():
        _may_replace(path)
    if (root / "Annotations").is_dir():
        notes, names, splits = _voc(root)
    elif sheet := _sheet(root):
        notes, names, splits = _yolo(root, sheet)
    else:
        raise UserError(
            f"{root} has neither VOC's layout (Annotations/, JPEGImages/, ImageSets/Main/) nor "
            "YOLO's (a .yaml file with train, val and names): bring it into one of them"
        )
    lines = list(notes)
    for name, path in places.items():
        content = _content(splits[name], names)
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


def _voc(root: Path) -> tuple[list[str], list[str], dict[str, Split]]:
    lists = {name: root / f"ImageSets/Main/{name}.txt" for name in ("train", "val")}
    if not all(path.is_file() for path in lists.values()):
        lists = {
            name: root / f"ImageSets/Main/{other}.txt"
            for name, other in (("train", "trainval"), ("val", "test"))
        }
    missing = [path for path in lists.values() if not path.is_file()]
    if missing:
        raise UserError(
            f"{root}/ImageSets/Main has no train.txt and val.txt (or trainval.txt and test.txt): "
            "write both, the name of an image a line without its suffix"
        )
    files = _images(root / "JPEGImages")
    listed = {
        split: _listed(read_text(path, "the list"), root / "Annotations")
        for split, path in lists.items()
    }
    both = sorted(set(listed["train"]) & set(listed["val"]))
    if both:
        raise UserError(
            f"{both[0]} and {len(both) - 1} more images stand in {lists['train'].name} and in "
            f"{lists['val'].name}: what is scored must not be trained on, take them out of one"
        )
    splits = {split: Split("JPEGImages") for split in lists}

    def read(item: tuple[str, str]) -> None:
        split, stem = item
        if stem not in files:
            raise Broken(f"there is no image {stem} in {root}/JPEGImages")
        size, boxes = _xml(root / f"Annotations/{stem}.xml", files[stem])
        name = files[stem].relative_to(root / "JPEGImages").as_posix()
        splits[split].boxes[name], splits[split].sizes[name] = boxes, size

    items = [(split, stem) for split, stems in listed.items() for stem in stems]
    _each(items, read, lambda item: root / f"Annotations/{item[1]}.xml")
    found = [box for split in splits.values() for boxes in split.boxes.values() for box in boxes]
    if not found:
        raise UserError(f"no file in {root}/Annotations has an object")
    # VOC counts pixels from 1 and both ends lie within; other tools write edges from 0.
    from_one = min(min(box.edges[:2]) for box in found) >= 1
    note = "boxes are read as VOC defines them, pixels from 1 with both ends within"
    if from_one:
        for split in splits.values():
            split.boxes = {name: list(map(_from_one, boxes)) for name, boxes in split.boxes.items()}
    else:
        note = "a box begins at 0, so boxes are read as edges in pixels from 0"
    return [note], sorted({box.name for box in found}), splits


def _from_one(box: Box) -> Box:
    left, top, right, bottom = box.edges
    return Box(box.name, (left - 1, top - 1, right, bottom), (), box.ignored)


def _listed(text: str, annotations: Path) -> list[str]:
    """Names of a list; behind a name there may be a 1 or −1, as in VOC's lists by class."""
    stems = []
    for line in filter(None, map(str.strip, text.splitlines())):
        whole = (annotations / f"{line}.xml").is_file()
        stems.append(line if whole or " " not in line else line.split()[0])
    return list(dict.fromkeys(stems))


def _xml(path: Path, image: Path) -> tuple[tuple[int, int], list[Box]]:
    """Size and objects of one file of VOC's.

    Raises:
        Broken: It cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Broken(f"cannot be read ({error.strerror})") from error
    if len(content) > MOST_XML:
        raise Broken(f"is longer than {MOST_XML >> 20} MiB")
    # Entities can grow without end or read other files, and no annotation needs them.
    if b"<!" in content.replace(b"<!--", b""):
        raise Broken("has a document type or entities, which an annotation does not need")
    try:
        tree = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Broken(f"is not XML ({error})") from error
    width, height = size = _size(image)
    said = tuple(tree.findtext(f"size/{side}", "").strip() for side in ("width", "height"))
    if all(said) and said != ("0", "0") and said != (str(width), str(height)):
        raise Broken(
            f"says {said[0]} by {said[1]} px and its image is {width} by {height} as shown"
        )
    boxes = []
    for number, item in enumerate(tree.iter("object"), start=1):
        name = item.findtext("name", "").strip()
        texts = [item.findtext(f"bndbox/{key}", "") for key in ("xmin", "ymin", "xmax", "ymax")]
        edges = _numbers(texts)
        if not name or edges is None:
            raise Broken(f"has no name or no box of four numbers at its object {number}")
        left, top, right, bottom = edges
        if not (0 <= left <= right <= width and 0 <= top <= bottom <= height):
            raise Broken(f"has a box outside its image of {width} by {height} px: {edges}")
        ignored = item.findtext("difficult", "0").strip() == "1"
        boxes.append(Box(name, (left, top, right, bottom), (), ignored))
    return size, boxes


def _sheet(root: Path) -> Path | None:
    """The YAML file of YOLO's layout; ``data.yaml`` goes before others."""
    found = sorted(root.glob("*.y*ml"), key=lambda path: (path.stem != "data", path.name))
    return found[0] if found else None


def _yolo(root: Path, sheet: Path) -> tuple[list[str], list[str], dict[str, Split]]:
    try:
        said = yaml.safe_load(read_text(sheet, "the file"))
    # On a tag with a value that is none of its kind the loader's own code stumbles.
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{sheet} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(said, dict) or not {"train", "val", "names"} <= said.keys():
        raise UserError(f"{sheet} does not name train, val and names: add what is missing")
    names = _names(said["names"], sheet)
    above = root / str(said.get("path") or "")
    splits = {}
    for split in ("train", "val"):
        files = _yolo_images(said[split], above if above.is_dir() else root, root, sheet, split)
        folder = _common(list(files))
        if not folder.is_relative_to(root.resolve()):
            raise UserError(f"{sheet}: {split}: {folder} lies outside {root}: move it there")
        made = Split(folder.relative_to(root.resolve()).as_posix())
        _each(files, lambda file: _label(file, folder, names, made), _label_file)  # noqa: B023
        splits[split] = made
    common = sorted(
        {f"{splits['train'].images}/{name}" for name in splits["train"].boxes}
        & {f"{splits['val'].images}/{name}" for name in splits["val"].boxes}
    )
    if common:
        raise UserError(
            f"{common[0]} and {len(common) - 1} more images are in train and in val of {sheet}: "
            "what is scored must not be trained on, take them out of one"
        )
    return [f"read {sheet}"], names, splits


def _names(said: Any, sheet: Path) -> list[str]:
    """Class names by number, from a list or from a mapping with the numbers as keys."""
    if isinstance(said, dict) and sorted(map(str, said)) == sorted(map(str, range(len(said)))):
        by_number = {str(key): value for key, value in said.items()}
        said = [by_number[str(at)] for at in range(len(by_number))]
    if not isinstance(said, list) or not said:
        raise UserError(f"{sheet}: names is no list of class names, nor one by number from 0")
    names = [str(name).strip() for name in said]
    twice = next((name for name in names if names.count(name) > 1 or not name), None)
    if twice is not None:
        raise UserError(f"{sheet}: names has {twice!r} twice or an empty name: correct it")
    return names


def _yolo_images(said: Any, above: Path, root: Path, sheet: Path, split: str) -> list[Path]:
    found: list[Path] = []
    for name in said if isinstance(said, list) else [said]:
        text = str(name)
        # One export writes its folders as seen from a folder that is not there.
        places = [above / text, root / text, root / text.removeprefix("../")]
        place = next((path for path in places if path.exists()), None)
        if place is None:
            raise UserError(f"{sheet}: {split}: there is no {text} in {above}: correct the path")
        if place.is_dir():
            found += [path.resolve() for path in _images(place).values()]
        else:
            lines = filter(None, map(str.strip, read_text(place, "the list").splitlines()))
            found += [(place.parent / line).resolve() for line in lines]
    if not found:
        raise UserError(f"{sheet}: {split}: there are no images in {said}: put them there")
    return list(dict.fromkeys(found))


def _common(files: Sequence[Path]) -> Path:
    parents = [file.parents for file in files]
    shortest = min(parents, key=len)
    return next(p for p in shortest if all(p in other for other in parents))


def _label_file(image: Path) -> Path:
    """Where YOLO has the labels of an image: its last folder ``images`` is ``labels`` there."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        at = len(parts) - 2 - parts[-2::-1].index("images")
        parts[at] = "labels"
    return Path(*parts).with_suffix(".txt")


def _label(image: Path, folder: Path, names: Sequence[str], split: Split) -> None:
    """Read the labels of one image; without a file it shows no object.

    Raises:
        Broken: They cannot be read.
    """
    if not image.is_file():
        raise Broken(f"belongs to the image {image}, which is not there")
    path, size = _label_file(image), _size(image)
    boxes: list[Box] = []
    if path.is_file():
        try:
            text = read_text(path, "the file")
        except UserError as error:
            raise Broken(str(error).removeprefix(f"the file {path} ")) from error
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                boxes.append(_yolo_box(line.split(), size, names, number))
    name = image.relative_to(folder).as_posix()
    split.boxes[name], split.sizes[name] = boxes, size


def _yolo_box(words: Sequence[str], size: tuple[int, int], names: Sequence[str], line: int) -> Box:
    values = _numbers(words[1:])
    if not words[0].isdecimal() or values is None or (len(values) != 4 and len(values) < 6):
        raise Broken(f"line {line}: is no class number with four shares, or with an outline")
    if len(values) % 2:
        raise Broken(f"line {line}: has {len(values)} numbers, which is neither box nor outline")
    kind, (width, height) = int(words[0]), size
    outline: tuple[float, ...] = ()
    if kind >= len(names):
        raise Broken(f"line {line}: names the class {kind}, and the last one is {len(names) - 1}")
    if len(values) == 4:
        x, y, w, h = values
        edges = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    else:
        xs, ys = values[::2], values[1::2]
        edges = (min(xs), min(ys), max(xs), max(ys))
        outline = tuple(
            value * side
            for pair in zip(xs, ys, strict=True)
            for value, side in zip(pair, size, strict=True)
        )
    if min(edges) < -SLACK or max(edges) > 1 + SLACK or edges[0] > edges[2] or edges[1] > edges[3]:
        raise Broken(f"line {line}: lies outside the image, its numbers are shares from 0 to 1")
    left, top, right, bottom = (min(max(edge, 0.0), 1.0) for edge in edges)
    return Box(names[kind], (left * width, top * height, right * width, bottom * height), outline)


def _images(folder: Path) -> dict[str, Path]:
    """Images of a folder and of those below, by their path without the suffix.

    Raises:
        UserError: There is no such folder, or two images differ by their suffix alone.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: put the images there")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise UserError(f"{found[name]} and {path} have one name: take one away")
        found[name] = path
    return found


def _size(image: Path) -> tuple[int, int]:
    """Width and height as the image is shown.

    Raises:
        Broken: It is no image.
    """
    try:
        return coco.size(image, decode=False)
    except (OSError, SyntaxError, ValueError, cv2.error, Image.DecompressionBombError) as error:
        raise Broken(f"belongs to the image {image}, which is damaged ({error})") from error


def _numbers(texts: Sequence[str]) -> list[float] | None:
    try:
        values = [float(text) for text in texts]
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None


def _each(items: Sequence[Any], read: Callable[[Any], None], file: Callable[[Any], Path]) -> None:
    """Read every item, and name all the broken ones at once.

    Raises:
        UserError: One sentence a broken file.
    """
    wrong = []
    for item in items:
        try:
            read(item)
        except Broken as error:
            wrong.append(f"{file(item)} {' '.join(str(error).split())}")
    if wrong:
        more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        head = f"{len(wrong)} file{'s are' if len(wrong) > 1 else ' is'} broken, nothing is written"
        raise UserError(
            "\n  ".join([f"{head}; correct them, or take them out:", *wrong[:SHOWN], *more])
        )


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
                "area": _area(box.outline) if box.outline else round(width * height, 3),
                "iscrowd": 0,
            }
            if box.outline:
                item["segmentation"] = [[round(value, 3) for value in box.outline]]
            if box.ignored:
                item["ignore"] = 1
            yield image["id"], item


def _area(outline: Sequence[float]) -> float:
    """Of a polygon in px², by the shoelace formula."""
    points = list(zip(outline[::2], outline[1::2], strict=True))
    around = zip(points, points[1:] + points[:1], strict=True)
    return round(abs(sum(x * v - u * y for (x, y), (u, v) in around)) / 2, 3)
