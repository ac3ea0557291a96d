"""Claims as data, the seven verdicts on planted points, and their tallies."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from mkd.errors import UserError
from mkd.experiment import config
from mkd.paper import claims, facts
from mkd.results import statistics, tallies, verdicts

RUNS = config.load({"scale": "desk"}).runs
CLAIMS = {claim.id: claim for claim in claims.load()}
PAPER = facts.load()
SEEDS = (0, 1, 2)
BASE = (40.0, 41.0, 42.0)


def judge(claim_id, figures, scale="paper"):
    """The verdict on ``{run: values by seed, or {metric: values by seed}}``."""
    claim = CLAIMS[claim_id]

    def points(run, metric):
        values = figures.get(run, ())
        if not isinstance(values, dict):
            values = {"params_m": (1.0,) * len(values), claim.metric: values}
        return dict(zip(SEEDS, values.get(metric, ()), strict=False))

    return verdicts.judge([claim], points, scale)[0]


def shifted(*steps):
    return tuple(base + step for base, step in zip(BASE, steps, strict=False))


def mkd(*steps):
    return {"tiny-mkd": shifted(*steps), "tiny-baseline": BASE[: len(steps)]}


@pytest.mark.parametrize("scale", ["desk", "paper"])
@pytest.mark.parametrize(
    ("steps", "word", "reason"),
    [
        ((0.6, 0.7, 0.8), "reproduced", "lies above zero"),
        ((0.9, -0.4, 0.1), "not separable from noise", "holds zero"),
        ((-0.6, -0.7, -0.8), "not reproduced", "lies below zero"),
        ((0.7,), "not tested", "one seed"),
        ((0.7, 0.7), "not tested", "2 seeds, the rule asks for 3"),
        ((0.0, 0.0, 0.0), "not separable from noise", "holds zero"),
    ],
)
def test_a_direction_is_judged_at_every_scale(scale, steps, word, reason):
    verdict = judge("mkd-over-baseline-tiny", mkd(*steps), scale)
    assert verdict.word == word
    assert reason in verdict.evidence
    assert f"at {scale} scale" in verdict.evidence


@pytest.mark.parametrize(
    ("steps", "word"),
    [
        ((0.6, 0.7, 0.8), "reproduced"),
        ((0.95, 1.0, 1.05), "reproduced"),  # 0.3 off, the tolerance itself
        ((1.05, 1.1, 1.15), "direction holds, size does not"),
        ((0.2, 0.25, 0.3), "direction holds, size does not"),
        ((0.9, -0.4, 1.6), "not separable from noise"),
        ((-0.6, -0.7, -0.8), "not reproduced"),
        ((0.7,), "not tested"),
    ],
)
def test_a_size_is_judged_at_paper_scale(steps, word):
    assert judge("mkd-over-baseline-tiny-size", mkd(*steps)).word == word


@pytest.mark.parametrize("scale", ["smoke", "desk", "lab"])
@pytest.mark.parametrize("steps", [(0.6, 0.7, 0.8), (-0.6, -0.7, -0.8), (5.0,)])
def test_a_size_is_not_comparable_at_any_other(scale, steps):
    verdict = judge("mkd-over-baseline-tiny-size", mkd(*steps), scale)
    assert verdict.word == "not comparable at this scale"
    assert scale in verdict.evidence


@pytest.mark.parametrize("claim", ["mkd-over-baseline-tiny", "mkd-over-baseline-tiny-size"])
@pytest.mark.parametrize("run", ["tiny-mkd", "tiny-baseline"])
def test_without_a_run_there_is_no_verdict(claim, run):
    figures = mkd(0.6, 0.7, 0.8)
    del figures[run]
    verdict = judge(claim, figures, "desk")
    assert verdict.word == "not run"
    assert run in verdict.evidence
    assert verdict.delta is None


def test_a_metric_the_val_set_cannot_give_is_not_comparable():
    without = {"params_m": (1.0, 1.0, 1.0)}
    verdict = judge("small-objects-tiny", {"tiny-mkd": without, "tiny-baseline": without}, "desk")
    assert verdict.word == "not comparable at this scale"
    assert "box.AP_S" in verdict.evidence


def test_a_missing_run_comes_before_a_missing_metric():
    verdict = judge("small-objects-tiny", {"tiny-mkd": {"params_m": (1.0,)}}, "desk")
    assert verdict.word == "not run"
    assert "tiny-baseline" in verdict.evidence


def test_runs_are_compared_on_common_seeds_only():
    claim = CLAIMS["mkd-over-baseline-tiny"]
    measured = {
        "tiny-mkd": {0: 40.7, 1: 41.6, 2: 42.8, 3: 99.0},
        "tiny-baseline": {2: 42.0, 1: 41.0, 0: 40.0, 7: 1.0},
    }
    (verdict,) = verdicts.judge([claim], lambda run, metric: measured[run], "desk")
    assert verdict.delta.points == pytest.approx((0.7, 0.6, 0.8))
    measured["tiny-baseline"] = {7: 1.0}
    (verdict,) = verdicts.judge([claim], lambda run, metric: measured[run], "desk")
    assert verdict.word == "not tested"
    assert "No seed in common" in verdict.evidence


def test_evidence_is_one_plain_sentence():
    verdict = judge("mkd-over-baseline-tiny", mkd(0.6, 0.7, 0.8), "desk")
    assert verdict.evidence == (
        "tiny-mkd − tiny-baseline in box AP: +0.70 ± 0.25 over 3 seeds (+0.60, +0.70, +0.80) "
        "at desk scale; the 95 % interval lies above zero; the paper prints +0.7."
    )


def test_a_difference_of_differences():
    figures = {
        "tiny-mkd": shifted(2, 2.1, 1.9),
        "tiny-mkd-no-fdmd": BASE,
        "s-mkd": shifted(1, 1, 1),
        "s-mkd-no-fdmd": BASE,
    }
    verdict = judge("fdmd-most-in-tiny-tiny-over-s", figures)
    assert verdict.delta.points == pytest.approx((1.0, 1.1, 0.9))
    assert verdict.word == "reproduced"
    figures["s-mkd"] = shifted(3, 3, 3)
    assert judge("fdmd-most-in-tiny-tiny-over-s", figures).word == "not reproduced"


def test_cost_must_be_the_same_in_every_seed():
    same = {"tiny-mkd": (4.8, 4.8, 4.8), "tiny-baseline": (4.8,)}
    assert judge("no-cost-params-tiny", same, "desk").word == "reproduced"
    more = same | {"tiny-mkd": (4.8, 4.8, 4.9)}
    assert judge("no-cost-params-tiny", more, "desk").word == "not reproduced"


def test_graphs_are_compared_by_digest():
    def cost(graph):
        return {"params_m": (4.8,), "graph": graph}

    figures = {"tiny-mkd": cost(("abc",)), "tiny-baseline": cost(("abc",))}
    assert judge("no-cost-graph-tiny", figures).word == "reproduced"
    figures["tiny-mkd"] = cost(("abd",))
    assert judge("no-cost-graph-tiny", figures).word == "not reproduced"
    figures["tiny-mkd"] = cost(())
    assert judge("no-cost-graph-tiny", figures).word == "not run"


def test_every_delta_is_the_papers_own():
    def in_paper(run, metric):
        return next(
            row.cells[metric] for row in PAPER.rows if row.run == run and metric in row.cells
        )

    printed = 0
    for claim in CLAIMS.values():
        if claim.delta is None:
            continue
        metric = claim.metric.rpartition(".")[2]
        sides = []
        for side in (claim.left, claim.right):
            first, *rest = (in_paper(run, metric) for run in side)
            sides.append(first - sum(rest))
        assert sides[0] - sides[1] == Decimal(str(claim.delta)), claim.id
        printed += 1
    assert printed > 90


def test_only_sizes_carry_a_tolerance():
    for claim in CLAIMS.values():
        assert (claim.kind == "size") == (claim.tolerance is not None), claim.id
        if claim.kind == "size":
            assert claim.id.removesuffix("-size") in CLAIMS
            assert claim.delta > 0


def test_every_row_of_the_suite_in_the_papers_tables_is_in_a_claim():
    claimed = {run for claim in CLAIMS.values() for run in (*claim.left, *claim.right)}
    assert {row.run for row in PAPER.rows if row.method} <= claimed


def test_open_questions_claim_no_figure_of_the_paper():
    open_questions = [claim for claim in CLAIMS.values() if claim.stated == "open"]
    assert {"mkd-over-cwd-tiny", "balanced-over-cwd-tiny"} <= {c.id for c in open_questions}
    assert all(claim.delta is None for claim in open_questions)


def test_only_claims_of_the_default_reading_have_a_run_of_it() -> None:
    runs = config.load({"scale": "desk"}).runs
    default = {run.id for run in runs.values() if run.method == "mkd" and not run.options}
    for claim in CLAIMS.values():
        assert bool(default & {*claim.left, *claim.right}) == (claim.reading == "default"), claim.id
        assert claim.stated == "open" or claim.reading == "default", claim.id


def test_every_other_reading_is_asked_whether_it_beats_the_undistilled_model() -> None:
    runs = config.load({"scale": "desk"}).runs.values()
    readings = {
        run.id
        for run in runs
        if run.method == "mkd-balanced" or (run.method == "mkd" and "terms" not in run.options)
        if run.options or run.method != "mkd"
        if "-ins-" not in run.arch
    }
    asked = {
        claim.left[0]
        for claim in CLAIMS.values()
        if claim.reading == "other" and claim.right[0].endswith("-baseline")
    }
    assert asked == readings


def everything(steps):
    """Verdicts where every run of every claim has its own step above the baseline, by seed."""

    def points(run, metric):
        return {seed: 40 + seed + step for seed, step in enumerate(steps.get(run, ()))}

    return verdicts.judge(list(CLAIMS.values()), points, "desk")


def test_what_was_tested_is_tallied_apart_from_what_was_not() -> None:
    judged = everything(
        {
            "tiny-baseline": (0, 0, 0),
            "tiny-mkd": (2.0, 2.1, 1.9),
            "tiny-cwd": (2.9, 3.0, 3.1),
            "tiny-fgd": (2.0, 3.1, 1.2),
            "tiny-mkd-balanced": (3, 3),
        }
    )
    paper, open_, other = tallies.tallies(judged, "desk")
    assert (paper.group, open_.group, other.group) == ("paper", "open", "other")
    assert paper.tested["not separable from noise"] == 2  # AP and AP50 over FGD
    assert paper.untested.keys() == {"not run"}
    assert open_.tested == {"not reproduced": 1}  # MKD over CWD
    assert other.untested["not tested"] == 2  # balanced, two seeds
    assert not other.tested
    assert sum(map(sum, (paper.tested.values(), paper.untested.values()))) == sum(
        v.claim.stated == "paper" and v.claim.kind != "size" for v in judged
    )
    shown = tallies.lines(judged, "desk", RUNS)
    assert "tested 1 (1 answered: no)" in shown[1]
    assert "without a test" in shown[2]
    assert "2 not tested" in shown[2]


def test_a_correction_for_many_claims_keeps_the_clear_ones_alone() -> None:
    clear, weak = (2.0, 2.0001, 1.9999), (0.6, 0.7, 0.8)
    runs = {run for claim in CLAIMS.values() for run in (*claim.left, *claim.right)}
    steps = dict.fromkeys(sorted(runs), (0.3, 0.7, -0.2)) | {"tiny-baseline": (0, 0, 0)}
    judged = everything(steps | {"tiny-mkd": clear, "tiny-cwd": weak, "s-mkd": weak, "s-cwd": weak})
    left = tallies.corrected(judged)
    tested = [v for v in judged if v.claim.kind == "greater" and v.word in verdicts.TESTED]
    decided = [v for v in tested if v.delta.sign]
    assert left.tests == len(tested)
    assert 0 < len(left.left) < len(decided)
    alone = [v for v in judged if v.claim.id == "mkd-over-baseline-tiny"]
    assert tallies.corrected(alone) == tallies.Corrected(1, tuple(alone), 3, 3)
    (statement,) = (v.claim.statement for v in alone)
    said = tallies.corrected(alone).said(RUNS)
    # 4.303, Student's t of two degrees of freedom, over the root of three.
    assert said.endswith(
        "1 as claimed, 0 the opposite, 0 not separable from noise. To be among them a mean "
        "difference must be about 2.5 times its standard deviation over 3 seeds: an effect that is "
        "not among them may still exist. "
        f"As claimed: “{statement}”"
    )
    assert statistics.least_ratio(3, 1) == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    held = statistics.interval([statistics.least_ratio(3, 9) + step for step in (-1, 0, 1)])
    assert statistics.p_value(held) == pytest.approx(0.05 / 9)
    (verdict,) = alone
    denied = replace(verdict, claim=replace(verdict.claim, delta=-0.1))
    note = "(the paper’s own table shows the opposite or nothing)"
    assert tallies.Corrected(1, (denied,)).said(RUNS).endswith(f"“{statement}” {note}")
    against = replace(denied, delta=statistics.interval([-value for value in clear]))
    note = "(the paper’s own table does not show it either)"
    assert (
        tallies.Corrected(1, (against,))
        .said(RUNS)
        .endswith(f"The opposite of: “{statement}” {note}")
    )
    assert tallies.corrected([]).tests == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("min_seeds"), "min_seeds"),
        (lambda d: d.update(min_seeds=1), "min_seeds"),
        (lambda d: d.update(level=0.9), "level"),
        (lambda d: d["claims"][0]["rule"].update(kind="bigger"), "bigger"),
        (lambda d: d["claims"][0]["rule"].update(metric="box.mAP"), "box.mAP"),
        (lambda d: d["claims"][0]["rule"].pop("metric"), "has no metric"),
        (lambda d: d["claims"][0]["cases"]["tiny"].pop("left"), "left"),
        (lambda d: d["claims"].append(d["claims"][0]), "stands there twice"),
        (lambda d: d["claims"][0].update(statement="On {arch}."), "braces in its statement are"),
        (lambda d: d["claims"][0].update(statement="On {"), "braces in its statement are"),
        (lambda d: d["claims"][0].update(statement="On {0}."), "braces in its statement are"),
        (lambda d: d["claims"][0].update(statement="On {case.x}."), "braces in its statement are"),
        (lambda d: d["claims"][0]["rule"].update(metric="graph"), "only 'equal' compares graphs"),
        (
            lambda d: (
                d["claims"][0]["rule"].update(kind="equal"),
                d["claims"][0]["rule"].pop("tolerance"),
                d["claims"][0]["cases"]["tiny"].update(left=["tiny-mkd", "tiny-cwd"]),
            ),
            "'equal' compares two runs, one a side",
        ),
        (lambda d: d["claims"][0]["rule"].update(kind="equal"), "'equal' has no tolerance"),
    ],
)
def test_malformed_claims_are_refused(tmp_path, change, message):
    document = yaml.safe_load(claims.FILE.read_text())
    change(document)
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(UserError, match=message):
        claims.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"claims\.yaml does not exist"):
        claims.load(tmp_path / "claims.yaml")


def test_a_claim_that_the_papers_own_table_does_not_show_says_so() -> None:
    claim = CLAIMS["mkd-over-baseline-tiny"]
    against = replace(claim, delta=-0.1)
    assert [verdicts.denied(one) for one in (claim, against)] == [False, True]
    figures = {claim.left[0]: {0: 2.0, 1: 2.1, 2: 1.9}, claim.right[0]: {0: 0.0, 1: 0.0, 2: 0.0}}
    (verdict,) = verdicts.judge([against], lambda run, _: figures[run], "desk")
    assert verdict.word == verdicts.REPRODUCED
    assert verdict.evidence.endswith("the paper prints −0.1, which is not what it claims.")


def test_how_clear_a_difference_must_be_follows_from_the_fewest_pairs() -> None:
    def points(run: str | None, metric: str) -> dict[int, Any]:
        if run is None or metric == "graph":
            return {}
        if run == "tiny-cwd":
            return {0: 25.0}
        return {0: 23.1, 1: 24.0, 2: 24.9} if run.endswith("-mkd") else {0: 20.0, 1: 21.0, 2: 22.0}

    judged = verdicts.judge(claims.load(), points, "desk")
    # One pair is no test.
    assert tallies.corrected(judged).pairs == 3
    one, other = (
        v for v in judged if v.claim.id in ("mkd-over-baseline-tiny", "mkd-over-baseline-s")
    )
    longer = replace(other, delta=statistics.interval([3.0, 3.1, 2.9, 3.0, 3.05]))
    both = tallies.corrected([one, longer])
    assert (both.pairs, both.most) == (3, 5)
    few, many = (f"{statistics.least_ratio(pairs, 40):.1f} times" for pairs in (3, 5))
    assert f"must be about {few} its" in tallies.Corrected(40, (), 3, 3).said({})
    more = tallies.Corrected(40, (), 3, 5).said({})
    assert f"over 3 seeds and {many} its standard deviation over 5 seeds: " in more
    for pairs in range(3):
        said = tallies.Corrected(1, (), pairs, pairs).said({})
        assert ("To be among them" in said) == (pairs > 1)
    assert statistics.least_ratio(3, 5) == pytest.approx(9.925 / 3**0.5, rel=1e-3)


def test_a_statement_names_a_metric_by_its_last_word(tmp_path: Path) -> None:
    document = yaml.safe_load(claims.FILE.read_text())
    document["claims"][0]["statement"] = "On {case}: {metric}."
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(document))
    assert "On tiny: AP." in {claim.statement for claim in claims.load(path)}
