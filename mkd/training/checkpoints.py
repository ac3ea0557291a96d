"""The one reader of files that torch wrote, whoever made them: nothing in a file is ever run.

Tensors and plain values are read. What frameworks leave beside them, mmengine's log above all, is
named in :data:`SKIPPED` and read as an :class:`Inert` object; a file that names anything else is
refused.
"""

import hashlib
import io
import lzma
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mkd.errors import UserError

SKIPPED = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    # The log names its own statistics by it.
    "builtins.getattr",
    "numpy.ndarray",
    "numpy.dtype",
    # NumPy 1 has the first of each pair.
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
)
"""What may stand beside the weights, by its full name."""

SEAL = "mkd_digest"
"""Where a file of the suite's own keeps the digest of all the rest of it."""


class Damaged(UserError):
    """The bytes of a file are not those that were written: cut short, or changed since."""


class Inert:
    """Stands where a file names something of :data:`SKIPPED`: it takes anything, does nothing."""

    def __new__(cls, *_: Any) -> "Inert":
        """Whatever the arguments."""
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def seal(content: dict[str, Any]) -> None:
    """Add to a file's content the digest of it, which :func:`read` compares.

    Args:
        content: Tensors and plain values in dicts, lists and tuples.

    Raises:
        TypeError: It holds anything else.
    """
    content[SEAL] = _digest(content)


def read(path: Path, map_location: Any = "cpu", own: bool = False) -> dict[str, Any]:
    """The content of a file, by name; of a sealed file, exactly what was sealed.

    Args:
        path: The file; of one that ends in ``.xz`` what is packed in it.
        map_location: Where its tensors go, as for ``torch.load``.
        own: Whether only a sealed file will do.

    Raises:
        Damaged: Its bytes are not those that were written.
        UserError: There is no such file, or it is none that torch reads without running code.
    """
    if not path.exists():
        raise UserError(f"the file {path} does not exist: make or fetch it first")
    if not path.is_file():
        raise UserError(f"{path} is not a file, and a file of weights is wanted there")
    packed = _unpacked(path) if path.suffix == ".xz" else None
    source = path if packed is None else io.BytesIO(packed)
    _check_bytes(path, packed)
    try:
        with _nothing_but_inert():
            content = torch.load(source, map_location=map_location, weights_only=True)
    # Bytes that are no checkpoint can make a parser raise anything.
    except Exception as error:
        raise UserError(f"the file {path} {_reason(error)}") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise UserError(
            f"the file {path} is no checkpoint, it holds a {type(content).__name__}: save the "
            "model's state_dict in a dict"
        )
    content = dict(content)
    if SEAL not in content:
        if own:
            raise UserError(f"the file {path} was not written by this suite")
        return content
    sealed = content.pop(SEAL)
    if not isinstance(sealed, str) or sealed != _digest_or_none(content):
        raise Damaged(f"the file {path} is damaged, its content is not what was written")
    return content


def _unpacked(path: Path) -> bytes:
    """The content of an xz file.

    Raises:
        Damaged: It is not what was packed.
    """
    try:
        return lzma.decompress(path.read_bytes())
    except (lzma.LZMAError, EOFError) as error:
        raise Damaged(f"the file {path} is damaged, xz cannot unpack it ({error})") from error
    except OSError as error:
        raise UserError(f"the file {path} cannot be read: {error.strerror or error}") from error


def _check_bytes(path: Path, packed: bytes | None) -> None:
    """Compare the checksums of torch's archive, which torch itself does not look at.

    Raises:
        Damaged: One differs, or the archive has no end.
    """
    try:
        with path.open("rb") if packed is None else io.BytesIO(packed) as handle:
            head = handle.read(4)
            if zipfile.is_zipfile(handle):
                with zipfile.ZipFile(handle) as archive:
                    wrong = archive.testzip()
                why = f"the checksum of its part {wrong} is wrong" if wrong else ""
            else:
                # A write that was cut off leaves an archive without its end, zeros, or nothing.
                cut = head in (b"", b"PK\x03\x04", bytes(4))
                why = "it is cut short" if cut else ""
    except OSError as error:
        raise UserError(f"the file {path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # as above
        why = f"its archive is broken ({_words(error)})"
    if why:
        raise Damaged(f"the file {path} is damaged, {why}")


@contextmanager
def _nothing_but_inert() -> Iterator[None]:
    """Let torch's reader know no name but its own and :data:`SKIPPED`.

    Libraries add to its list while they are imported.
    """
    others = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            torch.serialization.safe_globals([(Inert, name) for name in SKIPPED]),
        ):
            yield
    finally:
        torch.serialization.add_safe_globals(others)


def _reason(error: Exception) -> str:
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named:
        return (
            f"names {named[1]}, which weights do not need, and nothing of it was run: save the "
            "model's state_dict alone"
        )
    if "TorchScript" in str(error):
        return "is a TorchScript archive: save the model's state_dict with torch.save instead"
    return f"is no checkpoint that torch can read safely ({_words(error)})"


def _words(error: Exception) -> str:
    """An error's own words, as far as they tell something, on one line."""
    words = " ".join(str(error).split())
    # Around it torch speaks of how to read the file all the same.
    words = words.rpartition("WeightsUnpickler error: ")[2].partition(" Check the doc")[0]
    return words.split(". ")[0][:120] or type(error).__name__


def _digest_or_none(content: dict[str, Any]) -> str | None:
    try:
        return _digest(content)
    except (TypeError, RuntimeError, RecursionError):
        return None


def _digest(content: dict[str, Any]) -> str:
    sha = hashlib.sha256()
    _feed(sha.update, content)
    return sha.hexdigest()


def _feed(update: Callable[[Any], None], value: Any) -> None:
    if isinstance(value, Tensor):
        update(f"{value.dtype}{tuple(value.shape)}".encode())
        update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    elif isinstance(value, dict):
        update(f"dict{len(value)}".encode())
        for key, item in value.items():
            _feed(update, key)
            _feed(update, item)
    elif isinstance(value, list | tuple):
        update(f"{type(value).__name__}{len(value)}".encode())
        for item in value:
            _feed(update, item)
    elif value is None or type(value) in (bool, int, float, str):
        words = repr(value)
        update(f"{type(value).__name__}{len(words)} {words}".encode("utf-8", "surrogatepass"))
    else:
        raise TypeError(f"a {type(value).__name__} is neither a tensor nor a plain value")
