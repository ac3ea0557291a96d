"""A training's work folder, which one process holds at a time."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mkd.errors import UserError


@contextmanager
def hold(work_dir: Path) -> Iterator[None]:
    """Hold a training's work folder: it may outlive the Snakemake that started it.

    Args:
        work_dir: The folder; beside it lies the lock, removed at the end.

    Raises:
        UserError: Another process holds it.
    """
    work_dir.parent.mkdir(parents=True, exist_ok=True)
    path = work_dir.parent / f"{work_dir.name}.lock"
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = _still_at(path, handle)
        except BlockingIOError:
            held = False
        except OSError:
            # A network file system that locks nothing.
            held = True
        if not held:
            raise UserError(
                f"another process is training in {work_dir}: wait until it ends, or stop it"
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def remove(work_dir: Path) -> None:
    """Remove what a training does not need any more, as far as that goes.

    mmengine's log stays open until the process ends, and on NFS a folder with an open file cannot
    be removed. The training is done: it must not fail for that.
    """
    shutil.rmtree(work_dir, ignore_errors=True)


def _still_at(path: Path, handle: IO[str]) -> bool:
    """Whoever held a lock a moment ago may have ended, and removed the file that was opened."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False
