"""The committed reference: records, pictures and tables of a full run, and what shows them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mkd import ROOT
from mkd.edge.records import KINDS
from mkd.errors import UserError
from mkd.experiment.suite import Suite
from mkd.files import read_json, write_atomic
from mkd.paper import claims
from mkd.provenance import seal
from mkd.results import formats, noise_budget, tables, tallies, verdicts
from mkd.results.records import MEASURED, Records, load_folder, machine
from mkd.results.tables import Row, Table

PAGE = "docs/results.md"
"""Where a checkout shows its references."""
PICTURES = ("qualitative", "attention", "spectrum")
"""Data of the report's pictures, ``figures/<name>.json``, which are kept where they are there."""
MOST = 20
"""Points of a training curve that are kept."""
MOST_SAMPLES = 50
"""Timed runs of each attempt and process that are kept."""


def folder(scale: str, root: Path = ROOT) -> Path:
    """Where a checkout keeps the reference of a scale, in the shape of its results folder."""
    return root / "results" / "reference" / scale


def update(suite: Suite, source: Path, root: Path = ROOT) -> None:
    """Keep a results folder as the reference of its scale, and show it in :data:`PAGE`.

    Args:
        suite: The scale and its table of runs.
        source: The scale's results folder, or its reference to write anew what follows from it.
        root: The checkout.

    Raises:
        UserError: As :func:`keep` and :func:`insert`; then nothing is written.
    """
    page = root / PAGE
    insert(page.read_text(encoding="utf-8"), suite.scale, "")
    records = keep(suite, source, folder(suite.scale, root))
    text = page.read_text(encoding="utf-8")
    write_atomic(page, insert(text, suite.scale, section(suite, records)))


def keep(suite: Suite, source: Path, out: Path) -> Records:
    """Copy records with thinned curves and samples, and write the tables they give; no weights.

    Args:
        suite: The scale and its table of runs.
        source: The scale's results folder; ``out`` itself writes its tables anew.
        out: What stood there before is replaced.

    Returns:
        The records as they are kept.

    Raises:
        UserError: ``source`` has a record that cannot be used, or none.
    """
    records = load_folder(source, suite.scale)
    # A latency that is not steady is kept, and marked wherever it is shown.
    unusable = [p for p in records.problems if (p.where, p.what) not in records.edge.shaky]
    if unusable:
        first = unusable[0]
        raise UserError(f"{source} is no reference: {first.where}: {first.what}")
    if not records.by_run:
        raise UserError(f"{source} has no record: run `snakemake reproduce` first")
    for seeds in records.by_run.values():
        for record in seeds.values():
            record["train"]["curve"] = thin(record["train"]["curve"])
            record["train"].pop("gradient_norms", None)
    kept = {
        f"runs/{run}/seed{seed}/record.json": record
        for run, seeds in records.by_run.items()
        for seed, record in seeds.items()
    }
    kept |= {f"{name}.json": content for name, content in records.measured.items()}
    kept |= {
        f"figures/{name}.json": read_json(source / f"figures/{name}.json")
        for name in PICTURES
        if (source / f"figures/{name}.json").is_file()
    }
    kept |= {
        f"runs/{run}/config.json": config
        for run, seeds in records.by_run.items()
        if (config := _configuration(source / "runs" / run, seeds[min(seeds)])) is not None
    }
    for path in (file for kind in KINDS for file in source.glob(f"{kind}/**/*.json")):
        kept[path.relative_to(source).as_posix()] = fewer_samples(read_json(path))
    for name, record in kept.items():
        if isinstance(record, dict) and "sha256" in record:
            record["sha256"] = seal(record)
        write_atomic(out / name, json.dumps(record, separators=(",", ":")) + "\n")
    # Last: until the new ones lie there the old ones stay.
    old = [
        *(f"{part}/**/*" for part in ("runs", "figures", *KINDS)),
        *(f"{name}.json" for name in MEASURED),
    ]
    for path in (file for pattern in old for file in out.glob(pattern)):
        if path.is_file() and path.relative_to(out).as_posix() not in kept:
            path.unlink()
    formats.write_tables(
        tables.build_all(records, suite.runs), suite.settings.summary, out / "tables"
    )
    judged = verdicts.judge(claims.load(), records.points, suite.scale)
    for name, content in noise_budget.files(noise_budget.build(records, suite, judged)).items():
        write_atomic(out / "tables" / name, content)
    return records


def _configuration(run: Path, record: dict[str, Any]) -> Any:
    """The configuration of a run in full, as the seed of a record was trained, or None."""
    trained, kept = run / f"seed{record['seed']}/train.json", run / "config.json"
    if not trained.is_file():
        return read_json(kept) if kept.is_file() else None
    said = read_json(trained)
    try:
        # A training that was not scored yet may be another one.
        same = said["digests"]["config"] == record["digests"]["config"]
    except (LookupError, TypeError):
        return None
    return said.get("config") if same else None


def thin(curve: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A training curve averaged over at most :data:`MOST` stretches of equal length."""
    step = -(-len(curve) // MOST)
    stretches = [curve[i : i + step] for i in range(0, len(curve), step or 1)]
    return [
        {
            key: stretch[-1][key]
            if key in ("iter", "epoch")
            else _mean([point[key] for point in stretch if key in point])
            for key in dict.fromkeys(key for point in stretch for key in point)
        }
        for stretch in stretches
    ]


def _mean(values: Sequence[float]) -> float:
    return float(f"{sum(values) / len(values):.5g}")


def fewer_samples(record: dict[str, Any]) -> dict[str, Any]:
    """A latency record with every k-th sample of each attempt, another record as it is.

    The figures, and the number of samples they are of, stay those of all samples.
    """
    for process in record.get("processes", ()):
        for mode in filter(None, (process["graph"], process["end_to_end"])):
            for attempt in mode["attempts"]:
                samples = attempt["samples_ms"]
                attempt["samples_ms"] = samples[:: -(-len(samples) // MOST_SAMPLES)]
    return record


def section(suite: Suite, records: Records) -> str:
    """The page's part: the tallies, and AP of the scale's own rows, paper beside measured."""
    found = [record for *_, record in records.each()]
    commits = dict.fromkeys(str(record["commit"] or "none")[:10] for record in found)
    hosts = dict.fromkeys(map(machine, found))
    head = (
        f"{len(found)} records of **{suite.scale} scale** ({suite.settings.summary}); commit "
        f"{', '.join(commits)}; {', '.join(hosts)}; "
        f"{records.training_hours():.1f} hours of training, summed over trainings. "
        "Measured: mean over seeds ± half the 95 % t-interval. Δ is the difference to the "
        "undistilled detector, paired by seed; where rows have other numbers of seeds (n), it "
        "alone compares them. The paper’s figures are of its own scale (COCO, 640 px): the figures "
        "do not compare, at most their directions do."
    )
    judged = verdicts.judge(claims.load(), records.points, suite.scale)
    tally = "\n".join(f"- {line}" for line in tallies.lines(judged, suite.scale, suite.runs))
    wanted = {number for run in suite.runs.values() for number in run.tables}
    shown = [
        _table(table, suite)
        for table in tables.build_all(records, suite.runs)
        if table.number in wanted
    ]
    return "\n\n".join([head, tally, *shown])


def _table(table: Table, suite: Suite) -> str:
    kind = "mask AP" if table.number == 2 else "AP"
    heads = ["Model", f"paper {kind}", "paper Δ", f"{table.scale} {kind}", f"{table.scale} Δ"]
    full = f"../results/reference/{table.scale}/tables/table{table.number}.md"
    # A scale may have some of the rows, and no run for the others.
    rows = [
        [table.labelled(row), *_cells(row)]
        for row in table.rows
        if row.method and row.run in suite.runs
    ]
    title = f"**Table {table.number}. {table.title}**, {table.scale} scale ([all columns]({full}))"
    return f"{title}\n\n{formats.pipe(pd.DataFrame(rows, columns=heads))}"


def _cells(row: Row) -> list[str]:
    cell = row.measured.get("AP")
    delta = row.paper_delta.get("AP")
    return [
        formats.number(row.paper.get("AP")),
        "" if delta is None else formats.signed(delta),
        f"{formats.number(cell.value.mean)} {formats.half(cell.value)}"
        if cell
        else formats.NOT_RUN,
        f"{formats.signed(cell.delta.mean)} {formats.half(cell.delta)}"
        if cell and cell.delta
        else "",
    ]


def insert(text: str, scale: str, content: str) -> str:
    """A text with what stands between a scale's two markers replaced.

    Raises:
        UserError: The text has not both markers, once and in order.
    """
    begin, end = f"<!-- reference {scale} -->", f"<!-- end of reference {scale} -->"
    if (text.count(begin), text.count(end)) != (1, 1) or text.index(end) < text.index(begin):
        raise UserError(f"{PAGE} needs the lines '{begin}' and '{end}', once each, in order")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{content}\n{end}{rest.partition(end)[2]}"
