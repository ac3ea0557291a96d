"""Verdicts, audit and provenance as the page groups them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mkd.experiment.config import Suite
from mkd.paper import audit, claims, facts
from mkd.report import audit_view, provenance_view, verdict_view
from mkd.results import statistics, verdicts
from mkd.results.records import Records, load_records
from mkd.results.verdicts import Verdict


@pytest.fixture
def records(suite: Suite, fill: Callable[..., Path]) -> Records:
    return load_records(fill("tiny-baseline", "tiny-cwd", "tiny-mkd", "s-mkd"), "desk")


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
    assert [name for name, _ in groups] == [*tables, verdict_view.OPEN, verdict_view.OTHER]
    assert all("{" not in family.statement for _, families in groups for family in families)


def test_chips_gather_the_cases_of_one_word(judged: list[Verdict]) -> None:
    families = dict(verdict_view.groups(judged))["Table 1"]
    first = next(family for family in families if family.id == "mkd-over-baseline")
    assert [(chip["word"], chip["cases"]) for chip in verdict_view.chips(first.cases)] == [
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
    assert int(many["detail"].partition(" ")[0]) < many["tested"][0]["count"]

    def one_seed(run: str | None, key: str) -> dict[int, Any]:
        return {seed: value for seed, value in records.points(run, key).items() if seed == 0}

    judged = verdicts.judge(claims.load(), one_seed, "desk")
    paper = verdict_view.tally(judged, "desk")[0]
    (costs,) = paper["tested"]
    assert paper["detail"] == f"{costs['count']} of equal cost, which training cannot change"
    assert [item["word"] for item in paper["untested"]] == [verdicts.NOT_TESTED, verdicts.NOT_RUN]


def test_every_word_of_verdicts_has_a_style() -> None:
    assert set(verdict_view.STYLES) == {*verdicts.TESTED, *verdicts.UNTESTED}


def test_the_headline_says_mkd_against_baseline_and_control(suite: Suite, records: Records) -> None:
    (line,) = verdict_view.headlines(records, suite.runs, ["rtmdet-tiny", "rtmdet-s"])
    plain, cwd, mkd = (
        records.points(f"tiny-{name}", "box.AP") for name in ("baseline", "cwd", "mkd")
    )
    gain, beyond = statistics.paired_delta(mkd, plain), statistics.paired_delta(mkd, cwd)
    assert gain is not None
    assert beyond is not None
    assert f"Δ {gain.mean:+.1f} ± {gain.half_width:.1f}" in line
    assert f"MKD − CWD = {beyond.mean:+.1f} ± {beyond.half_width:.1f}" in line


def test_the_headline_of_detectors_with_masks_is_mask_ap(
    suite: Suite, fill: Callable[..., Path]
) -> None:
    records = load_records(fill("ins-tiny-baseline", "ins-tiny-mkd"), "desk")
    (line,) = verdict_view.headlines(records, suite.runs, ["rtmdet-ins-tiny"])
    points = records.points("ins-tiny-mkd", "mask.AP")
    assert f"{sum(points.values()) / len(points):.1f} with MKD" in line
    assert "mask AP" in line


def test_every_finding_stands_under_an_item() -> None:
    printed = facts.load()
    found = audit.findings(printed)
    items = audit_view.audited(printed, found)
    assert {f.id for item in items for f in item["findings"]} == {f.id for f in found}


def test_coverage_counts_planned_seeds_only(suite: Suite, records: Records) -> None:
    suite = replace(suite, config={**suite.config, "seeds": [0, 1]})
    planned = sum(len(suite.seeds(run)) for run in suite.runs)
    done = sum(seed in suite.seeds(run) for run in records.by_run for seed in records.by_run[run])
    assert provenance_view.coverage(records, suite).startswith(
        f"4 of 13 planned runs have a record, {done} of {planned} planned seeds"
    )
    # The made-up records have more seeds than the scale plans.
    assert done < sum(map(len, records.by_run.values()))


def test_an_entry_says_how_many_seeds_are_still_missing(suite: Suite, records: Records) -> None:
    by_run = {entry["run"]: entry for entry in provenance_view.entries(records, suite)}
    expected = len(suite.seeds("tiny-fgd"))
    assert (len(by_run["tiny-fgd"]["seeds"]), by_run["tiny-fgd"]["expected"]) == (0, expected)
    assert by_run["tiny-mkd"]["figures"].startswith("box AP ")
