"""Where a number comes from: digests of settings and code, commit, library versions.

Torch is not imported here: the Snakefile asks for code digests at every start.
"""

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from typing import Any

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
TRAINING = (
    "architectures",
    "averaging",
    "checkpoints",
    "detectors",
    "distillation",
    "history",
    "optimizer",
    "plans",
    "recipe",
    "resume",
    "training",
    "weights",
    "data/annotations",
    "data/dataset",
    "data/splits",
    "compat/ops",
)
"""Modules that decide what a training produces, besides the losses of its method."""
EVALUATION = (
    "architectures",
    "checkpoints",
    "detectors",
    "error_kinds",
    "evaluation",
    "weights",
    "data/annotations",
    "data/dataset",
    "data/splits",
    "compat/ops",
)
"""Modules that decide what an evaluation says of given weights."""


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def seal(record: dict[str, Any]) -> str:
    """Digest of a record's content but for the field ``sha256``, where it is kept.

    It finds slips and edits. It is no signature: whoever wants to can make it anew.
    """
    return digest({key: value for key, value in record.items() if key != "sha256"})


def code_digest(modules: Iterable[str]) -> str:
    """SHA-256 over what modules do: their syntax trees, so neither comments nor docstrings count.

    Args:
        modules: Paths below ``mkd/`` without ``.py``, e.g. ``losses/multiscale``.
    """
    return _digest(tuple(sorted(set(modules))))


@cache
def _digest(modules: tuple[str, ...]) -> str:
    return digest({module: _syntax(module) for module in modules})


@cache
def _syntax(module: str) -> str:
    tree = ast.parse((ROOT / "mkd" / f"{module}.py").read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # A docstring is a first statement that is a bare string; so are attribute docs.
            node.body = [  # type: ignore[attr-defined]
                item
                for item in body
                if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))
            ]
    # As Python 3.11 writes it: 3.12 adds a field, 3.13 leaves out empty ones.
    complete = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    return ast.dump(tree, **complete).replace(", type_params=[]", "")


def commit() -> dict[str, Any]:
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
