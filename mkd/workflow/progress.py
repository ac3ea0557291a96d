"""How far a scale's trainings are, read from their logs and from what the finished ones left.

Torch is not imported here: the Snakefile loads this module at every start.
"""

import re
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

from mkd.errors import UserError
from mkd.experiment import paths, run_digests
from mkd.experiment.runs import Run
from mkd.experiment.suite import Suite
from mkd.files import read_json

LINE = re.compile(
    r"Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\].*?\btime: (\d+(?:\.\d+)?).*?\bloss: (\S+)"
)
"""A line of mmengine's LoggerHook: epoch, iteration in it and of it, seconds of one, total loss."""

TAIL_BYTES = 2**16
QUIET_S = 300.0
"""A running training writes to its log more often than this, or than every 60 iterations."""

SHOWN = 8
"""So many running trainings are shown; a cluster may run a hundred."""


@dataclass(frozen=True)
class Logged:
    """What the end of a training's log says.

    Attributes:
        epoch: The epoch of the last line, from 1.
        iteration: Iterations done when it was written, of all epochs together.
        per_epoch: Iterations of one epoch.
        seconds: Wall time of one iteration, the median of the lines read.
        loss: The total loss as printed.
    """

    epoch: int
    iteration: int
    per_epoch: int
    seconds: float
    loss: str


@dataclass(frozen=True)
class Training:
    """One run with one seed.

    Attributes:
        run: Its row.
        seed: Its seed.
        epochs: Its length.
        state: ``done``, ``running`` or ``waiting``.
        logged: The end of its log; None where it has none, or no iteration in it.
    """

    run: Run
    seed: int
    epochs: int
    state: str
    logged: Logged | None


def look(
    suite: Suite,
    since: float = 0.0,
    wanted: Iterable[tuple[str, int]] | None = None,
    again: Container[tuple[str, int]] = (),
) -> list[Training]:
    """Trainings as they stand now.

    Args:
        suite: The scale and its table of runs.
        since: Seconds since 1970; what wrote to its log before that and no more is not running.
        wanted: Runs and seeds; without, all that are planned, in the table's order, and of the
            readings those that have begun.
        again: Runs and seeds that are trained anew: done is what they left after ``since``.
    """
    trainings = []
    for name, seed in _planned(suite) if wanted is None else wanted:
        run, log = suite.run(name), _log(suite, name, seed)
        logged = read_log(log)
        earlier = since if (name, seed) in again else 0.0
        if is_done(suite, name, seed, earlier):
            state = "done"
        else:
            state = "running" if _runs(suite, name, seed, log, logged, since) else "waiting"
        trainings.append(Training(run, seed, suite.epochs(name), state, logged))
    return trainings


def is_done(suite: Suite, run: str, seed: int, since: float = 0.0) -> bool:
    """Whether a training has ended well, with today's configuration and code, after a time."""
    path = Path(paths.run_path(suite, run, seed, "train.json"))
    try:
        trained = read_json(path)
    except UserError:
        return False
    digests = trained.get("digests") if isinstance(trained, dict) else None
    weights = path.with_name("weights.pth")
    return bool(
        weights.exists()
        and path.stat().st_mtime >= since
        and digests == run_digests.training_digests(suite.resolve(run, seed))
    )


def read_log(log: Path) -> Logged | None:
    """The end of a training's log; None where it is missing or has no iteration in it yet."""
    try:
        with open(log, "rb") as handle:
            handle.seek(max(0, log.stat().st_size - TAIL_BYTES))
            found = LINE.findall(handle.read().decode(errors="replace"))
    except OSError:
        return None
    if not found:
        return None
    epoch, iteration, per_epoch = map(int, found[-1][:3])
    return Logged(
        epoch=epoch,
        iteration=(epoch - 1) * per_epoch + iteration,
        per_epoch=per_epoch,
        # Of a job that was suspended for a night one line says so, and the others do not.
        seconds=median_low(float(line[3]) for line in found),
        loss=found[-1][4],
    )


def seconds_left(trainings: Sequence[Training], at_once: int = 0) -> float | None:
    """Wall time until all are done, if as many run at once as now; None where nothing tells.

    Each training's iterations left times the seconds of one: its own, else those of trainings of
    its architecture and method, else of its architecture, else of any.

    Args:
        trainings: As they stand now.
        at_once: How many ran at once a moment ago, where that was more.
    """
    left = []
    for training in trainings:
        if training.state == "done":
            continue
        alike = _alike(training, trainings)
        if not alike:
            return None
        seconds = sum(logged.seconds for logged in alike) / len(alike)
        left.append((training.epochs * alike[0].per_epoch - _iteration(training)) * seconds)
    at_once = max(at_once, len(running(trainings)), 1)
    # The last one alone takes its own time, however many ran beside it.
    return max(sum(left) / at_once, *left, 0.0)


def running(trainings: Iterable[Training]) -> list[Training]:
    """Those that run."""
    return [training for training in trainings if training.state == "running"]


def describe(trainings: Sequence[Training], at_once: int = 0) -> list[str]:
    """A line for all trainings together, and one for each that runs.

    Args:
        trainings: As they stand now.
        at_once: As for :func:`seconds_left`.
    """
    done = sum(training.state == "done" for training in trainings)
    now = running(trainings)
    head = f"{done} of {len(trainings)} trainings done"
    left = seconds_left(trainings, at_once)
    if left:
        head += f", {len(now)} running, ~{_span(left)} of training left"
    lines = [head, *(f"  {_line(training)}" for training in now[:SHOWN])]
    if len(now) > SHOWN:
        lines.append(f"  and {len(now) - SHOWN} more")
    return lines


def status(suite: Suite) -> str:
    """The scale's name and :func:`describe` of it, as ``mkd status`` prints it."""
    head, *lines = describe(look(suite))
    return "\n".join([f"scale {suite.scale}: {head}", *lines])


def _log(suite: Suite, run: str, seed: int) -> Path:
    return suite.results / "logs" / "train" / f"{run}-seed{seed}.log"


def _planned(suite: Suite) -> Iterator[tuple[str, int]]:
    for run in suite.runs.values():
        if suite.taken(run.id):
            continue
        for seed in suite.seeds(run.id):
            if not run.reading or read_log(_log(suite, run.id, seed)) is not None:
                yield run.id, seed


def _runs(
    suite: Suite, run: str, seed: int, log: Path, logged: Logged | None, since: float
) -> bool:
    """Whether its work folder is held, which any end gives back, and its log is being written."""
    if not any((suite.results / "work").glob(f"{run}-seed{seed}-*.lock")):
        return False
    try:
        written = log.stat().st_mtime
    except OSError:
        return False
    quiet = max(QUIET_S, 60 * logged.seconds) if logged else QUIET_S
    return written >= since and time.time() - written < quiet


def _alike(training: Training, others: Sequence[Training]) -> list[Logged]:
    """The logs that tell most of how long a training takes."""
    run = training.run
    groups = (
        [training],
        [other for other in others if (other.run.arch, other.run.method) == (run.arch, run.method)],
        [other for other in others if other.run.arch == run.arch],
        others,
    )
    logs = ([other.logged for other in group if other.logged] for group in groups)
    return next((found for found in logs if found), [])


def _iteration(training: Training) -> int:
    """Iterations done; a log of a training that waits is of an earlier try."""
    return training.logged.iteration if training.logged and training.state == "running" else 0


def _line(training: Training) -> str:
    name, logged = f"{training.run.id} seed {training.seed}", training.logged
    if logged is None:
        return f"{name}: starting"
    return (
        f"{name}: epoch {logged.epoch} of {training.epochs}, iteration {logged.iteration} "
        f"of {training.epochs * logged.per_epoch}, loss {logged.loss}"
    )


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.{0 if unit == 'min' else 1}f} {unit}"
    return f"{seconds:.0f} s"
