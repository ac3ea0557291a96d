"""What data sets in other layouts than COCO's are read into, and what is said of broken files."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mkd.data import image_files
from mkd.data.fingerprint import list_files
from mkd.errors import UserError
from mkd.schemas import read_text

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
MOST_LIST = 1 << 28
"""Bytes of a list of images."""
SHOWN = 20
"""So many broken files are named."""


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


def images(folder: Path) -> dict[str, Path]:
    """Images of a folder and of those below, by their path without the suffix.

    Raises:
        UserError: There is no such folder, or two images differ by their suffix alone.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: put the images there")
    found: dict[str, Path] = {}
    # As the data are read: hidden files do not count, and linked folders do.
    for place in sorted(list_files(folder)):
        path = folder / place
        if path.suffix.lower() not in SUFFIXES:
            continue
        name = Path(place).with_suffix("").as_posix()
        if name in found:
            raise UserError(f"{found[name]} and {path} have one name: take one away")
        found[name] = path
    return found


def size_of(image: Path) -> tuple[int, int]:
    """Width and height as the image is shown.

    Raises:
        Broken: It is no image.
    """
    try:
        return image_files.size(image, decode=False)
    except image_files.DAMAGED as error:
        raise Broken(f"belongs to the image {image}, which is damaged ({error})") from error


def read_list(path: Path) -> str:
    """The text of a list of images, which may have millions of lines.

    Raises:
        UserError: It cannot be read.
    """
    return read_text(path, "the list", MOST_LIST)


def numbers_of(texts: Sequence[str]) -> list[float] | None:
    """Finite numbers, or None where one is none."""
    try:
        values = [float(text) for text in texts]
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None


def each(items: Sequence[Any], read: Callable[[Any], None], file: Callable[[Any], Path]) -> None:
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
