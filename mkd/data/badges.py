"""The embedded data set, written in COCO's layout.

Nothing is downloaded, and the files are byte-identical on every machine: the scenes are (see
``scenes``), and images are uncompressed BMP because the bytes of a PNG depend on the zlib it was
made with.
"""

import errno
import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
from tqdm import tqdm

from mkd.data.scenes import CLASSES, PHOTOS, SIDE, render, sources
from mkd.errors import UserError
from mkd.files import sha256_file

MARKER = "badges.json"
# Counts up whenever the same parameters give other files.
_VERSION = 2


def _write_image(folder: Path, seed: int, task: tuple[str, int]) -> list[dict[str, Any]]:
    split, index = task
    image, annotations = render(split, index, seed)
    (folder / split / _file_name(index)).write_bytes(cv2.imencode(".bmp", image)[1].tobytes())
    return annotations


def _file_name(index: int) -> str:
    return f"{index:06d}.bmp"


def _write_annotations(path: Path, split: str, found: list[list[dict[str, Any]]]) -> None:
    flat = [(image, item) for image, items in enumerate(found) for item in items]
    content = {
        "info": {"description": f"MKD Bench badges, {split}", "version": str(_VERSION)},
        "images": [
            {"id": index + 1, "file_name": _file_name(index), "width": SIDE, "height": SIDE}
            for index in range(len(found))
        ],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
        "annotations": [
            {"id": i + 1, "image_id": image + 1, **item} for i, (image, item) in enumerate(flat)
        ],
    }
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="ascii")


def _is_complete(root: Path, wanted: dict[str, int]) -> bool:
    """Whether ``root`` holds exactly the data set of these parameters, all files in place."""
    try:
        marker = json.loads((root / MARKER).read_text())
        if marker["parameters"] != wanted:
            return False
        for split in PHOTOS:
            annotations = root / "annotations" / f"instances_{split}.json"
            if sha256_file(annotations) != marker["sha256"][split]:
                return False
            sizes = {item.name: item.stat().st_size for item in os.scandir(root / split)}
            whole = 54 + 3 * SIDE * SIDE
            if sizes != {_file_name(index): whole for index in range(wanted[split])}:
                return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def generate(
    root: Path,
    train: int = 2000,
    val: int = 500,
    seed: int = 0,
    processes: int = 2,
    progress: bool = True,
) -> None:
    """Write the data set under ``root``, whole or not at all.

    The layout is COCO's: ``annotations/instances_{train,val}.json``, images in ``train`` and
    ``val``, and the marker ``badges.json``. A complete data set of the same parameters is left as
    it is; one that is broken or of other parameters is replaced. The files do not depend on
    ``processes``, and the first images are the same whatever ``train`` and ``val`` are.

    Args:
        root: Folder of the data set; missing, empty or an earlier one of these.
        train: Number of training images; 192 KB each.
        val: Number of validation images.
        seed: Seed of all draws, 0 or more.
        processes: Processes that render.
        progress: Show a progress bar on standard error.

    Raises:
        UserError: A parameter is out of range, ``root`` holds something else, the sources are not
            the pinned ones, or the disk is full.
    """
    for name, value, least in (
        ("train", train, 1), ("val", val, 1), ("seed", seed, 0), ("processes", processes, 1)
    ):  # fmt: skip
        if value < least:
            raise UserError(f"badges: {name} is {value}, it must be {least} or more")
    root = Path(root).resolve()
    wanted = {"version": _VERSION, "train": train, "val": val, "seed": seed}
    if _is_complete(root, wanted):
        return
    if root.exists() and not (root / MARKER).is_file() and _holds_files(root):
        raise UserError(
            f"{root} holds files that are not the embedded data set: "
            "name another folder, or empty this one"
        )
    sources()
    building = root.with_name(f".{root.name}.{os.getpid()}.part")
    try:
        for folder in ("annotations", *PHOTOS):
            (building / folder).mkdir(parents=True)
        tasks = [(split, i) for split in PHOTOS for i in range(wanted[split])]
        work = partial(_write_image, building, seed)
        # None: no bar where standard error is a log file.
        hidden = None if progress else True
        bar = partial(tqdm, total=len(tasks), desc="badges", unit="image", disable=hidden)
        if processes == 1:
            found = list(bar(map(work, tasks)))
        else:
            found = _in_processes(work, tasks, processes, bar)
        parts = {"train": found[:train], "val": found[train:]}
        digests = {}
        for split, annotations in parts.items():
            path = building / "annotations" / f"instances_{split}.json"
            _write_annotations(path, split, annotations)
            digests[split] = sha256_file(path)
        marker = json.dumps({"parameters": wanted, "sha256": digests}, indent=1) + "\n"
        (building / MARKER).write_text(marker)
        shutil.rmtree(root, ignore_errors=True)
        os.replace(building, root)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            need = (train + val) * 3 * SIDE * SIDE // 10**6
            raise UserError(
                f"no space left on the disk to write the data set {root} ({need} MB): "
                "free some and run again"
            ) from error
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _holds_files(root: Path) -> bool:
    return root.is_file() or any(path.is_file() for path in root.rglob("*"))


def _end_with_parent() -> None:
    # A worker of a killed parent would wait for its next task for ever.
    def watch() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _in_processes(work: Any, tasks: list[Any], processes: int, bar: Any) -> list[Any]:
    with ProcessPoolExecutor(processes, initializer=_end_with_parent) as pool:
        try:
            return list(bar(pool.map(work, tasks, chunksize=16)))
        except BrokenProcessPool as error:
            raise UserError(
                "a process that renders the embedded data set was killed, perhaps for lack of "
                "memory: run again with one process"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
