"""Tables: the paper's rows in order, what was measured beside them, deltas paired by seed."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from mkd.edge.records import EdgeRecords
from mkd.experiment import config, paths
from mkd.experiment.labels import arch_name
from mkd.experiment.runs import Run, baseline_of
from mkd.paper import facts
from mkd.results import formats, statistics, tables
from mkd.results.records import Records, load_folder
from mkd.workflow import pipeline

RUNS = {
    run.id: run
    for run in (
        Run("tiny-baseline", "rtmdet-tiny", None, "baseline", {}, (1,)),
        Run("s-baseline", "rtmdet-s", None, "baseline", {}, (1,)),
        Run("tiny-cwd", "rtmdet-tiny", "s-baseline", "cwd", {}, (1,)),
        Run("tiny-mkd", "rtmdet-tiny", "s-baseline", "mkd", {}, (1, 3, 4, 5)),
        Run("tiny-pkd", "rtmdet-tiny", "s-baseline", "pkd", {}, (1,)),
        Run("tiny-cwd-tau4", "rtmdet-tiny", "s-baseline", "cwd", {"cwd.temperature": 4}, ()),
    )
}
AP = {
    "tiny-baseline": {0: 20.0, 1: 22.0, 2: 21.0},
    "tiny-cwd": {0: 30.0, 1: 31.5, 2: 31.0},
    "tiny-mkd": {1: 33.0, 2: 31.0, 5: 90.0},
}


@pytest.mark.parametrize("scale", ["smoke", "desk", "paper"])
def test_a_table_waits_for_every_run_it_shows(scale: str) -> None:
    suite = config.load({"scale": scale})
    for number in tables.TABLES:
        rows = tables.build(Records(scale, {}, []), suite.runs, number).rows
        waits = set(pipeline.records(suite, number))
        shown = {row.run for row in rows} & suite.runs.keys()
        # What is beyond the paper's tables is shown where it was asked for.
        shown -= {run.id for run in suite.runs.values() if run.reading}
        for run in shown | {suite.run(run).teacher for run in shown} - {None}:
            for seed in suite.seeds(run):
                assert paths.run_path(suite, run, seed, "record.json") in waits, (number, run)


def test_the_baseline_is_the_one_in_a_table() -> None:
    longer = Run("s-long", "rtmdet-s", None, "baseline", {}, ())
    assert baseline_of("s-baseline", {"s-long": longer, **RUNS}) == "s-baseline"


@pytest.fixture
def records() -> Records:
    by_run = {
        run: {
            seed: {"metrics": {"box": {"AP": ap, "AP50": ap + 20, "AP_S": None}}, "params_m": 1.25}
            for seed, ap in seeds.items()
        }
        for run, seeds in AP.items()
    }
    return Records("desk", by_run, [])


def row(table: tables.Table, run: str) -> tables.Row:
    return next(row for row in table.rows if row.run == run)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_every_row_of_the_paper_stands_in_its_order(records: Records, number: int) -> None:
    table = tables.build(records, RUNS, number)
    printed = [(row.label, dict(row.cells)) for row in facts.load().table(number)]
    assert [(row.label, row.paper) for row in table.rows if row.role == "paper"] == printed
    assert len({row.id for row in table.rows}) == len(table.rows)


def test_delta_is_the_one_of_stats_over_the_seeds_both_have(records: Records) -> None:
    cell = row(tables.build(records, RUNS, 1), "tiny-mkd").measured["AP"]
    assert cell.points == AP["tiny-mkd"]
    assert cell.value == statistics.interval(AP["tiny-mkd"].values())
    assert cell.delta == statistics.paired_delta(AP["tiny-mkd"], AP["tiny-baseline"])
    assert cell.delta is not None
    assert cell.delta.points == (11.0, 10.0)


def test_a_baseline_has_no_delta(records: Records) -> None:
    table = tables.build(records, RUNS, 1)
    assert row(table, "tiny-baseline").measured["AP"].delta is None


def test_a_table_names_its_teachers_with_what_was_measured_of_them(records: Records) -> None:
    assert "teachers" not in tables.build(records, RUNS, 3).note
    records.by_run["s-baseline"] = {
        seed: {"metrics": {"box": {"AP": ap}}} for seed, ap in {0: 40.0, 1: 41.0}.items()
    }
    note = tables.build(records, RUNS, 3).note
    assert note == "Measured box AP of the teachers: RTMDet-s 40.0 (of RTMDet-tiny)."


def test_costs_are_never_those_of_a_narrow_run(records: Records) -> None:
    assert (
        not {"params_m", "flops_g"}
        & row(tables.build(records, RUNS, 1), "tiny-mkd").measured.keys()
    )
    full = {"params_m": 4.88, "macs_g": 8.03, "input_px": 640}
    known = replace(records, edge=EdgeRecords(complexity={"rtmdet-tiny": full}))
    cell = row(tables.build(known, RUNS, 1), "tiny-mkd").measured["params_m"]
    assert (cell.value.mean, cell.delta) == (4.88, None)


def test_a_latency_that_was_never_steady_says_so(records: Records) -> None:
    timed = {
        "scale": "desk",
        "model": "rtmdet-tiny",
        "arch": "rtmdet-tiny",
        "provider": "cpu",
        "precision": "fp32",
        "input_px": 640,
        "graph": {"passed": False},
        "host": {"cpu": "A", "gpu": []},
        "settings": {"threads": 2},
        "versions": {},
    }
    shaky = row(
        tables.build(replace(records, edge=EdgeRecords(latency=[timed])), RUNS, 1), "tiny-mkd"
    )
    latency = next(c for c in tables.TABLES[1][1] if c.key == "latency_ms")
    assert formats.absent(shaky, latency) == "unsteady"
    never = row(tables.build(records, RUNS, 1), "tiny-mkd")
    assert formats.absent(never, latency) == "not run"
    # It was run, and the val set has no object of that size.
    large = next(c for c in tables.TABLES[5][1] if c.key == "AP_L")
    some = row(tables.build(records, RUNS, 5), "tiny-mkd")
    lacking = replace(some, measured={k: v for k, v in some.measured.items() if k != "AP_L"})
    assert formats.absent(lacking, large) == "–"
    assert formats.absent(replace(some, measured={}), large) == "not run"


def test_rows_say_their_seeds_where_these_differ(records: Records) -> None:
    table = tables.build(records, RUNS, 1)
    assert [table.labelled(row) for row in table.rows] == [row.label for row in table.rows]
    fewer = {seed: record for seed, record in records.by_run["tiny-cwd"].items() if seed < 2}
    table = tables.build(replace(records, by_run={**records.by_run, "tiny-cwd": fewer}), RUNS, 1)
    assert table.labelled(row(table, "tiny-cwd")).endswith(" (n=2)")
    assert table.labelled(row(table, "tiny-mkd")).endswith(" (n=3)")
    assert table.labelled(row(table, "s-baseline")) == row(table, "s-baseline").label
    assert "(n=2)" in formats.markdown(table, "s")


def test_what_was_not_run_has_no_cell(records: Records) -> None:
    table = tables.build(records, RUNS, 1)
    assert row(table, "s-baseline").measured == {}
    assert "latency_ms" not in row(table, "tiny-mkd").measured
    assert "AP_S" not in row(tables.build(records, RUNS, 4), "tiny-mkd").measured


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_control_stands_right_behind_every_block_with_mkd(records: Records, number: int) -> None:
    rows = tables.build(records, RUNS, number).rows
    for arch in {r.arch for r in rows if r.method == "mkd"}:
        block = [r.role for r in rows if r.arch == arch]
        assert block[block.index("control") - 1] == "paper"
        assert block.count("control") == 1


def test_baseline_of_another_table_is_quoted_with_what_the_paper_prints(records: Records) -> None:
    rows = tables.build(records, RUNS, 4).rows
    assert (rows[0].run, rows[0].role) == ("tiny-baseline", "baseline")
    assert rows[0].paper["AP"] == Decimal("41.1")
    assert "AP75" not in rows[0].paper
    assert row(tables.build(records, RUNS, 4), "tiny-mkd").paper_delta["AP"] == Decimal("0.7")
    assert "AP75" not in row(tables.build(records, RUNS, 4), "tiny-mkd").paper_delta


def test_published_figures_stand_at_baseline_and_control_only(records: Records) -> None:
    rows = [r for r in tables.build(records, RUNS, 1).rows if r.arch == "rtmdet-tiny"]
    assert {r.method: r.published for r in rows if r.published is not None} == {
        "baseline": Decimal("41.1"),
        "cwd": Decimal("41.8"),
    }
    assert "MMYOLO" in next(r for r in rows if r.method == "cwd").published_source


def test_a_run_the_paper_has_not_is_marked_and_others_stay_out(records: Records) -> None:
    table = tables.build(records, RUNS, 1)
    assert row(table, "tiny-pkd").role == "suite"
    assert all(r.run != "tiny-cwd-tau4" for r in table.rows)


def test_groups_follow_the_sizes(records: Records) -> None:
    firsts = [r.label for r in tables.build(records, RUNS, 1).rows if r.first]
    assert firsts == ["YOLOv5-s", "YOLOv5-m", "YOLOv5-l"]
    assert [r.arch for r in tables.build(records, RUNS, 4).rows if r.first] == ["rtmdet-s"]


@pytest.mark.parametrize(
    ("arch", "name"),
    [("rtmdet-tiny", "RTMDet-tiny"), ("rtmdet-ins-s", "RTMDet-Ins-s"), ("yolov7", "yolov7")],
)
def test_architectures_are_written_as_the_field_does(arch: str, name: str) -> None:
    assert arch_name(arch) == name


@pytest.mark.parametrize("number", [1, 4, 5])
def test_a_run_that_only_teaches_is_no_row(tmp_path: Path, number: int) -> None:
    runs = config.load({"scale": "desk"}).runs
    table = tables.build(load_folder(tmp_path / "desk", "desk"), runs, number)
    assert not any(row.run and row.run.endswith("-teacher") for row in table.rows)
    plain = [row.arch for row in table.rows if row.run and runs[row.run].method == "baseline"]
    assert len(plain) == len(set(plain)) > 0
    distilled = [row for row in table.rows if row.role == "paper" and row.method == "mkd"]
    assert all("AP" in row.paper_delta for row in distilled)
