"""What ``mkd check-results`` finds, each planted alone in a sound folder."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mkd import cli, jobs
from mkd.errors import UserError
from mkd.experiment import run_digests
from mkd.experiment.suite import Suite
from mkd.files import sha256_file
from mkd.provenance import seal
from mkd.report.render import render
from mkd.results.check import check, comparable
from mkd.results.records import load_folder

pytestmark = pytest.mark.usefixtures("quick_fonts")
NAMES = ("tiny-baseline", "tiny-cwd", "s-baseline")


def record(suite: Suite, run: str = "tiny-cwd") -> Path:
    return suite.results / f"runs/{run}/seed0/record.json"


def change(
    path: Path, alter: Callable[[dict[str, Any]], object], seal: Callable[..., str] | None = seal
) -> None:
    """Alter a record as the suite would have written it, or, unsealed, as a hand would."""
    content = json.loads(path.read_text())
    alter(content)
    path.write_text(json.dumps(content | ({"sha256": seal(content)} if seal else {})))


@pytest.fixture(scope="module")
def made(filled: Suite, tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Path]:
    """Three runs, one seed each, as this checkout would have made them; table and report.

    And a copy of the folder, from which each test has it anew.
    """
    small = replace(
        filled,
        runs={name: filled.runs[name] for name in NAMES},
        config={**filled.config, "seeds": [0]},
    )
    for folder in small.results.glob("runs/*/*"):
        if folder.parent.name not in NAMES or folder.name != "seed0":
            shutil.rmtree(folder)
    for name in NAMES:
        digests = {
            "config": run_digests.config_digest(small, name, 0),
            "code": run_digests.train_code(small, name),
            "evaluation_code": run_digests.evaluation_code(),
            "evaluation_config": run_digests.evaluation_config(small, name),
        }
        if teacher := small.run(name).teacher:
            taught_by = json.loads(record(small, teacher).read_text())["digests"]["weights"]
            digests["teacher"] = taught_by
        change(record(small, name), lambda r, d=digests: r["digests"].update(d))
    jobs.table(small, 1)
    render(small, small.results / "report")
    kept = tmp_path_factory.mktemp("kept") / "results"
    return small, Path(shutil.copytree(small.results, kept))


@pytest.fixture
def sound(made: tuple[Suite, Path]) -> Suite:
    """What is sound, whatever a test before has done to it."""
    suite, kept = made
    shutil.rmtree(suite.results)
    shutil.copytree(kept, suite.results)
    return suite


def said(suite: Suite) -> dict[str, str]:
    return {problem.where: problem.what for problem in check(suite, suite.results)[1]}


def test_a_sound_folder_has_nothing_to_look_at(sound: Suite) -> None:
    assert check(sound, sound.results) == (3, [])


def test_the_page_says_once_what_keeps_runs_from_being_compared(sound: Suite) -> None:
    for name in ("tiny-cwd", "s-baseline"):
        change(record(sound, name), lambda r: r["digests"].update(config="0" * 64))
    change(record(sound), lambda r: r["digests"].update(backbone="1" * 64))
    change(record(sound, "tiny-baseline"), lambda r: r["digests"].update(backbone="2" * 64))
    render(sound, sound.results / "report")
    page = (sound.results / "report/index.html").read_text()
    both = "s-baseline seed 0, tiny-cwd seed 0</code>: was trained with another configuration than"
    assert page.count(both) == 1
    # Nor do those of the scale that is laid beside it fit this checkout.
    assert "<code>overnight: tiny-baseline seed 0, " in page
    assert "What is laid beside this scale: 9 records of overnight scale; commit " in page
    assert "2 start weights of backbone tiny" in page


def test_students_of_one_stem_begin_with_one_file(suite: Suite, fill: Callable[..., Path]) -> None:
    fill()

    def begun(other: str = "") -> list[str]:
        records = load_folder(suite.results, suite.scale)
        for run, seed, found in records.each():
            if start := suite.start(run, seed):
                stem = f"{start}{seed == 1 and run == other}"
                found["digests"]["start"] = stem
        return [p.what for p in comparable(suite, records) if "stem" in p.what]

    assert begun() == []
    (said,) = begun("tiny-mkd")
    assert said.startswith("2 files of the stem tiny-stem seed 1: ")
    assert said.endswith("tiny-mkd")


def test_a_missing_seed_a_surplus_seed_and_an_unknown_run(sound: Suite) -> None:
    folder = record(sound).parent
    folder.rename(folder.with_name("seed7"))
    change(folder.with_name("seed7") / "record.json", lambda r: r.update(seed=7))
    less = replace(sound, runs={k: v for k, v in sound.runs.items() if k != "tiny-baseline"})
    problems = [(p.where, p.what) for p in check(less, less.results)[1]]
    assert ("tiny-cwd", "no sound record of seed 0") in problems
    assert ("tiny-cwd", "seed 7 is none of the scale's (0)") in problems
    assert ("tiny-baseline", "is no row of config/runs.tsv") in problems


def test_a_reading_is_missed_where_some_of_it_was_run(sound: Suite) -> None:
    reading = replace(sound.runs["tiny-cwd"], id="odd", reading=True)
    asked = replace(sound, runs={**sound.runs, "odd": reading})
    assert "odd" not in said(asked)
    path = sound.results / "runs/odd/seed7/record.json"
    shutil.copytree(record(sound).parent, path.parent)
    change(path, lambda r: r.update(run="odd", seed=7))
    problems = [p.what for p in check(asked, asked.results)[1] if p.where == "odd"]
    assert problems == ["no sound record of seed 0", "seed 7 is none of the scale's (0)"]


@pytest.mark.parametrize(
    ("alter", "sentence"),
    [
        (lambda r: r["digests"].update(config="0" * 64), "another configuration"),
        (lambda r: r["digests"].update(code="0" * 64), "trained by other code"),
        (lambda r: r["digests"].update(evaluation_code="0" * 64), "scored by other code"),
        (lambda r: r["digests"].update(evaluation_config="0" * 64), "scored with other settings"),
        (lambda r: r["digests"].update(teacher="0" * 64), "taught by other weights"),
        (lambda r: r.update(dirty=True), "uncommitted changes"),
    ],
)
def test_a_record_that_is_not_this_checkouts(
    sound: Suite, alter: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    change(record(sound), alter)
    assert sentence in said(sound)["tiny-cwd seed 0"]


def test_weights_from_a_file_were_taught_by_nobody_the_suite_knows(sound: Suite) -> None:
    """Nor do they say by what code: no record of this results folder is theirs."""
    change(record(sound), lambda r: r.update(taken="mine.pth"))
    change(record(sound), lambda r: r["digests"].pop("teacher"))
    change(record(sound), lambda r: r["digests"].update(code="0" * 64))
    words = said(sound).get("tiny-cwd seed 0", "")
    assert "taught by" not in words
    assert "other code" not in words


def test_other_weights_beside_a_record(sound: Suite) -> None:
    weights = record(sound).with_name("weights.pth")
    weights.write_bytes(b"these")
    change(record(sound), lambda r: r["digests"].update(weights=sha256_file(weights)))
    assert "tiny-cwd seed 0" not in said(sound)
    weights.write_bytes(b"those")
    assert "not the file that was scored" in said(sound)["tiny-cwd seed 0"]


def trained_as(record: dict[str, Any]) -> dict[str, Any]:
    """What the training of a record left."""
    said = record["digests"]
    return {
        "config": {key: record[key] for key in ("run", "seed", "scale")},
        "digests": {key: said[key] for key in ("config", "code")},
        "inputs": {"data": said["data"]},
        "weights": said["weights"],
        **{key: record[key] for key in ("teacher", "started", "train")},
        **{key: record[key] for key in ("commit", "dirty", "versions", "host")},
    }


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (lambda t: None, ""),
        (lambda t: t["config"].update(run="tiny-mkd"), "is of another run, seed or scale"),
        (lambda t: t["config"].update(seed=1), "is of another run, seed or scale"),
        (lambda t: t["config"].update(scale="lab"), "is of another run, seed or scale"),
        (lambda t: t["train"].update(iterations=601), "is of another training"),
        (lambda t: t["digests"].update(code="0" * 64), "says otherwise of: code"),
        (lambda t: t["inputs"].update(data="0" * 64), "says otherwise of: data"),
        (lambda t: t.update(weights="0" * 64), "says otherwise of: weights"),
    ],
)
def test_another_training_beside_a_record(
    sound: Suite, alter: Callable[[dict[str, Any]], object], words: str
) -> None:
    trained = trained_as(json.loads(record(sound).read_text()))
    alter(trained)
    record(sound).with_name("train.json").write_text(json.dumps(trained))
    whole = f"train.json beside the record {words}" if words else None
    assert said(sound).get("tiny-cwd seed 0") == whole


def test_weights_that_were_taken_were_trained_at_another_scale(sound: Suite) -> None:
    change(record(sound), lambda r: r.update(taken="tiny-cwd-seed0.pth.xz"))
    trained = trained_as(json.loads(record(sound).read_text()))
    trained["config"]["scale"] = "lab"
    trained["inputs"]["data"] = "0" * 64
    path = record(sound).with_name("train.json")
    path.write_text(json.dumps(trained))
    assert "tiny-cwd seed 0" not in said(sound)
    trained["config"]["seed"] = 1
    path.write_text(json.dumps(trained))
    assert "is of another run, seed or scale" in said(sound)["tiny-cwd seed 0"]


def test_a_copied_run(sound: Suite) -> None:
    first = json.loads(record(sound, "tiny-baseline").read_text())["digests"]["weights"]
    change(record(sound), lambda r: r["digests"].update(weights=first))
    assert said(sound)["tiny-baseline seed 0"] == "has the very weights of tiny-cwd seed 0"


@pytest.mark.parametrize(
    ("digest", "words"),
    [("data", "data sets"), ("evaluation_code", "versions of the scoring code")],
)
def test_two_data_sets_or_codes_that_scored(sound: Suite, digest: str, words: str) -> None:
    change(record(sound), lambda r: r["digests"].update({digest: "f" * 64}))
    assert said(sound)["runs"] == f"2 {words}: s-baseline, tiny-baseline; tiny-cwd"


def of_another_scale(path: Path) -> None:
    change(path, lambda record: record.update(scale="paper"))


def cut(path: Path) -> None:
    path.write_text(path.read_text()[:-2])


@pytest.mark.parametrize(
    ("spoil", "sentence"), [(of_another_scale, "at scale paper"), (cut, "not readable as JSON")]
)
def test_a_record_that_cannot_be_used(
    sound: Suite, spoil: Callable[[Path], None], sentence: str
) -> None:
    spoil(record(sound))
    problems = said(sound)
    assert sentence in problems["runs/tiny-cwd/seed0/record.json"]
    assert problems["tiny-cwd"] == "no sound record of seed 0"


def test_a_folder_of_another_scale_alone_is_one_sentence(sound: Suite) -> None:
    for name in ("tiny-baseline", "tiny-cwd", "s-baseline"):
        of_another_scale(record(sound, name))
    with pytest.raises(UserError, match="has results of scale paper: add --config scale=paper"):
        check(sound, sound.results)


def test_a_stale_report_and_a_stale_table(sound: Suite) -> None:
    def better(content: dict[str, Any]) -> None:
        content["metrics"]["box"]["AP"] += 0.5
        content["digests"]["weights"] = "b" * 64

    change(record(sound), better)
    found = said(sound)
    assert found.pop("report") == "is stale, it does not show tiny-cwd seed 0 as recorded"
    assert {f"tables/table1.{kind}" for kind in ("csv", "md", "tex")} < found.keys()
    assert set(found.values()) == {"is not what the records give now"}


def test_a_missing_folder_is_one_sentence(suite: Suite, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no results folder"):
        check(suite, tmp_path / "none")


def test_the_command_says_it_once_for_all_and_fails(
    sound: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tiny-baseline", "tiny-cwd"):
        change(record(sound, name), lambda r: r["digests"].update(code="0" * 64))
    results = f"results={sound.results.parent}"
    with pytest.raises(SystemExit) as ended:
        cli.main(["check-results", str(sound.results), "--config", results, "seeds=[0]"])
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    sentence = "was trained by other code than this checkout's"
    assert f"tiny-baseline seed 0, tiny-cwd seed 0: {sentence}" in lines
