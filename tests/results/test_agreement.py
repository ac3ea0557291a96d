"""Two scales side by side, on planted records."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mkd.experiment import config
from mkd.experiment.suite import Suite
from mkd.report.render import render
from mkd.results import agreement, reference
from mkd.results.agreement import OPEN, OPPOSITE, SAME, Agreement
from mkd.results.formats import number
from mkd.results.records import Records, load_folder
from mkd.workflow import pipeline

pytestmark = pytest.mark.usefixtures("quick_fonts")
RUNS = config.load({"scale": "desk"}).runs
BASE = (40.0, 41.0, 42.0)
UP, DOWN, NONE = (0.9, 1.0, 1.1), (-1.1, -1.0, -0.9), (0.9, -0.4, 0.1)


def records(scale: str, steps: dict[str, tuple[float, ...]]) -> Records:
    by_run = {
        run: {
            seed: {"metrics": {"box": {"AP": BASE[seed] + step}}}
            for seed, step in enumerate(values)
        }
        for run, values in steps.items()
    }
    return Records(scale, by_run, [])


def compare(ours: dict[str, tuple[float, ...]], theirs: dict[str, tuple[float, ...]]) -> Agreement:
    plain = {"tiny-baseline": (0.0, 0.0, 0.0)}
    return agreement.compare(
        records("desk", plain | ours),
        records("overnight", plain | theirs if theirs else {}),
        RUNS,
        3,
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "word", "said"),
    [
        (
            UP,
            UP,
            SAME,
            "decide 1. They agree on 1 (RTMDet-tiny + CWD over undistilled).",
        ),
        (DOWN, DOWN, SAME, "Gains over no distillation: 1 with the same sign."),
        (
            UP,
            DOWN,
            OPPOSITE,
            "Of 1 differences both protocols decide 1. They disagree on 1 (RTMDet-tiny + CWD "
            "against undistilled).",
        ),
        (UP, NONE, OPEN, "None of the 1 differences is decided by both"),
        (UP, (1.0,), OPEN, "1 open"),
        (UP, (1.0, 1.1), OPEN, "None of the 1 differences is decided by both"),
    ],
)
def test_signs_agree_only_where_both_intervals_decide(
    ours: tuple[float, ...], theirs: tuple[float, ...], word: str, said: str
) -> None:
    found = compare({"tiny-cwd": ours}, {"tiny-cwd": theirs})
    (gain,) = found.gains
    assert (gain.name, gain.word) == ("RTMDet-tiny + CWD against RTMDet-tiny, undistilled", word)
    assert said in found.sentence


def test_the_order_is_compared_pair_by_pair() -> None:
    one = {"tiny-cwd": (3, 3.1, 2.9), "tiny-mkd": UP, "tiny-mgd": DOWN}
    two = {"tiny-cwd": UP, "tiny-mkd": (3, 3.1, 2.9), "tiny-mgd": DOWN}
    found = compare(one, two)
    words = {effect.name: effect.word for effect in found.order}
    assert words == {
        "RTMDet-tiny + CWD against RTMDet-tiny + MGD": SAME,
        "RTMDet-tiny + CWD against RTMDet-tiny + MKD": OPPOSITE,
        "RTMDet-tiny + MGD against RTMDet-tiny + MKD": SAME,
    }
    assert {effect.word for effect in found.gains} == {SAME}
    assert found.rank == pytest.approx(1 / 3)
    assert found.decided == (
        "Of 6 differences both protocols decide 6. They agree on 5 (RTMDet-tiny + CWD over "
        "undistilled; RTMDet-tiny, undistilled over MGD; RTMDet-tiny + MKD over undistilled and 2 "
        "more) and disagree on 1 (RTMDet-tiny + CWD against MKD)."
    )
    assert found.sentence.startswith(found.decided)
    assert "Rank correlation (Kendall’s τ) of the 3 mean gains: 0.33. " in found.sentence
    # Three methods and what is not distilled; a teacher's own level is in no difference.
    assert found.sentence.endswith(
        "These are differences of 4 runs, so they do not count as so many findings."
    )


def test_both_levels_stand_side_by_side_seed_by_seed() -> None:
    plain, taught = compare({"tiny-cwd": UP}, {"tiny-cwd": DOWN}).levels
    assert plain.ours == plain.theirs
    assert taught.ours.points == pytest.approx([40.9, 42, 43.1])
    assert taught.theirs.points == pytest.approx([38.9, 40, 41.1])


def test_equal_gains_have_no_rank() -> None:
    same = dict.fromkeys(("tiny-cwd", "tiny-mkd", "tiny-mgd"), UP)
    assert compare(same, same).rank is None


def test_what_one_scale_alone_has_is_left_out() -> None:
    found = compare({"tiny-cwd": UP, "tiny-mkd": UP}, {"tiny-cwd": UP, "s-cwd": UP})
    assert [effect.name for effect in found.gains] == [
        "RTMDet-tiny + CWD against RTMDet-tiny, undistilled"
    ]
    assert found.order == []
    assert [level.name for level in found.levels] == [
        "RTMDet-tiny, undistilled",
        "RTMDet-tiny + CWD",
    ]
    assert compare({"tiny-cwd": UP}, {}).sentence == "Not run: overnight scale has no record."
    other = compare({"tiny-cwd": UP}, {"tiny-mkd": UP}).sentence
    assert other == "Not run: overnight scale has no gain that this scale has measured as well."


@pytest.fixture
def suite(suite: Suite) -> Suite:
    """Scale desk, which names a longer one."""
    return replace(suite, settings=suite.settings.model_copy(update={"longer": "overnight"}))


def test_of_many_that_disagree_three_are_named_and_the_rest_counted() -> None:
    four = ("tiny-cwd", "tiny-mgd", "tiny-fgd", "tiny-mkd")
    found = compare(dict.fromkeys(four, UP), dict.fromkeys(four, DOWN))
    assert found.decided.endswith(" and 1 more).")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the references of this checkout would lie."""
    monkeypatch.setattr(reference, "folder", lambda scale: tmp_path / "reference" / scale)
    return tmp_path / "reference/overnight"


def section(suite: Suite) -> str:
    render(suite, suite.results / "report")
    page = (suite.results / "report/index.html").read_text()
    assert ('href="#agreement"' in page) == ('id="agreement"' in page)
    return page.partition('<div id="agreement">')[2].partition("</section>")[0]


def test_the_page_takes_the_other_scale_in_where_it_was_run(
    suite: Suite, fill: Callable[..., Path], made: Callable[..., None], kept: Path
) -> None:
    results = fill("tiny-baseline", "tiny-cwd", "tiny-mkd")
    assert "Not run: overnight scale has no record." in section(suite)
    for run in ("tiny-baseline", "tiny-cwd"):
        for seed in range(3):
            made(results, suite.runs[run], seed)
    text = section(suite)
    assert "RTMDet-tiny + CWD against RTMDet-tiny, undistilled" in text
    assert "tiny-mkd" not in text
    assert text.count("the same sign") == 2
    levels = text.partition("AP at both scales")[2].partition("</details>")[0]
    points = ", ".join(
        number(value, 1)
        for value in load_folder(results / "desk", "desk").points("tiny-cwd", "box.AP").values()
    )
    assert levels.count(f'<td class="n">{points}</td>') == 2
    before = pipeline.beside(suite)
    path = results / "overnight/runs/tiny-cwd/seed1/record.json"
    path.write_text("{")
    section(suite)
    assert pipeline.beside(suite) != before
    assert (
        "overnight: runs/tiny-cwd/seed1/record.json"
        in (suite.results / "report/index.html").read_text()
    )


def test_without_a_run_of_its_own_the_reference_is_taken(
    suite: Suite, fill: Callable[..., Path], made: Callable[..., None], kept: Path
) -> None:
    results = fill("tiny-baseline", "tiny-cwd")
    for run in ("tiny-baseline", "tiny-cwd"):
        for seed in range(3):
            made(results, suite.runs[run], seed)
    (results / "overnight").rename(kept.parent.parent / "x")
    kept.parent.mkdir()
    (kept.parent.parent / "x").rename(kept)
    assert "RTMDet-tiny + CWD against RTMDet-tiny, undistilled" in section(suite)


def test_a_scale_with_no_longer_one_has_no_such_section(suite: Suite) -> None:
    alone = suite.settings.model_copy(update={"longer": None})
    assert section(replace(suite, settings=alone)) == ""


@pytest.fixture
def made(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> Callable[[Path, Any, int], None]:
    """Lays a record of overnight scale beside the desk's: the same figures, another scale."""

    def lay(results: Path, run: Any, seed: int) -> None:
        record = json.loads((results / f"desk/runs/{run.id}/seed{seed}/record.json").read_text())
        record.pop("sha256")
        record["digests"].pop("detections")
        path = results / f"overnight/runs/{run.id}/seed{seed}/record.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({**record, "scale": "overnight"}))

    return lay


def test_gains_and_runs_are_counted_apart_from_pairs() -> None:
    one = {"tiny-cwd": (3, 3.1, 2.9), "tiny-mkd": UP, "tiny-mgd": DOWN, "tiny-fgd": (5, 5.1, 4.9)}
    assert compare(one, one).sentence.endswith(
        "of the 4 mean gains: 1.00. These are differences of 5 runs, so they do not count as so "
        "many findings."
    )
