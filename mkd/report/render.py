"""The page: records, tables and figures poured into the templates, written whole or not at all."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mkd import ROOT, __version__
from mkd.experiment import config
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.labels import arch_name, run_name, slug
from mkd.experiment.suite import Suite
from mkd.files import write_atomic, write_json
from mkd.paper import audit, claims, deviations, facts
from mkd.paper.claims import Claim
from mkd.report import (
    audit_view,
    cautions,
    conclusion,
    latency_view,
    noise_view,
    summary_view,
    tables_view,
    title_view,
    verdict_view,
)
from mkd.report.gallery import caption, gallery
from mkd.report.provenance_view import DIGESTS, circumstances, entries
from mkd.results import (
    agreement,
    formats,
    gates,
    noise_budget,
    seed_costs,
    statements,
    tables,
    tallies,
    verdicts,
)
from mkd.results.check import comparable
from mkd.results.compare import origin
from mkd.results.records import Problem, Records, load_folder, without_curve
from mkd.results.tables import Table
from mkd.results.verdicts import Verdict

FOLDER = ROOT / "report"


def render(suite: Suite, out: Path, *, source: Path | None = None, arguments: str = "") -> None:
    """Write the report of one scale.

    It is ``index.html`` with ``data.json``, each table's files and, in the scale's ``figures/``,
    each plot's. Of a ``source`` beside the results, which has its tables, it is the page and its
    ``figures/``.

    Only records, and the pictures' data the pipeline left, are read. What is missing is shown as
    *not run*, what is broken is named.

    Args:
        suite: The scale and its table of runs.
        out: Folder of the report; other files in it are left alone.
        source: What is read, the scale's results folder or what is kept of one; default: the first.
        arguments: What Snakemake's command line must say to mean this configuration.

    Raises:
        UserError: The paper's figures or the claims cannot be read, or the disk is full.
    """
    kept = source is not None
    source = source or suite.results
    plots, written = (out / "figures", source / "tables") if kept else (source / "figures", out)
    records = load_folder(source, suite.scale)
    made = {table.number: table for table in tables.build_all(records, suite.runs)}
    stated = claims.load()
    judged = verdicts.judge(stated, records.points, suite.scale)
    budget = noise_budget.build(records, suite, judged)
    theirs = agreement.other_records(suite, source if kept else None)
    left = {suite.scale: tallies.corrected(judged)}
    if theirs:
        there = verdicts.judge(stated, theirs.points, theirs.scale)
        left[theirs.scale] = tallies.corrected(there)
    gated = gates.judge(gates.load(), records, suite.runs)
    ours = {run.arch for run in suite.runs.values() if run.tables}
    archs = list(dict.fromkeys(r.arch for n in (1, 2) for r in made[n].rows if r.arch in ours))
    min_seeds = max(verdict.claim.min_seeds for verdict in judged)
    compared = agreement.compare(records, theirs, suite.runs, min_seeds) if theirs else None
    figures, problems = gallery(records, suite, made, archs, (source, plots), min_seeds)
    problems = [*records.problems, *comparable(suite, records), *problems]
    if theirs:
        other = comparable(config.load({"scale": theirs.scale}), theirs)
        found = [*theirs.problems, *other]
        problems += [Problem(f"{theirs.scale}: {p.where}", p.what) for p in found]
    paper, differing = facts.load(), deviations.load(suite.scale)
    side = conclusion.Side(records, suite.runs, archs, min_seeds)
    longer = replace(side, records=theirs) if theirs else None
    sides = [side, longer] if longer else [side]
    choices = audit_view.choices(paper)
    said = suite.settings.summary
    page = (
        environment(suite, stated)
        .get_template("page.html.j2")
        .render(
            **assets(),
            own=False,
            version=__version__,
            scale=suite.scale,
            summary=said[:1].upper() + said[1:],
            stems=_stems(suite),
            title=title_view.title(records),
            plots=Path(os.path.relpath(plots, out)).as_posix(),
            files=Path(os.path.relpath(written, out)).as_posix(),
            kept=kept,
            problems=problems,
            headline=" ".join(map(conclusion.headline, sides)).strip(),
            conclusion=[
                *conclusion.sentences(side),
                *(conclusion.of_longer(longer, side) if longer else ()),
                *([compared.decided] if compared and compared.gains else ()),
            ],
            notes=[
                conclusion.gains(side),
                conclusion.ahead(judged, suite.runs, suite.scale),
                cautions.tests_and_gates(left, suite.scale, gated),
                cautions.untaught(records, suite.runs, archs),
                *cautions.chosen(differing, [each.scale for each in sides]),
                *map(conclusion.balanced, sides),
                conclusion.weaker(side),
            ],
            tally=verdict_view.tally(judged, suite.scale),
            report=summary_view.summary(suite, records, judged, gated, choices),
            corrected=left[suite.scale].said(suite.runs),
            left_there=left[theirs.scale].said(suite.runs) if theirs else "",
            whence=origin(theirs) if theirs else "",
            size_scale=judged[0].claim.size_scale,
            groups=verdict_view.groups(judged),
            gates=gated,
            gates_summary=gates.summary(gated),
            gate_styles=verdict_view.GATES,
            tables=[tables_view.shown(table, records, suite.runs) for table in made.values()],
            budget=budget,
            printed={
                row.run: float(row.paper_delta["AP"])
                for table in made.values()
                for row in table.rows
                if row.run and "AP" in row.paper_delta
            },
            agreement=compared,
            most_seeds=seed_costs.MOST,
            figures=figures,
            latency=latency_view.view(records, made[1]),
            audited=audit_view.audited(paper, audit.findings(paper)),
            equal=audit_view.equal_to_published(paper),
            choices=choices,
            deviations=differing,
            linked={note.id for note in choices},
            published=paper.published,
            settings=suite.settings.model_dump(exclude_unset=True),
            digest_names=DIGESTS,
            circumstances=circumstances(records),
            entries=entries(records, suite, source, out, arguments),
        )
    )
    if not kept:
        formats.write_tables(list(made.values()), said, out)
        for name, content in noise_budget.files(budget).items():
            write_atomic(out / name, content)
        shown = data(
            records,
            problems,
            suite,
            verdicts=list(map(_verdict, judged)),
            gates=list(map(vars, gated)),
            tables={str(number): rows(table) for number, table in made.items()},
        )
        write_json(out / "data.json", shown)
    write_atomic(out / "index.html", page)


def environment(suite: Suite, stated: Iterable[Claim] = ()) -> jinja2.Environment:
    """Where templates come from, and what they may call."""

    def named(name: str) -> str:
        """A run, or an architecture, in the field's words."""
        if name in suite.runs:
            return run_name(suite.runs[name], suite.runs)
        return arch_name(name) if name in ARCHITECTURES else name

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=formats.number,
        signed=formats.signed,
        half=formats.half,
        bounds=formats.bounds,
        points=formats.points,
        spread=formats.spread,
        slug=slug,
        typeset=typeset,
        chips=partial(verdict_view.chips, runs=suite.runs),
        counted=verdict_view.counted,
        statement={c.id: statements.stated(c, suite.runs) for c in stated}.__getitem__,
        named=named,
        case=partial(statements.case_name, runs=suite.runs),
        delta_words=tables_view.delta_words,
        cell_title=tables_view.title,
        said=tallies.said,
        starts=partial(noise_view.starts, named=named),
        val_set=partial(noise_view.val_set, named=named),
        power=noise_view.power,
    )
    environment.globals.update(caption=caption, absent=formats.absent)
    return environment


def _stems(suite: Suite) -> str:
    """How long students go on from a stem; nothing where they have none."""
    starts, epochs = suite.settings.starts, suite.settings.train.epochs
    stems = starts is not None and starts.stems
    return f"{epochs} epoch{'s' * (epochs != 1)}" if stems else ""


def typeset(text: str) -> Markup:
    """Text with the index of ``AP_S``, ``AP50`` or ``L_FAD`` set low, and curly quotes.

    What belongs together stays on one line: ``+2.6 ± 3.2``, ``95 %``.
    """
    text = re.sub(
        " (±|%)( (?=[0-9]))?",
        lambda m: f"\N{NO-BREAK SPACE}{m[1]}" + "\N{NO-BREAK SPACE}" * bool(m[2]),
        text,
    )
    text = re.sub(r"(?<![\w.)])'(?=\S)", "‘", text).replace("'", "’")
    parts = re.split(r"\b(AP|L)(?:_|(?=50|75))(\w+)", text)
    out = Markup("")
    for at, part in enumerate(parts):
        out += Markup("<sub>{}</sub>").format(part) if at % 3 == 2 else part
    return out


def assets() -> dict[str, Any]:
    """The page's style and script, which stand in it, and the digest that lets the script run."""
    static = FOLDER / "static"
    style = "".join(
        (static / name).read_text(encoding="utf-8") for name in ("figures.css", "report.css")
    )
    script = (static / "report.js").read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    return {
        "style": Markup(style),
        "script": Markup(script),
        "script_hash": base64.b64encode(digest).decode(),
    }


def data(records: Records, problems: list[Problem], suite: Suite, **shown: Any) -> dict[str, Any]:
    """What a page shows, as data; training curves stay in the records.

    Args:
        records: Of the scale.
        problems: What is said of them.
        suite: The scale and its table of runs.
        shown: What the page has of its own.
    """
    return {
        "suite": f"MKD Bench {__version__}",
        "scale": suite.scale,
        "summary": suite.settings.summary,
        "problems": [vars(problem) for problem in problems],
        **shown,
        "records": [without_curve(record) for *_, record in records.each()],
    }


def rows(table: Table) -> Any:
    """A table's flat rows as data."""
    return json.loads(formats.frame(table).to_json(orient="records"))


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "claim": verdict.claim.id,
        "statement": verdict.claim.statement,
        "locator": verdict.claim.locator,
        "rule": verdict.claim.rule,
        "verdict": verdict.word,
        "evidence": verdict.evidence,
    }
