"""The layout of YOLO: a YAML file with ``train``, ``val`` and ``names``, and a text file an image.

The text file of an image in ``images/`` lies in ``labels/``. It has a line an object, in shares of
the image's sides.
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from mkd.data.foreign import (
    SUFFIXES,
    Box,
    Broken,
    Split,
    each,
    images,
    numbers_of,
    read_list,
    size_of,
)
from mkd.errors import UserError
from mkd.schemas import read_text

SLACK = 0.01
"""Share of a side by which a box of YOLO's may leave its image, as rounding does."""
KEYS = {"train", "val", "names"}
"""What a sheet must name."""


def sheet_of(root: Path) -> Path | None:
    """The YAML file of YOLO's layout: one with all :data:`KEYS`, ``data.yaml`` before others."""
    found = sorted(
        (path for path in root.iterdir() if path.suffix.lower() in (".yaml", ".yml")),
        key=lambda path: (not _has_keys(path), path.stem != "data", path.name),
    )
    return found[0] if found else None


def _has_keys(sheet: Path) -> bool:
    try:
        said = yaml.safe_load(sheet.read_bytes())
    # What is wrong with it is told when it is read.
    except (OSError, yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError):
        return False
    return isinstance(said, dict) and said.keys() >= KEYS


def read(root: Path, sheet: Path) -> tuple[list[str], list[str], dict[str, Split]]:
    """Read a data set.

    Args:
        root: Its folder.
        sheet: What :func:`sheet_of` found there.

    Returns:
        What is to be said of it, its classes, and its splits ``train`` and ``val``.

    Raises:
        UserError: The sheet or files are broken (each is named), or an image is in both splits.
    """
    text = read_text(sheet, "the file")
    try:
        said = yaml.safe_load(text)
        twice = _twice(yaml.compose(text, yaml.SafeLoader))
    # On a tag with a value that is none of its kind the loader's own code stumbles.
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{sheet} is not YAML: {' '.join(str(error).split())}") from error
    if twice:
        raise UserError(f"{sheet}: '{twice}' stands there twice: take one away")
    if not isinstance(said, dict) or not said.keys() >= KEYS:
        raise UserError(f"{sheet} does not name train, val and names: add what is missing")
    if "kpt_shape" in said:
        raise UserError(
            f"{sheet} is of key points (kpt_shape), whose labels are neither boxes nor outlines: "
            "write the labels of boxes"
        )
    names = _names(said["names"], sheet)
    if not isinstance(said.get("path") or "", str):
        raise UserError(f"{sheet}: path is {said['path']}: write the name of a folder")
    root = Path(os.path.abspath(root))
    above = root / (said.get("path") or "")
    notes, splits, files = [f"read {sheet}"], {}, {}
    if said.get("nc") not in (None, len(names)):
        notes.append(f"nc is {said['nc']} there and names has {len(names)}: names counts")
    for split in ("train", "val"):
        files[split] = _yolo_images(
            said[split], above if above.is_dir() else root, root, sheet, split
        )
        folder = _common(files[split])
        if not folder.is_relative_to(root):
            raise UserError(f"{sheet}: {split}: {folder} lies outside {root}: move it there")
        labels = {file: _label_file(file, root) for file in files[split]}
        splits[split] = Split(folder.relative_to(root).as_posix())
        read = partial(_label, labels=labels, folder=folder, names=names, split=splits[split])
        each(files[split], read, labels.__getitem__)
        notes += [*_unlabelled(split, labels), *_without_image(split, labels)]
    _check_apart(files["train"], files["val"], root, sheet)
    return notes, names, splits


def _unlabelled(split: str, labels: Mapping[Path, Path]) -> list[str]:
    without = [file for file, label in labels.items() if not os.path.lexists(label)]
    if not without:
        return []
    return [
        f"{split}: {len(without)} of {len(labels)} images have no file of labels and count as "
        f"showing nothing, the first is {without[0]} (its labels are looked for in "
        f"{labels[without[0]]})"
    ]


def _without_image(split: str, labels: Mapping[Path, Path]) -> list[str]:
    """Files of labels of which no image that could be read lies where it would be looked for."""
    places: dict[Path, set[Path]] = {}
    for image, label in labels.items():
        places.setdefault(label.parent, set()).add(image.parent)
    stems = {
        folder: {path.stem for path in folder.iterdir() if path.suffix.lower() in SUFFIXES}
        for folder in set().union(*places.values())
    }
    lost = [
        file
        for place, folders in sorted(places.items())
        for file in sorted(place.glob("*.txt"))
        # A list of the classes, as some tools write it among the labels.
        if file.name != "classes.txt" and not any(file.stem in stems[one] for one in folders)
    ]
    if not lost:
        return []
    return [
        f"{split}: {len(lost)} files of labels are left out, as no image of theirs is there (of "
        f"the kinds {', '.join(kind[1:] for kind in SUFFIXES)}), the first is {lost[0]}"
    ]


def _check_apart(train: Sequence[Path], val: Sequence[Path], root: Path, sheet: Path) -> None:
    # Of a link it is the image that counts, wherever that lies.
    taught, asked = ({file.resolve(): file for file in files} for files in (train, val))
    common = sorted(taught.keys() & asked.keys())
    if common:
        raise UserError(
            f"{asked[common[0]].relative_to(root)} and {len(common) - 1} more images are in train "
            f"and in val of {sheet}: what is scored must not be trained on, take them out of one"
        )


def _twice(node: yaml.Node | None) -> str:
    """The first key that a mapping of the sheet, or its ``names``, has twice; empty for none."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    keys = [str(key.value) for key, _ in pairs]
    for key, (_, below) in zip(keys, pairs, strict=True):
        inner = _twice(below) if key == "names" else ""
        if inner or keys.count(key) > 1:
            return inner or key
    return ""


def _names(said: Any, sheet: Path) -> list[str]:
    """Class names by number, from a list or from a mapping with the numbers as keys."""
    if isinstance(said, dict) and sorted(map(str, said)) == sorted(map(str, range(len(said)))):
        by_number = {str(key): value for key, value in said.items()}
        said = [by_number[str(at)] for at in range(len(by_number))]
    if not isinstance(said, list) or not said:
        raise UserError(f"{sheet}: names is no list of class names, nor one by number from 0")
    for name in said:
        if isinstance(name, bool) or not isinstance(name, str | int | float):
            raise UserError(
                f"{sheet}: names has {str(name)[:40]!r}, as YAML reads it: put quotes around names"
            )
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
        if name is None:
            raise UserError(f"{sheet}: {split} is empty: name a folder or a list of images")
        if place is None:
            raise UserError(f"{sheet}: {split}: there is no {text} in {above}: correct the path")
        if place.is_dir():
            found += [Path(os.path.abspath(path)) for path in images(place).values()]
        else:
            lines = filter(None, map(str.strip, read_list(place).splitlines()))
            found += [Path(os.path.abspath(place.parent / line)) for line in lines]
    if not found:
        raise UserError(f"{sheet}: {split}: there are no images in {said}: put them there")
    return list(dict.fromkeys(found))


def _common(files: Sequence[Path]) -> Path:
    parents = [file.parents for file in files]
    shortest = min(parents, key=len)
    return next(p for p in shortest if all(p in other for other in parents))


def _label_file(image: Path, root: Path) -> Path:
    """Where YOLO has the labels of an image: its last folder ``images`` is ``labels`` there.

    Only folders of the data set count, which may itself lie below one of that name.
    """
    inside = image.is_relative_to(root)
    parts = list(image.relative_to(root).parts if inside else image.parts)
    if "images" in parts[:-1]:
        at = len(parts) - 2 - parts[-2::-1].index("images")
        parts[at] = "labels"
    return Path(root if inside else "", *parts).with_suffix(".txt")


def _label(
    image: Path, labels: Mapping[Path, Path], folder: Path, names: Sequence[str], split: Split
) -> None:
    """Read the labels of one image; without a file it shows no object.

    Raises:
        Broken: They cannot be read.
    """
    if not image.is_file():
        raise Broken(f"belongs to the image {image}, which is not there")
    path, size = labels[image], size_of(image)
    boxes: list[Box] = []
    if os.path.lexists(path):
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
    values = numbers_of(words[1:])
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
