"""Whether a data set is still the one that was checked: its digest, and a cheap look first."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from mkd.data import annotations as coco_annotations
from mkd.errors import UserError
from mkd.experiment.suite import Suite
from mkd.files import read_json, sha256_file, write_atomic


def verify_data(suite: Suite, data: Path | None = None) -> str:
    """The digest of the scale's data, which are those that were checked.

    Args:
        suite: The scale.
        data: What ``mkd data`` wrote; None for the scale's own.

    Raises:
        UserError: The data have changed since, or were never checked.
    """
    splits = suite.settings.data.splits.values()
    told = f"{suite.file if suite.own else suite.scale} --forcerun data"
    asked = f"snakemake {'summary' if suite.own else 'reproduce'} --config scale={told}"
    record = data or suite.results / "data.json"
    return verify(record, suite.data_root, *splits, anew=asked)


def digest(root: Path, *splits: tuple[str | Path, str | Path]) -> str:
    """A digest of all that a data set is made of; it reads every image, COCO's in a minute or two.

    Args:
        root: Folder of the data set; its own name and place do not count.
        splits: Annotation file and image folder of each split, relative to ``root``.

    Returns:
        SHA-256, 64 hex digits, over each split's annotation bytes and its image files' sorted
        names and contents, those in folders below included; hidden files do not count.

    Raises:
        UserError: An annotation file or an image folder is missing.
    """
    return read_all(root, *splits)[0]


def read_all(
    root: Path, *splits: tuple[str | Path, str | Path]
) -> tuple[str, list[dict[str, str]]]:
    """:func:`digest`, and of each split the SHA-256 of each file in its image folder, by name."""
    total, found = hashlib.sha256(), []
    with ThreadPoolExecutor(2) as pool:
        for annotations, images in splits:
            content = coco_annotations.read_bytes(Path(root, annotations))
            total.update(hashlib.sha256(content).digest())
            files = sorted(list_files(Path(root, images)).items())
            contents = pool.map(lambda item: sha256_file(Path(item[1])), files)
            found.append(dict(zip((name for name, _ in files), contents, strict=True)))
            for name, content_digest in found[-1].items():
                total.update(os.fsencode(name) + f"\0{content_digest}\n".encode())
            total.update(b"\0")
    return total.hexdigest(), found


def stamp(root: Path, *splits: tuple[str | Path, str | Path]) -> str:
    """A digest of the files' names, sizes and times of change, which reads none of them.

    Whatever is written, replaced or copied has a new time of change, which no tool can set back.
    The arguments are those of :func:`digest`.

    Raises:
        UserError: An annotation file or an image folder is missing.
    """
    total = hashlib.sha256()
    for annotations, images in splits:
        path = Path(root, annotations)
        if not path.is_file():
            coco_annotations.read_bytes(path)  # says what is wrong with it
        for name, place in [("", str(path)), *sorted(list_files(Path(root, images)).items())]:
            state = os.stat(place)
            total.update(os.fsencode(name) + f"\0{state.st_size} {state.st_ctime_ns}\n".encode())
        total.update(b"\0")
    return total.hexdigest()


def verify(
    record: Path, root: Path, *splits: tuple[str | Path, str | Path], anew: str = "mkd data"
) -> str:
    """The recorded digest of data that are still those ``mkd data`` checked.

    Where no file has been touched since, none is read. Else their digest is taken anew, and what
    the first job found is kept beside the record for those that start later.

    Args:
        record: What ``mkd data`` wrote.
        root: As for :func:`digest`.
        splits: As there.
        anew: The command that checks them again, and trains what stands on them.

    Raises:
        UserError: The data have changed, or are missing, or the record is something else.
    """
    recorded = recorded_digest(record)
    now = stamp(root, *splits)
    kept, seen = record.with_suffix(".stamp"), f"{recorded} {now}\n"
    if read_json(record).get("stamp") == now or (kept.is_file() and kept.read_text() == seen):
        return recorded
    if digest(root, *splits) != recorded:
        raise UserError(
            f"the data in {root} have changed since `mkd data` checked them and wrote {record}: "
            f"put the earlier files back, or check them again and train anew: {anew}"
        )
    with suppress(UserError):
        write_atomic(kept, seen)
    return recorded


def recorded_digest(record: Path) -> str:
    """The digest as ``mkd data`` wrote it.

    Raises:
        UserError: The file is missing or something else.
    """
    if not record.exists():
        raise UserError(f"{record} does not exist: run `mkd data --out {record}` first")
    try:
        return str(read_json(record)["digest"])
    except (UserError, KeyError, TypeError) as error:
        raise UserError(
            f"{record} is not what `mkd data` writes: run `mkd data --out {record}` first"
        ) from error


def list_files(folder: Path) -> dict[str, str]:
    """Files of a folder and of those below: name relative to it, and path; hidden ones left out."""
    found: dict[str, str] = {}

    def look(inside: str, prefix: str, above: tuple[str, ...]) -> None:
        real = os.path.realpath(inside)
        if real in above:
            return
        for entry in os.scandir(inside):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                look(entry.path, f"{prefix}{entry.name}/", (*above, real))
            elif entry.is_file():
                found[prefix + entry.name] = entry.path

    try:
        look(str(folder), "", ())
    except OSError as error:
        raise UserError(
            f"image folder {folder} cannot be read ({error.strerror}): "
            "put the images there, or set its path in the configuration"
        ) from error
    return found
