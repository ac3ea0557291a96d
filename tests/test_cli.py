"""A user's mistakes at the command line: one sentence, exit code 2, nothing half-written."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch

import mkd
from mkd import ROOT, cli
from mkd.cli import results
from mkd.data import fingerprint
from mkd.detectors import models
from mkd.edge.models import MODELS, mmyolo_installed
from mkd.errors import UserError
from mkd.experiment import config
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.datasets import Badges
from mkd.files import write_json
from mkd.provenance import seal
from mkd.training import weights
from mkd.workflow import fork_server, progress


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command line says when it gives up."""
    with pytest.raises(SystemExit) as end:
        cli.main(list(arguments))
    assert end.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("mkd: ")
    return last


@pytest.fixture
def here(tmp_path: Path, smoke_data: Path) -> tuple[Path, list[str]]:
    """A results folder and the configuration that names it and a copy of the data."""
    shutil.copytree(smoke_data, tmp_path / "data/24-24")
    data = {"badges": str(tmp_path / "data"), "coco": str(tmp_path / "coco")}
    settings = ["scale=smoke", f"results={tmp_path / 'results'}", f"data={json.dumps(data)}"]
    return tmp_path, ["--config", *settings, f"weights={tmp_path / 'weights'}"]


def training(folder: Path, *settings: str) -> list[str]:
    """The options of a training beside its run."""
    data, splits = folder / "data.json", Badges.splits.values()
    write_json(data, {"digest": fingerprint.digest(folder / "data/24-24", *splits)})
    return ["--seed", "0", "--data", str(data), *settings]


def left(folder: Path) -> list[str]:
    """Outputs of a run, working files aside."""
    return [path.name for path in folder.glob("results/smoke/runs/*/*/*")]


def test_unknown_scale_run_and_method(
    capsys: pytest.CaptureFixture[str], here: tuple[Path, list[str]]
) -> None:
    options = training(here[0], *here[1])
    assert "unknown scale 'dekc'" in said(capsys, "report", "--config", "scale=dekc")
    assert "unknown run 'huge'" in said(capsys, "train", "--run", "huge", *options)
    assert "did you mean 'tiny-mkd'?" in said(capsys, "train", "--run", "tiny-mdk", *options)
    assert "seeds=[0: the value is not valid" in said(capsys, "report", "--config", "seeds=[0")
    assert "takes key=value" in said(capsys, "report", "--config", "scale")
    assert "takes a command" in said(capsys, "on-gpus", "1")


def test_a_backbone_that_is_not_pretrained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ["--out", str(tmp_path / "x.pth"), "--config"]
    unknown = said(capsys, "pretrain", "--size", "xl", *options, "scale=smoke")
    assert "pretrains no backbone 'xl': its sizes are" in unknown
    none = said(capsys, "pretrain", "--size", "s", *options, "scale=paper")
    assert "scale 'paper' pretrains no backbone 's'" in none
    assert not any(tmp_path.iterdir())


def test_what_comes_before_its_time_or_has_nothing_to_show(
    capsys: pytest.CaptureFixture[str], here: tuple[Path, list[str]]
) -> None:
    folder, settings = here
    options = training(folder, *settings)
    sentence = said(capsys, "evaluate", "--run", "tiny-baseline", *options)
    assert "train.json does not exist: train the run first" in sentence
    (folder / "data.json").write_text("{}")
    sentence = said(capsys, "train", "--run", "tiny-baseline", *options)
    assert "data.json is not what `mkd data` writes" in sentence
    table = folder / "mine.tsv"
    head = "run\tarch\tteacher\tmethod\toptions\ttables\n"
    table.write_text(head + "a\trtmdet-tiny\t-\tbaseline\t-\t1\n")
    out = folder / "attention.json"
    sentence = said(capsys, "attention", "--out", str(out), *settings, f"runs={table}")
    assert f"{table} has no distilled run 'tiny-mkd'" in sentence
    assert not out.exists()


def test_the_table_that_was_read_is_named(
    capsys: pytest.CaptureFixture[str], here: tuple[Path, list[str]]
) -> None:
    folder, settings = here
    options = training(folder, *settings)
    sentence = said(capsys, "evaluate", "--run", "tiny-bas", *options)
    assert "unknown run 'tiny-bas': config/smoke.tsv has s-baseline, " in sentence


@pytest.mark.parametrize("verb", [["table", "--table", "1"], ["gates"], ["reference"]])
def test_what_is_the_papers_is_refused_of_an_own_scale(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, verb: list[str]
) -> None:
    file = tmp_path / "cells.yaml"
    file.write_text("base: desk\ndata: {kind: coco, root: cells}\n")
    settings = ["--config", f"scale={file}", f"results={tmp_path / 'results'}"]
    assert f"{file} is a scale of your own: " in said(capsys, *verb, *settings)
    assert not (tmp_path / "results").exists()


def test_a_number_that_two_readers_read_differently_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sentence = said(capsys, "status", "--config", "seeds=[0, 010]")
    assert sentence == "mkd: --config seeds: 010 begins with 0: write it without"
    cli.main(["status", "--config", "results=/tmp/01/007 x"])
    with pytest.raises(UserError, match="'010' is not"):
        config.load({"seeds": ["010"]})


def test_ctrl_c_ends_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress, "status", stop)
    with pytest.raises(SystemExit) as end:
        cli.main(["status"])
    assert end.value.code == 130
    assert capsys.readouterr().err == ""


def test_a_verb_ends_with_its_workflow(tmp_path: Path) -> None:
    """One that was killed ends no job by itself, and what a job makes alone is thrown away."""
    code = (
        "import signal\nfrom mkd import cli\nfrom mkd.workflow import progress\n"
        "progress.status = lambda _: (print('began', flush=True), signal.pause())\n"
        "cli.main(['status'])"
    )
    with subprocess.Popen(["sleep", "600"]) as workflow:
        told = os.environ | {"MKD_WORKFLOW": str(workflow.pid)}
        with subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=told, stdout=subprocess.PIPE, text=True
        ) as job:
            try:
                assert job.stdout
                assert job.stdout.readline() == "began\n"
                workflow.kill()
                assert job.wait(timeout=60) == 128 + signal.SIGTERM
            finally:
                job.kill()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_verb_that_is_told_to_end_unwinds(
    monkeypatch: pytest.MonkeyPatch, ending: signal.Signals
) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    monkeypatch.setattr(progress, "status", lambda _: os.kill(os.getpid(), ending))
    try:
        with pytest.raises(SystemExit) as end:
            cli.main(["status"])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert end.value.code == 128 + ending


def test_a_library_that_is_not_installed_is_named_and_no_module_of_the_suites_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "status", lambda _: import_module("no_such_library"))
    sentence = said(capsys, "status")
    assert sentence == "mkd: no_such_library is not installed: pip install -r envs/requirements.txt"
    monkeypatch.setattr(progress, "status", lambda _: import_module("mkd.no_such_module"))
    with pytest.raises(ModuleNotFoundError, match=r"mkd\.no_such_module"):
        cli.main(["status"])


@pytest.mark.parametrize("length", [1, 200])
def test_a_reader_that_has_seen_enough_gets_no_traceback(length: int) -> None:
    """Of less than Python holds back, and of more."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mkd", "weights"),
            *("--config", "scale=paper", f"weights={'a' * length}"),
        ],
        env={**in_ascii(), "PYTHONUNBUFFERED": ""},
        stdout=write,
        stderr=subprocess.PIPE,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_branch_without_its_stem_is_not_trained_from_nothing(
    capsys: pytest.CaptureFixture[str], here: tuple[Path, list[str]]
) -> None:
    folder, settings = here
    options = ["train", "--run", "tiny-baseline", *training(folder, *settings)]
    sentence = said(capsys, *options, "scale=desk")
    assert "'tiny-baseline' goes on from a stem: add --start weights/desk-starts/tiny-" in sentence
    sentence = said(capsys, *options[:3], "--start", "a.pth", *options[3:])
    assert sentence == "mkd: run 'tiny-baseline' goes on from no stem: leave --start out"
    assert left(folder) == []


def test_a_missing_coco_folder(
    capsys: pytest.CaptureFixture[str], here: tuple[Path, list[str]]
) -> None:
    folder, settings = here
    out = folder / "data.json"
    sentence = said(capsys, "data", "--out", str(out), *settings, "scale=paper")
    assert "coco does not exist: put COCO 2017 there" in sentence
    assert not out.exists()


def test_missing_imagenet_weights_are_listed(
    capsys: pytest.CaptureFixture[str], here: tuple[Path, list[str]]
) -> None:
    folder, settings = here
    (folder / "coco").mkdir()
    sentence = said(capsys, "data", "--out", str(folder / "d.json"), *settings, "scale=paper")
    assert "cspnext-s_imagenet_600e.pth" in sentence
    assert "cspnext-tiny_imagenet_600e.pth" in sentence


@pytest.mark.slow
def test_a_corrupt_image(capsys: pytest.CaptureFixture[str], here: tuple[Path, list[str]]) -> None:
    folder, settings = here
    image = folder / "data/24-24/train/000007.bmp"
    image.write_bytes(image.read_bytes()[:40])
    options = training(folder, *settings)
    sentence = said(capsys, "train", "--run", "tiny-baseline", *options)
    assert "000007.bmp" in sentence
    assert "cannot be decoded: fetch it again" in sentence
    assert left(folder) == []


def test_a_teacher_of_other_channels(
    capsys: pytest.CaptureFixture[str], here: tuple[Path, list[str]]
) -> None:
    folder, settings = here
    tiny = models.build(models.model_config(ARCHITECTURES["rtmdet-tiny"], 6, 0.5))
    weights.save(tiny, folder / "tiny.pth", {})
    sentence = said(
        capsys,
        *("train", "--run", "tiny-mkd", "--teacher", str(folder / "tiny.pth")),
        *training(folder, *settings),
    )
    assert "does not fit: 'backbone.stem.0.conv.weight' wants (4, 3, 3, 3)" in sentence
    assert left(folder) == []


ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}


def in_ascii() -> dict[str, str]:
    """An environment of that locale, without a fork server, which would have started in another."""
    own = {name: value for name, value in os.environ.items() if name != fork_server.VARIABLE}
    return {**own, **ASCII, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("verb", ["check-results", "report", "status"])
def test_files_are_utf_8_whatever_the_locale(
    here: tuple[Path, list[str]], fill: Callable[..., Path], verb: str
) -> None:
    results = fill("tiny-baseline") / "desk"
    path = results / "runs/tiny-baseline/seed0/record.json"
    record = json.loads(path.read_text())
    record["host"]["cpu"] = "Größe 9"
    record["sha256"] = seal(record)
    path.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    settings = ["--config", f"results={here[0] / 'results'}"]
    done = subprocess.run(
        [sys.executable, "-m", "mkd", verb, *settings],
        env=in_ascii(),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == (verb == "check-results")
    if verb == "report":
        page = (results / "report/index.html").read_text(encoding="utf-8")
        assert "Größe 9" in page
    assert "tiny-baseline/seed0/record.json" not in done.stdout


def test_letters_that_the_locale_cannot_read_are_said_to_be_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkd", "status", "--config", "results=größe".encode()],
        env=in_ascii(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "--config has letters that this locale cannot read" in done.stderr


@pytest.mark.usefixtures("snakemake_server")
def test_the_workflow_says_a_mistake_in_one_sentence(tmp_path: Path) -> None:
    root = "~nobody-of-that-name/set"
    (tmp_path / "own.yaml").write_text(f"base: desk\ndata: {{kind: coco, root: {root}}}\n")
    (tmp_path / "released").mkdir()
    for end in ("", "-1"):
        (tmp_path / f"cspnext-tiny_imagenet_600e{end}.pth").touch()
        (tmp_path / f"released/{Path(MODELS['yolov5-n']).name}{end}.pth").touch()
    for setting, sentence in (
        ("scale=dekc", "unknown scale 'dekc'"),
        ("results=a{b", "is not a path without braces"),
        # A rule's input function could only leave the file out, and plan a training.
        (f"pretrained={{s-baseline: '{tmp_path}/a{{x}}.pth'}}", "as a wildcard: give the file an"),
        (f"scale={tmp_path}/own.yaml", "data.root: "),
        (f"weights={tmp_path}", "the ImageNet weights may be "),
        (f"weights={tmp_path}/released", "the published checkpoint of yolov5-n may be "),
    ):
        if "published" in sentence and not mmyolo_installed():
            continue
        asked = ["-n", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(ROOT)]
        done = subprocess.run(
            ["snakemake", *asked, "--config", setting, *["scale=lab"] * setting.startswith("we")],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert sentence in done.stderr.strip().splitlines()[-1]
        assert "Traceback" not in done.stderr


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder nobody may write to, not even root."""
    mount = tmp_path / "read-only"
    mount.mkdir()
    asked = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(mount)]
    if subprocess.run(asked, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_results_that_may_not_be_written(
    read_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--config", "scale=smoke", f"results={read_only}"]
    for verb in (["report"], ["table", "--table", "1"], ["data", "--out", f"{read_only}/d.json"]):
        data = json.dumps({"badges": f"{read_only}/badges", "coco": "coco"})
        assert "Read-only file system" in said(capsys, *verb, *settings, f"data={data}")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with one megabyte of room."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True
    )
    if made.returncode:
        pytest.skip("mounting a small file system needs root")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_no_space_left(
    full_disk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"no space left on the disk to write .*big\.json"):
        write_json(full_disk / "big.json", "x" * 2**21)
    monkeypatch.chdir(full_disk)

    def save(options: object) -> None:
        weights.save(torch.nn.Linear(1000, 1000), full_disk / "w.pth", {})

    monkeypatch.setattr(results, "_report", save)
    assert "no space left on the disk" in said(capsys, "report")
    assert list(full_disk.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to"), "memory is full.*batch_size"),
        (RuntimeError("CUDA error: no kernel image is available"), "without kernels for this GPU"),
    ],
)
def test_a_gpu_that_is_too_small_or_too_old_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: str,
) -> None:
    def train(options: object) -> None:
        raise error

    monkeypatch.setattr(results, "_report", train)
    assert re.search(words, said(capsys, "report"))


@pytest.mark.parametrize(("wrong", "right"), [("repot", "report"), ("tabel", "table")])
def test_a_misspelt_verb_is_told_which_one_was_meant(
    capsys: pytest.CaptureFixture[str], wrong: str, right: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([wrong])
    assert ended.value.code == 2
    assert f"did you mean '{right}'?" in capsys.readouterr().err


def test_a_word_that_is_like_no_verb_gets_no_guess(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["xyz"])
    assert "did you mean" not in capsys.readouterr().err


def test_a_second_config_adds_to_the_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cli.main(["status", "--config", "scale=smoke", "--config", f"results={tmp_path}"])
    assert capsys.readouterr().out.startswith("scale smoke: 0 of ")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"mkd {mkd.__version__}\n"
