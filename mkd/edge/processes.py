"""Processes of :mod:`mkd.edge.timing`: pinned, with nothing of the trainings' environment."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mkd import host
from mkd.edge.engines import CannotRun
from mkd.edge.opening import Settings
from mkd.errors import UserError
from mkd.files import read_json

_ROOT = Path(__file__).resolve().parents[2]
KILLED = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
"""Ends that come from outside: by a user, by a cluster, for want of memory."""


def chosen_cpus(settings: Settings) -> list[int]:
    """As many of them as there are threads.

    Raises:
        UserError: There are fewer.
    """
    cpus = host.usable_cpus()
    if settings.threads > len(cpus):
        raise UserError(
            f"{settings.threads} threads were asked for and this process may use {len(cpus)} CPUs: "
            "choose fewer --threads"
        )
    return cpus[: settings.threads]


@contextmanager
def checked(path: Path, settings: Settings) -> Iterator[dict[str, Any]]:
    """What an engine opens, made of a file and checked in a process of its own.

    Yields:
        ``file`` and ``difference`` of :func:`mkd.edge.opening.check`, both None of ONNX Runtime,
        which opens the file itself. What was made is removed afterwards.

    Raises:
        UserError: The file is not sound or not as asked, or the engine does not take it.
    """
    if settings.engine == "onnxruntime":
        yield {"file": None, "difference": None}
        return
    with TemporaryDirectory() as folder:
        yield answer(path, settings, None, task="check", folder=folder)


def answer(
    path: Path, settings: Settings, cpus: list[int] | None, **request: Any
) -> dict[str, Any]:
    """What one process answers.

    Args:
        path: The ONNX file.
        settings: How it is timed.
        cpus: It is pinned to, or None for all.
        request: ``task`` and what belongs to it.

    Raises:
        UserError: What it found wrong, or that it died.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder, "answer.json")
        done = subprocess.run(
            [*_command(path, settings, request), str(file)],
            preexec_fn=lambda: _pin(cpus),
            env=_environment(),
            capture_output=True,
            text=True,
            errors="replace",
        )
        if not file.exists():
            raise died(path, settings, done.returncode, done.stderr)
        found: dict[str, Any] = read_json(file)
    return unless_error(found)


def start(
    path: Path, settings: Settings, cpus: list[int], errors: Any, **request: Any
) -> "subprocess.Popen[str]":
    """A process that serves; ``errors`` is an open file for what it says on standard error."""
    return subprocess.Popen(
        _command(path, settings, request),
        preexec_fn=lambda: _pin(cpus),
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        encoding="utf-8",
    )


def unless_error(found: dict[str, Any]) -> dict[str, Any]:
    """The answer of a process.

    Raises:
        UserError: It is a sentence on what is wrong.
    """
    if "error" in found:
        raise (CannotRun if found["cannot"] else UserError)(found["error"])
    return found


def died(path: Path, settings: Settings, code: int, said: str) -> UserError:
    """The sentence on a process that ended without an answer.

    Another engine than ONNX Runtime may die of a file that it does not take; one that was killed
    says nothing of the file.
    """
    last = (said.strip().splitlines() or ["it said nothing"])[-1][:300]
    words = f"the timing process of {path} ended with {code} and no answer: {last}"
    own = settings.engine != "onnxruntime" and -code not in KILLED
    return CannotRun(words) if own else UserError(words)


def _command(path: Path, settings: Settings, request: dict[str, Any]) -> list[str]:
    asked = {"path": str(path), "settings": asdict(settings), **request}
    return [sys.executable, "-m", "mkd.edge.timing", json.dumps(asked)]


def _pin(cpus: list[int] | None) -> None:
    if cpus is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def _environment() -> dict[str, str]:
    # The first is what the workflow sets for its trainings; a device's own process has none of it.
    kept = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # GPUs are numbered as nvidia-smi does, which names the one that was timed.
    own = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **kept, "PYTHONPATH": path}
    # Else NVIDIA's libraries compute an FP32 file with the ten bits of TF32.
    return own | {"NVIDIA_TF32_OVERRIDE": "0"}
