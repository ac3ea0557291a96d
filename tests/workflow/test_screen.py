"""The screen while a workflow runs."""

import logging
import os
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from mkd import ROOT
from mkd.experiment.suite import Suite
from mkd.workflow import screen


def record(event: LogEvent | None, **said: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"event": event, **said})


def plan(*trainings: tuple[str, int], rule: str = "train") -> list[Any]:
    """Jobs as Snakemake's plan has them."""
    return [
        SimpleNamespace(
            rule=SimpleNamespace(name=rule),
            wildcards=SimpleNamespace(run=run, seed=str(seed)),
        )
        for run, seed in trainings
    ]


def watch(suite: Suite, *trainings: tuple[str, int]) -> screen.Watch:
    live = screen.Watch(suite)
    others = plan(("s-mkd", 0), rule="evaluate")
    live.start(logging.Logger("snakemake"), [*plan(*trainings), *others])
    live.stop()
    return live


def test_jobs_are_counted_and_those_that_run_are_named(suite: Suite) -> None:
    live = watch(suite, ("tiny-mkd", 0), ("tiny-cwd", 7))
    for jobid, rule in enumerate(["train", "evaluate", "evaluate", "spectrum", "table"]):
        assert not live.note(record(LogEvent.JOB_INFO, jobid=jobid, rule_name=rule))
    assert not live.note(record(LogEvent.JOB_FINISHED, job_id=3))
    assert live.note(record(LogEvent.JOB_ERROR, jobid=4))
    assert live.note(record(LogEvent.PROGRESS, done=1, total=34))
    assert live.note(record(None, msg="a warning"))
    head, jobs = live.text(since=0).splitlines()
    assert head == "1 of 34 jobs done; 0 of 2 trainings done"
    assert jobs == "  evaluate ×2"


def test_where_nothing_is_to_be_trained_no_training_is_counted(suite: Suite) -> None:
    live = watch(suite)
    live.note(record(LogEvent.JOB_INFO, jobid=1, rule_name="latency"))
    live.note(record(LogEvent.PROGRESS, done=1, total=3))
    assert live.text(since=0) == "1 of 3 jobs done\n  latency"


class Keep(logging.Handler):
    """Keeps what is said, and tells who waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.heard = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        self.heard.set()


def test_it_speaks_when_something_has_changed(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "PERIOD_S", 0.01)
    logger, keep = logging.Logger("snakemake", logging.INFO), Keep()
    logger.addHandler(keep)
    live = screen.Watch(suite)
    live.start(logger, plan(("tiny-mkd", 0)))
    assert keep.heard.wait(30)
    keep.heard.clear()
    live.note(record(LogEvent.PROGRESS, done=1, total=3))
    assert keep.heard.wait(30)
    live.stop()
    first, second = keep.said
    assert second == f"1 of 3 jobs done; {first}"


@pytest.mark.usefixtures("snakemake_server")
def test_the_screen_does_without_what_snakemakes_log_keeps(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *("snakemake", "data", "--snakefile", str(ROOT / "Snakefile")),
            *("--directory", str(tmp_path), "--cores", "1"),
            *("--runtime-source-cache-path", str(tmp_path / "cache")),
            *("--configfile", str(ROOT / "config/config.yaml"), "--config", "scale=smoke"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 1 steps (100%) done" in done.stderr
    assert "rule data:" not in done.stderr
    (log,) = tmp_path.glob(".snakemake/log/*.log")
    assert "rule data:" in log.read_text()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("reprot", "mkd: there is no target 'reprot' at this scale; did you mean 'report'?"),
        ("tabel1", "mkd: there is no target 'tabel1' at this scale; did you mean 'table1'?"),
        ("zzz", "mkd: there is no target 'zzz' at this scale: snakemake --list names them"),
        ("results/desk/reprot", "No rule to produce results/desk/reprot (if you use input"),
    ],
)
def test_a_misspelt_target_is_told_which_one_was_meant(target: str, words: str) -> None:
    said = record(None, msg=f"No rule to produce {target} (if you use input functions …)")
    assert screen.Targets(["report", "table1", "data"]).filter(said)
    assert str(said.msg).startswith(words)
