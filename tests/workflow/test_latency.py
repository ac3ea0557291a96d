"""The edge targets of the workflow."""

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mkd import ROOT
from mkd.edge import models
from mkd.edge import suite as edge
from mkd.errors import UserError
from mkd.experiment import scale_file
from mkd.experiment.config import load
from mkd.workflow import pipeline

pytestmark = pytest.mark.usefixtures("snakemake_server")


def snakemake(
    folder: Path, *arguments: str, scale: str = "smoke", on: str = "cpu", **config: str
) -> str:
    """Run it on this checkout with results and data below ``folder``; what it printed."""
    data = json.dumps({"badges": str(folder / "data"), "coco": str(folder / "coco")})
    done = subprocess.run(
        [
            *("snakemake", *arguments, "--nolock"),
            *("--config", f"scale={scale}", f"results={folder}/results", f"data={data}"),
            *(f"{key}={value}" for key, value in config.items()),
        ],
        cwd=ROOT,
        env={**os.environ, "MKD_PROVIDERS": on},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_a_cluster_is_told_once_what_its_nodes_time_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKD_PROVIDERS", "cpu,cuda")
    assert edge.providers() == ["cpu", "cuda"]
    assert edge.precisions() == ["fp32", "fp16", "int8"]
    monkeypatch.setenv("MKD_PROVIDERS", "cpu,gpu")
    with pytest.raises(UserError, match="unknown provider 'gpu'; there are cpu, cuda, tensorrt"):
        edge.providers()


@pytest.mark.slow
def test_engines_beside_onnx_runtime_are_timed_too(tmp_path: Path) -> None:
    said = snakemake(tmp_path, "-n", "-p", "--cores", "1", "latency", on="cpu,openvino,ncnn")
    timed = re.findall(r"mkd latency \S*/rtmdet-tiny(\S*)\.onnx (--\w+ \w+(?: --half)?)", said)
    assert sorted(timed) == [
        ("", "--engine ncnn"),
        ("", "--engine ncnn --half"),
        ("", "--engine openvino"),
        ("", "--engine openvino --half"),
        ("", "--provider cpu"),
        ("-int8", "--engine openvino"),
        ("-int8", "--provider cpu"),
    ]
    assert set(re.findall(r"--threads (\d+)", said)) == {"1"}
    for model in edge.zoo(load({"scale": "smoke"})):
        for precision in ("fp32", "int8"):
            assert f"latency/{model}-{precision}-cpu.json" in said
    assert "export_student" not in counts(said)


def counts(said: str) -> dict[str, int]:
    """Job → how many of it a dry run lists."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", said, re.MULTILINE)}


def checkpoint(folder: Path) -> str:
    """A folder with a file that is named as YOLOv7's released one."""
    (folder / "weights").mkdir()
    name = Path(models.MODELS["yolov7"]).name
    (folder / f"weights/{name}_20221123_023601-8113c0eb.pth").touch()
    return str(folder / "weights")


@pytest.mark.slow
def test_table_1_waits_for_its_detectors_and_reproduce_for_the_students_too(tmp_path: Path) -> None:
    suite, yolov7 = load({"scale": "desk"}), checkpoint(tmp_path)
    built, students = len(models.available()), len(edge.students(suite))
    # Of a published checkpoint the val set's AP is no answer here.
    said = snakemake(tmp_path, "-n", "--cores", "2", "table1", scale="desk", weights=yolov7)
    table = counts(said)
    assert (table["export_model"], table["time_file"]) == (built, 2 * built)
    timed = re.findall(r"rule time_file:.*?resources: [^\n]*", said, re.DOTALL)
    assert len(timed) == 2 * built
    assert all("threads: 2" in job and "exclusive=1" in job for job in timed)
    assert not {"export_student", "published"} & table.keys()
    other = counts(snakemake(tmp_path, "-n", "--cores", "2", "table2", scale="desk"))
    assert not {"export_model", "time_file", "published"} & other.keys()
    said = snakemake(tmp_path, "-n", "--cores", "2", "reproduce", scale="desk")
    everything = counts(said)
    assert everything["export_student"] == students
    assert everything["time_file"] == 2 * (built + students)
    said += snakemake(tmp_path, "-n", "--cores", "2", "reproduce", scale="smoke")
    ranks = {
        rule: set(re.findall(rf"rule {rule}:\n(?:    .*\n)*?    priority: (\d)", said))
        for rule in (
            *("train_start", "pretrain", "train_first", "train_teacher", "train"),
            *("evaluate", "export_model", "time_file"),
        )
    }
    assert list(map(sorted, ranks.values())) == [[], ["4"], ["3"], ["2"], ["1"], ["3"], [], []]


@pytest.mark.slow
@pytest.mark.skipif(not models.mmyolo_installed(), reason="MMYOLO is not installed")
def test_a_published_checkpoint_that_is_there_is_scored_where_the_data_are_cocos(
    tmp_path: Path,
) -> None:
    """As at scale paper, whose rules test_rehearsal lists; not at desk, as above."""
    asked = ["-n", "--cores", "2", "table1"]
    said = snakemake(tmp_path, *asked, scale="lab", weights=checkpoint(tmp_path))
    assert counts(said)["published"] == 1


def test_every_scale_has_settings_the_schema_accepts() -> None:
    for scale in scale_file.names(ROOT / "config/scales"):
        suite = load({"scale": scale})
        assert set(edge.settings(suite).students) <= set(load().runs)
        chosen = edge.settings(suite).models
        assert chosen == "all" or set(chosen) <= set(models.MODELS)


@pytest.mark.slow
def test_readings_are_shown_in_the_tables_that_have_them(tmp_path: Path) -> None:
    said = snakemake(tmp_path, "-n", "-p", "--cores", "1", "readings", scale="desk")
    assert "for number in 1 2 4; do python -m mkd table --table $number || exit; done;" in said
    none = load({"scale": "paper", "runs": "config/mask-rcnn.tsv"})
    assert pipeline.readings_tables(none) == []


def test_what_was_refused_is_tried_again_with_another_wheel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of its own engine: pnnx, which converts for ncnn, changes no timing of ONNX Runtime."""
    here = {"onnxruntime-gpu", "ncnn"}
    monkeypatch.setattr(edge.metadata, "distributions", lambda name: here & {name})
    providers = ("cpu", "cuda", "ncnn", "openvino")
    assert [edge.wheels(name) for name in providers] == ["onnxruntime-gpu"] * 2 + ["ncnn", ""]
    assert edge.wheels() == "onnxruntime-gpu ncnn"
    here.add("pnnx")
    assert [edge.wheels(name) for name in providers[1:3]] == ["onnxruntime-gpu", "ncnn pnnx"]


def test_a_run_whose_file_detects_nothing_is_no_student(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be trained first, and fail when it is exported."""
    suite = load({"scale": "desk"})
    section = replace(edge.settings(suite), students=["tiny-mkd", "ins-tiny-mkd"])
    monkeypatch.setattr(edge, "_read", lambda: {"desk": section})
    with pytest.raises(UserError, match=r"latency.yaml: desk: the run 'ins-tiny-mkd' is rtmdet-i"):
        edge.settings(suite)
