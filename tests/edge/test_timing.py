"""The timer and its process: what is kept, what is asserted, what is refused, what is imported."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import quantize_dynamic

from mkd import ROOT, host
from mkd.edge import load, measure, opening, processes, timing
from mkd.edge.engines import CannotRun
from mkd.edge.engines import onnxruntime as ort
from mkd.edge.metadata import KEY, Card, detector_path
from mkd.edge.opening import Settings
from mkd.edge.spread import median_interval
from mkd.errors import UserError
from mkd.schemas import validate

QUICK = Settings(min_samples=4, min_seconds=0, max_seconds=0, restarts=1, gate=1e6, load=1)


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
    for growing in ([50 * 1.5**at for at in range(5)], [2000, 3000]):
        found = timing.series(scripted([1, *growing, 5, 5, 5, 5]), QUICK)
        assert (found["warm"], found["warmup_ms"]) == (False, growing)
        assert sum(growing) >= 1e3 * timing.WARM_S > sum(growing[:-1]) * (len(growing) > 2)


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


def test_sampling_ends_when_the_median_is_known_or_the_time_is_up(scripted: Any) -> None:
    quiet = [10.0, 10.1] * 50
    assert len(timing.sample(scripted(quiet), 6, most=9)) == 6
    wide = [10.0, 12.0] * 3
    # Of 20 samples of 10 and one in ten of 12 the interval of the median is 10 to 10.
    steadier = [*wide, *[10.0] * 50]
    found = timing.sample(scripted(steadier), 6, most=9)
    assert 6 < len(found) < 30
    low, high = median_interval(found)
    assert (low, high) == (10, 10)
    never = [10.0, 12.0] * 50
    assert len(timing.sample(scripted(never), 6, most=0.22)) == 20


def answered(*medians: float, others: float | None = 0.0) -> Any:
    """What processes answer whose samples all take the median's time.

    End to end it takes the same.
    """
    left = iter(medians)

    def answer(*_: Any, whole: bool, **__: Any) -> dict[str, Any]:
        attempt = {"iqr_ratio": 0.0, "samples_ms": [next(left)] * 6}
        warm = {"open_ms": 1.0, "first_ms": 1.0, "warmup_ms": [1.0], "warm": True}
        series = {**warm, "attempts": [attempt], "passed": True}
        card = {"model": "a", "arch": "", "width": 1.0, "seed": None, "weights": ""}
        return {
            "card": {**card, "precision": "fp32", "input_px": 16},
            "cpus": [0],
            "graph": series,
            "end_to_end": {**series, "prepare_ms": 0.5} if whole else None,
            "others": others,
            "peak_memory_mb": 2.0,
            "interpreter_memory_mb": 1.0,
        }

    return answer


@pytest.mark.parametrize(
    ("medians", "first", "unsteady"),
    [
        ((10, 10.5, 10.9), [], []),
        ((10, 10.5, 12, 10, 10, 10), [10, 10.5, 12], []),
        (
            (10, 10.5, 12, 10, 20, 40),
            [10, 10.5, 12],
            ["medians of restarts lie 150% apart, repeated once"],
        ),
    ],
)
def test_restarts_that_disagree_are_repeated_once(
    conv: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    medians: tuple[float, ...],
    first: list[float],
    unsteady: list[str],
) -> None:
    answer, asked = answered(*medians), []

    def asking(*arguments: Any, whole: bool, **request: Any) -> dict[str, Any]:
        asked.append(whole)
        return answer(*arguments, whole=whole, **request)

    monkeypatch.setattr(measure, "answer", asking)
    path = conv("a.onnx")
    detector_path(path).touch()
    record = measure.measure(path, replace(QUICK, restarts=3))
    validate(record, "latency", "the record")
    # End to end is not.
    assert asked == [True, *[False] * (len(medians) - 1)]
    assert record["end_to_end"]["p50_ms"] == medians[0]
    assert record["first_inference_ms"] == 2.0  # opening and the first run
    assert [bool(p["end_to_end"]) for p in record["processes"]] == [True, False, False]
    assert (record["first_medians_ms"], record["unsteady"]) == (first, unsteady)
    assert record["passed"] == record["graph"]["passed"] == (not unsteady)
    assert record["latency_ms"] == sorted(medians[-3:])[1]
    assert record["graph"]["interval_ms"] == [min(medians[-3:]), max(medians[-3:])]


def test_one_process_whose_samples_spread_makes_a_figure_unsteady(
    conv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = answered(1, 1, 1)
    spreads = (0.05, 0.3, 0.07)
    left = iter([(list(range(1, 102))[at::3], spread) for at, spread in enumerate(spreads)])

    def unequal(*arguments: Any, **request: Any) -> dict[str, Any]:
        samples, spread = next(left)
        found = answer(*arguments, **request)
        attempt = {"iqr_ratio": spread, "samples_ms": samples}
        found["graph"] |= {"attempts": [attempt], "passed": spread <= 0.1}
        return found

    monkeypatch.setattr(measure, "listen", lambda _: None)
    monkeypatch.setattr(measure, "answer", unequal)
    path = conv("a.onnx")
    detector_path(path).touch()
    record = measure.measure(path, replace(QUICK, restarts=3))
    assert record["unsteady"] == ["samples spread by 30% of their median"]
    assert (record["passed"], record["graph"]["passed"]) == (False, False)
    # Of the samples of all three.
    percentiles = [record["graph"][f"p{percent}_ms"] for percent in (50, 90, 95, 99)]
    assert percentiles == [51, 91, 96, 100]


@pytest.mark.parametrize(
    ("before", "during", "unsteady"),
    [
        (0.0, 0.05, []),
        (None, None, []),
        (0.3, 0.0, ["other work took 30% of its CPUs' time before it was timed"]),
        (0.0, 0.2, ["other work took 20% of its CPUs' time while it was timed"]),
    ],
)
def test_other_work_on_its_cpus_makes_a_figure_unsteady(
    conv: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    before: float | None,
    during: float | None,
    unsteady: list[str],
) -> None:
    monkeypatch.setattr(measure, "listen", lambda _: before)
    monkeypatch.setattr(measure, "answer", answered(10, others=during))
    path = conv("a.onnx")
    detector_path(path).touch()
    record = measure.measure(path, replace(QUICK, load=0.1))
    validate(record, "latency", "the record")
    assert record["load"] == {"before": before, "during": during}
    assert (record["unsteady"], record["passed"]) == (unsteady, not unsteady)
    assert ("UNSTEADY" in measure.line(record)) is bool(unsteady)


def test_what_is_timed_waits_for_others_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "QUIET_S", 60)
    heard = iter([0.5, 0.4, 0.05, 0.0])
    monkeypatch.setattr(measure, "listen", lambda _: next(heard))
    assert measure.quiet([0], 0.1) == 0.05
    monkeypatch.setattr(measure, "listen", lambda _: None)
    assert measure.quiet([0], 0.1) is None


def test_load_is_what_others_took_of_the_chosen_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"wall": 0.0, "own": 0.0}
    stat = tmp_path / "stat"
    clock = SimpleNamespace(monotonic=lambda: now["wall"], process_time=lambda: now["own"])
    monkeypatch.setattr(load, "time", clock)
    monkeypatch.setattr(load, "_STAT", stat)

    def at(wall: float, own: float, *busy: int) -> None:
        """The CPUs' user time in hundredths of a second; each has idled and waited too."""
        now.update(wall=wall, own=own)
        lines = [f"cpu{at} {ticks} 0 0 77 88 0 0 0 5 5" for at, ticks in enumerate(busy)]
        stat.write_text("\n".join(["cpu 1 1 1 1 1 1 1 1 1 1", *lines, "intr 1"]))

    at(0, 0, 0, 0, 0)
    watched = load.Load([0, 2])
    at(1, 0.8, 100, 100, 51)
    watched.end()
    # Of two CPU-seconds 1.51 were busy, 0.8 its own; a tick for each CPU is not told apart.
    assert watched.share() == pytest.approx((1.51 - 0.8 - 0.02) / 2, abs=1e-3)
    at(9, 0.8, 900, 900, 900)
    watched.begin()
    at(10, 2.8, 1000, 900, 1000)
    watched.end()
    assert watched.share() == pytest.approx((0.71 - 0.02) / 4, abs=1e-3)
    short = load.Load([0])
    at(10.05, 2.8, 1005, 900, 1000)
    short.end()
    assert short.share() is None
    for missing in ([7], None):
        unknown = load.Load(missing)
        at(12, 2.8, 1200, 1200, 1200)
        unknown.end()
        assert unknown.share() is None


@pytest.fixture(scope="module")
def detector(write_conv: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of many convolutions, timed in milliseconds, with itself as the full detector."""
    path = write_conv(tmp_path_factory.mktemp("timed") / "small.onnx", (1, 3, 64, 64), layers=60)
    return shutil.copy(path, detector_path(path)).with_name(path.name)


def test_the_record_keeps_every_sample_of_every_process(detector: Path) -> None:
    cpus = host.usable_cpus()
    record = measure.measure(detector, replace(QUICK, restarts=2), scale="smoke")
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
    assert record["end_to_end"]["p50_ms"] > 0
    assert json.loads(json.dumps(record)) == record


def test_a_detector_that_is_not_taken_leaves_the_graphs_figure(conv: Callable[..., Path]) -> None:
    path = conv("a.onnx")
    images, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, 16, 16))
        for name in ("images", "boxes")
    )
    node = helper.make_node("Nothing", ["images"], ["boxes"], domain="mine")
    graph = helper.make_graph([node], "detector", [images], [out])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(made, detector_path(path))
    record = measure.measure(path, QUICK)
    validate(record, "latency", "the record")
    assert record["graph"]["samples"] >= 4
    assert record["end_to_end"] is None
    assert "has no kernel for a part of" in record["end_to_end_refused"]
    assert f"not end to end: {record['end_to_end_refused']}" in measure.line(record)


def marked(path: Path, card: Card, out: str = "maps") -> Path:
    """The file with a card, as if it had been exported; its output may have another name."""
    model = onnx.load(path)
    model.graph.output[0].name = model.graph.node[-1].output[0] = out
    helper.set_model_props(model, {KEY: card.dumps()})
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("other", "shape", "said"),
    [
        ({"model": "m-mkd"}, (1, 3, 16, 16), "is of another model or size: export both again"),
        ({"input_px": 32}, (1, 3, 32, 32), "is of another model or size: export both again"),
        ({"precision": "fp16"}, (1, 3, 16, 16), ""),
    ],
)
def test_a_detector_of_another_model_is_not_timed_as_this_ones(
    conv: Callable[..., Path], other: dict[str, Any], shape: tuple[int, ...], said: str
) -> None:
    """An earlier export's may still lie there."""
    card = Card("tiny-mkd", "rtmdet-tiny", input_px=16)
    path = marked(conv("a.onnx"), card)
    marked(conv(detector_path(path).name, shape), replace(card, **other))
    found = timing.run(path, QUICK)
    assert found["graph"]["passed"]
    assert found.get("end_to_end_refused", "").endswith(said)
    assert bool(found["end_to_end"]) is not bool(said)


def test_a_frame_is_made_into_one_square_image_alone(conv: Callable[..., Path]) -> None:
    path = conv("a.onnx", (1, 3, 16, 32))
    conv(detector_path(path).name, (1, 3, 16, 32))
    found = timing.run(path, QUICK)
    assert "does not take one square image" in found["end_to_end_refused"]


def test_a_full_detector_is_not_timed_as_a_graph(conv: Callable[..., Path]) -> None:
    """Its card is that of the raw file, and so would its record be."""
    card = Card("tiny-mkd", "rtmdet-tiny", input_px=16)
    path = marked(conv("a-detector.onnx"), card, out="boxes")
    model = onnx.load(path)
    for name in ("scores", "labels"):
        model.graph.node.append(helper.make_node("Identity", ["boxes"], [name]))
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    onnx.save(model, path)
    with pytest.raises(CannotRun, match="timed with the raw file it lies beside"):
        measure.measure(path, QUICK)


def test_what_an_exported_file_was_made_into_is_what_it_is(conv: Callable[..., Path]) -> None:
    """Quantizers keep the card, and converters, which says FP32."""
    card = Card("tiny-mkd", "rtmdet-tiny", input_px=16)
    path = marked(conv("a.onnx", kind=TensorProto.FLOAT16), card)
    found, task, feed = opening.read(path, QUICK)
    assert (found, task.precision) == (replace(card, precision="fp16"), "fp16")
    assert feed["image"].dtype == np.float16
    assert timing.run(path, QUICK)["graph"]["passed"]
    dynamic = path.with_name("int8.onnx")
    quantize_dynamic(marked(conv("b.onnx"), card), dynamic)
    assert opening.read(dynamic, QUICK)[0] == replace(card, precision="int8")


def test_nvidias_libraries_compute_fp32_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    assert processes._environment()["NVIDIA_TF32_OVERRIDE"] == "0"


def test_a_frame_is_prepared_for_every_run_end_to_end(
    conv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[tuple[int, ...]] = []
    seen: list[float] = []
    open_model = ort.open_model

    def prepare(frame: np.ndarray, card: Card) -> np.ndarray:
        prepared.append(frame.shape)
        return np.full((1, 3, card.input_px, card.input_px), len(prepared), np.float32)

    def watched(*arguments: Any) -> Any:
        def call(feed: Any) -> Callable[[], None]:
            infer = open_model(*arguments).call(feed)
            return lambda: seen.append(infer()[0].max())

        return SimpleNamespace(call=call)

    monkeypatch.setattr(timing, "prepare", prepare)
    monkeypatch.setattr(ort, "open_model", watched)
    clock = count(0, 10_000_000)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter_ns=lambda: next(clock)))
    found = timing._end_to_end(conv("a.onnx"), Card("a", input_px=16), QUICK)
    assert set(prepared) == {(*opening.FRAME, 3)}
    # The convolution has no bias, so each run saw the frame that was prepared for it.
    assert seen == pytest.approx([seen[0] * at for at in range(1, len(prepared) + 1)], rel=1e-4)
    assert found["prepare_ms"] == 10
    assert found["attempts"][0]["samples_ms"] == [30] * 4
    again = replace(QUICK, gate=-1, retries=2)
    assert len(timing._end_to_end(conv("a.onnx"), Card("a", input_px=16), again)["attempts"]) == 1


def test_timing_imports_neither_torch_nor_anything_else_a_device_has_not(detector: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from mkd import cli; from mkd.edge import measure, opening, timing;"
        f"timing.run(Path({str(detector)!r}),"
        "opening.Settings(min_samples=1, min_seconds=0, max_seconds=0, gate=1e6));"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"torch", "mmdet", "mmengine", "mmcv", "cv2", "onnx", "scipy", "yaml", "jsonschema"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize("cut", [0, 10, 100_000, -1])
def test_a_truncated_file_is_one_sentence(detector: Path, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(detector.read_bytes()[:cut])
    with pytest.raises(UserError, match="is not a sound ONNX file") as caught:
        measure.measure(path, QUICK)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_that_is_no_onnx_are_one_sentence_each(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.onnx does not exist: export it first"):
        measure.measure(tmp_path / "none.onnx", QUICK)
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(UserError, match="is not a sound ONNX file"):
        measure.measure(tmp_path / "text.onnx", QUICK)


def test_another_input_size_is_one_sentence(detector: Path) -> None:
    with pytest.raises(UserError, match="takes images of 64 px and 640 px were asked for"):
        measure.measure(detector, replace(QUICK, input_px=640))


def test_more_threads_than_cpus_are_refused(detector: Path) -> None:
    with pytest.raises(UserError, match="4096 threads were asked for"):
        measure.measure(detector, replace(QUICK, threads=4096))


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_fallback_to_the_cpu_is_an_error(detector: Path, provider: str) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has a GPU")
    listed = ort.PROVIDERS[provider] in onnxruntime.get_available_providers()
    words = "does not run on .* alone" if listed else "this onnxruntime has no"
    with pytest.raises(UserError, match=words) as caught:
        measure.measure(detector, replace(QUICK, provider=provider))
    assert "\n" not in str(caught.value)


def test_a_provider_this_onnxruntime_lacks_is_named(
    detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UserError, match="has no CUDAExecutionProvider"):
        opening.open_file(detector, Settings(provider="cuda"))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="it lists what is loaded")
def test_tensorrts_wheel_is_loaded_where_its_libraries_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tensorrt_libs"
    folder.mkdir()
    (folder / "__init__.py").touch()
    loaded, broken = folder / "libnvinfer.so.10", folder / "libnvonnxparser.so.10"
    # Any library stands for it.
    shutil.copy(next(Path(np.__file__).parent.glob("fft/*.so")), loaded)
    broken.write_text("none")
    monkeypatch.syspath_prepend(tmp_path)
    ort._load_tensorrt()
    assert str(loaded) in Path("/proc/self/maps").read_text()


def test_a_timed_process_has_nothing_of_the_trainings_heap(
    detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        """said="${GLIBC_TUNABLES:-plain} $CUDA_DEVICE_ORDER"\n"""
        """printf '{"error": "%s", "cannot": false}' "$said" > "$4"\n"""
    )
    python.chmod(0o755)
    monkeypatch.setattr(processes.sys, "executable", str(python))
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    # GPUs have the numbers that nvidia-smi gives them, unless the user says otherwise.
    with pytest.raises(UserError, match="^plain PCI_BUS_ID$"):
        measure.measure(detector, Settings(restarts=1))
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    with pytest.raises(UserError, match="^plain FASTEST_FIRST$"):
        measure.measure(detector, Settings(restarts=1))
