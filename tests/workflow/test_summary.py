"""The end screen, from a log as Snakemake writes it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment.suite import Suite
from mkd.paper import claims
from mkd.results import tallies
from mkd.workflow.summary import reason, summary

BLOCK = """[Tue Nov 24 12:29:53 2026]
Error in rule {rule}:
    message: None
    jobid: 0
    input: some/file
    output: {log}.out
    log: {log} (check log file(s) for error details)
    shell:
        python -m mkd {rule}
"""


def test_failed_jobs_are_named_once_with_their_sentence(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> None:
    fill("tiny-baseline", "tiny-mkd", "tiny-cwd")
    train, evaluate = tmp_path / "train/tiny-mkd-seed0.log", tmp_path / "evaluate.log"
    train.parent.mkdir()
    train.write_text("iter 10\nmkd: loss_fad became nan at iteration 7: lower the rate\n\n")
    evaluate.write_text("Traceback (most recent call last):\nRuntimeError: out of memory\n")
    log = tmp_path / "snakemake.log"
    blocks = [("train", train), ("train", train), ("evaluate", evaluate)]
    log.write_text("".join(BLOCK.format(rule=rule, log=path) for rule, path in blocks))
    lines = summary(suite, [str(log)]).splitlines()
    assert lines[:3] == [
        "2 jobs failed:",
        f"  train tiny-mkd-seed0: loss_fad became nan at iteration 7: lower the rate ({train})",
        f"  evaluate: RuntimeError: out of memory ({evaluate})",
    ]
    assert lines[3].startswith("scale desk: 3 of 13 planned runs have a record, 9 of ")
    # Nothing is said of other readings, none of which was run.
    groups = [tallies.GROUPS["paper"], tallies.GROUPS["open"]]
    assert [line.partition(":")[0] for line in lines[4:6]] == groups
    assert all("; without a test " in line for line in lines[4:6])
    assert "Holm" in lines[6]
    assert "report_partial" in lines[-1]


def test_a_job_that_went_well_at_another_try_has_not_failed(suite: Suite, tmp_path: Path) -> None:
    path, log = tmp_path / "tiny.log", tmp_path / "snakemake.log"
    path.write_text("mkd: out of time\n")
    failed = BLOCK.format(rule="train", log=path)
    log.write_text(f"{failed}\n[Tue Nov 24 12:40:00 2026]\nFinished jobid: 0 (Rule: train)\n")
    assert "failed" not in summary(suite, [str(log)])
    log.write_text(f"\nFinished jobid: 0 (Rule: data)\n{failed}\nFinished jobid: 10 (Rule: a)\n")
    assert summary(suite, [str(log)]).startswith("1 job failed:\n  train tiny: out of time")


def test_a_clusters_own_log_is_not_the_jobs(suite: Suite, tmp_path: Path) -> None:
    gone, here, log = tmp_path / "gone.log", tmp_path / "tiny, s.log", tmp_path / "snakemake.log"
    here.write_text("mkd: out of time\n")
    for own, words in ((gone, "gone: it left no log"), (here, "tiny, s: out of time")):
        tries = [f"{own}, {tmp_path}/slurm/{job}.log" for job in (101, 102)]
        log.write_text("".join(BLOCK.format(rule="train", log=both) for both in tries))
        lines = summary(suite, [str(log)]).splitlines()
        assert lines[:2] == ["1 job failed:", f"  train {words} ({own})"]


def test_a_sound_end_names_tables_and_report(suite: Suite, tmp_path: Path) -> None:
    for name in ("tables/table2.md", "tables/table4.md", "report/index.html"):
        path = suite.results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    log = tmp_path / "snakemake.log"
    log.write_text("Building DAG of jobs...\n")
    _, tables, report = summary(suite, [str(log)]).splitlines()
    assert tables == f"tables 2, 4: {suite.results}/tables/table<N>.csv, .md and .tex"
    assert report == f"report: {suite.results / 'report/index.html'}"


def test_claims_that_cannot_be_read_leave_the_rest_of_the_screen(
    suite: Suite, fill: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise UserError("config/claims.yaml: claim 'x' has no metric")

    fill("tiny-baseline")
    monkeypatch.setattr(claims, "load", broken)
    coverage, said = summary(suite, []).splitlines()
    assert "planned runs have a record" in coverage
    assert said == "no verdicts: config/claims.yaml: claim 'x' has no metric"


def test_a_job_without_a_log_or_a_word(tmp_path: Path) -> None:
    assert reason(tmp_path / "none.log") == "it left no log"
    (tmp_path / "empty.log").write_text("\n\n")
    assert reason(tmp_path / "empty.log") == "its log is empty"


def test_the_reason_of_several_processes_stands_above_torchruns_report(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    program = "raise MemoryError('out of memory')"
    with log.open("w") as out:
        subprocess.run(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
                *("--nproc-per-node", "2", "--no-python", sys.executable, "-c", program),
            ],
            stdout=out,
            stderr=out,
        )
    assert reason(log) == "MemoryError: out of memory"
    log.write_text(log.read_text() + "mkd: loss_cls became nan\n" + "=" * 60 + "\n")
    assert reason(log) == "loss_cls became nan"


@pytest.mark.usefixtures("snakemake_server")
def test_snakemakes_own_log_is_understood(tmp_path: Path) -> None:
    """A scale whose data set is not there: the first job fails at once."""
    data = f'data={{"badges": "b", "coco": "{tmp_path}/coco"}}'
    done = subprocess.run(
        [
            *("snakemake", "data", "--snakefile", str(ROOT / "Snakefile")),
            *("--directory", str(ROOT), "--runtime-source-cache-path", str(tmp_path / "cache")),
            *("--nolock", "--config", "scale=lab", f"results={tmp_path}/results", data),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    said = done.stderr[done.stderr.index("1 job failed:") :]
    assert f"  data: the data folder {tmp_path}/coco does not exist" in said
    assert "scale lab: 0 of " in said


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        ("returned non-zero exit status 137.", "killed by SIGKILL, as the system does when memory"),
        ("returned non-zero exit status 143.", "killed by SIGTERM ("),
        ("died with <Signals.SIGSEGV: 11>.", "killed by SIGSEGV ("),
        ("returned non-zero exit status 2.", "Epoch(train) [3][20/225] loss: 1.5 ("),
        ("returned non-zero exit status 255.", "Epoch(train) [3][20/225] loss: 1.5 ("),
    ],
)
def test_a_job_that_was_killed_is_said_to_be(
    suite: Suite, tmp_path: Path, ended: str, words: str
) -> None:
    path, log = tmp_path / "a b/tiny.log", tmp_path / "snakemake.log"
    path.parent.mkdir()
    path.write_text("Epoch(train) [3][20/225] loss: 1.5\n")
    command = f"set -euo pipefail;  python -m mkd train > '{path}' 2>&1"
    other = "set -euo pipefail;  python -m mkd train > other.log 2>&1"
    log.write_text(
        f"Command '{other}' returned non-zero exit status 137.\n"
        f"Command '{command}' {ended}\n{BLOCK.format(rule='train', log=path)}"
    )
    assert words in summary(suite, [str(log)]).splitlines()[1]
