"""Two jobs never share a GPU, and a GPU is free again however its job ends."""

import subprocess
import sys
import threading

import pytest

from mkd import gpus
from mkd.errors import UserError
from mkd.experiment import config
from mkd.jobs.around import hide_gpus

ON_GPUS = (sys.executable, "-m", "mkd", "on-gpus")


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,GPU-8f2c")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(gpus.tempfile, "tempdir", None)
    monkeypatch.setattr(gpus, "PATIENCE_S", 0)


def test_jobs_get_devices_of_their_own() -> None:
    with gpus.take(1) as first, gpus.take(2) as second:
        assert (first, second) == (["3"], ["5", "GPU-8f2c"])
    with gpus.take(3) as again:
        assert again == ["3", "5", "GPU-8f2c"]


@pytest.mark.parametrize(
    ("shown", "ids"), [("-1", []), ("0, 1", ["0", "1"]), ("2,-1,3", ["2"]), ("", [])]
)
def test_what_is_visible_is_read_as_cuda_reads_it(
    monkeypatch: pytest.MonkeyPatch, shown: str, ids: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert gpus.visible() == ids


def test_a_device_held_by_a_process_that_was_killed_is_free() -> None:
    code = "from mkd.gpus import take\nwith take(3) as held: print(held, flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    with pytest.raises(UserError, match="0 of 3 are free: wait for what"), gpus.take(1):
        pass
    process.kill()
    process.communicate()
    with gpus.take(3):
        pass


def test_jobs_of_a_batch_system_that_numbers_each_ones_devices_from_0_do_not_meet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with gpus.take(3):
        monkeypatch.setenv("SLURM_JOB_ID", "4712")
        with gpus.take(3):
            pass
        monkeypatch.setenv("SLURM_JOB_ID", "4711")
        with pytest.raises(UserError, match="0 of 3 are free"), gpus.take(1):
            pass


def test_too_few() -> None:
    with pytest.raises(UserError, match="wants 4 GPUs and this machine shows 3"), gpus.take(4):
        pass


def test_a_job_without_gpus_has_no_use_for_it() -> None:
    with pytest.raises(UserError, match="at least 1, not -1"):
        gpus.run(-1, ["true"])


def test_the_command_sees_its_devices_and_its_exit_code_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "88")
    code = (
        "import os, sys; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS']); "
        "sys.exit(7)"
    )
    done = subprocess.run(
        [*ON_GPUS, "2", sys.executable, "-c", code], capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == ("3,5 1\n", 7)


def test_devices_are_held_until_the_last_process_of_a_job_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left_behind = "input()"
    code = (
        "import subprocess, sys; "
        f"subprocess.Popen([sys.executable, '-c', {left_behind!r}], close_fds=False)"
    )
    with subprocess.Popen(
        [*ON_GPUS, "3", sys.executable, "-c", code], stdin=subprocess.PIPE
    ) as process:
        # The job itself ends, what it started waits for a line.
        process.wait()
        with pytest.raises(UserError, match="0 of 3 are free"), gpus.take(1):
            pass
        # A job that comes meanwhile waits for it to end.
        monkeypatch.setattr(gpus, "PATIENCE_S", 60)
        asked = threading.Timer(0.2, process.stdin.close)
        asked.start()
        with gpus.take(3) as taken:
            assert len(taken) == 3
        asked.join()


def test_a_signal_reaches_the_job() -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); "
        "print(flush=True); signal.pause()"
    )
    command = [*ON_GPUS, "1", sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.terminate()
        assert process.wait() == 7


def test_a_job_of_a_cpu_scale_sees_no_gpu_and_one_of_a_gpu_scale_keeps_its_own() -> None:
    hide_gpus(config.load({"scale": "paper"}))
    assert gpus.visible() == ["3", "5", "GPU-8f2c"]
    hide_gpus(config.load({"scale": "desk"}))
    assert gpus.visible() == []


def test_who_waits_for_a_gpu_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpus, "PATIENCE_S", 1.5)
    refused = pytest.raises(UserError, match="wants 2 GPUs and 1 of 3 are free")
    with gpus.take(2), refused, gpus.take(2):
        pass
    assert capsys.readouterr().err == "waits for GPUs: 1 of 2 are free\n"


def test_what_leaves_gpus_idle_is_said_and_jobs_that_would_find_none_are_refused() -> None:
    assert gpus.idle(3, 1) == gpus.idle(3, 3) == gpus.idle(1, 3) == gpus.idle(3, 4) == ""
    assert (
        "shows 3 GPUs, of which trainings take 1 at once: with --resources gpu=3 they take 3"
        in (gpus.idle(1, 1))
    )
    # Two of two GPUs each do not go on three.
    assert gpus.idle(2, 2) == ""
    for cap, each in ((4, 1), (None, 1), (8, 8)):
        with pytest.raises(UserError, match="shows 3 GPUs.*: add --resources gpu=3"):
            gpus.idle(cap, each)
