"""The noise budget on planted records."""

import csv
import json
import shlex
from dataclasses import replace
from statistics import stdev
from typing import Any

import pytest
from snakemake.cli import parse_config

from mkd.experiment import config
from mkd.experiment.suite import Suite
from mkd.paper import claims
from mkd.report import noise_view
from mkd.results import noise_budget, statistics, verdicts
from mkd.results.noise_budget import Budget
from mkd.results.records import Records

SUITE = config.load({"scale": "desk"})
BASE = (40.0, 42.0, 41.0)
WALL = 120.0


def record(ap: float, **digests: str) -> dict[str, Any]:
    six = dict.fromkeys(("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L"), ap)
    return {
        "metrics": {"box": six},
        "params_m": 1.0,
        "wall_s": WALL,
        "digests": {"data": "d", "weights": f"w{ap}", "backbone": "b", **digests},
    }


def seeds(*aps: float, **digests: str) -> dict[int, dict[str, Any]]:
    return {seed: record(ap, **digests) for seed, ap in enumerate(aps)}


def build(
    by_run: dict[str, dict[int, dict[str, Any]]],
    measured: dict[str, Any] | None = None,
    suite: Suite = SUITE,
) -> Budget:
    records = Records("desk", by_run, [], measured=measured or {})
    judged = verdicts.judge(claims.load(), records.points, "desk")
    return noise_budget.build(records, suite, judged)


def near(*steps: float) -> dict[int, dict[str, Any]]:
    return seeds(*(base + step for base, step in zip(BASE, steps, strict=False)))


def test_without_records_there_is_a_budget_that_says_so() -> None:
    budget = build({})
    assert (budget.spreads, budget.pairings, budget.pooled, budget.needs) == ([], [], [], [])
    assert noise_view.starts(budget, str).count("not run") == 2
    assert noise_view.val_set(budget, str).startswith("Not run")
    assert all(step.unknown == step.trainings for step in budget.steps)


def test_one_start_and_starts_of_their_own_are_told_apart_by_the_records() -> None:
    one = {seed: record(ap, start="a") for seed, ap in enumerate((40.0, 40.2, 40.4))}
    own = {seed: record(ap, start=f"s{seed}") for seed, ap in enumerate(BASE)}
    rows = replace(SUITE.runs["tiny-baseline"], id="tiny-one-stem", tables=())
    suite = replace(SUITE, runs={**SUITE.runs, rows.id: rows})
    by_run = {"tiny-baseline": own, "tiny-one-stem": one, "s-baseline": seeds(50.0)}
    budget = build(by_run, suite=suite)
    spreads = {row.run: row for row in budget.spreads}
    assert (spreads["tiny-baseline"].starts, spreads["tiny-one-stem"].starts) == (3, 1)
    assert spreads["tiny-one-stem"].sd == pytest.approx(0.2)
    assert spreads["tiny-baseline"].range == pytest.approx(2.0)
    said = noise_view.starts(budget, str)
    assert "from starts that some seeds share" not in said.lower()
    some = {seed: record(ap, start="ab"[seed % 2]) for seed, ap in enumerate(BASE)}
    assert "From starts that some seeds share: 1.00 (tiny-baseline)." in noise_view.starts(
        build({**by_run, "tiny-baseline": some}, suite=suite), str
    )
    drawn = {seed: record(ap) for seed, ap in enumerate(BASE)}
    assert "over starts and seeds: 1.00 (tiny-baseline)." in noise_view.starts(
        build({"tiny-baseline": drawn}), str
    )
    # A pretrained backbone alone is no start.
    assert spreads["s-baseline"].starts is None
    assert spreads["s-baseline"].sd is None
    assert noise_view.starts(budget, str) == (
        "Standard deviations of AP. From one start, over seeds: 0.20 (tiny-one-stem). From starts "
        "of their own, over starts and seeds: 1.00 (tiny-baseline)."
    )


def test_teachers_and_known_answers_are_no_students_of_the_tables() -> None:
    runs = SUITE.runs
    checks = {
        "tiny-shuffled": replace(runs["tiny-baseline"], id="tiny-shuffled", tables=()),
        "tiny-cwd-random": replace(runs["tiny-cwd"], id="tiny-cwd-random", tables=()),
    }
    by_run = {name: seeds(*BASE) for name in ("tiny-baseline", "s-teacher", *checks)}
    budget = build(by_run, suite=replace(SUITE, runs=runs | checks))
    assert [row.run for row in budget.spreads] == ["tiny-baseline"]
    assert budget.pairings == []


def test_what_seeds_find_follows_from_the_spread_of_the_paired_differences() -> None:
    steps = {"tiny-cwd": (1.0, 1.2, 0.9), "tiny-mkd": (0.5, -0.5, 0.3)}
    budget = build(
        {"tiny-baseline": seeds(*BASE), "tiny-mgd": near(1.0, 1.0)}
        | {name: near(*values) for name, values in steps.items()}
    )
    pairings = {pairing.name: pairing for pairing in budget.pairings}
    assert set(pairings) == set(steps)  # two pairs are too few
    for name, values in steps.items():
        assert pairings[name].sd == pytest.approx(stdev(values))
        for count, effect in pairings[name].smallest.items():
            assert effect == pytest.approx(stdev(values) * statistics.smallest_effect(count))
    assert pairings["tiny-cwd"].correlation == pytest.approx(0.99, abs=0.01)
    (pooled,) = budget.pooled
    assert pooled.pairs == 6
    assert pooled.sd**2 == pytest.approx(sum(stdev(values) ** 2 for values in steps.values()) / 2)


def test_a_pooled_correlation_weighs_runs_by_how_much_they_vary() -> None:
    # Both go with the baseline or against it: one by tenths, one by 20.
    runs = {"tiny-cwd": (40.1, 40.3, 40.2), "tiny-mkd": (50.0, 30.0, 40.0)}
    budget = build({"tiny-baseline": seeds(*BASE)} | {run: seeds(*ap) for run, ap in runs.items()})
    assert [p.correlation for p in budget.pairings] == pytest.approx([1.0, -1.0])
    (pooled,) = budget.pooled
    # Sums of products over roots of sums of squares: (0.2 - 20) / sqrt(4 * 200.02).
    assert pooled.correlation == pytest.approx(-19.8 / 800.08**0.5)


def test_runs_that_do_not_vary_have_no_correlation() -> None:
    budget = build({"tiny-baseline": seeds(40, 40, 40), "tiny-cwd": seeds(41, 42, 43)})
    assert budget.pairings[0].correlation is None
    assert budget.pooled[0].correlation is None
    # Three times 40.1 over three is not 40.1.
    budget = build({"tiny-baseline": seeds(40.1, 40.1, 40.1), "tiny-cwd": seeds(41, 42, 43)})
    assert budget.pairings[0].correlation is None


def test_an_undecided_claim_says_the_seeds_and_minutes_it_still_needs() -> None:
    steps = (1.0, 0.2, 0.9)
    budget = build({"tiny-baseline": seeds(*BASE), "tiny-mkd": near(*steps), "tiny-fgd": near(0.1)})
    needs = {need.claim: need for need in budget.needs}
    one = needs["mkd-over-baseline-tiny"]
    expected = statistics.pairs_needed(statistics.interval(steps), 100)
    assert expected is not None
    assert expected > 3
    assert (one.word, one.pairs, one.needed) == (verdicts.NOISE, 3, expected)
    assert one.trainings == 2 * (expected - 3)
    assert one.minutes == pytest.approx(2 * (expected - 3) * WALL / 60)
    few = needs["mkd-over-fgd-tiny"]
    # One pair: two more seeds of the one, none of the other.
    assert (few.word, few.pairs, few.needed, few.tested) == (verdicts.NOT_TESTED, 1, 3, False)
    assert (few.trainings, few.minutes) == (2, pytest.approx(2 * WALL / 60))
    assert "mkd-over-cwd-tiny" not in needs  # not run
    decided = [step.decided for step in budget.steps]
    assert decided == [sum(n.tested and n.needed <= c for n in budget.needs) for c in (3, 5, 10)]


def test_seeds_that_one_run_has_to_spare_do_not_pay_for_the_other() -> None:
    budget = build({"tiny-baseline": seeds(*BASE, 40.0, 41.0, 42.0), "tiny-mkd": near(0.1)})
    need = next(n for n in budget.needs if n.claim == "mkd-over-baseline-tiny")
    assert (need.pairs, need.needed, need.trainings) == (1, 3, 2)
    assert need.minutes == pytest.approx(2 * WALL / 60)


def test_seeds_that_two_runs_do_not_share_make_no_pair() -> None:
    apart = {seed + 3: figure for seed, figure in near(0.1, 0.2, 0.3).items()}
    budget = build({"tiny-baseline": seeds(*BASE), "tiny-mkd": {0: apart[3], **apart}})
    need = next(n for n in budget.needs if n.claim == "mkd-over-baseline-tiny")
    assert (need.pairs, need.needed, need.trainings) == (1, 3, 2)


def test_an_effect_that_is_hardly_there_is_not_priced() -> None:
    budget = build({"tiny-baseline": seeds(*BASE), "tiny-mkd": near(1.0, -1.0, 0.01)})
    need = next(n for n in budget.needs if n.claim == "mkd-over-baseline-tiny")
    assert (need.needed, need.trainings, need.minutes) == (None, None, None)


def test_a_decided_claim_needs_nothing() -> None:
    budget = build({"tiny-baseline": seeds(*BASE), "tiny-mkd": near(1.0, 1.1, 0.9)})
    assert "mkd-over-baseline-tiny" not in {need.claim for need in budget.needs}


def test_the_command_adds_the_seeds_it_is_priced_by() -> None:
    whole = {
        run: {seed: record(40.0 + seed) for seed in SUITE.seeds(run)[:1]} for run in SUITE.planned
    }
    for step in build(whole).steps:
        settings = step.command.partition("'seeds=")[2].removesuffix("'")
        wanted = config.load({"scale": "desk", "seeds": json.loads(settings)})
        # Weights that come with the suite cost no training.
        trained = [run for run in wanted.planned if not wanted.taken(run)]
        missing = sum(len(wanted.seeds(run)) - 1 for run in trained)
        assert (step.trainings, step.unknown) == (missing, 0)
        assert step.minutes == pytest.approx(missing * WALL / 60)
        # Three stems of each of five sizes came with the suite.
        assert step.starts == 5 * max(0, step.seeds - 3)


def test_a_reading_that_the_command_does_not_make_is_not_counted_as_decided_by_it() -> None:
    shown = {"tiny-baseline": seeds(*BASE)}
    for run, decided in (("tiny-mkd", True), ("tiny-mkd-hermitian", False)):
        budget = build(shown | {run: near(0.9, 0.1, 0.5)})
        (need, *_) = [need for need in budget.needs if run in need.runs and need.needed]
        assert need.needed is not None
        assert need.needed <= budget.steps[-1].seeds
        assert bool(budget.steps[-1].decided) == decided


def test_seeds_that_a_scale_has_are_no_step() -> None:
    done = {run: seeds(*BASE) for run in SUITE.planned if "-ins-" not in SUITE.runs[run].arch}
    assert [step.seeds for step in build(done).steps] == [3, 5, 10]
    masks = {run: seeds(*BASE) for run in SUITE.planned if run not in done}
    for record in (record for by_seed in masks.values() for record in by_seed.values()):
        record["metrics"]["mask"] = record["metrics"]["box"]
    assert [step.seeds for step in build(done | masks).steps] == [5, 10]
    # Some of its runs have ten.
    longer = config.load({"scale": "overnight"})
    assert [step.seeds for step in build({}, suite=longer).steps] == [10]


def test_the_command_means_the_configuration_it_is_priced_for() -> None:
    asked = {"results": "/mes résultats", "starts": "train", "runs": "config/smoke.tsv"}
    suite = config.load(asked)
    (first, *_) = build({"tiny-baseline": seeds(*BASE)}, suite=suite).steps
    words = shlex.split(first.command)
    assert words[:3] == ["snakemake", "reproduce", "--config"]
    # As Snakemake reads them, which leaves the items of a list as strings.
    assert parse_config(words[3:]) == {**asked, "seeds": [str(s) for s in range(first.seeds)]}


def test_the_val_sets_part_is_said_with_its_resamples() -> None:
    noise = {
        "images": 500,
        "resamples": 200,
        "runs": {"tiny-baseline": {"AP": 60.0, "sd": 1.11}, "tiny-cwd": {"AP": 62.0, "sd": 1.05}},
        "difference": {"AP": 2.0, "sd": 0.44},
    }
    said = noise_view.val_set(build({}, {"noise": noise}), str)
    for words in (
        "500 images",
        "1.11 (tiny-baseline) and 1.05 (tiny-cwd)",
        "(here +2.00) by 0.44",
        "200 bootstrap",
    ):
        assert words in said


def test_the_papers_gains_are_set_against_what_the_seeds_would_find() -> None:
    budget = build({"tiny-baseline": seeds(*BASE), "tiny-mkd": near(1.0, 0.2, 0.9)})
    (row,) = (row for row in budget.pairings if row.name == "tiny-mkd")
    words = (
        "the paper prints the gain of 1. Were it the same here, the seeds that are there would find"
    )
    for gain, found in ((row.smallest[3], 1), (row.smallest[3] - 0.01, 0)):
        assert noise_view.power(budget, {"tiny-mkd": gain}).endswith(f"{words} {found} of them.")
    assert noise_view.power(budget, {"s-mkd": 9.0}) == ""


def test_the_files_hold_it_all() -> None:
    budget = build({"tiny-baseline": seeds(*BASE), "tiny-mkd": near(1.0, 0.2, 0.9)})
    files = noise_budget.files(budget)
    whole = json.loads(files["noise-budget.json"])
    assert len(whole["needs"]) == len(budget.needs)
    rows = list(csv.DictReader(files["noise-budget.csv"].splitlines()))
    assert [row["claim"] for row in rows] == [need.claim for need in budget.needs]
    assert {row["runs"] for row in rows} >= {"tiny-mkd tiny-baseline"}
    assert all(row["needed"].isdigit() for row in rows if row["needed"])
    assert noise_budget.files(build({}))["noise-budget.csv"].startswith("claim,")


def test_what_is_found_follows_from_the_seeds_that_are_there() -> None:
    """Of six pairs, from what five find; neither a loss nor a zero that is printed is a gain."""
    six = (40.0, 42.0, 41.0, 40.0, 42.0, 41.0)
    steps = (1.0, 0.2, 0.9, 1.0, 0.2, 0.9)
    ours = seeds(*(one + step for one, step in zip(six, steps, strict=True)))
    budget = build({"tiny-baseline": seeds(*six), "tiny-mkd": ours})
    (row,) = (row for row in budget.pairings if row.name == "tiny-mkd")
    for gain, found in ((row.smallest[5], 1), (row.smallest[5] - 0.01, 0)):
        assert noise_view.power(budget, {"tiny-mkd": gain}).endswith(f"would find {found} of them.")
    assert noise_view.power(budget, {"tiny-mkd": 0.0}) == ""
    assert noise_view.power(budget, {"tiny-mkd": -99.0}) == ""


def test_whole_numbers_stay_whole_beside_what_is_not_known() -> None:
    budget = build({"tiny-baseline": seeds(*BASE), "tiny-mkd": near(1.0, 0.2, 0.9)})
    known = replace(budget.needs[0], needed=7, trainings=8)
    unknown = replace(known, needed=None, trainings=None, minutes=None)
    text = noise_budget.files(replace(budget, needs=[known, unknown]))["noise-budget.csv"]
    rows = list(csv.DictReader(text.splitlines()))
    assert [(row["needed"], row["trainings"]) for row in rows] == [("7", "8"), ("", "")]
