"""The screen a workflow ends with: what there is now, and what failed and why."""

import re
import shlex
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from mkd.errors import UserError
from mkd.experiment import config
from mkd.experiment.suite import Suite
from mkd.results.records import coverage, load_folder

FAILED = re.compile(
    r"^Error in rule (\S+):\n(?:    .*\n)*?    jobid: (\d+)\n"
    r"(?:    .*\n)*?    log: (.+?) \(check log",
    re.MULTILINE,
)
"""How Snakemake's own log names a failed job, its number and its log."""
FINISHED = "\nFinished jobid: {} "
"""How it says that a job ended well, perhaps at another try."""
ENDED = re.compile(
    r"^Command '(.*)' (?:returned non-zero exit status (\d+)|died with <Signals\.\w+: (\d+)>)\.$",
    re.MULTILINE,
)
"""How it says that a command ended; a shell adds 128 to the number of the signal that killed it."""

RAISED = re.compile(r"(?:\[rank\d+\]: *)?(?!\S*ChildFailedError)[\w.]+(?:Error|Exception)\b")
"""A line that names an exception, other than torchrun's own."""


def summary(suite: Suite, logs: Iterable[str]) -> str:
    """Failed jobs with their reason, records, tables and report, a line each.

    Args:
        suite: The scale and its table of runs.
        logs: Snakemake's logs of this workflow.
    """
    # Its imports would cost every start of Snakemake half a second.
    from mkd.paper import claims
    from mkd.results import tallies, verdicts

    failed = list(_failed(logs))
    lines = [f"{len(failed)} job{'s' * (len(failed) > 1)} failed:"] if failed else []
    lines += failed
    records = load_folder(suite.results, suite.scale)
    lines.append(f"scale {suite.scale}: {coverage(records, suite)}")
    if records.by_run and not suite.own:
        try:
            judged = verdicts.judge(claims.load(), records.points, suite.scale)
            lines += tallies.lines(judged, suite.scale, suite.runs)
        except UserError as error:
            # The file may have changed since the workflow began.
            lines.append(f"no verdicts: {error}")
    tables = [] if suite.own else sorted(suite.results.glob("tables/table?.md"))
    if tables:
        numbers = ", ".join(path.stem.removeprefix("table") for path in tables)
        lines.append(f"tables {numbers}: {tables[0].parent}/table<N>.csv, .md and .tex")
    report = suite.results / "report" / "index.html"
    if failed:
        command = f"snakemake report_partial {config.arguments(config.replaced(suite))}".strip()
        lines.append(f"a report of what there is: {command}")
    elif report.exists():
        lines.append(f"report: {report}")
    return "\n".join(lines)


def reason(log: Path, killed: str = "") -> str:
    """Why a job failed: the signal that killed it, its own last sentence, or its log's last line.

    Args:
        log: The job's.
        killed: The name of the signal, where there was one.
    """
    if killed:
        hint = ", as the system does when memory runs out" if killed == "SIGKILL" else ""
        return f"killed by {killed}{hint}"
    text = _read(log)
    if text is None:
        return "it left no log"
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line.startswith("mkd: ")]
    written = [line for line in lines if line] or ["its log is empty"]
    if written[-1].strip("=") == "":
        # Torchrun's report of a process that failed: what that one raised stands above it.
        written = list(filter(RAISED.match, written)) or written
    last = (said or written)[-1]
    return last.removeprefix("mkd: ")


def _failed(logs: Iterable[str]) -> Iterator[str]:
    """One line a failed job; one that was tried again counts once, or not where that went well."""
    texts = [_read(Path(log)) or "" for log in logs]
    found = [
        (job[1], _own_log(job[3]))
        for text in texts
        for job in FAILED.finditer(text)
        if FINISHED.format(job[2]) not in text[job.end() :]
    ]
    ended = [command for text in texts for command in ENDED.findall(text)]
    for rule, path in dict.fromkeys(found):
        name = Path(path).stem
        why = reason(Path(path), _signal(path, ended))
        yield f"  {rule}{'' if name == rule else f' {name}'}: {why} ({path})"


def _own_log(said: str) -> str:
    """The job's own log, behind which a cluster's executor names one of its own."""
    parts = said.split(", ")
    tried = (", ".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((path for path in tried if Path(path).exists()), parts[0])


def _signal(log: str, ended: Iterable[tuple[str, str, str]]) -> str:
    """The signal that killed the last try of a job with that log; empty for none."""
    quoted = f"> {shlex.quote(log)} "
    number = 0
    for command, status, killed in ended:
        if quoted in f"{command} ":
            number = int(killed or 0) or int(status or 0) - 128
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def _read(log: Path) -> str | None:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
