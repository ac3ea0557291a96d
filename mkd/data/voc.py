"""The layout of VOC: ``Annotations/*.xml``, ``JPEGImages/``, ``ImageSets/Main/{train,val}.txt``.

Everingham et al. 2010.
"""

from pathlib import Path
from xml.etree import ElementTree

from mkd.data.foreign import Box, Broken, Split, each, images, numbers_of, read_list, size_of
from mkd.errors import UserError

# What VOC's own files and other tools write of an object that is not asked for.
DIFFICULT = {"": False, "0": False, "1": True, "false": False, "true": True}
MOST_XML = 2**22
"""Bytes of an annotation file that are read."""


def read(root: Path) -> tuple[list[str], list[str], dict[str, Split]]:
    """Read a data set.

    Args:
        root: Its folder.

    Returns:
        What is to be said of it, its classes, and its splits ``train`` and ``val``.

    Raises:
        UserError: A list is missing, files are broken (each is named), or an image is in both.
    """
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
    files = images(root / "JPEGImages")
    listed = {
        split: _listed(read_list(path), root / "Annotations") for split, path in lists.items()
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
            hint = ": write names without their suffix" if Path(stem).stem in files else ""
            raise Broken(f"has no image {stem} in {root}/JPEGImages{hint}")
        size, boxes = _xml(root / f"Annotations/{stem}.xml", files[stem])
        name = files[stem].relative_to(root / "JPEGImages").as_posix()
        splits[split].boxes[name], splits[split].sizes[name] = boxes, size

    items = [(split, stem) for split, stems in listed.items() for stem in stems]
    each(items, read, lambda item: root / f"Annotations/{item[1]}.xml")
    found = [box for split in splits.values() for boxes in split.boxes.values() for box in boxes]
    if not found:
        raise UserError(
            f"no file in {root}/Annotations has an object: each is an <object> with <name> and "
            "<bndbox>, in no namespace"
        )
    # VOC counts pixels from 1 and both ends lie within; other tools write edges from 0.
    from_one = min(min(box.edges[:2]) for box in found) >= 1
    note = "boxes are read as VOC defines them, pixels from 1 with both ends within"
    if from_one:
        for split in splits.values():
            split.boxes = {name: list(map(_from_one, boxes)) for name, boxes in split.boxes.items()}
    else:
        early = [
            f"{split.images}/{name}"
            for split in splits.values()
            for name, boxes in split.boxes.items()
            if any(min(box.edges[:2]) < 1 for box in boxes)
        ]
        note = (
            "all boxes are read as edges in pixels from 0, because boxes begin before 1 in "
            f"{len(early)} of {sum(len(split.boxes) for split in splits.values())} images, the "
            f"first is {early[0]}"
        )
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
    # In UTF-16, too.
    if b"<!" in content.replace(b"\0", b"").replace(b"<!--", b""):
        raise Broken("has a document type or entities, which an annotation does not need")
    try:
        tree = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Broken(f"is not XML ({error})") from error
    width, height = size = size_of(image)
    said = tuple(tree.findtext(f"size/{side}", "").strip() for side in ("width", "height"))
    if all(said) and numbers_of(said) not in ([0, 0], [width, height]):
        raise Broken(
            f"says {said[0]} by {said[1]} px and its image is {width} by {height} as shown"
        )
    boxes = []
    for number, item in enumerate(tree.iter("object"), start=1):
        name = item.findtext("name", "").strip()
        texts = [item.findtext(f"bndbox/{key}", "") for key in ("xmin", "ymin", "xmax", "ymax")]
        edges = numbers_of(texts)
        if not name or edges is None:
            raise Broken(f"has no name or no box of four numbers at its object {number}")
        left, top, right, bottom = edges
        if left > right or top > bottom:
            raise Broken(f"has a box whose end lies before its beginning: {edges}")
        if not (0 <= left <= right <= width and 0 <= top <= bottom <= height):
            raise Broken(f"has a box outside its image of {width} by {height} px: {edges}")
        difficult = item.findtext("difficult", "").strip().lower()
        if difficult not in DIFFICULT:
            raise Broken(f"has difficult {difficult!r} at its object {number}: write 0 or 1")
        boxes.append(Box(name, (left, top, right, bottom), (), DIFFICULT[difficult]))
    return size, boxes
