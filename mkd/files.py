"""Files written whole or not at all, and JSON read strictly. Only the standard library is used."""

import errno
import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mkd.errors import UserError

MOST_DEPTH = 50
"""Lists and objects that may lie within one another in a file that is read."""
MOST_DIGITS = 19
"""A whole number in JSON may have so many, which 64 bits hold but for the largest."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends well.

    Args:
        path: The final path; its folder is created when missing.

    Raises:
        UserError: The disk is full or may not be written to; nothing is left behind.
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
        raise UserError(f"{path} cannot be written: {said(error)}") from error
    finally:
        # What could not be written may not be removable either.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write ``data`` to ``path`` whole or not at all.

    Raises:
        UserError: As :func:`atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON (non-finite floats are refused), whole or not at all.

    Raises:
        UserError: As :func:`atomic_path`.
        ValueError: ``value`` holds NaN or an infinity, which JSON cannot carry.
    """
    write_atomic(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file as :func:`parse_json` takes it.

    Raises:
        UserError: The file is missing, unreadable or no such JSON.
    """
    try:
        # Neither a folder nor a pipe, which would be waited for.
        if not path.is_file() and path.exists():
            raise UserError(f"{path}: is no file")
        return parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path}: does not exist") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {said(error)}") from error
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from error


@contextmanager
def shallow_stack() -> Iterator[None]:
    """Python's own limit of recursion, whatever a library made of it.

    With a higher one, JSON that is nested deeper than the stack is high ends the process, where it
    should raise ``RecursionError``.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(min(limit, 1000))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def parse_json(text: str | bytes) -> Any:
    """A JSON value that everything behind may rely on.

    Its numbers are finite and not endless, no key stands twice in an
    object, all of it can be written as UTF-8, and at most :data:`MOST_DEPTH` lists and objects
    lie within one another.

    Raises:
        ValueError: What is wrong with it.
    """
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        with shallow_stack():
            value = json.loads(
                decoded,
                parse_constant=_number,
                parse_float=_number,
                parse_int=_whole,
                object_pairs_hook=_object,
            )
    except RecursionError as error:
        raise ValueError("lists or objects lie too deep within one another") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from error
    level, depth = [value], 0
    while level := [inner for outer in level for inner in _inner(outer)]:
        depth += 1
        if depth > MOST_DEPTH:
            raise ValueError("lists or objects lie too deep within one another")
    if re.search(r"\\u[dD][89a-fA-F]", decoded):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("half of a UTF-16 pair stands alone in it") from error
    return value


def _inner(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a finite number")
    return value


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"{text[:MOST_DIGITS]}… is too large a whole number")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {max(keys, key=keys.count)!r} stands twice in an object")
    return found


def said(error: OSError) -> str:
    """What the operating system says, and of which file where it is not plain."""
    words = error.strerror or str(error)
    return f"{words} ({error.filename})" if error.filename else words


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hex digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
