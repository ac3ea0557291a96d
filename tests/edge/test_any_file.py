"""Files that were not exported here: what they hold, and the shapes they are timed at."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from onnxruntime.quantization import quantize_dynamic

from mkd import cli
from mkd.edge import contents, feeds, measure, opening
from mkd.edge.opening import Settings
from mkd.errors import UserError
from mkd.schemas import validate

QUICK = Settings(min_samples=2, min_seconds=0, max_seconds=0, restarts=1, gate=1e6, load=1)
OPEN = ("n", 3, "height", "width")
SCALE = ("scale", TensorProto.FLOAT, (1, 1))
SIZES = ("sizes", TensorProto.INT64, (1, 1))


def opened(path: Path, *shapes: str) -> list[tuple[int, ...]]:
    """Shapes of the outputs of a file that is run once."""
    settings = Settings(shape=feeds.parse(shapes))
    return [out.shape for out in opening.open_file(path, settings).call()]


def test_what_a_file_holds_is_read_without_onnx(conv: Callable[..., Path]) -> None:
    found = contents.read(conv("a.onnx", OPEN, TensorProto.FLOAT16, [SIZES], external="a.data"))
    assert list(map(str, found.inputs)) == [
        "'image' n×3×height×width float16",
        "'sizes' 1×1 int64",
    ]
    assert [port.name for port in found.outputs] == ["maps"]
    assert found.operators == {"Conv", "Cast", "Mul", "Relu"}
    assert found.weights == {"float16": 2 * 8 * 3 * 3 * 3}
    assert list(found.external) == ["a.data"]
    assert found.precision == "fp16"


def test_a_file_that_another_tool_quantized_is_int8(conv: Callable[..., Path]) -> None:
    path = conv("a.onnx")
    quantize_dynamic(path, path)
    found = contents.read(path)
    assert found.operators >= {"DynamicQuantizeLinear", "ConvInteger"}
    for operators in (found.operators, {"QuantizeLinear", "Conv"}, {"ConvInteger"}):
        assert replace(found, operators=frozenset(operators)).precision == "int8"
    stored = replace(found, operators=frozenset({"DequantizeLinear", "Conv"}))
    assert stored.precision == "int8"
    assert replace(stored, weights={**found.weights, "float32": 10**6}).precision == "fp32"
    card, _, _ = opening.read(path, QUICK)
    assert card.precision == "int8"


@pytest.mark.parametrize(
    ("shape", "asked", "found"),
    [
        ((1, 3, 16, 16), [], (1, 8, 16, 16)),
        ((1, 3, 12, 20), [], (1, 8, 12, 20)),
        ((1, 3, 12, 20), ["1x3x12x20"], (1, 8, 12, 20)),
        (OPEN, ["1x3x12x20"], (1, 8, 12, 20)),
        (OPEN, ["image=2×3×8×8"], (2, 8, 8, 8)),
        ((None, 3, None, None), ["1X3X12X20"], (1, 8, 12, 20)),
        (("n", 3, "side", "side"), ["1x3x8x8"], (1, 8, 8, 8)),
        ((-1, 3, 16, 16), ["1x3x16x16"], (1, 8, 16, 16)),
    ],
)
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_open_axes_and_rectangles_are_run_at_the_shape_that_is_asked_for(
    conv: Callable[..., Path], kind: int, shape: Any, asked: list[str], found: tuple[int, ...]
) -> None:
    assert opened(conv("a.onnx", shape, kind), *asked) == [found]


def test_a_second_input_is_fed_too(conv: Callable[..., Path]) -> None:
    assert opened(conv("a.onnx", more=[SCALE])) == [(1, 8, 16, 16)]
    assert opened(conv("b.onnx", more=[SIZES])) == [(1, 8, 16, 16)]
    two = conv("c.onnx", OPEN, more=[("scale", TensorProto.FLOAT, ("n", 1, 1, 1))])
    assert opened(two, "image=1x3x8x8", "scale=1x1x1x1") == [(1, 8, 8, 8)]
    # The one of the two that the shape fits needs no name.
    assert opened(two, "1x3x8x8", "scale=1x1x1x1") == [(1, 8, 8, 8)]


def test_weights_beside_the_file_count_as_its_own(conv: Callable[..., Path]) -> None:
    path = conv("a.onnx", external="a.data")
    record = measure.measure(path, QUICK)
    validate(record, "latency", "the record")
    beside = path.with_name("a.data")
    assert record["model_bytes"] == path.stat().st_size + beside.stat().st_size
    weights = bytearray(beside.read_bytes())
    weights[0] ^= 1
    beside.write_bytes(weights)
    assert measure.digest(path, contents.read(path)) != record["digests"]["model"]
    beside.write_bytes(weights[:-1])
    with pytest.raises(UserError, match=r"a\.data, which is shorter than they are: copy it again"):
        opened(path)
    beside.unlink()
    with pytest.raises(UserError, match=r"a\.data, which does not lie beside it: copy both"):
        opened(path)


def test_the_record_of_a_rectangle_says_what_was_timed(conv: Callable[..., Path]) -> None:
    path = conv("a.onnx", OPEN, TensorProto.FLOAT16)
    record = measure.measure(path, Settings(**vars(QUICK) | {"shape": {"": (2, 3, 8, 24)}}))
    validate(record, "latency", "the record")
    assert (record["input_px"], record["shapes"]) == (None, {"image": [2, 3, 8, 24]})
    assert (record["batch"], record["precision"], record["model"]) == (2, "fp16", "a")
    assert "a fp16 cpu 2×3×8×24, graph " in measure.line(record)


@pytest.mark.parametrize(
    ("shape", "asked", "words"),
    [
        (OPEN, [], r"'image' n×3×height×width float32: fix its open axes with --shape 1x3x640x640"),
        (OPEN, ["1x4x8x8"], "and --shape asks for 1×4×8×8: only its open axes can be chosen"),
        (OPEN, ["3x8x8"], "and --shape asks for 3×8×8: only its open axes"),
        ((1, 3, 16, 16), ["1x3x8x8"], "asks for 1×3×8×8: export it at that shape"),
        (("n", 3, "s", "s"), ["1x3x8x16"], "axes named 's' are one length, and --shape gives 8 "),
        (OPEN, ["imag=1x3x8x8"], "--shape names 'imag'; did you mean 'image'"),
        (OPEN, ["1x3x8x8", "1x3x9x9"], "gives the input twice"),
        (OPEN, ["1x3x0x8"], "is no shape: write lengths of one or more"),
        (OPEN, ["1,3,8,8"], "is no shape"),
        (OPEN, ["1x3x-8x8"], "is no shape"),
        (OPEN, [""], "is no shape"),
        (OPEN, ["1x3x99999x99999"], "is 29999400003 values: at most"),
    ],
)
def test_a_shape_that_does_not_go_is_one_sentence(
    conv: Callable[..., Path], shape: Any, asked: list[str], words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        opened(conv("a.onnx", shape), *asked)
    assert "\n" not in str(caught.value)


def test_a_shape_that_fits_neither_of_two_inputs_wants_a_name(conv: Callable[..., Path]) -> None:
    path = conv("a.onnx", more=[SCALE])
    with pytest.raises(UserError, match="name the one that is meant, as in --shape image=5x5"):
        opened(path, "5x5")


def test_an_input_that_cannot_be_made_up_is_named(conv: Callable[..., Path]) -> None:
    path = conv("a.onnx", more=[("names", TensorProto.STRING, (1, 1))])
    with pytest.raises(UserError, match=r"'names' 1×1 string: an input that is a tensor of floats"):
        opened(path)


def test_any_cut_and_any_changed_byte_is_a_result_or_one_sentence(
    conv: Callable[..., Path], tmp_path: Path
) -> None:
    whole = conv("a.onnx").read_bytes()
    path, random = tmp_path / "b.onnx", np.random.default_rng(0)
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at])
        with pytest.raises(UserError, match="is not a sound ONNX file"):
            opened(path)
    refused = 0
    for _ in range(300):
        changed = bytearray(whole)
        changed[random.integers(len(whole))] = random.integers(256)
        path.write_bytes(changed)
        try:
            contents.read(path)
        except UserError:
            refused += 1
    assert 0 < refused < 300


@pytest.mark.parametrize(
    "content", [b"hello", b"PK\3\4" + bytes(99), b"{}", b"\x80" * 50, b"\0" * 9]
)
def test_what_is_no_onnx_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(UserError, match="is not a sound ONNX file"):
        opened(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--engine", "openvin"],
            "unknown engine 'openvin': there are onnxruntime, openvino, ncnn",
        ),
        (["--engine", "openvino", "--provider", "cuda"], "--provider cuda is of ONNX Runtime"),
        (["--threads", "0"], "--threads 0: at least 1"),
        (["--max-seconds", "nan"], "--max-seconds nan: at least 0, and finite"),
        (["--min-seconds", "inf"], "--min-seconds inf: at least 0, and finite"),
        (["--gate", "-1"], "--gate -1.0: at least 0"),
        (["--half"], "ONNX Runtime computes a file in the file's own precision"),
        (["--shape", "1x3x8x8"], "asks for 1×3×8×8: export it at that shape"),
        (["again.onnx", "--out", "x.json"], "--out is of one record"),
        (["gone.onnx", "--compare"], "gone.onnx does not exist"),
        (["--out", "."], "--out . is a folder: name the record's file, such as a.json"),
        (["--out", "b.onnx"], "--out b.onnx would write a record over a detector"),
        (["--out", f"{__file__}/x.json"], "test_any_file.py is no folder to write into"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(
    conv: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["latency", str(conv("a.onnx")), *arguments])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mkd: ")
    assert words in line


def test_a_refused_file_has_the_digest_it_would_be_timed_with(conv: Callable[..., Path]) -> None:
    path = conv("a.onnx", external="a.data")
    refused = measure.refused(path, Settings(), "smoke", "no")
    _, task, _ = opening.read(path, Settings())
    assert refused["digests"]["model"] == measure.digest(path, task.contents)
    (path.parent / "a.data").write_bytes((path.parent / "a.data").read_bytes()[::-1])
    assert measure.refused(path, Settings(), "smoke", "no")["digests"] != refused["digests"]
