"""The provenance section: what each run is, how to make it again, and the record of every seed."""

import os
import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mkd.experiment import labels, paths
from mkd.experiment.suite import Suite
from mkd.results import tables
from mkd.results.formats import measured, number
from mkd.results.records import Records

DIGESTS = ("config", "data", "code", "weights")
"""Of a record that are shown; the record itself has all."""


def entries(
    records: Records, suite: Suite, source: Path, page: Path, arguments: str
) -> list[dict[str, Any]]:
    """One entry a run, the planned ones first, then records of runs the table has not.

    Args:
        records: Of the scale.
        suite: The scale and its table of runs.
        source: The scale's folder the records were read from.
        page: The page's folder, which links are relative to.
        arguments: What Snakemake's command line must say to mean this configuration.
    """
    made = []
    for run in [*suite.runs, *sorted(records.by_run.keys() - suite.runs.keys())]:
        row, seeds = suite.runs.get(run), records.by_run.get(run, {})
        first = next(iter(seeds.values()), None)
        teacher = first["teacher"] if first else row.teacher if row else None
        options = first["options"] if first else row.said if row else {}
        made.append(
            {
                "run": run,
                "words": labels.run_name(row, suite.runs) if row else "not in the table of runs",
                "expected": len(suite.seeds(run)) if row else len(seeds),
                "teacher": teacher,
                "options": " ".join(f"{key}={value}" for key, value in options.items()),
                "tables": row.tables if row else (),
                "figures": _means(records, suite, run),
                "absent": _absent(suite, run),
                "command": _command(suite, run, arguments) if row else "",
                "seeds": {
                    seed: _facts(record, source, page) for seed, record in sorted(seeds.items())
                },
            }
        )
    return made


def _absent(suite: Suite, run: str) -> str:
    """Why a run has no record."""
    if run in suite.pretrained and not suite.scored(run):
        return f"not scored: published weights ({suite.pretrained[run].file}) that only teach"
    return "not run"


def circumstances(records: Records) -> list[tuple[str, list[str]]]:
    """On what hosts and with what libraries the records were made, each said once."""
    found = [record for *_, record in records.each()]
    hosts = _counted(
        "; ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in r["host"].items())
        for r in found
    )
    versions = _counted(
        ", ".join(f"{name} {value}" for name, value in r["versions"].items()) for r in found
    )
    return [("Host", hosts), ("Versions", versions)] if found else []


def _counted(said: Iterable[str]) -> list[str]:
    counts = Counter(said)
    if len(counts) < 2:
        return list(counts)
    return [f"{words} ({count} records)" for words, count in counts.most_common()]


def _command(suite: Suite, run: str, arguments: str) -> str:
    files = shlex.join(paths.run_path(suite, run, seed, "record.json") for seed in suite.seeds(run))
    # Files go before what --config takes, which has no end of its own.
    return f"snakemake {files} {arguments}".strip()


def _means(records: Records, suite: Suite, run: str) -> str:
    """Mean AP of a run with its interval and its difference to the baseline."""
    said = []
    for kind in ("box", "mask"):
        column = tables.Column("AP", f"{kind} AP", f"{kind}.AP")
        cell = tables.measure(records, suite.runs, run, [column]).get("AP")
        if cell:
            said.append(f"{column.label} {measured(cell, column)}")
    return ", ".join(said)


def _facts(record: dict[str, Any], source: Path, page: Path) -> dict[str, Any]:
    folder = source / "runs" / record["run"]
    seed = folder / f"seed{record['seed']}"
    trained = seed / "train.json"
    files = {
        "record": seed / "record.json",
        # A reference keeps it once a run.
        "configuration": trained if trained.is_file() else folder / "config.json",
        "log": source / "logs/train" / f"{record['run']}-seed{record['seed']}.log",
    }
    return {
        "AP": number(record["metrics"]["box"]["AP"], 2),
        "files": {
            name: Path(os.path.relpath(path, page)).as_posix()
            for name, path in files.items()
            if path.is_file()
        },
        "commit": record["commit"],
        "dirty": record["dirty"],
        "taken": record.get("taken"),
        "published": record["digests"].get("published"),
        "started": record["started"][:16].replace("T", " "),
        "digests": {name: record["digests"].get(name) for name in DIGESTS},
    }


def _plain(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
