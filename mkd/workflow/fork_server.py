"""A fork server for a workflow's jobs: each is a process of its own, its imports are made once.

Torch and what mmdet brings along take nine seconds to import, and a training of scale desk takes
a minute. The server imports them, never anything of the suite, and forks: a job finds the
libraries in memory and reads the suite's code from its files, as it would alone.

The server is for jobs on one thread of a CPU. It is no part of what a job computes: without one,
or after it is gone, a job runs by itself.
"""

import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

VARIABLE = "MKD_FORK_SERVER"
"""Environment variable that holds the path of the server's socket."""
ALONE = "latency"
"""A verb that is never forked: a detector is timed in a process that holds nothing else."""
MODULE = "mkd"
"""What a job runs, as ``python -m`` would."""
LIBRARIES = (
    "torch",
    "torchvision",
    "scipy.stats",
    "sklearn.gaussian_process",
    "sklearn.mixture",
    "matplotlib.pyplot",
    "matplotlib.backends.backend_pdf",
    "jinja2",
    "pandas",
    "jsonschema",
    # Its own name imports neither.
    "pydantic.main",
    "pydantic.fields",
    "pycocotools.mask",
    "mmengine.runner",
    "mmcv",
)
"""What takes the time of an import. Not mmdet, which needs the suite's stand-ins first."""
ON_ONE_CPU = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
"""The server's own environment: mmengine decides when it is imported that it computes on a GPU."""


OLD_S = 60.0
"""A socket that is older, and to which nobody listens, is a dead server's."""

_started: list[subprocess.Popen[bytes]] = []
"""A server ends when its input is closed, which would be when nobody held it any more."""


def start() -> subprocess.Popen[bytes] | None:
    """Start a server for the jobs of this process, and tell them of it by the environment.

    It ends with this process, however that ends.

    Returns:
        The server's process; None where the system cannot watch over a process (not Linux), or
        takes no socket there (its path may have 107 letters).
    """
    if not hasattr(os, "pidfd_open"):
        return None
    _remove_dead()
    # Only its owner may enter the folder.
    folder = tempfile.mkdtemp(prefix="mkd-")
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(f"{folder}/socket")
        except OSError:
            os.rmdir(folder)
            return None
        os.environ[VARIABLE] = f"{folder}/socket"
        # From here on a job that comes waits, until the server has made its imports.
        listener.listen(128)
        server = subprocess.Popen(
            # Not by -m, which would import the suite.
            [sys.executable, "-P", __file__, folder, str(listener.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            env=os.environ | ON_ONE_CPU,
        )
    _started.append(server)
    return server


def _remove_dead() -> None:
    """Remove the folders of servers that were killed, of this user, which nothing else does."""
    for path in Path(tempfile.gettempdir()).glob("mkd-*/socket"):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
            # One that is younger may not listen yet.
            if path.stat().st_uid == os.getuid() and time.time() - path.stat().st_mtime > OLD_S:
                try:
                    asked.connect(str(path))
                except ConnectionRefusedError:
                    shutil.rmtree(path.parent)


def hand_over(arguments: list[str]) -> None:
    """Let the server run ``python -m mkd ARGUMENTS`` and end as that ended.

    Returns where there is no server to do so, or where the job has to run by itself.
    """
    path = os.environ.pop(VARIABLE, None)
    alone = os.environ.get("OMP_NUM_THREADS") != "1" or arguments[:1] == [ALONE]
    if path is None or alone:
        return
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(path)
        except OSError:
            return
        # The job's end is waited for. A terminal's Ctrl-C reaches it as well; of a polite end it is
        # told by the end of what is said to it, as it is of a caller that was killed.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: server.shutdown(socket.SHUT_WR))
        job = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
        said = ""
        with suppress(ConnectionError):
            socket.send_fds(server, [b"\n"], [0, 1, 2])
            server.sendall(json.dumps(job).encode() + b"\n")
            said = server.makefile().readline()
    sys.exit(int(said) if said else "mkd: the fork server is gone, and its job with it: run again")


def _serve(folder: Path, listener: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Listen until standard input ends. Returns in a job's process: the job, its three streams."""
    # What ends a workflow ends its jobs first; one that has ended is no zombie.
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    with listener:
        for library in LIBRARIES:
            # Whatever a library has against it, a job will say so itself.
            with suppress(Exception):
                importlib.import_module(library)
        # mmengine calls the collector often: in a job it shall neither look at these nor copy them.
        gc.collect()
        gc.freeze()
        while True:
            ready, *_ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                shutil.rmtree(folder)
                sys.exit()
            connection = listener.accept()[0]
            if os.fork() == 0:
                break
            connection.close()
    return _watch(connection)


def _watch(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork one job; say how it ended, or end it where who asked is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked, streams, *_ = socket.recv_fds(connection, 1, 3)
    if not asked:
        # Somebody looked whether the server lives.
        os._exit(0)
    job = json.loads(connection.makefile().readline())
    child = os.fork()
    if child == 0:
        connection.close()
        return job, streams
    for stream in streams:
        os.close(stream)
    process = os.pidfd_open(child)
    ended, *_ = select.select([process, connection.fileno()], [], [])
    if process not in ended:
        os.kill(child, signal.SIGTERM)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(BrokenPipeError):
        connection.sendall(b"%d\n" % (code if code >= 0 else 128 - code))
    os._exit(0)


def _become(hangup: Any, job: dict[str, Any], streams: list[int]) -> None:
    """Be the process that was asked for; a lost terminal is to it what it was to the server."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, hangup)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.dup2(streams[number], number)
        os.close(streams[number])
        # The server's own object knows whether its file could seek, which this one may not.
        own = getattr(sys, name)
        anew = os.fdopen(number, own.mode, 1, encoding=own.encoding, errors=own.errors)
        setattr(sys, name, anew)
    os.environ.clear()
    os.environ.update(job["environment"])
    # A library that was imported may have asked for the folder that TMPDIR named then.
    tempfile.tempdir = None
    os.chdir(job["folder"])
    more = job["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [job["folder"], *filter(None, more)]
    sys.argv[1:] = job["arguments"]
    runpy.run_module(MODULE, run_name="__main__", alter_sys=True)


def serve(arguments: list[str]) -> None:
    """Be the server that :func:`start` starts, with its folder and the number of its socket."""
    folder, listener = arguments
    hangup = signal.getsignal(signal.SIGHUP)
    _become(hangup, *_serve(Path(folder), socket.socket(fileno=int(listener))))


if __name__ == "__main__":
    serve(sys.argv[1:])
