"""How far the trainings are, from logs as mmengine writes them."""

import json
import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mkd import cli
from mkd.experiment import config, paths, run_digests
from mkd.experiment.suite import Suite
from mkd.workflow import progress, screen

LINE = (
    "11/24 12:47:52 - mmengine - INFO - Epoch(train) [{epoch}][{at:3d}/225]  base_lr: 1.0201e-03 "
    "lr: 1.0201e-03  eta: 1 day, 0:04:05  time: {seconds}  data_time: 0.0094  memory: 812  "
    "loss: {loss}  student.loss_cls: 0.4081  distill.grad_fad_0: 0.0319  distill.loss_fad_0: 0.9657"
)


def line(epoch: int, at: int, seconds: float = 0.1, loss: str = "4.3432") -> str:
    return LINE.format(epoch=epoch, at=at, seconds=seconds, loss=loss) + "\n"


def write(suite: Suite, name: str, text: str, running: bool = False) -> Path:
    """A training's log and, where it runs, the lock on its work folder."""
    path = suite.results / "logs" / "train" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("Environment of 300 lines\n" + text)
    if running:
        folder = suite.results / "work"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}-23c2046a2ae5.lock").touch()
    return path


def finish(suite: Suite, run: str, seed: int) -> Path:
    """What a training leaves behind."""
    path = Path(paths.run_path(suite, run, seed, "train.json"))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"digests": run_digests.training_digests(suite.resolve(run, seed))}))
    path.with_name("weights.pth").touch()
    return path


@pytest.fixture
def few(suite: Suite) -> Suite:
    """Seven trainings: tiny-baseline and tiny-mkd with three seeds each, s-baseline with one.

    A student takes four epochs of 225 iterations, the teacher six.
    """
    names = ("tiny-baseline", "s-baseline", "tiny-mkd")
    train = suite.settings.train.model_copy(update={"epochs": 4, "teacher_epochs": 6})
    seeds = {"default": [0, 1, 2], "s-baseline": [0]}
    settings = suite.settings.model_copy(update={"train": train, "starts": None, "seeds": seeds})
    runs = {name: suite.runs[name] for name in names}
    runs["s-baseline"] = replace(runs["s-baseline"], tables=())
    return replace(suite, settings=settings, starts=None, runs=runs)


def test_done_running_and_left(few: Suite) -> None:
    finish(few, "tiny-baseline", 0)
    write(few, "tiny-baseline-seed0", line(4, 220, 0.1) + line(4, 240, 0.12))
    write(few, "s-baseline-seed0", line(3, 80, 0.2) + line(3, 100, 0.2, "1.5"), running=True)
    trainings = progress.look(few)
    assert [training.state for training in trainings] == ["done", *["waiting"] * 2, "running"] + [
        "waiting"
    ] * 3
    # Two and three of the tiny ones at 0.1 s, four epochs of 225; s teaches: 800 of 1350 left.
    assert progress.seconds_left(trainings) == pytest.approx(5 * 900 * 0.1 + 800 * 0.2)
    assert progress.describe(trainings) == [
        "1 of 7 trainings done, 1 running, ~10 min of training left",
        "  s-baseline seed 0: epoch 3 of 6, iteration 550 of 1350, loss 1.5",
    ]


def test_two_at_once_take_half_but_never_less_than_the_longest(few: Suite) -> None:
    two = replace(few, runs={name: few.runs[name] for name in ("tiny-baseline", "s-baseline")})
    finish(two, "tiny-baseline", 0)
    write(two, "tiny-baseline-seed1", line(1, 20), running=True)
    write(two, "s-baseline-seed0", line(3, 225), running=True)
    left = progress.seconds_left(progress.look(two))
    assert left == pytest.approx((880 * 0.1 + 900 * 0.1 + 225 * 0.1) / 2)
    finish(two, "tiny-baseline", 2)
    assert progress.seconds_left(progress.look(two)) == pytest.approx(880 * 0.1)


def test_an_evaluation_that_has_a_core_for_a_moment_leaves_the_estimate_alone(few: Suite) -> None:
    watch = screen.Watch(few)
    jobs = [("tiny-baseline", seed) for seed in few.seeds("tiny-baseline")]
    watch._wanted = [*jobs, *(("tiny-mkd", seed) for seed in few.seeds("tiny-mkd"))]
    for seed in (0, 1):
        write(few, f"tiny-baseline-seed{seed}", line(2, 25), running=True)
    said = [watch.text(since=0)]
    finish(few, "tiny-baseline", 0)
    said += [watch.text(since=0) for _ in range(screen.LOOKS)]
    heads = [text.partition("\n")[0] for text in said]
    # Of six times 900 iterations, 250 of two are done; then 900 and 250.
    assert heads[0] == "0 of 6 trainings done, 2 running, ~4 min of training left"
    assert heads[1:-1] == ["1 of 6 trainings done, 1 running, ~4 min of training left"] * 3
    assert heads[-1] == "1 of 6 trainings done, 1 running, ~7 min of training left"


def test_only_a_log_that_is_being_written_is_running(few: Suite) -> None:
    log = write(few, "tiny-mkd-seed1", line(2, 20), running=True)

    def state(since: float = 0.0) -> str:
        return next(
            training.state
            for training in progress.look(few, since)
            if (training.run.id, training.seed) == ("tiny-mkd", 1)
        )

    assert state() == "running"
    # One that failed leaves its checkpoints, and gives the folder back.
    (held,) = (few.results / "work").glob("*.lock")
    held.rename(held.with_suffix(""))
    assert state() == "waiting"
    held.with_suffix("").rename(held)
    # Killed, and the workflow has just been started again.
    assert state(since=time.time() + 1) == "waiting"
    # Killed an hour ago.
    os.utime(log, (time.time() - 3600,) * 2)
    assert state() == "waiting"
    # Slow: 60 iterations take longer than that.
    log.write_text(line(2, 20, 100.0))
    os.utime(log, (time.time() - 3600,) * 2)
    assert state() == "running"


def test_a_result_of_other_code_or_half_a_file_is_not_done(few: Suite) -> None:
    path = finish(few, "tiny-mkd", 0)
    assert progress.is_done(few, "tiny-mkd", 0)
    path.write_text(path.read_text().replace('"code": "', '"code": "0'))
    assert not progress.is_done(few, "tiny-mkd", 0)
    path.write_text(path.read_text()[:30])
    assert not progress.is_done(few, "tiny-mkd", 0)


def test_what_is_trained_anew_is_done_once_it_has_ended_again(few: Suite) -> None:
    """Until its job begins, what an earlier training left lies there."""
    path = finish(few, "tiny-mkd", 0)
    since = path.stat().st_mtime + 1
    watch = screen.Watch(few)
    jobs = [
        SimpleNamespace(
            rule=SimpleNamespace(name="train"),
            wildcards=SimpleNamespace(run="tiny-mkd", seed="0"),
        )
    ]
    watch.start(logging.Logger("snakemake"), jobs)
    watch.stop()
    assert watch.text(since) == "1 of 1 trainings done"
    watch.start(logging.Logger("snakemake"), jobs, jobs)
    watch.stop()
    assert watch.text(since) == "0 of 1 trainings done"
    os.utime(path, (since + 1,) * 2)
    assert watch.text(since) == "1 of 1 trainings done"


def test_a_training_whose_weights_were_deleted_is_not_done(few: Suite) -> None:
    path = finish(few, "tiny-mkd", 0)
    path.with_name("weights.pth").unlink()
    assert not progress.is_done(few, "tiny-mkd", 0)


def test_a_log_with_two_runs_tells_of_the_last(few: Suite) -> None:
    resumed = line(4, 200) + "Environment again\n" + line(3, 20, 0.3, "nan")
    found = progress.read_log(write(few, "tiny-mkd-seed0", resumed))
    assert found == progress.Logged(3, 470, 225, pytest.approx(0.1), "nan")


@pytest.mark.parametrize("lines", [2, 9])
def test_a_night_in_suspension_leaves_the_pace_alone(few: Suite, lines: int) -> None:
    text = line(1, 20, 36000.0) + "".join(line(1, 20 + at) for at in range(lines - 1))
    found = progress.read_log(write(few, "tiny-mkd-seed0", text))
    assert found is not None
    assert found.seconds == pytest.approx(0.1)


def test_a_long_log_is_read_from_its_end(few: Suite) -> None:
    many = "".join(line(epoch, 20, 9.0) for epoch in range(1, 200))
    many += "".join(line(epoch, 240) for epoch in range(200, 600))
    found = progress.read_log(write(few, "tiny-mkd-seed0", many))
    assert found is not None
    assert (found.epoch, found.seconds) == (599, pytest.approx(0.1))


def test_nothing_yet_and_just_started(few: Suite) -> None:
    assert progress.describe(progress.look(few)) == ["0 of 7 trainings done"]
    write(few, "tiny-mkd-seed2", "", running=True)
    assert progress.describe(progress.look(few)) == [
        "0 of 7 trainings done",
        "  tiny-mkd seed 2: starting",
    ]


def test_a_cluster_does_not_fill_the_screen(suite: Suite) -> None:
    for run in suite.runs:
        write(suite, f"{run}-seed0", line(1, 20), running=True)
    lines = progress.describe(progress.look(suite))
    assert len(lines) == progress.SHOWN + 2
    assert lines[-1] == f"  and {len(suite.runs) - progress.SHOWN} more"


def test_the_verb(few: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(few, "tiny-cwd-seed0", line(2, 20), running=True)
    cli.main(["status", "--config", f"results={tmp_path / 'results'}"])
    said = capsys.readouterr().out.splitlines()
    loaded = config.load()
    epochs = loaded.train("tiny-cwd").epochs
    count = sum(len(loaded.seeds(run)) for run in loaded.planned if not loaded.taken(run))
    assert said[0].startswith(f"scale desk: 0 of {count} trainings done, 1 running, ~")
    assert said[1:] == [
        f"  tiny-cwd seed 0: epoch 2 of {epochs}, iteration 245 of {225 * epochs}, loss 4.3432"
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (129600, "1.5 days")],
)
def test_a_span_is_told_in_its_unit(seconds: float, said: str) -> None:
    assert progress._span(seconds) == said
