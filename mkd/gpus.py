"""A picker that gives every job GPUs of its own; Snakemake counts GPUs but assigns none.

A GPU is taken by locking a file, so that it is free again however its job ends. Torch is not
imported: the choice must stand before it is.
"""

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from mkd import host
from mkd.errors import UserError

PATIENCE_S = 3600.0
"""What waits for GPUs to become free: a detector that is timed holds one for minutes, loader
processes of a training that was killed for its memory some seconds."""


def visible() -> list[str]:
    """Ids of the GPUs this process may use: ``CUDA_VISIBLE_DEVICES``, or all there are.

    As CUDA does, it takes those that stand before the first negative number.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        shown = takewhile(lambda gpu: not gpu.startswith("-"), map(str.strip, chosen.split(",")))
        return [gpu for gpu in shown if gpu]
    return host.nvidia_smi("index")


@contextmanager
def take(count: int) -> Iterator[list[str]]:
    """Hold GPUs that no other job of this machine holds, for as long as the block runs.

    Args:
        count: How many.

    Raises:
        UserError: There are fewer, or fewer are free for :data:`PATIENCE_S`.
    """
    gpus = visible()
    if len(gpus) < count:
        raise UserError(
            f"a job wants {count} GPU{'s' * (count > 1)} and this machine shows {len(gpus)}: run "
            "it where there are enough, or lower train.devices in the scale's file. The learning "
            "rate is that of the whole batch: raise train.batch_size or lower train.lr as much"
        )
    end, said = time.monotonic() + PATIENCE_S, False
    while True:
        with ExitStack() as held:
            taken: list[str] = []
            for gpu in gpus:
                if len(taken) < count and _lock(gpu, held):
                    taken.append(gpu)
            if len(taken) == count:
                yield taken
                return
        if time.monotonic() > end:
            raise UserError(
                f"a job wants {count} GPU{'s' * (count > 1)} and {len(taken)} of {len(gpus)} are "
                f"free: wait for what runs on them, or cap jobs with --resources gpu={len(gpus)}"
            )
        if not said:
            print(f"waits for GPUs: {len(taken)} of {count} are free", file=sys.stderr, flush=True)
            said = True
        time.sleep(1)


def idle(cap: int | None, each: int) -> str:
    """What leaves GPUs of this machine idle; empty where nothing does.

    Args:
        cap: So many Snakemake gives away at once; None for any number.
        each: A training's.

    Raises:
        UserError: Snakemake would give away more than there are.
    """
    shown = len(visible())
    if shown and (cap is None or cap > shown):
        raise UserError(
            f"this machine shows {shown} GPU{'s' * (shown > 1)}, and jobs would take "
            f"{'any number' if cap is None else cap} at once: add --resources gpu={shown}"
        )
    at_once = max(1, (cap or 1) // each)
    if shown // each <= at_once:
        # Of too few for one training a job says more.
        return ""
    return (
        f"this machine shows {shown} GPUs, of which trainings take {each * at_once} at once: with "
        f"--resources gpu={shown} they take {shown // each * each}"
    )


def run(count: int, command: list[str]) -> NoReturn:
    """Become a command on GPUs of its own.

    It takes this process's place, so that a signal meant for the job reaches it, and it keeps the
    locks, which a process it forks keeps as well. It computes on one thread of the CPU.

    Raises:
        UserError: There are too few GPUs, there is no command, or no GPU is asked for.
    """
    if count < 1:
        raise UserError(f"on-gpus takes a number of GPUs of at least 1, not {count}")
    if not command:
        raise UserError("on-gpus takes a command behind the number of GPUs")
    # Snakemake sets the threads of a job, which are its loaders' too: each process would take all.
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with take(count) as gpus:
        environment = {**os.environ, **one, "CUDA_VISIBLE_DEVICES": ",".join(gpus)}
        os.execvpe(command[0], command, environment)


@cache
def _one_name(gpu: str) -> str:
    """A GPU's UUID, where the driver's tool knows it: it may be named by its number as well."""
    return next(iter(host.nvidia_smi("uuid", f"--id={gpu}")), gpu)


def _lock(gpu: str, held: ExitStack) -> bool:
    # A batch system gives a job GPUs of its own and may number each job's from 0.
    job = os.environ.get("SLURM_JOB_ID", "")
    folder = Path(tempfile.gettempdir(), f"mkd-gpus-{os.getuid()}{job and '-' + job}")
    folder.mkdir(exist_ok=True)
    handle = held.enter_context((folder / _one_name(gpu).replace("/", "_")).open("w"))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.set_inheritable(handle.fileno(), True)
    return True
