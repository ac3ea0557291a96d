"""``mkd export`` and ``mkd latency`` as a user calls them."""

import json
from pathlib import Path

import pytest

from mkd import cli
from mkd.edge import export as exporting
from mkd.edge.metadata import precision_path


def config(results: Path, data: Path) -> list[str]:
    """The smoke scale with folders of its own."""
    folders = json.dumps({"badges": str(data.parent), "coco": str(data.parent)})
    return ["--config", "scale=smoke", f"results={results}", f"data={folders}"]


@pytest.mark.slow
def test_a_model_is_exported_counted_and_timed(
    tmp_path: Path, smoke_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, record = tmp_path / "m.onnx", tmp_path / "m.json"
    cli.main(
        [
            *("export", "--model", "rtmdet-tiny", "--out", str(out), "--record", str(record)),
            *("--precisions", "fp32", "int8", *config(tmp_path, smoke_data)),
        ]
    )
    assert "from torch, relative" in capsys.readouterr().out
    counted = json.loads(record.read_text())
    assert (counted["model"], counted["input_px"]) == ("rtmdet-tiny", 64)
    assert max(counted["onnx"]["relative_difference"].values()) < exporting.TOLERANCE
    int8 = precision_path(out, "int8")
    quick = [
        *("--min-samples", "3", "--min-seconds", "0", "--max-seconds", "0"),
        *("--restarts", "1", "--gate", "9", "--load", "1"),
    ]
    cli.main(["latency", str(int8), *quick])
    timed = json.loads((tmp_path / "m-int8-cpu.json").read_text())
    assert (timed["model"], timed["precision"], timed["scale"]) == ("rtmdet-tiny", "int8", None)
    assert timed["end_to_end"]["samples"] >= 3
    assert "rtmdet-tiny int8 cpu 64 px, graph " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "--model", "yolov9", "--out", "x.onnx"], "unknown model 'yolov9'"),
        (["export", "--run", "nope", "--out", "x.onnx"], "unknown run 'nope'"),
        (["export", "--run", "tiny-mkd", "--out", "x.onnx"], "train the run first"),
        (["export", "--run", "tiny-mkd", "--out", "x.pt"], "--out names an .onnx file"),
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
