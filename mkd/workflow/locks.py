"""A killed Snakemake's lock, told from a living one's."""

import fcntl
import platform
from pathlib import Path
from typing import IO

_held: list[IO[str]] = []


def clear_stale_locks(folder: Path) -> bool:
    """Remove the locks a killed Snakemake left, and be known as running until this process ends.

    Snakemake locks by files that outlive a ``kill -9``. Every main process of this suite shares a
    lock of the operating system, which ends with its holder: while none holds it, Snakemake's
    locks are stale. Some network file systems keep such a lock on one host: what another host
    left is for its user to judge, by `snakemake --unlock`.

    Args:
        folder: Snakemake's own folder, ``.snakemake``.

    Returns:
        Whether locks were removed.
    """
    folder.mkdir(exist_ok=True)
    handle = (folder / "mkd-running").open("a+")
    _held.append(handle)
    stale: list[Path] = []
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        handle.seek(0)
        here, last = platform.node(), handle.read()
        stale = [path for path in (folder / "locks").glob("*.lock") if path.is_file()]
        if stale and last not in ("", here):
            stale = []
        else:
            handle.truncate(0)
            handle.write(here)
            handle.flush()
        for path in stale:
            path.unlink()
    except BlockingIOError:
        # Another one lives, and what it has locked stays locked.
        fcntl.flock(handle, fcntl.LOCK_SH)
    except OSError:
        # A file system without such locks: the user says `snakemake --unlock`.
        return False
    else:
        fcntl.flock(handle, fcntl.LOCK_SH)
    return bool(stale)
