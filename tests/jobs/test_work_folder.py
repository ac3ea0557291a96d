"""A training keeps its work folder to itself, and its end, however it comes, gives it back."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mkd.errors import UserError
from mkd.jobs import work_folder


def test_a_folder_that_cannot_be_removed_fails_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS keeps a file that is open, as mmengine's log is, and the folder it lies in."""
    log = tmp_path / "work/20261130_120000/a.log"
    log.parent.mkdir(parents=True)
    log.write_text("epoch 1")
    (tmp_path / "work/epoch_1.pth").write_text("weights")
    kept = os.rmdir

    def rmdir(path: Any, **more: Any) -> None:
        if os.fspath(path).endswith(log.parent.name):
            raise OSError(errno.ENOTEMPTY, "Directory not empty", path)
        kept(path, **more)

    monkeypatch.setattr(os, "rmdir", rmdir)
    work_folder.remove(tmp_path / "work")
    assert [path.name for path in (tmp_path / "work").iterdir()] == [log.parent.name]


def test_a_training_that_outlived_its_snakemake_keeps_its_work_folder(tmp_path: Path) -> None:
    hold = "import sys\nfrom pathlib import Path\nfrom mkd.jobs import work_folder\n"
    hold += "with work_folder.hold(Path(sys.argv[1])):\n    print('held', flush=True)\n"
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
            work_folder.hold(work).__enter__()
    finally:
        orphan.kill()
        orphan.wait()
    with work_folder.hold(work):
        pass
    assert not any(work.parent.iterdir())


def test_a_lock_that_its_last_holder_took_away_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = work_folder.fcntl.flock

    def late(*arguments: Any) -> None:
        (tmp_path / "run.lock").unlink()
        flock(*arguments)

    monkeypatch.setattr(work_folder.fcntl, "flock", late)
    with pytest.raises(UserError, match="another process is training"):
        work_folder.hold(tmp_path / "run").__enter__()


def test_a_lock_that_goes_while_it_is_looked_at_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fstat = os.fstat

    def late(number: int) -> os.stat_result:
        (tmp_path / "run.lock").unlink(missing_ok=True)
        return fstat(number)

    monkeypatch.setattr(work_folder.os, "fstat", late)
    with pytest.raises(UserError, match="another process is training"):
        work_folder.hold(tmp_path / "run").__enter__()
