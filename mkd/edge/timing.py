"""One timing process: a fresh interpreter that opens one exported file and times it.

Started by :mod:`mkd.edge.measure` as ``python -m mkd.edge.timing REQUEST ANSWER``. Only NumPy and
onnxruntime are imported: this is what runs on a device.
"""

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from mkd.edge import metadata as cards
from mkd.edge.preprocessing import prepare
from mkd.errors import UserError

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
FRAME = (480, 640)
"""Height and width of the frame that end-to-end timing begins with, COCO's most common size."""
WINDOW, AGREE, MAX_WARMUP = 2, 0.05, 30
"""Warm-up ends when the medians of two successive windows of runs agree to within 5 %, or after
30 runs."""
_ORT_ERRORS = tuple(
    kind
    for kind in vars(ort_errors).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)


@dataclass(frozen=True)
class Settings:
    """How a file is timed.

    Attributes:
        provider: A key of :data:`PROVIDERS`.
        threads: Threads of an operator; as many CPUs are taken.
        min_samples: Timed runs of one attempt at least.
        min_seconds: And its length at least.
        gate: An attempt is accepted when its interquartile range over its median is at most this.
        retries: Further attempts when it is not.
        restarts: Processes the whole is repeated in.
        input_px: Input size that the file must have, or None for any.
    """

    provider: str = "cpu"
    threads: int = 1
    min_samples: int = 100
    min_seconds: float = 10.0
    gate: float = 0.1
    retries: int = 2
    restarts: int = 3
    input_px: int | None = None


def open_session(
    path: Path, settings: Settings, strict: bool = True
) -> onnxruntime.InferenceSession:
    """A session on the provider that was asked for, and on no other.

    Args:
        path: The exported file.
        settings: Provider and threads.
        strict: No node may fall back to the CPU; otherwise some may (NMS has no CUDA kernel in
            every release).

    Raises:
        UserError: The file is missing or broken, or the provider is not there or not used.
    """
    wanted = PROVIDERS[settings.provider]
    if wanted not in onnxruntime.get_available_providers():
        has = ", ".join(onnxruntime.get_available_providers())
        raise UserError(
            f"this onnxruntime has no {wanted} (it has {has}): install the build that has it, "
            "or choose another --provider"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Below this it says in several lines what the error says in one.
    options.log_severity_level = 4
    providers: list[Any] = [wanted]
    if settings.provider != "cpu":
        # CUDA's libraries from pip's wheels, where the system has none.
        onnxruntime.preload_dlls()
        if strict:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if settings.provider == "tensorrt":
        precisions = {"trt_fp16_enable": True, "trt_int8_enable": True}
        providers = [(wanted, precisions)] if strict else [(wanted, precisions), PROVIDERS["cuda"]]
    if not path.is_file():
        raise UserError(f"the ONNX file {path} does not exist: export it first")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    except _ORT_ERRORS as error:
        if settings.provider != "cpu" and strict:
            raise UserError(
                f"{path} does not run on {wanted} alone: its driver or libraries are missing, or "
                f"it lacks a kernel, and a fallback is not timed; {_one_line(error)}"
            ) from error
        raise UserError(
            f"{path} is not a sound ONNX file (wrong, truncated, or newer than onnxruntime "
            f"{onnxruntime.__version__}): export it again; {_one_line(error)}"
        ) from error
    if session.get_providers()[0] != wanted:
        raise UserError(
            f"{wanted} did not start and ONNX Runtime fell back to {session.get_providers()[0]}: "
            "check the driver and its libraries, or choose another --provider"
        )
    return session


def card_of(session: onnxruntime.InferenceSession, path: Path, settings: Settings) -> cards.Card:
    """The card of an opened file.

    Raises:
        UserError: Its input is no square image of fixed size, or of another size than asked for.
    """
    inputs = session.get_inputs()
    shape = inputs[0].shape
    fixed = len(inputs) == 1 and len(shape) == 4 and all(isinstance(n, int) for n in shape)
    if not fixed or shape[:2] != [1, 3] or shape[2] != shape[3]:
        raise UserError(
            f"{path} takes {[value.shape for value in inputs]} and not one image of "
            "1×3×S×S: export it with `mkd export`"
        )
    if settings.input_px not in (None, shape[2]):
        raise UserError(
            f"{path} takes images of {shape[2]} px and {settings.input_px} px were asked for: "
            "export it at that size"
        )
    text = session.get_modelmeta().custom_metadata_map.get(cards.KEY)
    card = cards.loads(text, path)
    if card.input_px not in (0, shape[2]):
        raise UserError(f"{path} says it takes {card.input_px} px and takes {shape[2]} px")
    return card if card.input_px else cards.Card(model=card.model, input_px=shape[2])


def iqr_ratio(samples: list[float]) -> float:
    """Interquartile range over median, the gate's measure of unrest."""
    low, middle, high = np.percentile(samples, (25, 50, 75))
    return float((high - low) / middle)


def sample(call: Callable[[], object], count: int, seconds: float = 0.0) -> list[float]:
    """Times of single calls in milliseconds, one after the other.

    There are ``count`` of them at least, and they take ``seconds`` at least.
    """
    clock = time.perf_counter_ns
    samples: list[int] = []
    end = clock() + int(seconds * 1e9)
    while len(samples) < count or clock() < end:
        begin = clock()
        call()
        samples.append(clock() - begin)
    return [round(value / 1e6, 5) for value in samples]


def series(call: Callable[[], object], settings: Settings) -> dict[str, Any]:
    """Time a call: the first run, a warm-up until stable, then attempts until one passes the gate.

    Returns:
        ``first_ms``; ``warmup_ms``, every warm-up run; ``warm``, whether it became stable;
        ``attempts``, each with every sample and its ``iqr_ratio``; ``passed``, whether the last
        one passed.
    """
    first = sample(call, 1)[0]
    warmup = sample(call, WINDOW)
    warm = False
    while not warm and len(warmup) < MAX_WARMUP:
        warmup += sample(call, WINDOW)
        before, now = np.median(warmup[-2 * WINDOW : -WINDOW]), np.median(warmup[-WINDOW:])
        warm = bool(abs(now / before - 1) <= AGREE)
    attempts: list[dict[str, Any]] = []
    while len(attempts) <= settings.retries:
        samples = sample(call, settings.min_samples, settings.min_seconds)
        attempts.append({"iqr_ratio": round(iqr_ratio(samples), 5), "samples_ms": samples})
        if attempts[-1]["iqr_ratio"] <= settings.gate:
            break
    return {
        "first_ms": first,
        "warmup_ms": warmup,
        "warm": warm,
        "attempts": attempts,
        "passed": attempts[-1]["iqr_ratio"] <= settings.gate,
    }


def run(path: Path, settings: Settings) -> dict[str, Any]:
    """Everything one process measures.

    First the graph alone, then end to end where the detector lies beside it.
    """
    gc.disable()
    before = _peak_mb()
    frame = np.random.default_rng(0).integers(0, 256, (*FRAME, 3), np.uint8)
    card, graph = _graph(path, frame, settings)
    answer = {
        "card": json.loads(card.dumps()),
        "cpus": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "graph": graph,
        "peak_memory_mb": _peak_mb(),
        "interpreter_memory_mb": before,
        "end_to_end": None,
    }
    detector = cards.detector_path(path)
    if detector.is_file():
        answer["end_to_end"] = _end_to_end(detector, frame, card, settings)
    return answer


def _graph(
    path: Path, frame: NDArray[np.uint8], settings: Settings
) -> tuple[cards.Card, dict[str, Any]]:
    began = time.perf_counter()
    session = open_session(path, settings)
    opened = time.perf_counter() - began
    card = card_of(session, path, settings)
    feed = {session.get_inputs()[0].name: prepare(frame, card)}
    names = [output.name for output in session.get_outputs()]
    measured = series(lambda: session.run(names, feed), settings)
    return card, {"open_ms": round(opened * 1e3, 2), **measured}


def _end_to_end(
    detector: Path, frame: NDArray[np.uint8], card: cards.Card, settings: Settings
) -> dict[str, Any]:
    session = open_session(detector, settings, strict=False)
    outputs = ["boxes", "scores", "labels"]
    name = session.get_inputs()[0].name
    prepared: list[float] = []

    def call() -> None:
        begin = time.perf_counter_ns()
        feed = {name: prepare(frame, card)}
        prepared.append((time.perf_counter_ns() - begin) / 1e6)
        session.run(outputs, feed)

    measured = series(call, settings)
    return {**measured, "prepare_ms": round(float(np.median(prepared)), 4)}


def _peak_mb() -> float:
    """Largest resident memory of this process so far, in MiB."""
    try:
        # getrusage would answer with the parent's peak where that was larger.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return round(int(status.partition("VmHWM:")[2].split()[0]) / 2**10, 1)
    except (OSError, IndexError):
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def main() -> None:
    """Read a request, work, write the answer or the sentence that says why there is none."""
    request, answer = json.loads(sys.argv[1]), Path(sys.argv[2])
    try:
        found = run(Path(request["path"]), Settings(**request["settings"]))
    except UserError as error:
        found = {"error": str(error)}
    answer.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
