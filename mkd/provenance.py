"""Where a number comes from: digests of values, commit, library versions.

Torch is not imported here: the Snakefile asks for code digests at every start.
"""

import hashlib
import json
import subprocess
from importlib import metadata
from typing import Any, TypedDict

from mkd import ROOT

LIBRARIES = (
    "torch",
    "torchvision",
    "mmengine",
    "mmcv-lite",
    "mmdet",
    "mmrazor",
    "mmyolo",
    "faster-coco-eval",
    "numpy",
    "onnx",
    "onnxruntime-gpu",
)


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def seal(record: dict[str, Any]) -> str:
    """Digest of a record's content but for the field ``sha256``, where it is kept.

    It finds slips and edits. It is no signature: whoever wants to can make it anew.
    """
    return digest({key: value for key, value in record.items() if key != "sha256"})


class Commit(TypedDict):
    """A checkout's commit, and whether tracked files differ from it."""

    commit: str | None
    dirty: bool


def commit() -> Commit:
    """The checkout's commit and whether tracked files differ from it; None outside a checkout."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changed)}


def versions() -> dict[str, str]:
    """Versions of the libraries a number depends on."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found
