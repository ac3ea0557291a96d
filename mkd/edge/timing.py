"""One timing process: a fresh interpreter that opens one exported file and times it.

Started by :mod:`mkd.edge.processes` as ``python -m mkd.edge.timing REQUEST ANSWER``. Only NumPy and
the engine are imported: this is what runs on a device.
"""

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mkd.edge import engines
from mkd.edge import metadata as cards
from mkd.edge.engines import CannotRun
from mkd.edge.load import Load
from mkd.edge.opening import Settings, camera_frame, check, open_file, read
from mkd.edge.preprocessing import prepare
from mkd.edge.spread import NARROW, median_interval
from mkd.errors import UserError

WINDOW_S, AGREE, WARM_S = 0.05, 0.05, 0.5
"""Warm-up ends when the medians of two successive windows agree to within 5 %, or after so many
seconds. A window lasts 50 ms, one run at least; there are two at least."""
SPIN_S = 0.1
"""So long a process that takes turns with others waits before they go on."""


def iqr_ratio(samples: list[float]) -> float:
    """Interquartile range over median, the gate's measure of unrest."""
    low, middle, high = np.percentile(samples, (25, 50, 75))
    return float((high - low) / middle)


def sample(
    call: Callable[[], object], count: int, seconds: float = 0.0, most: float | None = None
) -> list[float]:
    """Times of single calls in milliseconds, one after the other.

    There are ``count`` of them at least, and they take ``seconds`` at least. With ``most``, they
    then go on until the interval of their median is narrow, or for that many seconds altogether.
    """
    clock = time.perf_counter_ns
    samples: list[int] = []
    begun = clock()
    end, last = begun + int(seconds * 1e9), begun + int((most or 0.0) * 1e9)
    look = count
    while True:
        if len(samples) >= count and clock() >= end:
            if most is None or clock() >= last:
                break
            if len(samples) >= look:
                low, high = median_interval(samples)
                middle = float(np.median(samples))
                if max(high - middle, middle - low) <= NARROW * middle:
                    break
                # Sorting them after each run would warm other caches than the model's.
                look = max(look + 1, len(samples) * 11 // 10)
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
    end = time.perf_counter_ns() + WARM_S * 1e9
    windows = [sample(call, 1, WINDOW_S)]
    warm = False
    while not warm and (len(windows) < 2 or time.perf_counter_ns() < end):
        windows.append(sample(call, 1, WINDOW_S))
        before, now = map(np.median, windows[-2:])
        warm = bool(abs(now / before - 1) <= AGREE)
    attempts: list[dict[str, Any]] = []
    while len(attempts) <= settings.retries:
        samples = sample(call, settings.min_samples, settings.min_seconds, settings.max_seconds)
        attempts.append({"iqr_ratio": round(iqr_ratio(samples), 5), "samples_ms": samples})
        if attempts[-1]["iqr_ratio"] <= settings.gate:
            break
    return {
        "first_ms": first,
        "warmup_ms": [value for window in windows for value in window],
        "warm": warm,
        "attempts": attempts,
        "passed": attempts[-1]["iqr_ratio"] <= settings.gate,
    }


def run(
    path: Path, settings: Settings, file: Path | None = None, whole: bool = True
) -> dict[str, Any]:
    """Everything one process measures.

    First the graph alone; then, with ``whole``, end to end where the detector lies beside it and
    the engine runs it.
    """
    gc.disable()
    before = _peak_mb()
    cpus = _cpus()
    load = Load(cpus)
    opened = open_file(path, settings, file)
    answer = {
        "card": json.loads(opened.card.dumps()),
        "cpus": cpus,
        "graph": {"open_ms": round(opened.open_ms, 2), **series(opened.call, settings)},
        "peak_memory_mb": _peak_mb(),
        "interpreter_memory_mb": before,
        "end_to_end": None,
    }
    load.end()
    answer["others"] = load.share()
    detector = cards.detector_path(path)
    if whole and detector.is_file() and engines.ENGINES[settings.engine].detectors:
        try:
            answer["end_to_end"] = _end_to_end(detector, opened.card, settings)
        except CannotRun as error:
            # The graph's own figure stands.
            answer["end_to_end_refused"] = str(error)
    return answer


def _cpus() -> list[int] | None:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _end_to_end(detector: Path, card: cards.Card, settings: Settings) -> dict[str, Any]:
    theirs, task, feed = read(detector, settings)
    if not cards.one_model(card, theirs):
        raise CannotRun(f"{detector} is of another model or size: export both again")
    if len(feed) != 1 or not card.input_px:
        raise CannotRun(f"{detector} does not take one square image, and a frame is made into one")
    model = engines.load(settings.engine).open_model(replace(task, strict=False), detector)
    (name,) = feed
    frame = camera_frame()
    infer = model.call(feed)
    prepared: list[float] = []

    def call() -> None:
        begin = time.perf_counter_ns()
        feed[name][...] = prepare(frame, card)
        prepared.append((time.perf_counter_ns() - begin) / 1e6)
        infer()

    # A second figure, once: the restarts are the graph's.
    measured = series(call, replace(settings, retries=0))
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


def serve(path: Path, settings: Settings, file: Path | None) -> None:
    """Time a file block by block: a number of runs comes in, their times go out, a line each.

    What a library prints does not get in between.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(value: Any) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    gc.disable()
    try:
        opened = open_file(path, settings, file)
        warm = series(opened.call, replace(settings, min_samples=1, min_seconds=0, max_seconds=0))
    except UserError as error:
        say({"error": str(error), "cannot": isinstance(error, CannotRun)})
        return
    usual = warm["attempts"][-1]["samples_ms"][-1]
    say({"ms": usual})
    load = Load(_cpus())
    for count in sys.stdin:
        # What ran in between has emptied its caches; of a long run they are a small part.
        if usual < WINDOW_S * 1e3:
            opened.call()
        load.begin()
        samples = sample(opened.call, int(count))
        load.end()
        # ONNX Runtime's threads spin on after a run, and who comes next has the same CPUs.
        time.sleep(SPIN_S)
        say({"samples_ms": samples, "others": load.share()})


def main() -> None:
    """Read a request, work, write the answer or the sentence that says why there is none."""
    request = json.loads(sys.argv[1])
    path = Path(request["path"])
    told = request["settings"]
    told["shape"] = {name: tuple(shape) for name, shape in told["shape"].items()}
    settings = Settings(**told)
    file = Path(request["file"]) if request.get("file") else None
    if request["task"] == "serve":
        serve(path, settings, file)
        return
    try:
        if request["task"] == "check":
            found = check(path, settings, Path(request["folder"]))
        else:
            found = run(path, settings, file, request["whole"])
    except UserError as error:
        found = {"error": str(error), "cannot": isinstance(error, CannotRun)}
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
