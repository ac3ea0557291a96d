"""The provenance section: what each run is, and the record of every seed in words."""

from datetime import timedelta
from typing import Any

from mkd.experiment import labels
from mkd.experiment.config import Suite
from mkd.results import tables
from mkd.results.formats import measured, number
from mkd.results.records import Records


def entries(records: Records, suite: Suite) -> list[dict[str, Any]]:
    """One entry a run, the planned ones first, then records of runs the table has not."""
    made = []
    for run in [*suite.runs, *sorted(records.by_run.keys() - suite.runs.keys())]:
        row, seeds = suite.runs.get(run), records.by_run.get(run, {})
        first = next(iter(seeds.values()), None)
        teacher = first["teacher"] if first else row.teacher if row else None
        options = first["options"] if first else row.options if row else {}
        words = "not in the table of runs"
        if row:
            method = labels.METHOD_NAMES.get(row.method, row.method.upper())
            words = f"{labels.arch_name(row.arch)}, {method or 'no distillation'}"
        made.append(
            {
                "run": run,
                "words": words,
                "expected": len(suite.seeds(run)) if row else len(seeds),
                "teacher": teacher,
                "options": " ".join(f"{key}={value}" for key, value in options.items()),
                "tables": row.tables if row else (),
                "figures": _means(records, suite, run),
                "absent": _absent(suite, run),
                "seeds": {seed: _facts(record) for seed, record in sorted(seeds.items())},
            }
        )
    return made


def _absent(suite: Suite, run: str) -> str:
    """Why a run has no record."""
    if run in suite.pretrained and not suite.scored(run):
        return f"Not scored: published weights ({suite.pretrained[run].file}) that only teach."
    return "Not run."


def coverage(records: Records, suite: Suite) -> str:
    """How much of the plan has a record, in one sentence."""
    planned = {run: suite.seeds(run) for run in suite.planned if suite.scored(run)}
    begun = sum(run in records.by_run for run in planned)
    done = sum(s in records.by_run.get(run, {}) for run, seeds in planned.items() for s in seeds)
    return (
        f"{begun} of {len(planned)} planned runs have a record, "
        f"{done} of {sum(map(len, planned.values()))} planned seeds are done."
    )


def _means(records: Records, suite: Suite, run: str) -> str:
    """Mean AP of a run with its interval and its difference to the baseline."""
    said = []
    for kind in ("box", "mask"):
        column = tables.Column("AP", f"{kind} AP", f"{kind}.AP")
        cell = tables.measure(records, suite.runs, run, [column]).get("AP")
        if cell:
            said.append(f"{column.label} {measured(cell, column)}")
    return ", ".join(said)


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    train, published = record["train"], record["digests"].get("published")
    facts = [
        *(
            (
                f"{kind} figures",
                ", ".join(f"{name} {number(value, 2)}" for name, value in v.items()),
            )
            for kind, v in record["metrics"].items()
        ),
        (
            "size",
            f"{number(record['params_m'], 3)} M parameters, "
            f"{number(record['macs_g'], 4)} G multiply-accumulates at {record['input_px']} px",
        ),
        (
            "training",
            f"none here: published weights, {record['taken']}, SHA-256 {published}"
            if published
            else f"{train['iterations']} iterations, {train['epochs']} epochs, "
            f"{number(train['images_per_s'])} images/s, {_span(train['wall_s'])}",
        ),
        *_distilled(train),
        *((f"{name.replace('_', ' ')} digest", value) for name, value in record["digests"].items()),
        ("commit", f"{record['commit'] or 'none'}{', with changes' if record['dirty'] else ''}"),
        ("started", record["started"]),
        ("wall time", _span(record["wall_s"])),
        (
            "host",
            "; ".join(
                f"{name.replace('_', ' ')} {_plain(value)}"
                for name, value in record["host"].items()
            ),
        ),
        ("versions", ", ".join(f"{name} {value}" for name, value in record["versions"].items())),
        ("log", record["log"] or "none"),
    ]
    return {"headline": f"box AP {number(record['metrics']['box']['AP'], 2)}", "facts": facts}


def _distilled(train: dict[str, Any]) -> list[tuple[str, str]]:
    """A distilled run's weights of its terms."""
    weights = train.get("term_weights") or {}
    said = ", ".join(f"{term} {value:.3g}" for term, value in sorted(weights.items()))
    return [("weights of the terms", said)] if said else []


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _plain(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
