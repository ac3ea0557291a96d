"""Stale locks go, a living Snakemake's stay."""

import platform
import signal
import subprocess
import sys
from pathlib import Path

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
