"""Latency of an exported file: several fresh processes, one record.

Only NumPy and the engine are needed (``envs/edge.txt``).
"""

import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from mkd import host
from mkd.edge import contents
from mkd.edge.engines import ENGINES, CannotRun, place
from mkd.edge.feeds import image_shape
from mkd.edge.load import Load
from mkd.edge.metadata import KEY, OUTPUTS, detector_path
from mkd.edge.opening import Settings, read
from mkd.edge.processes import answer, checked, chosen_cpus
from mkd.edge.spread import APART, median_interval
from mkd.files import sha256_file

LISTEN_S, QUIET_S = 0.25, 20
"""So long the machine is listened to before anything of ours runs; and again while others work, as
the workflow itself does when it has just started, but no longer than the second."""


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
    cpus = chosen_cpus(settings)
    _, task, _ = read(path, settings)
    if KEY in task.contents.metadata and {port.name for port in task.contents.outputs} == OUTPUTS:
        raise CannotRun(
            f"{path} is a full detector, which is timed with the raw file it lies beside: name "
            "that one, or compare full detectors by --compare"
        )
    with checked(path, settings) as made:
        before = quiet(cpus, settings.load)
        first: list[float] = []
        whole: dict[str, Any] | None = None
        refusal = ""
        while True:
            processes = [
                answer(path, settings, cpus, task="run", file=made["file"], whole=not (at or first))
                for at in range(settings.restarts)
            ]
            # Once: the repetition is for the graph's figure.
            whole = processes[0]["end_to_end"] = whole or processes[0]["end_to_end"]
            refusal = refusal or processes[0].pop("end_to_end_refused", "")
            graph = _summary([process["graph"] for process in processes])
            if graph["restart_spread"] <= APART or first:
                break
            first = graph["medians_ms"]
    cards, pinned = zip(*((p.pop("card"), p.pop("cpus")) for p in processes), strict=True)
    card = cards[0]
    load = {"before": before, "during": most(process.pop("others") for process in processes)}
    unsteady = _unsteady(graph, load, settings)
    graph["passed"] = not unsteady
    shape = image_shape(task.shapes)
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
        "input_px": card["input_px"] or None,
        "shapes": {name: list(shape) for name, shape in task.shapes.items()},
        "batch": shape[0] if shape else 1,
        "engine": settings.engine,
        "provider": settings.provider,
        "latency_ms": graph["latency_ms"],
        "passed": graph["passed"],
        "unsteady": unsteady,
        "graph": graph,
        "end_to_end": whole and {**_summary([whole]), "prepare_ms": whole["prepare_ms"]},
        "end_to_end_refused": refusal,
        "first_inference_ms": round(
            float(np.median([p["graph"]["open_ms"] + p["graph"]["first_ms"] for p in processes])), 3
        ),
        "peak_memory_mb": max(process["peak_memory_mb"] for process in processes),
        "interpreter_memory_mb": max(process["interpreter_memory_mb"] for process in processes),
        "model_bytes": sum(file.stat().st_size for file in files(path, task.contents)),
        "digests": {"model": digest(path, task.contents)}
        | ({"detector": sha256_file(detector_path(path))} if whole else {}),
        "difference": made["difference"],
        "settings": asdict(settings),
        "cpus": pinned[0],
        "load": load,
        "first_medians_ms": first,
        "processes": processes,
        "versions": versions(),
        "host": host.describe(host.first_gpu() if settings.provider != "cpu" else []),
        "started": started.isoformat(timespec="seconds"),
        "wall_s": round(time.monotonic() - began, 2),
    }


def refused(path: Path, settings: Settings, scale: str, reason: str) -> dict[str, Any]:
    """The record of a file that an engine was to be timed on and does not take, or is not here."""
    card, task, _ = read(path, settings)
    return {
        "kind": "latency",
        "schema": 1,
        "scale": scale,
        "model": card.model,
        "arch": card.arch,
        "precision": card.precision,
        "engine": settings.engine,
        "provider": settings.provider,
        "refused": reason,
        "digests": {"model": digest(path, task.contents)},
        "versions": versions(),
        "host": host.describe([]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def quiet(cpus: list[int], limit: float) -> float | None:
    """Wait until others take no more than a limit of these CPUs' time; what they took last."""
    end = time.monotonic() + QUIET_S
    share = listen(cpus)
    while share is not None and share > limit and time.monotonic() < end:
        share = listen(cpus)
    return share


def listen(cpus: list[int]) -> float | None:
    """Share of these CPUs' time that others take while nothing of ours runs."""
    load = Load(cpus)
    time.sleep(LISTEN_S)
    load.end()
    return load.share()


def files(path: Path, found: contents.Contents) -> list[Path]:
    """A file and those its weights lie in."""
    return [path, *(path.parent / name for name in found.external)]


def digest(path: Path, found: contents.Contents) -> str:
    """SHA-256 of a file; with weights in other files, of all their digests."""
    if not found.external:
        return sha256_file(path)
    return sha256("".join(map(sha256_file, files(path, found))).encode()).hexdigest()


def most(shares: Iterable[float | None]) -> float | None:
    """The largest share that is known."""
    return max((share for share in shares if share is not None), default=None)


def _unsteady(
    graph: dict[str, Any], load: dict[str, float | None], settings: Settings
) -> list[str]:
    """Why a figure is not to be trusted, a line a reason."""
    reasons = []
    if not graph["passed"]:
        reasons.append(f"samples spread by {graph['iqr_ratio']:.0%} of their median")
    if graph["restart_spread"] > APART:
        reasons.append(
            f"medians of restarts lie {graph['restart_spread']:.0%} apart, repeated once"
        )
    for when, words in (("before", "before it was timed"), ("during", "while it was timed")):
        share = load[when]
        if share is not None and share > settings.load:
            reasons.append(f"other work took {share:.0%} of its CPUs' time {words}")
    return reasons


def line(record: dict[str, Any]) -> str:
    """A record in one line for the terminal."""
    if "refused" in record:
        return f"{record['model']} {record['precision']}: not timed: {record['refused']}"
    graph, whole = record["graph"], record["end_to_end"]
    shape = tuple(image_shape(record["shapes"]))
    size = f"{record['input_px']} px" if record["input_px"] else contents.shape_text(shape)
    low, high = graph["interval_ms"]
    parts = [
        f"{record['model']} {record['precision']} {place(record)} {size}",
        f"graph {graph['latency_ms']:.2f} [{low:.2f}, {high:.2f}] p95 {graph['p95_ms']:.2f} "
        f"p99 {graph['p99_ms']:.2f} ms (n={graph['samples']})",
    ]
    if whole:
        parts.append(f"end to end {whole['latency_ms']:.2f} ms")
    if record["end_to_end_refused"]:
        parts.append(f"not end to end: {record['end_to_end_refused']}")
    reasons = [*record["unsteady"]]
    if whole and not whole["passed"]:
        reasons.append("end to end did not settle")
    if reasons:
        parts.append(f"UNSTEADY: {'; '.join(reasons)}: time it again on a quiet machine")
    return ", ".join(parts)


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of one mode over its processes; samples are those of each last attempt."""
    kept = [run["attempts"][-1]["samples_ms"] for run in runs]
    medians = [float(np.median(samples)) for samples in kept]
    intervals = [median_interval(samples) for samples in kept]
    pooled = np.concatenate(kept)
    p50, p90, p95, p99 = (
        round(float(value), 4) for value in np.percentile(pooled, (50, 90, 95, 99))
    )
    middle = float(np.median(medians))
    return {
        "latency_ms": round(middle, 4),
        "medians_ms": [round(value, 4) for value in medians],
        # What holds in every process: they lie further apart than the samples of one.
        "interval_ms": [
            round(min(low for low, _ in intervals), 4),
            round(max(high for _, high in intervals), 4),
        ],
        "p50_ms": p50,
        "p90_ms": p90,
        "p95_ms": p95,
        "p99_ms": p99,
        "samples": len(pooled),
        "iqr_ratio": max(run["attempts"][-1]["iqr_ratio"] for run in runs),
        "restart_spread": round((max(medians) - min(medians)) / middle, 5),
        "passed": all(run["passed"] for run in runs),
    }


def versions() -> dict[str, str]:
    """Versions of the libraries a latency depends on."""
    found = {}
    for name in [wheel for engine in ENGINES.values() for wheel in engine.wheels] + ["numpy"]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
