"""The screen while a workflow runs: one line where Snakemake has a block, and how far all is.

Snakemake's own log file keeps every word.
"""

import logging
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from mkd.errors import meant
from mkd.experiment.suite import Suite
from mkd.workflow import progress

PERIOD_S = 30.0
LOOKS = 4
"""Looks at what runs that an estimate goes by: in between, an evaluation may have a core."""
CHATTER = ("job_info", "job_started", "job_finished")
"""Snakemake's events whose text the screen does without."""

SELECTING = "Select jobs to execute..."
"""The same, of a text that is no event."""

TRAININGS = ("train", "train_teacher", "train_first")
"""Rules whose jobs speak for themselves; on a cluster some of them are still queued."""


def trainings(jobs: Iterable[Any]) -> list[tuple[str, int]]:
    """Runs and seeds that jobs of Snakemake's train."""
    return sorted(
        (job.wildcards.run, int(job.wildcards.seed)) for job in jobs if job.rule.name in TRAININGS
    )


class Targets(logging.Filter):
    """Says of a target that no rule has which one was meant, or where they are listed.

    Args:
        rules: Names of the rules.
    """

    def __init__(self, rules: Iterable[str]) -> None:
        super().__init__()
        self._rules = sorted(rules)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        missing = re.search(r"No rule to produce ([^\s/]+)(?!\S)", str(record.msg))
        if missing:
            hint = meant(missing[1], self._rules) or ": snakemake --list names them"
            record.msg = f"mkd: there is no target '{missing[1]}' at this scale{hint}"
        return True


class Watch:
    """Says every half minute what runs, where that has changed, until the process ends.

    Args:
        suite: The scale and its table of runs.
    """

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._wanted: list[tuple[str, int]] = []
        self._again: set[tuple[str, int]] = set()
        self._jobs: dict[int, str] = {}
        self._steps = ""
        self._running: deque[int] = deque(maxlen=LOOKS)
        self._end = threading.Event()

    def start(
        self, logger: logging.Logger, jobs: Iterable[Any], needed: Iterable[Any] = ()
    ) -> None:
        """Begin.

        Args:
            logger: Snakemake's.
            jobs: Those of its plan, done ones too.
            needed: Those that it will run: what they left earlier is outdated.
        """
        self._wanted, self._again = trainings(jobs), set(trainings(needed))
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(self.note)
        # A daemon: it ends with Snakemake, however that ends.
        threading.Thread(target=self._speak, args=[logger], daemon=True).start()

    def stop(self) -> None:
        """Say no more."""
        self._end.set()

    def note(self, record: logging.LogRecord) -> bool:
        """Take in what Snakemake says of its jobs; False where the screen does without it."""
        said = vars(record)
        event = said.get("event")
        if event == "job_info":
            self._jobs[said["jobid"]] = said["rule_name"]
        elif event == "job_finished":
            self._jobs.pop(said["job_id"], None)
        elif event == "job_error":
            self._jobs.pop(said["jobid"], None)
        elif event == "progress":
            self._steps = f"{said['done']} of {said['total']} jobs done"
        return event not in CHATTER and record.msg != SELECTING

    def text(self, since: float) -> str:
        """What runs now: the trainings, and jobs of other rules by name."""
        head, lines = [self._steps] if self._steps else [], []
        if self._wanted:
            found = progress.look(self._suite, since, self._wanted, self._again)
            self._running.append(len(progress.running(found)))
            count, *lines = progress.describe(found, max(self._running))
            head.append(count)
        rules = Counter(rule for rule in self._jobs.copy().values() if rule not in TRAININGS)
        if rules:
            names = (f"{rule} ×{count}" if count > 1 else rule for rule, count in rules.items())
            lines.append(f"  {', '.join(names)}")
        return "\n".join(["; ".join(head), *lines])

    def _speak(self, logger: logging.Logger) -> None:
        since, last = time.time(), ""
        while not self._end.wait(PERIOD_S):
            text = self.text(since)
            if text != last:
                logger.info(text)
            last = text
