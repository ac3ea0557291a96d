"""The files beside the page: CSV that keeps the figures, Markdown and LaTeX that say the scale."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mkd.experiment.runs import Run
from mkd.experiment.suite import Suite
from mkd.results import formats, tables
from mkd.results.records import load_folder
from mkd.results.statistics import interval


@pytest.fixture
def table(suite: Suite, fill: Callable[..., Path]) -> tables.Table:
    fill("tiny-baseline", "tiny-mkd")
    records = load_folder(suite.results, "desk")
    return tables.build(records, suite.runs, 4)


def test_csv_keeps_full_figures_and_says_not_run(table: tables.Table, tmp_path: Path) -> None:
    formats.write_tables([table], "narrow", tmp_path)
    rows = list(csv.DictReader((tmp_path / "table4.csv").read_text().splitlines()))
    mkd = next(row for row in rows if row["run"] == "tiny-mkd")
    cell = next(row for row in table.rows if row.run == "tiny-mkd").measured["AP"]
    assert cell.delta is not None
    assert float(mkd["desk AP"]) == pytest.approx(cell.value.mean, abs=1e-12)
    assert float(mkd["desk AP delta"]) == pytest.approx(cell.delta.mean, abs=1e-12)
    assert mkd["paper AP"] == "41.8"
    missing = next(row for row in rows if row["run"] == "tiny-mkd-no-fad")
    assert missing["desk AP seeds"] == "not run"
    assert missing["desk AP"] == ""


def test_markdown_says_the_scale_in_every_measured_heading(table: tables.Table) -> None:
    text = formats.markdown(table, "narrow")
    title, _, head, rule, *rows = text.splitlines()
    assert "desk scale: narrow" in title
    assert [h.strip() for h in head.split("|")[-7:-1]] == [f"desk {c.label}" for c in table.columns]
    assert rule.count("|") == head.count("|")
    assert all(line.count("|") == head.count("|") for line in rows)
    assert "not run" in text


def test_latex_has_one_cell_a_column_and_no_bare_special_character(table: tables.Table) -> None:
    lines = formats.latex(table, "narrow").splitlines()
    assert any(r"\multicolumn{6}{c}{Measured, desk scale}" in line for line in lines)
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    rows = [line for line in body if line != r"\addlinespace"]
    assert len(rows) == len(table.rows)
    assert all(line.replace(r"\&", "").count("&") == 13 for line in rows)
    assert r"no L\_FAD" in "".join(rows)


@pytest.mark.parametrize(
    ("plain", "escaped"),
    [
        ("a_b & c%", r"a\_b \& c\%"),
        ("\\x{y}", r"\textbackslash x\{y\}"),
        ("#1 $2 ~ ^", r"\#1 \$2 \textasciitilde \space \textasciicircum "),
        ("±1 × −α", r"$\pm$1 $\times$ $-$$\alpha$"),
        ("ζ = 0.3", r"$\zeta$ = 0.3"),
    ],
)
def test_latex_escapes_a_label(table: tables.Table, plain: str, escaped: str) -> None:
    odd = replace(table, rows=[replace(row, label=plain) for row in table.rows])
    lines = formats.latex(odd, "narrow").splitlines()
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    rows = [line for line in body if line != r"\addlinespace"]
    assert len(rows) == len(table.rows)
    assert all(line.startswith(f"{escaped} &") for line in rows)


def test_latex_parts_the_groups_of_rows(table: tables.Table) -> None:
    lines = formats.latex(table, "narrow").splitlines()
    firsts = [row.label for row in table.rows if row.first]
    assert firsts
    after = [lines[at + 1] for at, line in enumerate(lines) if line == r"\addlinespace"]
    assert [line.partition(" &")[0] for line in after] == firsts


def test_markdown_escapes_a_bar_in_a_label(suite: Suite) -> None:
    run = Run("tiny-odd", "rtmdet-tiny", "s-baseline", "odd|one", {}, (1,))
    table = tables.build(load_folder(suite.results, "desk"), {**suite.runs, run.id: run}, 1)
    assert r"ODD\|ONE" in formats.markdown(table, "narrow")


def test_one_point_has_no_interval() -> None:
    assert formats.half(interval([3.0])) == "(n=1)"
    assert formats.bounds(interval([3.0])) == ""
    assert formats.half(interval([3.0, 3.0])) == "± 0.0"


def test_signs() -> None:
    assert formats.number(-1.25, 2) == "−1.25"
    assert [formats.signed(v) for v in (-1.26, 0.04, -0.04, 2)] == ["−1.3", "0.0", "0.0", "+2.0"]
