"""The workflow as a user types it, in a folder of its own."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mkd import ROOT, cli, provenance
from mkd.edge import export, measure, models
from mkd.edge import suite as edge
from mkd.experiment import code, run_digests
from mkd.experiment.config import load
from mkd.experiment.runs import read_runs
from mkd.schemas import validate
from mkd.workflow import estimate, fork_server, pipeline

pytestmark = pytest.mark.usefixtures("forked")
RUNS = ROOT / "config/smoke.tsv"
AGAIN = ("tiny-mkd-balanced", "ins-tiny-mkd")
"""Students whose teachers are both there are; the digests of these stand in their records."""


def command(folder: Path, *arguments: str, seeds: str = "[0]") -> list[str]:
    """Snakemake on this checkout, with results, data and locks below ``folder``.

    A killed workflow's locks stay while another one lives in the same working directory.
    """
    here = folder / "checkout"
    if not here.exists():
        here.mkdir()
        for name in ("config", "mkd", "weights"):
            (here / name).symlink_to(ROOT / name)
    data = json.dumps({"badges": str(folder / "data"), "coco": str(folder / "coco")})
    settings = ["scale=smoke", f"seeds={seeds}", f"runs={RUNS}", f"results={folder}/results"]
    return [
        *(sys.executable, "-m", "snakemake", *arguments),
        *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(here)),
        *("--profile", str(ROOT / "profiles/default"), "--runtime-source-cache-path"),
        *(str(folder / "cache"), "--config", *settings, f"data={data}"),
    ]


def snakemake(
    folder: Path, *arguments: str, seeds: str = "[0]"
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, forked."""
    asked = command(folder, *arguments, seeds=seeds)[3:]
    return subprocess.run(["snakemake", *asked], capture_output=True, text=True)


def metrics(folder: Path) -> dict[str, Any]:
    """What must not depend on how a run came to its end."""
    found = {}
    for path in sorted(folder.glob("results/smoke/runs/*/seed*/record.json")):
        record = json.loads(path.read_text())
        found[path.parent.parent.name] = (
            record["metrics"],
            record["digests"],
            record["train"]["curve"],
        )
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of job, by a workflow that was killed in three trainings and went on."""
    folder = tmp_path_factory.mktemp("a folder with spaces")
    without = {k: v for k, v in os.environ.items() if k != fork_server.VARIABLE}
    # Once with a fork server of its own, which is killed with it; then with the tests', which ends
    # its jobs when it is gone.
    for run, environment in (("s-baseline", without), *((run, os.environ) for run in AGAIN)):
        process = subprocess.Popen(
            command(folder, str(folder / f"results/smoke/runs/{run}/seed0/record.json")),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        # Written once the checkpoint is.
        while not list(folder.glob(f"results/smoke/work/{run}-seed0-*/last_checkpoint")):
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)
            assert process.poll() is None, f"it ended before {run} had a checkpoint"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (folder / f"results/smoke/runs/{run}/seed0/weights.pth").exists()
    done = snakemake(folder, "reproduce")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two students and all they need, unbroken; the data were deleted once they had been made."""
    folder = tmp_path_factory.mktemp("again")
    record = folder / "results/smoke/data.json"
    assert snakemake(folder, str(record)).returncode == 0
    shutil.rmtree(folder / "data")
    assert "Nothing to be done" in snakemake(folder, str(record)).stderr
    assert not (folder / "data").exists()
    runs = folder / "results/smoke/runs"
    done = snakemake(folder, *(str(runs / run / "seed0/record.json") for run in AGAIN))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow(220)
def test_reproduce_leaves_a_record_a_run_and_a_report(whole: Path) -> None:
    suite = load({"scale": "smoke", "runs": str(RUNS)})
    assert set(metrics(whole)) == set(suite.runs)
    page = (whole / "results/smoke/report/index.html").read_text()
    assert "smoke" in page
    assert "not run" in page
    record = json.loads((whole / "results/smoke/runs/ins-tiny-mkd/seed0/record.json").read_text())
    assert set(record["metrics"]) == {"box", "mask"}
    assert not (whole / "results/smoke/work").exists() or not any(
        (whole / "results/smoke/work").iterdir()
    )


@pytest.mark.slow
def test_table_1_has_its_detectors_and_they_were_timed_when_all_was_trained(whole: Path) -> None:
    root = whole / "results/smoke"
    rows = list(csv.DictReader((root / "tables/table1.csv").read_text().splitlines()))
    shown = {row["arch"]: row["smoke params_m"] for row in rows}
    assert float(shown["rtmdet-tiny"]) > 4.8
    assert bool(shown["yolov5-n"]) == models.mmyolo_installed()
    assert {row["smoke AP seeds"] for row in rows if row["arch"].startswith("yolo")} == {"quoted"}
    timed = [json.loads(path.read_text()) for path in root.glob("latency/*.json")]
    scored = [json.loads(path.read_text()) for path in root.glob("runs/*/*/record.json")]
    assert {"rtmdet-tiny", "tiny-mkd"} <= {record["model"] for record in timed}
    assert min(r["started"] for r in timed) > max(r["started"] for r in scored)


@pytest.mark.slow
def test_latency_leaves_two_records_a_detector_and_no_files_of_random_weights(whole: Path) -> None:
    results = whole / "results/smoke"
    for model in edge.zoo(load({"scale": "smoke", "runs": str(RUNS)})):
        counted = json.loads((results / f"complexity/{model}.json").read_text())
        validate(counted, "complexity", model)
        assert (counted["model"], counted["input_px"]) == (model, 64)
        assert max(counted["onnx"]["relative_difference"].values()) < export.TOLERANCE
        assert "from torch, relative" in (results / f"logs/export/{model}.log").read_text()
        for precision in ("fp32", "int8"):
            record = json.loads((results / f"latency/{model}-{precision}-cpu.json").read_text())
            validate(record, "latency", model)
            said = record["model"], record["precision"], record["scale"], record["weights"]
            assert said == (model, precision, "smoke", "random")
            assert record["settings"]["threads"] == len(os.sched_getaffinity(0))
        assert not list(results.glob(f"onnx/{model}*"))


@pytest.mark.slow
def test_an_exported_file_is_timed_alone(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Other tests run beside this one, and are not waited for.
    monkeypatch.setattr(measure, "QUIET_S", 0)
    files = list((whole / "results/smoke/onnx").glob("tiny-mkd-int8*.onnx"))
    assert len(files) == 2
    for file in files:
        shutil.copy(file, tmp_path)
    quick = [
        *("--min-samples", "3", "--min-seconds", "0", "--max-seconds", "0"),
        *("--restarts", "1", "--gate", "9", "--load", "1"),
    ]
    cli.main(["latency", str(tmp_path / "tiny-mkd-int8.onnx"), *quick])
    timed = json.loads((tmp_path / "tiny-mkd-int8-cpu.json").read_text())
    assert (timed["model"], timed["precision"], timed["scale"]) == ("tiny-mkd", "int8", None)
    assert timed["end_to_end"]["samples"] >= 3
    assert "tiny-mkd int8 cpu 64 px, graph " in capsys.readouterr().err


def planned(folder: Path, *arguments: str) -> set[str]:
    """Rules of the jobs that a dry run plans."""
    done = snakemake(folder, "-n", *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    return set(re.findall(r"^(?:local)?rule (\w+):$", done.stdout + done.stderr, re.M))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gone", "made", "target"),
    [
        (
            ("runs/tiny-cwd/seed0", "exported/tiny-mkd.json"),
            {"train_first", "evaluate", "export_student", "time_file", "table", "report"},
            "reproduce",
        ),
        (("runs/tiny-cwd/seed0",), {"train_first", "evaluate", "table"}, "table1"),
        (("onnx/tiny-mkd.onnx",), {"export_student", "time_file"}, "exported"),
    ],
)
def test_what_was_deleted_and_what_follows_from_it_is_made_again(
    whole: Path, tmp_path: Path, gone: tuple[str, ...], made: set[str], target: str
) -> None:
    """Snakemake alone misses nothing as long as the page is there."""
    places = {whole / "results/smoke" / name: tmp_path / str(at) for at, name in enumerate(gone)}
    for place, away in places.items():
        place.rename(away)
    try:
        found = planned(whole, target)
    finally:
        for place, away in places.items():
            away.rename(place)
    assert made <= found
    assert not {"data", "train", "train_teacher"} & found


@pytest.mark.slow
def test_another_page_in_its_place_is_no_finished_report(whole: Path) -> None:
    page = whole / "results/smoke/report/index.html"
    before = page.read_bytes()
    assert snakemake(whole, "report_partial").returncode == 0
    assert planned(whole, "reproduce") == {"report", "reproduce"}
    assert snakemake(whole, "reproduce").returncode == 0
    assert page.read_bytes() == before


@pytest.mark.slow
def test_a_second_reproduce_does_nothing(whole: Path) -> None:
    done = snakemake(whole, "reproduce")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stderr + done.stdout


@pytest.mark.slow
def test_one_more_seed_leaves_what_is_trained_alone(whole: Path) -> None:
    done = snakemake(whole, "-n", "reproduce", seeds="[0,1]")
    assert done.returncode == 0
    planned = set(re.findall(r"wildcards: run=(\S+), seed=(\d+)", done.stdout))
    assert ("tiny-mkd", "1") in planned
    assert {seed for _, seed in planned} == {"1"}


@pytest.mark.slow
def test_weights_scored_anew_keep_the_provenance_of_their_training(
    whole: Path, tmp_path: Path
) -> None:
    results, run = tmp_path / "results", "smoke/runs/tiny-baseline/seed0"
    shutil.copytree(whole / "results" / run, results / run)
    path = results / run / "train.json"
    trained = json.loads(path.read_text())
    earlier = {"commit": "0" * 40, "dirty": True, "versions": {"torch": "0"}}
    path.write_text(json.dumps(trained | earlier))
    data = json.dumps({"badges": str(whole / "data"), "coco": "coco"})
    subprocess.run(
        [
            *(sys.executable, "-m", "mkd", "evaluate", "--run", "tiny-baseline", "--seed", "0"),
            *("--data", str(whole / "results/smoke/data.json"), "--config", "scale=smoke"),
            *(f"runs={RUNS}", f"results={results}", f"data={data}"),
        ],
        check=True,
    )
    record = json.loads((results / run / "record.json").read_text())
    assert {key: record[key] for key in earlier} == earlier
    assert record["scored"]["commit"] == provenance.commit()["commit"]


@pytest.mark.slow(70)
def test_killed_three_times_it_ends_with_the_same_figures(whole: Path, again: Path) -> None:
    unbroken, killed = metrics(again), metrics(whole)
    assert set(unbroken) == set(AGAIN)
    assert all("teacher" in digests for _, digests, _ in unbroken.values())
    assert {run: killed[run] for run in AGAIN} == unbroken
    for run in ("s-baseline", *AGAIN):
        log = f"results/smoke/logs/train/{run}-seed0.log"
        assert "resumed epoch: 1" in (whole / log).read_text(), f"{run} began anew"
        assert "resumed epoch" not in (again / log).read_text()


@pytest.mark.slow
def test_deleted_data_are_made_again_when_a_job_reads_them(again: Path) -> None:
    (folder,) = (again / "data").iterdir()
    written = (again / "results/smoke/data.json").stat().st_mtime_ns
    assert written < (folder / "badges.json").stat().st_mtime_ns
    shutil.rmtree(folder / "annotations")
    (folder / "badges.json").unlink()
    done = snakemake(again, str(again / "results/smoke/runs/tiny-cwd/seed0/weights.pth"))
    assert done.returncode != 0
    assert f"mkd: {folder} holds files that are not the embedded data set" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("scale", "made", "read", "restored"),
    [
        ("smoke", [], ["data.json"], True),
        ("smoke", ["data.json"], ["data.json"], False),
        ("smoke", [], ["other.json"], False),
        ("lab", [], ["data.json"], False),
    ],
)
def test_only_embedded_data_that_are_read_and_not_about_to_be_made_are_restored(
    tmp_path: Path, scale: str, made: list[str], read: list[str], restored: bool
) -> None:
    folders = {"badges": str(tmp_path / "data"), "coco": str(tmp_path / "data")}
    suite = load({"scale": scale, "results": str(tmp_path / "results"), "data": folders})
    jobs = [
        SimpleNamespace(input=[], output=[f"{suite.results}/{name}" for name in made]),
        SimpleNamespace(input=[f"{suite.results}/{name}" for name in read], output=[]),
    ]
    pipeline.restore_data(suite, iter(jobs))
    assert (suite.data_root / "badges.json").exists() == restored


def test_paper_scale_builds_the_whole_graph_and_says_its_hours(tmp_path: Path) -> None:
    asked = {"scale": "paper", "seeds": [0, 1, 2], "results": f"{tmp_path}/results"}
    done = subprocess.run(
        [
            *("snakemake", "-n", "reproduce", "--nolock"),
            *("--config", "scale=paper", "seeds=[0,1,2]", f"results={asked['results']}"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    suite = load(asked)
    jobs = dict(
        line.split()
        for line in done.stdout.splitlines()
        if line.startswith(("train", "evaluate")) and len(line.split()) == 2
    )
    trainings = sum(int(jobs[rule]) for rule in ("train", "train_teacher", "train_first"))
    seeds = sum(len(suite.seeds(run)) for run, row in suite.runs.items() if not row.reading)
    assert trainings == int(jobs["evaluate"]) == seeds
    for run in read_runs(ROOT / "config/mask-rcnn.tsv"):
        assert f"run={run}, seed={suite.seeds(run)[-1]}" in done.stdout
    said = estimate.text(suite)
    assert done.stderr.rstrip().endswith(said)
    count = sum(len(suite.seeds(run)) for run in suite.planned)
    assert f"scale paper: {count} of {count} trainings to do, about " in said
    assert "trainings with mask-rcnn-r101, mask-rcnn-r50, whose MACs" in said


def test_a_run_that_teaches_nobody_is_no_teachers_training(tmp_path: Path) -> None:
    row = "run\tarch\tteacher\tmethod\toptions\ttables\none\trtmdet-tiny\t-\tbaseline\t-\t1\n"
    (tmp_path / "one.tsv").write_text(row)
    done = subprocess.run(
        ["snakemake", "-n", "--config", "scale=smoke", f"runs={tmp_path}/one.tsv"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert set(re.findall(r"^(train\w*) +\d+$", done.stdout, re.M)) == {"train"}


def test_another_python_has_the_same_digests() -> None:
    """Of any Python 3.12 or newer on PATH: their syntax trees are written otherwise than 3.11's."""
    code = (
        "from mkd.experiment.code import code_digest as d; "
        "print(d('mkd.training.trainer', 'mkd.evaluation.scoring', 'mkd.losses.fgd'))"
    )
    found, others = {}, filter(None, (shutil.which(f"python3.{minor}") for minor in range(11, 16)))
    # Of a version that is not installed a shim may lie there.
    there = {python for python in others if not subprocess.run([python, "-c", ""]).returncode}
    for python in {sys.executable, *there}:
        done = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            found[python] = done.stdout
        else:
            # One without the suite's libraries; any other failure would be the code's.
            assert "ModuleNotFoundError" in done.stderr, (python, done.stderr)
    if len(found) < 2:
        pytest.skip("no other Python here")
    assert len(set(found.values())) == 1, found


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package whose code the digests are taken from."""
    shutil.copytree(ROOT / "mkd", tmp_path / "mkd")
    monkeypatch.setattr(code, "ROOT", tmp_path)
    yield tmp_path / "mkd"
    code.forget()


def test_the_page_follows_the_citation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "ROOT", tmp_path)
    before = pipeline.report_code()
    (tmp_path / "CITATION.cff").write_text("title: other\n")
    assert pipeline.report_code() != before


def test_weights_of_a_file_are_read_again_when_the_file_its_use_or_the_reader_changes(
    copy: Path,
) -> None:
    def taking(named: object) -> str:
        code.forget()
        suite = load({"scale": "smoke", "pretrained": {"s-baseline": named}})
        return pipeline.taking(suite, "s-baseline", 0)

    before = taking("here/s.pth")
    assert taking("there/s.pth") != before
    assert taking({"teaches": "here/s.pth"}) != before
    path = copy / "training/released.py"
    path.write_text(path.read_text() + "\nMORE = 1\n")
    assert taking("here/s.pth") != before


def test_a_table_is_made_again_when_a_row_of_its_own_or_the_scale_changes() -> None:
    suite = load({"scale": "desk"})
    row = suite.runs["tiny-mkd-alpha5"]
    other_row = replace(suite, runs={**suite.runs, row.id: replace(row, options={"alpha": 4.0})})
    other_scale = replace(suite, settings=suite.settings.model_copy(update={"summary": "other"}))
    for table, follows_the_row in ((None, True), (1, False), (5, True)):
        shown = pipeline.shown(suite, table)
        assert (pipeline.shown(other_row, table) != shown) == follows_the_row
        assert pipeline.shown(other_scale, table) != shown


def train_codes() -> dict[str, str]:
    code.forget()
    suite = load()
    return {run: run_digests.train_code(suite, run) for run in suite.runs}


def test_a_docstring_or_comment_reruns_nothing(copy: Path) -> None:
    before = train_codes()
    path = copy / "losses/multiscale.py"
    path.write_text(path.read_text().replace('"""', '"""Other words. ', 1) + "\n# a comment\n")
    assert train_codes() == before


def test_a_formula_reruns_the_runs_that_use_it_and_no_other(copy: Path) -> None:
    before = train_codes()
    path = copy / "losses/frequency_mask.py"
    text = path.read_text()
    formula = "return energy / student.numel()"
    assert formula in text
    path.write_text(text.replace(formula, formula.replace("energy", "2 * energy")))
    changed = {run for run, digest in train_codes().items() if digest != before[run]}
    suite = load()
    using = {run for run in suite.runs if "fdmd" in suite.resolve(run, 0).distillation.losses}
    assert changed == using
    assert "tiny-mkd" in using
    assert "tiny-cwd" not in using
    assert "tiny-mkd-no-fdmd" not in using


def test_stems_that_did_not_come_with_the_suite_are_trained_one_job_each(tmp_path: Path) -> None:
    students = [("tiny", 2), ("tiny", 3), ("tiny", 4), ("s", 3)]
    wanted = [f"{tmp_path}/desk/runs/{name}-baseline/seed{n}/weights.pth" for name, n in students]
    done = subprocess.run(
        [
            *("snakemake", "-n", "-p", "--cores", "2", *wanted),
            *("--config", "seeds=[2,3,4]", f"results={tmp_path}"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stdout + done.stderr
    made = re.findall(rf"--cores 1 {tmp_path}/desk-starts/weights/(\S+)\.pth\.xz .*", said)
    assert sorted(made) == ["s-stem-seed3", "tiny-stem-seed3", "tiny-stem-seed4"]
    # The seeds are the students'; whoever asks for one more trains no stem again.
    assert not [
        line for line in said.splitlines() if "desk-starts/weights" in line and "seeds=" in line
    ]


def test_what_is_measured_once_a_scale_is_asked_for_where_its_runs_are() -> None:
    desk, smoke = load({"scale": "desk"}), load({"scale": "smoke"})
    assert pipeline.counted(desk)["l-baseline"].endswith("desk/runs/l-baseline/seed0/train.json")
    assert pipeline.counted(smoke) == {}
    for suite in (desk, smoke):
        assert [Path(path).name for path in pipeline.resampled(suite).values()] == [
            "detections.json",
            "detections.json",
        ]
    lone = load({"scale": "paper", "runs": "config/mask-rcnn.tsv"})
    assert pipeline.resampled(lone) == {}


def test_a_training_starts_a_process_for_each_of_its_gpus() -> None:
    suites = [load({"scale": scale}) for scale in ("desk", "lab", "paper")]
    one = "python -m mkd on-gpus 1 python"
    eight = (
        "python -m mkd on-gpus 8 python -m torch.distributed.run --standalone "
        "--local-addr 127.0.0.1 --nproc-per-node 8"
    )
    assert [pipeline.launcher(suite) for suite in suites] == ["python", one, eight]
    assert [pipeline.launcher(suite, at_most=1) for suite in suites] == ["python", one, one]


def test_the_scale_that_trains_the_starts_gets_no_row_seed_or_weights_of_the_students() -> None:
    asked = {"runs": "config/smoke.tsv", "seeds": [3], "pretrained": {"tiny-cwd": "a.pth"}}
    desk = load({"scale": "desk", "results": "elsewhere", **asked})
    assert pipeline.starts_arguments(desk) == "--config results=elsewhere scale=desk-starts"
    assert pipeline.starts_arguments(load({"scale": "lab"})) == ""


def test_starts_are_trained_side_by_side_unless_they_share_a_gpu_or_what_is_made_first() -> None:
    desk, lab, smoke = (load({"scale": scale}) for scale in ("desk", "lab", "smoke"))
    untaught = replace(lab, runs={"tiny-baseline": lab.runs["tiny-baseline"]})
    crops = replace(smoke, runs={"tiny-baseline": smoke.runs["tiny-baseline"]})
    takers = [lab, desk, *(replace(desk, starts=starts) for starts in (untaught, smoke, crops))]
    assert [pipeline.starts_threads(suite, 8) for suite in takers] == [1, 1, 8, 8, 8]


def test_a_workflow_that_a_job_runs_has_no_more_cores_than_the_machine() -> None:
    """A cluster's profile has thousands."""
    assert pipeline.here(10_000) == os.cpu_count()
    assert (pipeline.here(1), pipeline.here(None)) == (1, 1)


@pytest.mark.parametrize(
    ("cap", "said"),
    [
        ("1", "this machine shows 2 GPUs, of which trainings take 1 at once"),
        ("2", "the data folder"),
        ("3", "mkd: this machine shows 2 GPUs, and jobs would take 3 at once"),
    ],
)
def test_a_workflow_for_gpus_begins_with_what_it_does_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cap: str, said: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    asked = command(tmp_path, "reproduce", "--resources", f"gpu={cap}")[3:]
    asked = ["scale=lab" if word == "scale=smoke" else word for word in asked]
    asked = [word for word in asked if not word.startswith("runs=")]
    done = subprocess.run(["snakemake", *asked], capture_output=True, text=True)
    assert done.returncode != 0
    assert said in done.stderr
    # Nothing is tried that would find no GPU; else the first job is the data's, which are missing.
    assert ("the data folder" in done.stderr) == (cap != "3")
    assert ("shows 2 GPUs" in done.stderr) == (cap != "2")
