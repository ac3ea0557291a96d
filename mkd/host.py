"""What a number was measured on. Only the standard library is imported here."""

import contextlib
import os
import platform
import subprocess
from pathlib import Path
from typing import TypedDict


class Host(TypedDict):
    """The machine of a record; its GPUs are those that were used."""

    cpu: str
    cores: int | None
    memory_gb: float
    gpu: list[str]
    os: str
    python: str


def describe(gpus: list[str]) -> Host:
    """The machine of a record.

    Args:
        gpus: Names of the GPUs that were used.
    """
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": gpus,
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def usable_cpus() -> list[int]:
    """CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


BOARD, CPUS = Path("/proc/device-tree/model"), Path("/proc/cpuinfo")
"""Where a single-board computer names itself, and where Linux names the CPUs."""


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        # Before the CPUs, whose name boards of one core share.
        return BOARD.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    with contextlib.suppress(OSError):
        for line in CPUS.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def first_gpu() -> list[str]:
    """The name of the first GPU this process may use, which is the one ONNX Runtime takes."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")
    return nvidia_smi("name", f"--id={visible[0].strip()}")[:1]


def nvidia_smi(field: str, *options: str) -> list[str]:
    """One field of every GPU as the driver's tool lists it, e.g. ``index`` or ``name``."""
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader", *options],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    return done.stdout.strip().splitlines()
