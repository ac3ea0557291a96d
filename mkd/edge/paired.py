"""Files and engines against one another: timed in turns, so that a drift meets all alike.

Each runs in a process of its own. In every round each is timed for a block of runs, in an order
drawn anew, and is set against the others of the same round. The whole is repeated in fresh
processes; a difference holds where every repetition shows it.
"""

import json
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mkd import host
from mkd.edge import measure
from mkd.edge.engines import CannotRun
from mkd.edge.opening import Settings, read
from mkd.edge.processes import checked, chosen_cpus, died, start, unless_error
from mkd.edge.spread import NARROW, median_interval
from mkd.errors import UserError

ROUNDS = 10
"""Rounds of a repetition at least."""
BLOCK_MS = 50.0
"""A block of runs takes about as long, one run at least."""
TIE = 0.05
"""Two files whose times differ by less are a tie, however well it is known."""


@dataclass(frozen=True)
class Entry:
    """One row: a file on an engine."""

    path: Path
    settings: Settings


@dataclass(frozen=True)
class Pair:
    """How one entry stands to another.

    Attributes:
        ratio: Its time in terms of the other's, the median of the repetitions' medians.
        interval: From the lowest to the highest end of the repetitions' 95 % intervals.
    """

    ratio: float
    interval: tuple[float, float]

    @property
    def tie(self) -> bool:
        """Whether the difference is small, or not known to be one."""
        low, high = self.interval
        return abs(self.ratio - 1) < TIE or low <= 1 <= high


def pair(ours: list[NDArray], theirs: list[NDArray]) -> Pair:
    """Set the blocks of one entry against those of another.

    Args:
        ours: For each repetition, the median time of each round's block.
        theirs: The same of the other.
    """
    ratios = [one / two for one, two in zip(ours, theirs, strict=True)]
    lows, highs = zip(*map(median_interval, ratios), strict=True)
    return Pair(float(np.median([np.median(ratio) for ratio in ratios])), (min(lows), max(highs)))


def compare(entries: list[Entry]) -> dict[str, Any]:
    """Time entries in turns.

    Returns:
        ``rows``, the fastest first, with their figures, or ``refused``, why an engine does not
        take a file; ``pairs``, each two rows by place; ``load``; ``rounds`` of each repetition.

    Raises:
        UserError: A file is not sound or not as asked, or no engine takes any.
    """
    settings = entries[0].settings
    cpus = chosen_cpus(settings)
    rows: list[dict[str, Any]] = [_row(entry) for entry in entries]
    blocks: dict[int, list[list[list[float]]]] = {}
    others: list[float | None] = []
    rounds = []
    with ExitStack() as stack:
        made: dict[int, dict[str, Any]] = {}
        for at, entry in enumerate(entries):
            if "refused" not in rows[at]:
                try:
                    made[at] = stack.enter_context(checked(entry.path, entry.settings))
                    rows[at]["difference"] = made[at]["difference"]
                except CannotRun as error:
                    rows[at]["refused"] = str(error)
        before = measure.quiet(cpus, settings.load)
        for repetition in range(settings.restarts):
            with ExitStack() as running:
                workers = {}
                for at, one in made.items():
                    try:
                        workers[at] = running.enter_context(_Worker(entries[at], cpus, one["file"]))
                    except CannotRun as error:
                        rows[at]["refused"] = str(error)
                made = {at: one for at, one in made.items() if at in workers}
                if not made:
                    raise UserError(next(row["refused"] for row in rows if "refused" in row))
                found = _rounds(workers, settings, seed=repetition)
                rounds.append(len(next(iter(found.values()))))
                for at, block in found.items():
                    blocks.setdefault(at, []).append(block)
                    others.append(workers[at].others)
    for at, repetitions in blocks.items():
        if at in made:
            rows[at] |= _figures(repetitions)
    order = sorted(range(len(rows)), key=lambda at: rows[at].get("median_ms", np.inf))
    medians = {
        place: [np.array([np.median(b) for b in blocks_]) for blocks_ in blocks[at]]
        for place, at in enumerate(order)
        if at in made
    }
    return {
        "kind": "comparison",
        "schema": 1,
        "rows": [rows[at] for at in order],
        "pairs": [
            {"rows": [one, two], **_pair(medians[two], medians[one])}
            for one, two in combinations(medians, 2)
        ],
        "rounds": rounds,
        "load": {"before": before, "during": measure.most(others)},
        "settings": {name: asdict(settings)[name] for name in ("threads", "restarts", "load")},
        "cpus": cpus,
        "versions": measure.versions(),
        "host": host.describe(host.first_gpu() if settings.provider != "cpu" else []),
    }


def _row(entry: Entry) -> dict[str, Any]:
    """What is known of an entry before it is timed."""
    row = {
        "file": str(entry.path),
        "engine": entry.settings.engine,
        "provider": entry.settings.provider,
    }
    try:
        card, task, _ = read(entry.path, entry.settings)
    except CannotRun as error:
        return {**row, "precision": "fp16", "shapes": {}, "refused": str(error)}
    return {
        **row,
        "precision": card.precision,
        "shapes": {name: list(shape) for name, shape in task.shapes.items()},
        "digest": measure.digest(entry.path, task.contents),
    }


def _pair(ours: list[NDArray], theirs: list[NDArray]) -> dict[str, Any]:
    found = pair(ours, theirs)
    return {**asdict(found), "tie": found.tie}


def _figures(repetitions: list[list[list[float]]]) -> dict[str, Any]:
    pooled = np.concatenate([block for blocks in repetitions for block in blocks])
    medians = [[float(np.median(block)) for block in blocks] for blocks in repetitions]
    lows, highs = zip(*map(median_interval, medians), strict=True)
    own = [float(np.median(values)) for values in medians]
    return {
        "median_ms": float(np.median(own)),
        "interval_ms": [min(lows), max(highs)],
        "p95_ms": float(np.percentile(pooled, 95)),
        "samples": len(pooled),
        "restart_spread": (max(own) - min(own)) / float(np.median(own)),
        "blocks_ms": repetitions,
    }


class _Worker:
    """A process that times one entry block by block."""

    def __init__(self, entry: Entry, cpus: list[int], file: str | None) -> None:
        self._entry, self._cpus, self._file = entry, cpus, file
        self.others: float | None = None

    def __enter__(self) -> "_Worker":
        self._errors: IO[str] = TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process: Popen[str] = start(
            *(self._entry.path, self._entry.settings, self._cpus, self._errors),
            task="serve",
            file=self._file,
        )
        try:
            ready = self._hear()
        except UserError:
            self.__exit__()
            raise
        self.runs = max(1, round(BLOCK_MS / max(ready["ms"], 1e-3)))
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            # Of one that has died the last line was not taken.
            with suppress(BrokenPipeError):
                pipe.close()
        self._process.wait()
        self._errors.close()

    def block(self) -> list[float]:
        """Times of one block in milliseconds."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{self.runs}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            # What it said is read below.
            pass
        said = self._hear()
        self.others = said["others"]
        samples: list[float] = said["samples_ms"]
        return samples

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said:
            self._process.wait()
            self._errors.seek(0)
            raise died(
                self._entry.path,
                self._entry.settings,
                self._process.returncode,
                self._errors.read(),
            )
        return unless_error(json.loads(said))


def _rounds(
    workers: dict[int, _Worker], settings: Settings, seed: int
) -> dict[int, list[list[float]]]:
    """Rounds of one repetition: entry → its blocks."""
    random = np.random.default_rng(seed)
    blocks: dict[int, list[list[float]]] = {at: [] for at in workers}
    end = time.monotonic() + settings.max_seconds * len(workers)
    while True:
        for at in random.permutation(list(workers)).tolist():
            blocks[at].append(workers[at].block())
        rounds = len(next(iter(blocks.values())))
        fewest = min(rounds * worker.runs for worker in workers.values())
        enough = rounds >= ROUNDS and fewest >= settings.min_samples
        if enough and (time.monotonic() >= end or _narrow(blocks)):
            return blocks


def _narrow(blocks: dict[int, list[list[float]]]) -> bool:
    """Whether every entry's time is known well in terms of the first one's, and that one's."""
    medians = [np.array([np.median(block) for block in found]) for found in blocks.values()]
    for values in (medians[0], *(other / medians[0] for other in medians[1:])):
        middle = np.median(values)
        if max(abs(end - middle) for end in median_interval(values)) > NARROW * middle:
            return False
    return True
