"""Engines beside ONNX Runtime: what they compute, what they refuse, and what their cell says."""

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from mkd import cli
from mkd.edge import engines, measure, opening, processes
from mkd.edge import suite as edge
from mkd.edge.contents import Contents, Port
from mkd.edge.engines import CannotRun, Task
from mkd.edge.engines import onnxruntime as ort
from mkd.edge.opening import Settings
from mkd.edge.records import load
from mkd.errors import UserError
from mkd.files import read_json
from mkd.schemas import validate

QUICK = Settings(min_samples=2, min_seconds=0, max_seconds=0, restarts=1, gate=1e6, load=1)
OPEN = ("n", 3, "height", "width")


@pytest.fixture(params=["openvino", "ncnn"])
def engine(request: pytest.FixtureRequest) -> str:
    """An engine that is installed here, with its converter."""
    needed = {"openvino": ["openvino"], "ncnn": ["ncnn", "pnnx"]}[request.param]
    if not all(map(find_spec, needed)):
        pytest.skip(f"{request.param} is not installed")
    return request.param


def checked(path: Path, settings: Settings) -> Any:
    """Largest difference of an engine's outputs to ONNX Runtime's, found by a process."""
    with processes.checked(path, settings) as made:
        return made["difference"]


def test_an_engine_computes_what_onnx_runtime_does(
    conv: Callable[..., Path], tmp_path: Path, engine: str
) -> None:
    settings = Settings(engine=engine)
    before = set(tmp_path.iterdir())
    for path, shape in (
        (conv("square.onnx"), {}),
        (conv("wide.onnx", OPEN), {"": (1, 3, 12, 20)}),
        (conv("two.onnx", more=[("scale", TensorProto.FLOAT, (1, 1))]), {}),
    ):
        before.add(path)
        assert checked(path, replace(settings, shape=shape)) < 1e-5
    # Converters write beside the file they are given.
    assert set(tmp_path.iterdir()) <= before


def test_a_record_says_which_engine_it_is_of(conv: Callable[..., Path], engine: str) -> None:
    record = measure.measure(conv("a.onnx"), replace(QUICK, engine=engine))
    validate(record, "latency", "the record")
    assert (record["engine"], record["provider"]) == (engine, "cpu")
    assert record["difference"] < 1e-5
    assert engine in record["versions"]
    assert f"a fp32 {engine} 16 px, graph " in measure.line(record)


@pytest.mark.parametrize(
    ("file", "asked", "words"),
    [
        ({"shape": (2, 3, 16, 16)}, {}, {"ncnn": "batch 1 alone, and this one is 'image' 2×3×16"}),
        ({"kind": TensorProto.FLOAT16}, {}, {"ncnn": "ncnn takes FP32 files"}),
        ({"external": "a.data"}, {}, {"ncnn": "loses weights that lie in other files: save"}),
        (
            {"more": [("sizes", TensorProto.INT64, (1, 1))]},
            {},
            {"ncnn": "and this one is 'sizes' 1×1 int64"},
        ),
        (
            {"shape": OPEN, "more": [("other", TensorProto.FLOAT, ("n", 8, "a", "b"))]},
            {"image": (1, 3, 8, 8), "other": (1, 8, 5, 5)},
            {"ncnn": "no network|no layer|computes other outputs", "openvino": "does not take"},
        ),
    ],
)
def test_what_an_engine_does_not_take_is_one_sentence(
    conv: Callable[..., Path], engine: str, file: Any, asked: Any, words: dict[str, str]
) -> None:
    settings = Settings(engine=engine, shape=asked)
    if engine not in words:
        assert checked(conv("a.onnx", **file), settings) < 0.01
        return
    with pytest.raises(CannotRun, match=words[engine]) as caught:
        checked(conv("a.onnx", **file), settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [0, 200, -1])
def test_a_broken_file_is_the_files_fault_on_every_engine(
    conv: Callable[..., Path], engine: str, cut: int
) -> None:
    path = conv("a.onnx")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match="is not a sound ONNX file"):
        measure.measure(path, Settings(engine=engine))


def test_half_precision_is_computed_or_refused_with_the_reason(
    conv: Callable[..., Path], engine: str
) -> None:
    path, settings = conv("a.onnx"), Settings(engine=engine, half=True)
    try:
        difference = checked(path, settings)
    except CannotRun as error:
        said = str(error)
        assert "FP16 kernels" in said
    else:
        assert 1e-6 < difference < 0.05
    card, task, _ = opening.read(path, settings)
    assert (card.precision, task.precision) == ("fp16", "fp16")
    with pytest.raises(CannotRun, match="is fp16: --half is for a file of FP32"):
        opening.read(conv("b.onnx", kind=TensorProto.FLOAT16), settings)


def test_an_engine_that_is_not_installed_says_so_in_the_cell(
    conv: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    absent = engines.Engine("Absent", "pip install absent", False, True, ("fp32",), ("absent",))
    monkeypatch.setitem(engines.ENGINES, "absent", absent)
    with pytest.raises(CannotRun, match="^Absent is not installed: pip install absent$"):
        engines.load("absent")
    path, out = conv("a.onnx"), tmp_path / "scale/latency/a-fp32-openvino.json"
    # In a process that finds no wheel at all.
    monkeypatch.setattr(processes, "_command", lambda *_: ["/bin/sh", "-c", "exit 3"])
    cli.main(["latency", str(path), "--engine", "openvino", "--scale", "desk", "--out", str(out)])
    assert "not timed: the timing process of " in capsys.readouterr().err
    record = read_json(out)
    assert (record["engine"], record["precision"]) == ("openvino", "fp32")
    assert "ended with 3 and no answer" in record["refused"]
    found = load(tmp_path / "scale", "desk")
    assert (found.latency, found.problems) == ([], [])
    assert [r["model"] for r in found.refused] == ["a"]
    with pytest.raises(SystemExit):
        cli.main(["latency", str(path), "--engine", "openvino"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mkd: {path}: the timing process")


def test_other_outputs_than_onnx_runtimes_are_refused_and_rounding_is_not() -> None:
    maps = Port("maps", "float32", (1, 4))
    content = Contents((), (maps,), frozenset({"Conv"}), {}, {}, {})
    task = Task(Path("a.onnx"), content, {}, "fp32")
    right = np.array([[1.0, -2.0, np.inf, np.nan]], np.float32)
    assert opening.compared(task, [right + np.float32(1e-3)], [right]) == pytest.approx(
        5e-4, rel=0.1
    )
    for wrong in (right + 0.1, right * np.nan, np.abs(right), right[:, :3]):
        with pytest.raises(CannotRun, match="computes other outputs than ONNX Runtime: 'maps'"):
            opening.compared(task, [wrong], [right])
    half = replace(task, precision="fp16")
    assert opening.compared(half, [right + np.float32(0.02)], [right]) == pytest.approx(
        0.01, rel=0.1
    )
    open_port = replace(task, contents=replace(content, outputs=(Port("maps", "float32", None),)))
    with pytest.raises(CannotRun, match="'maps' is 1×3 and not 1×4"):
        opening.compared(open_port, [right[:, :3]], [right])
    # Behind NMS boxes may swap places, and there may be one more.
    ranked = replace(task, contents=replace(content, operators=frozenset({"NonMaxSuppression"})))
    assert opening.compared(ranked, [right[:, ::-1]], [right]) is None
    assert opening.compared(ranked, [right[:, :3]], [right]) is None


def test_the_workflow_times_an_fp32_file_where_the_engine_halves_it_itself(
    monkeypatch: pytest.MonkeyPatch, suite: Any
) -> None:
    monkeypatch.setenv("MKD_PROVIDERS", "cpu,openvino,ncnn")
    assert edge.precisions() == ["fp32", "int8"]
    assert edge.engine_options("openvino", "fp16") == "--engine openvino --half"
    assert edge.engine_options("ncnn", "fp32") == "--engine ncnn"
    assert edge.engine_options("cuda", "fp16") == "--provider cuda"
    assert edge.exported_precision("tensorrt", "fp16") == "fp16"
    planned = edge.latency_records(suite, ["tiny-mkd"])
    assert [Path(path).stem for path in planned] == [
        *("tiny-mkd-fp32-cpu", "tiny-mkd-int8-cpu"),
        *("tiny-mkd-fp32-openvino", "tiny-mkd-fp16-openvino", "tiny-mkd-int8-openvino"),
        *("tiny-mkd-fp32-ncnn", "tiny-mkd-fp16-ncnn"),
    ]


def test_the_workflow_times_on_every_engine_that_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MKD_PROVIDERS", raising=False)
    for here in (["ncnn"], ["openvino", "ncnn"], []):
        monkeypatch.setattr(edge, "installed", here.__contains__)
        assert [name for name in edge.providers() if name not in ort.PROVIDERS] == here
    assert edge.providers()[0] == "cpu"


@pytest.mark.parametrize(
    ("engine", "code", "kind"),
    [
        ("openvino", -11, CannotRun),
        ("ncnn", 1, CannotRun),
        ("ncnn", -9, UserError),
        ("openvino", -15, UserError),
        ("onnxruntime", -11, UserError),
    ],
)
def test_a_process_that_was_killed_says_nothing_of_the_file(
    engine: str, code: int, kind: type
) -> None:
    assert type(processes.died(Path("a.onnx"), replace(QUICK, engine=engine), code, "")) is kind
