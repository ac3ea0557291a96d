"""Stale locks go, a living Snakemake's stay."""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mkd.errors import UserError
from mkd.workflow import locks

HOLD = """
import sys
from pathlib import Path

from mkd.workflow import locks
print(locks.clear_stale_locks(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def start(folder: Path) -> tuple["subprocess.Popen[str]", str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_lock_goes_only_when_no_holder_lives(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "0.output.lock"
    lock.parent.mkdir()
    first, cleared = start(tmp_path)
    try:
        assert cleared == "False"
        lock.touch()
        second, cleared = start(tmp_path)
        second.kill()
        second.wait()
        assert cleared == "False"
        assert lock.exists()
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    third, cleared = start(tmp_path)
    third.kill()
    third.wait()
    assert cleared == "True"
    assert not lock.exists()


def test_what_another_host_locked_stays_locked(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "0.output.lock"
    lock.parent.mkdir()
    lock.touch()
    (tmp_path / "mkd-running").write_text("login2")
    for _ in range(2):
        holder, cleared = start(tmp_path)
        holder.kill()
        holder.wait()
        assert cleared == "False"
    assert lock.exists()
    lock.unlink()
    holder, _ = start(tmp_path)
    holder.kill()
    holder.wait()
    assert (tmp_path / "mkd-running").read_text() == platform.node()


def test_a_training_that_outlived_its_snakemake_keeps_its_work_folder(tmp_path: Path) -> None:
    hold = "import sys\nfrom pathlib import Path\nfrom mkd.workflow import locks\n"
    hold += "with locks.hold(Path(sys.argv[1])):\n    print('held', flush=True)\n"
    hold += "    sys.stdin.read()\n"
    work = tmp_path / "work" / "tiny-seed0-0123456789ab"
    orphan = subprocess.Popen(
        [sys.executable, "-c", hold, str(work)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert orphan.stdout is not None
        assert orphan.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another process is training in .*0123456789ab"):
            locks.hold(work).__enter__()
    finally:
        orphan.kill()
        orphan.wait()
    with locks.hold(work):
        pass
    assert not any(work.parent.iterdir())


def test_a_lock_that_its_last_holder_took_away_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = locks.fcntl.flock

    def late(*arguments: Any) -> None:
        (tmp_path / "run.lock").unlink()
        flock(*arguments)

    monkeypatch.setattr(locks.fcntl, "flock", late)
    with pytest.raises(UserError, match="another process is training"):
        locks.hold(tmp_path / "run").__enter__()


def test_a_lock_that_goes_while_it_is_looked_at_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fstat = os.fstat

    def late(number: int) -> os.stat_result:
        (tmp_path / "run.lock").unlink(missing_ok=True)
        return fstat(number)

    monkeypatch.setattr(locks.os, "fstat", late)
    with pytest.raises(UserError, match="another process is training"):
        locks.hold(tmp_path / "run").__enter__()
