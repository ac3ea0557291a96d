"""Files written whole or not at all: a temporary name in the same folder, then a rename."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mkd.errors import UserError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends well.

    Args:
        path: The final path; its folder is created when missing.

    Raises:
        UserError: The disk is full; nothing is left behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"no space left on the disk to write {path}: free some and run again"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write ``data`` to ``path`` whole or not at all.

    Raises:
        UserError: The disk is full; nothing is left behind.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON (non-finite floats are refused), whole or not at all.

    Raises:
        UserError: The disk is full; nothing is left behind.
        ValueError: ``value`` holds NaN or an infinity, which JSON cannot carry.
    """
    write_atomic(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hex digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
