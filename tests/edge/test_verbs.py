"""Mistakes in the calls of ``mkd export`` and ``mkd latency``; tests of the workflow make none."""

import json
import os
from pathlib import Path

import pytest

from mkd import cli, gpus, schemas
from mkd.edge import measure, verbs
from mkd.edge.engines import CannotRun
from mkd.errors import UserError


def config(results: Path, data: Path) -> list[str]:
    """The smoke scale with folders of its own."""
    folders = json.dumps({"badges": str(data.parent), "coco": str(data.parent)})
    return ["--config", "scale=smoke", f"results={results}", f"data={folders}"]


def test_a_device_without_the_schemas_keeps_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="latency record"):
        verbs._validate({})
    monkeypatch.setattr(schemas, "FOLDER", tmp_path)
    verbs._validate({})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "--model", "yolov9", "--out", "x.onnx"], "unknown model 'yolov9'"),
        (["export", "--run", "nope", "--out", "x.onnx"], "unknown run 'nope'"),
        (["export", "--run", "tiny-mkd", "--out", "x.onnx"], "train the run first"),
        (["export", "--run", "tiny-mkd", "--out", "x.pt"], "--out names an .onnx file"),
        (
            ["export", "--run", "ins-tiny-mkd", "--out", "x.onnx", "--record", "x.json"],
            "ins-tiny-mkd is rtmdet-ins-tiny: its masks are not decoded",
        ),
        (["export", "--run", "ins-tiny-mkd", "--out", "x.onnx"], "train the run first"),
        (["latency", "none.onnx"], "does not exist: export it first"),
        (["latency", "none.onnx", "--restarts", "0"], "--restarts are at least 1"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path,
    smoke_data: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([*arguments, *config(tmp_path, smoke_data)])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mkd: ")
    assert words in line


def test_a_record_in_half_precision_takes_no_other_files_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that of the FP32 file nor of an FP16 file beside it."""
    monkeypatch.setattr(measure, "measure", lambda *_: {})
    monkeypatch.setattr(measure, "line", lambda _: "")
    monkeypatch.setattr(verbs, "_validate", lambda _: None)
    for name, half in (("a", []), ("a", ["--half"]), ("a-fp16", [])):
        (tmp_path / f"{name}.onnx").touch()
        cli.main(["latency", str(tmp_path / f"{name}.onnx"), "--engine", "ncnn", *half])
    assert {path.name for path in tmp_path.glob("*.json")} == {
        *("a-ncnn.json", "a-half-ncnn.json", "a-fp16-ncnn.json"),
    }


def test_a_file_that_is_refused_takes_no_other_files_record_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(file: Path, *_: object) -> dict[str, str]:
        if file.stem == "detector":
            raise CannotRun("it is a full detector")
        return {}

    monkeypatch.setattr(measure, "measure", measured)
    monkeypatch.setattr(measure, "line", lambda _: "")
    monkeypatch.setattr(verbs, "_validate", lambda _: None)
    files = [str(tmp_path / f"{name}.onnx") for name in ("detector", "raw")]
    with pytest.raises(SystemExit):
        cli.main(["latency", *files])
    assert [path.name for path in tmp_path.glob("*.json")] == ["raw-cpu.json"]


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_gpu_that_is_timed_is_nobody_elses_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(gpus.tempfile, "tempdir", None)
    monkeypatch.setattr(gpus, "PATIENCE_S", 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    given = []

    def measured(*_: object) -> None:
        given.append(os.environ["CUDA_VISIBLE_DEVICES"])
        with pytest.raises(UserError, match="wants 1 GPU and 0 of 1 are free"), gpus.take(1):
            pass
        raise UserError("no GPU is here")

    monkeypatch.setattr(measure, "measure", measured)
    verb = ["latency", "a.onnx", "--provider", provider, "--out", str(tmp_path / "a.json")]
    # A training has the first.
    with gpus.take(1), pytest.raises(SystemExit) as ended:
        cli.main(verb)
    assert (given, ended.value.code) == (["5"], 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    with gpus.take(2), pytest.raises(SystemExit) as ended:
        cli.main(verb)
    assert (given, ended.value.code) == (["5"], 2)

    # On the CPU no GPU is waited for.
    def alone(*_: object) -> None:
        given.append(os.environ["CUDA_VISIBLE_DEVICES"])
        raise UserError("stop")

    monkeypatch.setattr(measure, "measure", alone)
    with gpus.take(2), pytest.raises(SystemExit):
        cli.main([*verb[:2], *verb[4:]])
    assert given == ["5", "3,5"]
