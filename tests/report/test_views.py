"""Verdicts, audit and provenance as the page groups them."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mkd.experiment import config
from mkd.experiment.suite import Suite
from mkd.paper import audit, claims, facts
from mkd.report import (
    audit_view,
    provenance_view,
    summary_view,
    tables_view,
    title_view,
    verdict_view,
)
from mkd.results import statements, statistics, tallies, verdicts
from mkd.results.records import Records, coverage, load_folder
from mkd.results.verdicts import Verdict


@pytest.fixture
def records(suite: Suite, fill: Callable[..., Path]) -> Records:
    return load_folder(fill("tiny-baseline", "tiny-cwd", "tiny-mkd", "s-mkd") / "desk", "desk")


@pytest.fixture
def judged(records: Records) -> list[Verdict]:
    return verdicts.judge(claims.load(), records.points, "desk")


def test_every_verdict_stands_in_one_group(judged: list[Verdict]) -> None:
    groups = verdict_view.groups(judged)
    shown = [
        verdict.claim.id
        for _, families in groups
        for family in families
        for cases in (family.cases, family.sizes)
        for verdict in cases.values()
    ]
    assert sorted(shown) == sorted(verdict.claim.id for verdict in judged)
    tables = [f"Table {n}" for n in range(1, 6)]
    assert [name for name, _ in groups] == [
        *tables,
        tallies.GROUPS["open"],
        tallies.GROUPS["other"],
    ]
    assert all("{" not in family.statement for _, families in groups for family in families)


def test_a_claim_of_the_paper_behind_the_open_ones_stands_under_its_table(
    judged: list[Verdict],
) -> None:
    last = replace(judged[0], claim=replace(judged[0].claim, family="added", locator="§1"))
    groups = dict(verdict_view.groups([*judged, last]))
    assert "added" in {family.id for family in groups["Table 5"]}


def test_chips_gather_the_cases_of_one_word(suite: Suite, judged: list[Verdict]) -> None:
    families = dict(verdict_view.groups(judged))["Table 1"]
    first = next(family for family in families if family.id == "mkd-over-baseline")
    assert [
        (chip["word"], chip["cases"]) for chip in verdict_view.chips(first.cases, suite.runs)
    ] == [
        (verdicts.REPRODUCED, ["tiny"]),
        (verdicts.NOT_RUN, ["s", "m", "l"]),
    ]


def total(group: dict[str, Any]) -> int:
    return sum(item["count"] for side in ("tested", "untested") for item in group[side])


def test_sizes_and_open_questions_are_no_part_of_the_papers_tally_at_desk(
    judged: list[Verdict],
) -> None:
    counted = [v for v in judged if v.claim.stated == "paper" and v.claim.kind != "size"]
    assert total(verdict_view.tally(judged, "desk")[0]) == len(counted)
    everything = verdict_view.tally(judged, claims.load()[0].size_scale)
    assert total(everything[0]) > len(counted)


def test_the_tally_says_how_little_some_of_it_holds(
    records: Records, judged: list[Verdict]
) -> None:
    many = verdict_view.tally(judged, "desk")[0]
    assert many["tested"][0]["word"] == verdicts.REPRODUCED
    assert int(many["tested"][0]["detail"].partition(" ")[0]) < many["tested"][0]["count"]
    assert many["tested"][0]["style"] == "v-reproduced"

    def one_seed(run: str | None, key: str) -> dict[int, Any]:
        return {seed: value for seed, value in records.points(run, key).items() if seed == 0}

    judged = verdicts.judge(claims.load(), one_seed, "desk")
    paper = verdict_view.tally(judged, "desk")[0]
    (costs,) = paper["tested"]
    assert costs["detail"] == f"{costs['count']} of equal cost, which training cannot change"
    assert costs["style"] == "v-void"
    assert [item["word"] for item in paper["untested"]] == [verdicts.NOT_TESTED, verdicts.NOT_RUN]


def test_every_word_of_verdicts_has_a_style() -> None:
    assert set(verdict_view.STYLES) == {*verdicts.TESTED, *verdicts.UNTESTED}


def test_a_case_is_called_by_what_it_compares() -> None:
    runs = config.load({"scale": "desk"}).runs
    names = {claim.id: statements.case_name(claim, runs) for claim in claims.load()}
    assert names["mkd-over-baseline-tiny"] == "tiny"
    spoken = set(names.values())
    assert {"RTMDet-s against RTMDet-l", "RTMDet-tiny against RTMDet-s", "FGD"} <= spoken
    assert {"RTMDet-tiny α = 5", "RTMDet-s without feature alignment", "AP_L"} <= spoken
    assert not [name for name in spoken if "over" in name or "alpha" in name or "fad" in name]


def test_the_audit_begins_with_the_headline_figures_that_had_been_published() -> None:
    printed = facts.load()
    items = audit_view.audited(printed, audit.findings(printed))
    weights = [item["note"].weight for item in items]
    assert weights == sorted(weights, reverse=True)
    assert all(weights)
    assert [finding.id for finding in items[0]["findings"]] == [
        f"equals-published-t1-rtmdet-{size}-ours-rtmdet-{size}-cwd"
        for size in ("tiny", "s", "m", "l")
    ]
    pairs = audit_view.equal_to_published(printed)
    assert [(str(pair["ours"]), pair["teacher"]) for pair in pairs] == [
        ("41.8", "RTMDet-s"), ("45.7", "RTMDet-m"), ("50.2", "RTMDet-l"), ("52.3", "RTMDet-x"),
    ]  # fmt: skip
    assert {pair["published"].url for pair in pairs} == {
        "https://github.com/open-mmlab/mmyolo/pull/544"
    }


def test_the_title_says_when_by_what_and_how_to_cite(records: Records) -> None:
    said = title_view.title(records)
    assert said["date"] == "2026-01-01"
    assert said["commits"] == ["0123456789abcdef0123456789abcdef01234567"]
    assert "@software{mkd-bench," in said["bibtex"]
    assert "year = {2026}" in said["bibtex"]
    assert "Xu, YanJun and Tian, Chunqi" in said["bibtex"]
    seeds = records.by_run["tiny-cwd"]
    seeds[0] = {**seeds[0], "commit": "f" * 40, "started": "2026-02-01T00:00:00+00:00"}
    said = title_view.title(records)
    assert said["date"] == "2026-02-01"
    assert said["commits"] == ["0123456789abcdef0123456789abcdef01234567", "f" * 40]
    # The commit of most records, not of the last.
    assert "note = {commit 0123456789ab}" in said["bibtex"]
    assert title_view.title(Records("desk", {}, []))["date"] == ""


def test_the_summary_names_what_held_and_counts_what_did_not(
    suite: Suite, records: Records, judged: list[Verdict]
) -> None:
    printed = facts.load()
    made = summary_view.summary(suite, records, judged, [], audit_view.choices(printed))
    assert (
        "MKD raises the AP of RTMDet above that of the undistilled model: tiny."
        in made["What held"]
    )

    def yes(verdict: Verdict) -> Verdict:
        mine = verdict.claim.id == "mkd-over-cwd-tiny"
        return replace(verdict, word=verdicts.REPRODUCED) if mine else verdict

    held = summary_view.summary(suite, records, list(map(yes, judged)), [], [])["What held"]
    assert any(said.startswith("Answered yes: ") for said in held)

    def no(verdict: Verdict) -> Verdict:
        return replace(verdict, word=verdicts.NOT_REPRODUCED)

    failed = summary_view.summary(suite, records, list(map(no, judged)), [], [])
    first, *others = failed["What did not hold"]
    # Before what is only counted: training cannot change it.
    assert "parameters" in first
    assert sum("more verdicts, under the verdicts below" in said for said in others) == 1
    undecided = sum(v.word == verdicts.NOT_RUN and v.claim.kind != "size" for v in judged
                    if v.claim.reading == "default")  # fmt: skip
    assert f"{undecided} not run" in made["What stayed undecided"][0]
    nothing = verdicts.judge(claims.load(), lambda run, metric: {}, "desk")
    empty = summary_view.summary(suite, Records("desk", {}, []), nothing, [], [])
    assert empty["What held"] == ["Nothing that was tested."]
    assert all(empty.values())


def test_hours_are_those_of_the_trainings_this_scale_made(
    suite: Suite, records: Records, judged: list[Verdict]
) -> None:
    hours = records.training_hours()
    assert hours == pytest.approx(
        sum(record["train"]["wall_s"] for _, _, record in records.each()) / 3600
    )
    by_run = {run: dict(seeds) for run, seeds in records.by_run.items()}
    kept = by_run["s-mkd"][0]
    by_run["s-mkd"][0] = {**kept, "taken": "s-baseline-seed0.pth.xz"}
    without = replace(records, by_run=by_run)
    assert without.training_hours() == pytest.approx(hours - kept["train"]["wall_s"] / 3600)
    said = summary_view.summary(suite, without, judged, [], [])["What was done"]
    assert any(
        f"too, took {without.training_hours():.1f} hours, one after the other" in line
        for line in said
    )


def test_what_held_says_where_the_papers_own_table_does_not_show_it(
    suite: Suite, records: Records, judged: list[Verdict]
) -> None:
    held = next(
        v for v in judged if v.word == verdicts.REPRODUCED and v.claim.delta and v.claim.delta > 0
    )
    against = replace(held, claim=replace(held.claim, delta=-0.1))
    words = "(of which the paper’s own table shows the opposite or nothing)"
    for verdict, said in ((held, 0), (against, 1)):
        shown = summary_view.summary(suite, records, [verdict], [], [])["What held"]
        assert " ".join(shown).count(words) == said


def test_every_finding_stands_under_an_item() -> None:
    printed = facts.load()
    found = audit.findings(printed)
    items = audit_view.audited(printed, found)
    assert {f.id for item in items for f in item["findings"]} == {f.id for f in found}
    assert all(item["note"] for item in items)


def test_coverage_counts_planned_seeds_only(suite: Suite, records: Records) -> None:
    suite = replace(suite, config={**suite.config, "seeds": [0, 1]})
    planned = sum(len(suite.seeds(run)) for run in suite.runs)
    done = sum(seed in suite.seeds(run) for run in records.by_run for seed in records.by_run[run])
    assert coverage(records, suite).startswith(
        f"4 of 13 planned runs have a record, {done} of {planned} planned seeds"
    )
    # The made-up records have more seeds than the scale plans.
    assert done < sum(map(len, records.by_run.values()))


def test_an_entry_says_how_many_seeds_are_still_missing(suite: Suite, records: Records) -> None:
    made = provenance_view.entries(records, suite, suite.results, suite.results / "report", "")
    by_run = {entry["run"]: entry for entry in made}
    expected = len(suite.seeds("tiny-fgd"))
    assert (len(by_run["tiny-fgd"]["seeds"]), by_run["tiny-fgd"]["expected"]) == (0, expected)
    assert by_run["tiny-mkd"]["figures"].startswith("box AP ")
    assert by_run["tiny-mkd"]["words"] == "RTMDet-tiny + MKD"


@pytest.mark.parametrize(
    ("points", "ends"), [((0.4, 0.5, 0.6), (-1, 1)), ((1.0, 1.2, 1.4), (-1, 2)), ((), (-1, 1))]
)
def test_the_ends_of_an_axis_are_what_its_heading_prints(
    points: tuple[float, ...], ends: tuple[int, int]
) -> None:
    deltas = [statistics.interval(points)] if points else []
    assert tables_view._range(deltas) == ends
    # One that is much wider is cut at them.
    wide = statistics.interval((-90.0, -20.0, 5.0))
    assert not deltas or tables_view._range([*deltas, *deltas, wide]) == ends
    for delta in deltas:
        assert delta.low is not None
        assert delta.high is not None
        assert ends[0] <= delta.low <= delta.high <= ends[1]


def test_an_interval_that_leaves_its_column_is_cut_at_the_edge() -> None:
    plot = tables_view._plot(statistics.interval((-90.0, -20.0, 5.0)), "cwd", -2, 2)
    places = [float(place) for place in re.findall(r'x[12]?="([-0-9.]+)%"', plot)]
    assert len(places) == 5
    assert min(places) == 5
    assert max(places) == 95
