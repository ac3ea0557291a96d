"""Latency of an exported file: several fresh processes, one record.

Only NumPy and onnxruntime are needed (``envs/edge.txt``).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mkd import host
from mkd.edge.metadata import detector_path
from mkd.edge.timing import Settings
from mkd.errors import UserError
from mkd.files import read_json, sha256_file

LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "numpy")
_ROOT = Path(__file__).resolve().parents[2]


def usable_cpus() -> list[int]:
    """CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def measure(path: Path, settings: Settings, scale: str | None = None) -> dict[str, Any]:
    """Time an exported file and, where it lies beside it, its full detector.

    Args:
        path: A file of raw head outputs.
        settings: How.
        scale: The scale it is timed for; None for a file taken to a device.

    Returns:
        The record of ``workflow/schemas/latency.schema.yaml``. ``latency_ms`` is the median over
        processes of the graph's median.

    Raises:
        UserError: The file, its input size or the provider is not as asked; a process died.
    """
    began, started = time.monotonic(), datetime.now(UTC)
    cpus = usable_cpus()
    if settings.threads > len(cpus):
        raise UserError(
            f"{settings.threads} threads were asked for and this process may use {len(cpus)} CPUs: "
            "choose fewer --threads"
        )
    load = round(os.getloadavg()[0], 2)
    processes = [
        _process(path, settings, cpus[: settings.threads]) for _ in range(settings.restarts)
    ]
    cards, pinned = zip(*((p.pop("card"), p.pop("cpus")) for p in processes), strict=True)
    card = cards[0]
    graph = _summary([process["graph"] for process in processes])
    whole = [process["end_to_end"] for process in processes if process["end_to_end"]]
    return {
        "kind": "latency",
        "schema": 1,
        "scale": scale,
        "model": card["model"],
        "arch": card["arch"],
        "width": card["width"],
        "seed": card["seed"],
        "weights": card["weights"],
        "precision": card["precision"],
        "input_px": card["input_px"],
        "batch": 1,
        "provider": settings.provider,
        "latency_ms": graph["latency_ms"],
        "passed": graph["passed"],
        "graph": graph,
        "end_to_end": {
            **_summary(whole),
            "prepare_ms": float(np.median([process["prepare_ms"] for process in whole])),
        }
        if whole
        else None,
        "first_inference_ms": round(
            float(np.median([p["graph"]["open_ms"] + p["graph"]["first_ms"] for p in processes])), 3
        ),
        "peak_memory_mb": max(process["peak_memory_mb"] for process in processes),
        "interpreter_memory_mb": max(process["interpreter_memory_mb"] for process in processes),
        "model_bytes": path.stat().st_size,
        "digests": {"model": sha256_file(path)}
        | ({"detector": sha256_file(detector_path(path))} if whole else {}),
        "settings": asdict(settings),
        "cpus": pinned[0],
        "load_before": load,
        "processes": processes,
        "versions": _versions(),
        "host": host.describe(host.nvidia_smi("name") if settings.provider != "cpu" else []),
        "started": started.isoformat(timespec="seconds"),
        "wall_s": round(time.monotonic() - began, 2),
    }


def line(record: dict[str, Any]) -> str:
    """A record in one line for the terminal."""
    graph, whole = record["graph"], record["end_to_end"]
    parts = [
        f"{record['model']} {record['precision']} {record['provider']} {record['input_px']} px",
        f"graph p50 {graph['p50_ms']:.2f} p90 {graph['p90_ms']:.2f} p99 {graph['p99_ms']:.2f} ms "
        f"(n={graph['samples']})",
    ]
    if whole:
        parts.append(f"end to end p50 {whole['p50_ms']:.2f} ms")
    if not (graph["passed"] and (not whole or whole["passed"])):
        parts.append("UNSTEADY: the machine was not quiet, time it again")
    return ", ".join(parts)


def _process(path: Path, settings: Settings, cpus: list[int]) -> dict[str, Any]:
    request = json.dumps({"path": str(path), "settings": asdict(settings)})

    # What the workflow sets for its trainings; a device's own process has nothing of it.
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}

    def pin() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cpus)

    with TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        done = subprocess.run(
            [sys.executable, "-m", "mkd.edge.timing", request, str(answer)],
            preexec_fn=pin,
            env={**environment, "PYTHONPATH": _python_path()},
            capture_output=True,
            text=True,
        )
        if not answer.exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(
                f"the timing process of {path} ended with {done.returncode} and no answer: {last}"
            )
        found: dict[str, Any] = read_json(answer)
    if "error" in found:
        raise UserError(found["error"])
    return found


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of one mode over its processes; samples are those of each last attempt."""
    kept = [run["attempts"][-1]["samples_ms"] for run in runs]
    medians = [float(np.median(samples)) for samples in kept]
    pooled = np.concatenate(kept)
    p50, p90, p99 = (round(float(value), 4) for value in np.percentile(pooled, (50, 90, 99)))
    middle = float(np.median(medians))
    return {
        "latency_ms": round(middle, 4),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "samples": len(pooled),
        "iqr_ratio": max(run["attempts"][-1]["iqr_ratio"] for run in runs),
        "restart_spread": round((max(medians) - min(medians)) / middle, 5),
        "passed": all(run["passed"] for run in runs),
    }


def _python_path() -> str:
    return os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _versions() -> dict[str, str]:
    return dict(_installed(LIBRARIES))


def _installed(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
