"""The timer and its process: what is kept, what is asserted, what is refused, what is imported."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from mkd import ROOT
from mkd.edge import measure, processes, timing
from mkd.edge.engines import onnxruntime as ort
from mkd.edge.timing import Settings
from mkd.errors import UserError
from mkd.schemas import validate

QUICK = Settings(min_samples=4, min_seconds=0, max_seconds=0, restarts=1, gate=10, load=1)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], Callable[[], None]]:
    """A call whose runs take the given milliseconds on a clock that only they move."""

    def make(durations: list[float]) -> Callable[[], None]:
        now, left = [0], iter(durations)

        def call() -> None:
            now[0] += int(next(left) * 1e6)

        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter_ns=lambda: now[0]))
        return call

    return make


def test_warm_up_goes_on_until_two_windows_agree(scripted: Any) -> None:
    # A window is one run of 50 ms or more, else as many as fill 50 ms.
    warming = [90, 60, *[20, 30], *[15] * 4, *[10] * 5, *[10] * 5]
    found = timing.series(scripted([100, *warming, 10, 11, 10, 10]), QUICK)
    assert found["first_ms"] == 100
    assert found["warm"]
    assert found["warmup_ms"] == warming
    assert found["attempts"] == [{"iqr_ratio": 0.025, "samples_ms": [10, 11, 10, 10]}]


def test_a_call_that_never_settles_is_said_not_to_be_warm(scripted: Any) -> None:
    growing = [50 * 1.5**at for at in range(timing.MAX_WINDOWS)]
    found = timing.series(scripted([1, *growing, 5, 5, 5, 5]), QUICK)
    assert (found["warm"], len(found["warmup_ms"])) == (False, timing.MAX_WINDOWS)


def test_an_unsteady_attempt_is_kept_and_followed_by_another(scripted: Any) -> None:
    noisy, steady = [10, 20, 10, 20], [10, 10, 10, 10]
    call = scripted([10, *[50] * 2, *noisy, *steady])
    found = timing.series(call, replace(QUICK, gate=0.1))
    assert found["passed"]
    assert [attempt["samples_ms"] for attempt in found["attempts"]] == [noisy, steady]


def test_after_the_last_retry_the_gate_has_failed(scripted: Any) -> None:
    call = scripted([10, *[50] * 2, *[10, 20, 10, 20] * 3])
    found = timing.series(call, replace(QUICK, gate=0.1, retries=2))
    assert not found["passed"]
    assert len(found["attempts"]) == 3


def test_sampling_lasts_both_as_long_and_as_often_as_asked(scripted: Any) -> None:
    assert len(timing.sample(scripted([10] * 9), 3, seconds=0.045)) == 5
    assert len(timing.sample(scripted([10] * 9), 7, seconds=0.045)) == 7


def test_the_record_keeps_every_sample_of_every_process(exported: Any) -> None:
    cpus = processes.usable_cpus()
    record = measure.measure(exported.path, replace(QUICK, restarts=2), scale="smoke")
    validate(record, "latency", "the record")
    assert len(record["processes"]) == 2
    # End to end is timed in the first process alone.
    assert [bool(process["end_to_end"]) for process in record["processes"]] == [True, False]
    for process in record["processes"]:
        for mode in filter(None, (process["graph"], process["end_to_end"])):
            (attempt,) = mode["attempts"]
            assert len(attempt["samples_ms"]) >= 4
            assert min(attempt["samples_ms"]) > 0
    assert record["graph"]["samples"] == sum(
        len(process["graph"]["attempts"][-1]["samples_ms"]) for process in record["processes"]
    )
    assert record["cpus"] == cpus[:1]
    assert record["model"] == "small"
    assert record["peak_memory_mb"] > record["interpreter_memory_mb"] > 0
    assert record["first_inference_ms"] > record["graph"]["p50_ms"]
    assert record["end_to_end"]["p50_ms"] > record["graph"]["p50_ms"] / 2
    assert json.loads(json.dumps(record)) == record


def test_timing_imports_neither_torch_nor_anything_else_a_device_has_not(exported: Any) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from mkd import cli; from mkd.edge import measure, timing;"
        f"timing.run(Path({str(exported.path)!r}),"
        "timing.Settings(min_samples=1, min_seconds=0, max_seconds=0, gate=10));"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"torch", "mmdet", "mmengine", "mmcv", "cv2", "onnx", "scipy", "yaml", "jsonschema"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize("cut", [0, 10, 100_000, -1])
def test_a_truncated_file_is_one_sentence(exported: Any, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(exported.path.read_bytes()[:cut])
    with pytest.raises(UserError, match="is not a sound ONNX file") as caught:
        measure.measure(path, QUICK)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_that_is_no_onnx_are_one_sentence_each(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.onnx does not exist: export it first"):
        measure.measure(tmp_path / "none.onnx", QUICK)
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(UserError, match="is not a sound ONNX file"):
        measure.measure(tmp_path / "text.onnx", QUICK)


def test_another_input_size_is_one_sentence(exported: Any) -> None:
    with pytest.raises(UserError, match="takes images of 64 px and 640 px were asked for"):
        measure.measure(exported.path, replace(QUICK, input_px=640))


def test_more_threads_than_cpus_are_refused(exported: Any) -> None:
    with pytest.raises(UserError, match="4096 threads were asked for"):
        measure.measure(exported.path, replace(QUICK, threads=4096))


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_fallback_to_the_cpu_is_an_error(exported: Any, provider: str) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has a GPU")
    listed = ort.PROVIDERS[provider] in onnxruntime.get_available_providers()
    words = "does not run on .* alone" if listed else "this onnxruntime has no"
    with pytest.raises(UserError, match=words) as caught:
        measure.measure(exported.path, replace(QUICK, provider=provider))
    assert "\n" not in str(caught.value)


def test_a_provider_this_onnxruntime_lacks_is_named(
    exported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UserError, match="has no CUDAExecutionProvider"):
        timing.open_file(exported.path, Settings(provider="cuda"))


def test_a_timed_process_has_nothing_of_the_trainings_heap(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        """printf '{"error": "%s", "cannot": false}' "${GLIBC_TUNABLES:-plain}" > "$4"\n"""
    )
    python.chmod(0o755)
    monkeypatch.setattr(processes.sys, "executable", str(python))
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    with pytest.raises(UserError, match="^plain$"):
        measure.measure(exported.path, Settings(restarts=1))
