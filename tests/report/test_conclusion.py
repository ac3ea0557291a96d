"""The page's conclusion: every sentence follows from intervals, and says no more than they do."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mkd.experiment import config
from mkd.paper import claims, deviations
from mkd.report import cautions, conclusion
from mkd.report.conclusion import Side
from mkd.results import verdicts
from mkd.results.gates import FAIL, NOT_RUN, PASS, Gate
from mkd.results.records import Records
from mkd.results.tallies import Corrected

SUITE = config.load({"scale": "desk"})
TINY, SMALL = "rtmdet-tiny", "rtmdet-s"


def side(records: Records, *archs: str) -> Side:
    return Side(records, SUITE.runs, archs or (TINY,), 3)


def said(figures: dict[str, list[float]], *archs: str) -> list[str]:
    by_run: dict[str, dict[int, dict[str, Any]]] = {
        run: {seed: {"metrics": {"box": {"AP": value}}} for seed, value in enumerate(values)}
        for run, values in figures.items()
    }
    records = Records("desk", by_run, [])
    return conclusion.sentences(side(records, *archs))


PLAIN, NEAR = [20.0, 21.0, 22.0], [20.1, 20.9, 22.0]


def above(by: float) -> list[float]:
    return [value + by + wobble for value, wobble in zip(PLAIN, (0.1, 0.0, -0.1), strict=True)]


def test_what_helps_what_harms_and_the_open_question() -> None:
    figures = {"tiny-baseline": PLAIN, "tiny-cwd": above(3), "tiny-mkd": above(-5)}
    first, second = said(figures)
    assert first.startswith("At desk scale MKD, as this suite reads the paper, lowers the AP of ")
    assert "RTMDet-tiny (−5.0 ± 0.2). Plain CWD raises the AP of RTMDet-tiny (+3.0 ± 0.2)." in first
    assert first.endswith("AP (0 to 100), over 3 seeds, not corrected for many tests.")
    assert second.startswith("Do the new terms beat plain CWD? No on RTMDet-tiny (−8.0 ")


def test_the_fewest_seeds_are_said_of_all_that_is_shown() -> None:
    more = [*PLAIN, 22.5, 21.5]
    gained = [value + 2 + 0.1 * (at % 2) for at, value in enumerate(more)]
    figures = {"tiny-baseline": more, "tiny-mkd": gained, "tiny-cwd": above(1)}
    assert said(figures)[0].endswith("over 3 seeds or more, not corrected for many tests.")


def test_an_interval_that_holds_zero_decides_nothing() -> None:
    figures = {"tiny-baseline": PLAIN, "tiny-cwd": NEAR, "tiny-mkd": above(0.05)}
    first, second = said(figures)
    assert "MKD, as this suite reads the paper, cannot be told from noise on RTMDet-tiny" in first
    assert "Not decided on RTMDet-tiny" in second


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_decide_nothing_however_large_the_difference(seeds: int) -> None:
    figures = {"tiny-baseline": PLAIN[:seeds], "tiny-mkd": above(30)[:seeds]}
    (sentence,) = said(figures)
    assert sentence.startswith("MKD is not tested at desk scale yet")


def test_sizes_are_grouped_by_outcome_and_those_without_a_test_are_named() -> None:
    figures = {
        "tiny-baseline": PLAIN, "tiny-mkd": above(-5), "tiny-cwd": above(1),
        "s-baseline": PLAIN, "s-mkd": above(2), "s-cwd": PLAIN[:1],
    }  # fmt: skip
    sentences = said(figures, TINY, SMALL, "rtmdet-m")
    assert "raises the AP of RTMDet-s (+2.0 ± 0.2); it lowers the AP of RTMDet-tiny" in sentences[0]
    assert "; it is not tested on RTMDet-m. Plain CWD " in sentences[0]
    control = "Plain CWD raises the AP of RTMDet-tiny (+1.0 ± 0.2); it is not tested on RTMDet-s."
    assert control in sentences[0]
    assert sentences[1].endswith("No on RTMDet-tiny (−6.0 ± 0.0); not tested on RTMDet-s.")
    assert sentences[2:] == ["What is not tested lacks seeds or runs."]


def test_the_number_of_seeds_is_the_least_of_all_three_comparisons() -> None:
    kept = {"tiny-baseline": range(10), "tiny-mkd": range(6), "tiny-cwd": (0, 1, 2, 6, 7, 8)}
    by_run: dict[str, dict[int, dict[str, Any]]] = {
        run: {seed: {"metrics": {"box": {"AP": 40.0 + seed % 3}}} for seed in seeds}
        for run, seeds in kept.items()
    }
    sentence, *_ = conclusion.sentences(side(Records("desk", by_run, [])))
    assert sentence.endswith("over 3 seeds or more, not corrected for many tests.")


def test_without_a_control_the_question_is_said_to_be_open() -> None:
    question = said({"tiny-baseline": PLAIN, "tiny-mkd": above(2)})[1]
    assert question == "Do the new terms beat plain CWD? Not tested on RTMDet-tiny."


def test_another_reading_of_mkd_does_not_speak_for_it() -> None:
    runs = {**SUITE.runs, "tiny-mkd": replace(SUITE.runs["tiny-mkd"], options={"alpha": 0.1})}
    by_run = {
        run: {seed: {"metrics": {"box": {"AP": value}}} for seed, value in enumerate(values)}
        for run, values in {"tiny-baseline": PLAIN, "tiny-mkd": above(5)}.items()
    }
    (sentence,) = conclusion.sentences(Side(Records("desk", by_run, []), runs, (TINY,), 3))
    assert sentence.startswith("MKD is not tested")


def test_a_longer_scale_answers_for_the_detectors_it_has() -> None:
    figures = {"tiny-baseline": PLAIN, "tiny-mkd": above(2), "tiny-cwd": above(3)}
    by_run = {
        run: {seed: {"metrics": {"box": {"AP": value}}} for seed, value in enumerate(values)}
        for run, values in figures.items()
    }
    longer, none = Records("overnight", by_run, []), Records("desk", {}, [])
    (paragraph,) = conclusion.of_longer(side(longer, TINY, SMALL), side(none))
    assert paragraph.startswith(
        "Scale overnight trains every student of the same task from random weights. At overnight "
        "scale MKD, as this suite reads the paper, raises the AP of RTMDet-tiny (+2.0 ± 0.2)."
    )
    assert paragraph.endswith("Do the new terms beat plain CWD? No on RTMDet-tiny (−1.0 ± 0.0).")
    assert conclusion.of_longer(side(none), side(longer)) == []
    # A student that ends lower may have gained no more than a faster start.
    higher = {
        run: {seed: {"metrics": {"box": {"AP": 50.0}}} for seed in range(3)} for run in by_run
    }
    shorter = side(Records("desk", higher, []))
    (paragraph,) = conclusion.of_longer(side(longer, TINY, SMALL), shorter)
    plain = sum(PLAIN) / len(PLAIN)
    assert paragraph.endswith(
        f"Undistilled it reaches {plain:.1f} AP with RTMDet-tiny (50.0 at desk scale), so a gain "
        "there may be no more than a faster start."
    )


def several(part: str = "box", scale: str = "desk", **figures: Sequence[float]) -> Records:
    by_run = {
        run.replace("_", "-"): {
            seed: {"metrics": {part: {"AP": v}}} for seed, v in enumerate(values)
        }
        for run, values in figures.items()
    }
    return Records(scale, by_run, [])


def test_the_headline_counts_detectors_and_says_nothing_without_a_test() -> None:
    figures = {
        "tiny-baseline": PLAIN, "tiny-mkd": above(-5), "tiny-cwd": above(1),
        "s-baseline": PLAIN, "s-mkd": above(2), "s-cwd": PLAIN[:1],
    }  # fmt: skip
    by_run = {
        run: {seed: {"metrics": {"box": {"AP": value}}} for seed, value in enumerate(values)}
        for run, values in figures.items()
    }
    said = conclusion.headline(side(Records("desk", by_run, []), TINY, SMALL))
    assert said == (
        "At desk scale MKD raises AP on 1 of 2 detectors tested (lowers it on 1) and "
        "beats plain CWD, its own third term, on 0 of 1 (ends below it on 1)."
    )
    assert conclusion.headline(side(Records("desk", {}, []))) == ""


def test_balanced_terms_have_a_sentence_where_they_were_tested() -> None:
    by_run = {
        run: {seed: {"metrics": {"box": {"AP": value}}} for seed, value in enumerate(values)}
        for run, values in {"tiny-baseline": PLAIN, "tiny-mkd-balanced": above(-3)}.items()
    }
    asked = (SUITE.runs, (TINY, SMALL), 3)
    found = conclusion.balanced(Side(Records("desk", by_run, []), *asked))
    assert found.endswith(
        "each has a gradient as strong as the third’s, lowers the AP of RTMDet-tiny (−3.0 ± 0.2)."
    )
    assert conclusion.balanced(Side(Records("desk", {}, []), *asked)) == ""


def test_ap_of_masks_is_called_so() -> None:
    by_run = {
        run: {seed: {"metrics": {"mask": {"AP": value}}} for seed, value in enumerate(values)}
        for run, values in {"ins-tiny-baseline": PLAIN, "ins-tiny-mkd": above(2)}.items()
    }
    records = Records("desk", by_run, [])
    first, _ = conclusion.sentences(side(records, "rtmdet-ins-tiny"))[:2]
    assert "RTMDet-Ins-tiny (+2.0 ± 0.2 mask AP)" in first


def test_what_remains_after_a_correction_and_which_gates_fail_is_said_of_each_scale() -> None:
    left = {"desk": Corrected(9, ()), "overnight": Corrected(0, ())}
    judged = [Gate(word, "", word, "") for word in (PASS, FAIL, FAIL)]
    assert cautions.tests_and_gates(left, "desk", judged) == (
        "Holm’s correction for many tests leaves 0 of 9 tested directions at desk scale. Of 3 "
        "validity gates 2 fail, 1 pass at desk scale."
    )
    verdict = verdicts.judge(claims.load(), lambda *_: {}, "desk")[0]
    judged = [Gate(word, "", word, "") for word in (FAIL, NOT_RUN, NOT_RUN)]
    assert cautions.tests_and_gates({"desk": Corrected(9, (verdict,))}, "desk", judged) == (
        "Holm’s correction for many tests leaves 1 of 9 tested directions at desk scale, which "
        "are named under the verdicts. Of 3 validity gates 1 fail, 2 were not run at desk scale."
    )
    both = {"desk": Corrected(9, (verdict,)), "overnight": Corrected(2, (verdict,))}
    assert "named under the verdicts and the comparison of scales." in cautions.tests_and_gates(
        both, "desk", judged
    )
    theirs = both | {"desk": Corrected(9, ())}
    assert "named under the comparison of scales." in cautions.tests_and_gates(
        theirs, "desk", judged
    )
    assert cautions.tests_and_gates({"desk": Corrected(0, ())}, "desk", judged) == ""


def test_of_two_rows_of_a_method_the_first_is_told() -> None:
    other = replace(SUITE.runs["tiny-mkd"], id="tiny-mkd-m", teacher="m-teacher")
    figures = {"tiny-baseline": PLAIN, "tiny-mkd": above(-5), "tiny-mkd-m": above(5)}
    by_run: dict[str, dict[int, dict[str, Any]]] = {
        run: {seed: {"metrics": {"box": {"AP": value}}} for seed, value in enumerate(values)}
        for run, values in figures.items()
    }
    runs = {**SUITE.runs, other.id: other}
    told = conclusion.sentences(Side(Records("desk", by_run, []), runs, (TINY,), 3))
    assert "lowers the AP of RTMDet-tiny (−5.0 " in told[0]


def test_gains_that_the_paper_claims_are_counted_apart_from_its_other_claims() -> None:
    steps = {
        "tiny-baseline": (0.0, 0.0, 0.0),
        "tiny-mkd": (1.0, 1.1, 0.9),
        "tiny-mgd": (2.0, 2.1, 1.9),
        # That α = 1 beats α = 5 is no gain over another method, nor is a question left open.
        "tiny-mkd-alpha5": (-3.0, -3.1, -2.9),
        "tiny-cwd": (0.0, 0.0, 0.0),
    }

    def points(run: str, metric: str) -> dict[int, float]:
        return {seed: 40.0 + step for seed, step in enumerate(steps.get(run, ()))}

    judged = verdicts.judge(claims.load(), points, "desk")
    gains = [
        v.claim.id
        for v in judged
        if {*v.claim.left, *v.claim.right} <= {"tiny-mkd", "tiny-baseline", "tiny-mgd"}
        and v.word in verdicts.TESTED
        and v.claim.kind == "greater"
    ]
    kept = [v for v in judged if v.word in verdicts.TESTED and v.claim.kind == "greater"]
    assert 0 < len(gains) < len(kept)
    reproduced = sum("baseline" in name or "small" in name for name in gains)
    assert conclusion.ahead(judged, SUITE.runs, "desk") == (
        f"Of {len(gains)} tested claims that MKD gains over no distillation or over another method "
        f"{reproduced} are reproduced at desk scale."
    )
    assert conclusion.ahead([], SUITE.runs, "desk") == ""


def test_a_gain_of_any_method_on_any_detector_counts_where_it_is_tested() -> None:
    def said(**figures: Sequence[float]) -> str:
        given = several(tiny_baseline=PLAIN, s_baseline=PLAIN, **figures)
        return conclusion.gains(side(given, TINY, SMALL))

    assert said(tiny_fgd=above(-2))
    assert said(s_mkd=above(-2))
    assert said(tiny_mkd=above(-2), tiny_fgd=above(1)) == ""
    assert said(tiny_mkd=above(-2), s_mkd=above(1)) == ""
    assert said(tiny_mkd=above(-2)[:2]) == ""
    assert said(tiny_mkd=above(-2), tiny_cwd=PLAIN).startswith(
        "At desk scale no method raises AP on any detector"
    )
    assert said(tiny_cwd=PLAIN) == said() == ""


def test_the_least_weight_is_that_of_mkd_with_no_other_option() -> None:
    light = {"tiny-mkd-alpha0.1": above(-1), "s-mkd-alpha0.1": above(2)}
    given = several(tiny_baseline=PLAIN, s_baseline=PLAIN, **light)

    def said(runs: Any, *archs: str) -> str:
        return conclusion.weaker(Side(given, runs, archs or (TINY,), 3))

    words = "At desk scale MKD with 0.1 times its weight lowers the AP of RTMDet-tiny (−1.0 ± 0.2)."
    assert said(SUITE.runs) == words
    least = SUITE.runs["tiny-mkd-alpha0.1"]
    for change in (
        {"method": "cwd", "options": {"alpha": 0.01}},
        {"options": {"alpha": 0.01, "terms": "fad"}},
        {"arch": SMALL, "options": {"alpha": 0.01}},
    ):
        assert said({**SUITE.runs, "x": replace(least, id="x", **change)}) == words
    few = several(tiny_baseline=PLAIN, **{"tiny-mkd-alpha0.1": above(-1)[:2]})
    assert conclusion.weaker(side(few)) == ""
    heavy = {name: run for name, run in SUITE.runs.items() if run.options.get("alpha") != 0.1}
    assert said(heavy) == ""
    one = replace(SUITE.runs["tiny-mkd-alpha5"], options={"alpha": 1.0})
    assert said({**heavy, one.id: one}) == ""
    assert "raises the AP of RTMDet-s (+2.0" in said(SUITE.runs, TINY, SMALL)
    masks = replace(least, id="ins-light", arch="rtmdet-ins-tiny")
    given = several("mask", ins_tiny_baseline=PLAIN, ins_light=above(-1))
    assert "mask" in said({**SUITE.runs, masks.id: masks}, "rtmdet-ins-tiny")


def test_a_faster_start_is_named_where_a_tested_student_ends_lower_there() -> None:
    longer = several(
        scale="overnight", tiny_baseline=PLAIN, tiny_mkd=above(2), s_baseline=PLAIN[:1]
    )

    def said(there: Records, here: Records, *archs: str) -> str:
        (paragraph,) = conclusion.of_longer(side(there, *archs or (TINY, SMALL)), side(here))
        return paragraph

    assert "Undistilled" not in said(longer, several(tiny_baseline=PLAIN))
    higher = several(tiny_baseline=[50.0], s_baseline=[50.0])
    mean = sum(PLAIN) / len(PLAIN)
    assert f"reaches {mean:.1f} AP with RTMDet-tiny (50.0 at desk scale), so" in said(
        longer, higher
    )
    longer = several("mask", ins_tiny_baseline=PLAIN, ins_tiny_mkd=above(2))
    higher = several("mask", ins_tiny_baseline=[50.0])
    assert f"{mean:.1f} AP with RTMDet-Ins-tiny (50.0 at" in said(longer, higher, "rtmdet-ins-tiny")


def test_a_teacher_that_is_no_better_is_named() -> None:
    """What is found with it says nothing of a better one."""
    given = several(
        tiny_baseline=[50.0],
        s_teacher=[58.9],
        s_baseline=[53.0],
        m_teacher=[51.7],
        l_baseline=[1.0],
    )
    found = cautions.untaught(given, SUITE.runs, (TINY, SMALL, "rtmdet-l"))
    assert found == (
        "At desk scale a teacher is no better than its undistilled student: RTMDet-s’s has 1.3 AP "
        "less. What is found there says nothing of a better teacher."
    )
    assert cautions.untaught(given, SUITE.runs, (TINY,)) == ""


def test_what_the_deviations_say_beside_an_answer_is_of_the_scales_that_are_shown() -> None:
    differing = deviations.load("desk")
    assert "seeds were added twice" in " ".join(cautions.chosen(differing, ["desk", "overnight"]))
    assert cautions.chosen(differing, ["desk"]) == []
