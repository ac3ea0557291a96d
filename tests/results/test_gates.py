"""The gates on planted records, and that MKD takes no part in them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mkd import cli
from mkd.errors import UserError
from mkd.experiment import config
from mkd.experiment.suite import Suite
from mkd.results import gates
from mkd.results.gates import Gate
from mkd.results.records import Records, load_folder

SUITE = config.load({"scale": "desk"})
STUDENTS = ("tiny-baseline", "s-baseline", "m-baseline", "l-baseline", "ins-tiny-baseline")
LEVEL = {"tiny-baseline": 40.0, "s-baseline": 44.0, "m-baseline": 48.0, "l-baseline": 50.0}
KINDS = ("classification", "localization", "both", "duplicate", "background", "missed")
STEPS = {
    "tiny-cwd": (0.9, 1.0, 1.1),
    "tiny-cwd-own-stem": (0.1, -0.2, 0.1),
    "tiny-cwd-random": (-3.0, -3.1, -2.9),
    "tiny-other-order": (0.2, -0.1, -0.2),
    "tiny-shuffled": (-1.0, -1.1, -0.9),
}


def record(ap: float, **changes: Any) -> dict[str, Any]:
    six = {"AP": ap, "AP_S": ap - 9, "AP_M": ap + 1, "AP_L": ap + 9}
    made = {
        "metrics": {"box": dict(six), "mask": {key: value - 3 for key, value in six.items()}},
        "errors": dict.fromkeys(KINDS, 5.0),
    }
    return made | changes


def sound() -> dict[str, dict[int, dict[str, Any]]]:
    """Records with which every gate passes."""
    made = {
        name: {seed: record(LEVEL.get(name, 40.0) + seed) for seed in range(3)} for name in STUDENTS
    }
    made |= {
        name: {seed: record(40.0 + seed + step) for seed, step in enumerate(steps)}
        for name, steps in STEPS.items()
    }
    for run in SUITE.runs.values():
        if run.teacher:
            made[run.teacher] = {0: record(70.0)}
    return made


POSITIVES = {name: {"positives": [50, 30, 20]} for name in STUDENTS}


def judge(
    by_run: dict[str, dict[int, dict[str, Any]]],
    levels: dict[str, Any] | None = None,
    suite: Suite = SUITE,
) -> dict[str, Gate]:
    measured = {"levels": {"runs": POSITIVES if levels is None else levels}}
    records = Records("desk", by_run, [], measured=measured)
    return {gate.id: gate for gate in gates.judge(gates.load(), records, suite.runs)}


def test_a_sound_scale_passes_every_gate() -> None:
    judged = judge(sound())
    assert {gate.word for gate in judged.values()} == {"pass"}
    assert "ins-s-baseline over ins-tiny-baseline" in judged["teachers"].figure
    assert judged["cwd-helps"].figure.endswith("+1.00 ± 0.25 over 3 seeds")
    # That nothing is found says little where the interval is wide.
    wide = judge(sound() | {"tiny-other-order": {s: record(40.0 + 2 * s) for s in range(3)}})
    assert wide["other-order"].word == "pass"
    assert wide["other-order"].figure.endswith(
        "+1.00 ± 2.48 over 3 seeds, which does not rule out a difference of 3.48"
    )
    assert gates.summary(list(judged.values())).startswith("10 of 10 gates pass, 0 fail, 0 not run")


def test_a_teacher_counts_as_the_weights_that_teach_do_its_first_seeds() -> None:
    for first, others, word in ((33.0, 48.0, "fail"), (48.0, 33.0, "pass")):
        seeds = {seed: record(others if seed else first) for seed in range(3)}
        students = {"tiny-baseline": {0: record(40.0)}, "s-teacher": seeds}
        assert judge(sound() | students)["teachers"].word == word


def test_a_teacher_counts_as_the_weights_do_that_its_students_name() -> None:
    figures = {0: 33.0, 1: 48.0, 2: 33.0}
    seeds = {s: {**record(ap), "digests": {"weights": f"w{s}"}} for s, ap in figures.items()}
    for taught_by, word in (("w1", "pass"), ("w2", "fail"), ("gone", "not run")):
        student = {**record(40.0), "teacher": "s-teacher", "digests": {"teacher": taught_by}}
        records = {"tiny-baseline": {0: record(40.0)}, "s-teacher": seeds, "tiny-mkd": {0: student}}
        assert judge(sound() | records)["teachers"].word == word


def test_a_teacher_that_is_just_good_enough_does_not_fail_by_rounding() -> None:
    assert 34.3 - 30.3 < 4
    for above, word in ((34.3, "pass"), (34.299, "fail")):
        students = {"tiny-baseline": {0: record(30.3)}, "s-teacher": {0: record(above)}}
        assert judge(sound() | students)["teachers"].word == word


def test_without_a_record_nothing_is_run_and_nothing_fails() -> None:
    judged = judge({}, {})
    assert {gate.word for gate in judged.values()} == {"not run"}


@pytest.mark.parametrize(
    ("gate", "run", "changed", "said"),
    [
        # As good as s is not better.
        ("sizes", "m-baseline", record(45.0), "m-baseline 45.0"),
        ("sizes", "l-baseline", record(30.0), "l-baseline 30.0"),
        (
            "teachers",
            "m-teacher",
            record(47.0, metrics={"box": {"AP": 47.0}}),
            "m-teacher over s-baseline: +2.0",
        ),
        # Of masks, where the student has them.
        (
            "teachers",
            "ins-s-baseline",
            record(70.0, metrics={"box": {"AP": 70.0}, "mask": {"AP": 40.0}}),
            "ins-s-baseline over ins-tiny-baseline: +2.0",
        ),
        (
            "object-sizes",
            "l-baseline",
            record(50.0, metrics={"box": {"AP": 50.0, "AP_S": 60, "AP_M": 50, "AP_L": 70}}),
            "l-baseline: AP_S 60.0",
        ),
        (
            "errors",
            "ins-tiny-baseline",
            record(40.0, errors=dict.fromkeys(KINDS, 1.0) | {"missed": 5.1}),
            "ins-tiny-baseline: missed 50.5 %",
        ),
    ],
)
def test_one_student_that_breaks_a_rule_fails_that_gate(
    gate: str, run: str, changed: dict[str, Any], said: str
) -> None:
    judged = judge(sound() | {run: dict.fromkeys(range(3), changed)})
    assert judged[gate].word == "fail"
    assert said in judged[gate].figure


@pytest.mark.parametrize(
    ("gate", "run", "steps"),
    [
        ("cwd-helps", "tiny-cwd", (0.9, -0.4, 0.1)),
        ("cwd-helps", "tiny-cwd", (-0.9, -1.0, -1.1)),
        ("own-stem", "tiny-cwd-own-stem", (0.9, 1.0, 1.1)),
        ("own-stem", "tiny-cwd-own-stem", (-0.9, -1.0, -1.1)),
        ("random-teacher", "tiny-cwd-random", (0.9, -0.4, 0.1)),
        ("other-order", "tiny-other-order", (0.9, 1.0, 1.1)),
        ("shuffled-labels", "tiny-shuffled", (0.2, -0.1, -0.2)),
    ],
)
def test_a_known_answer_that_is_not_found_fails(
    gate: str, run: str, steps: tuple[float, ...]
) -> None:
    planted = {seed: record(40.0 + seed + step) for seed, step in enumerate(steps)}
    judged = judge(sound() | {run: planted})
    assert judged[gate].word == "fail"
    assert {name for name, other in judged.items() if other.word == "fail"} == {gate}


def test_too_few_seeds_hold_no_zero() -> None:
    two = {seed: record(40.0 + seed) for seed in range(2)}
    judged = judge(sound() | {"tiny-other-order": two})
    assert judged["other-order"].word == "not run"
    assert "2 paired seeds, the rule asks for 3" in judged["other-order"].figure


def test_a_teacher_of_a_known_answer_is_no_teacher_of_the_tables() -> None:
    random = replace(SUITE.runs["tiny-cwd"], id="tiny-cwd-random", teacher="random", tables=())
    suite = replace(SUITE, runs={**SUITE.runs, random.id: random})
    judged = judge(sound() | {"random": {0: record(0.1)}}, suite=suite)
    assert judged["teachers"].word == "pass"
    inside = replace(suite, runs={**suite.runs, random.id: replace(random, tables=(1,))})
    judged = judge(sound() | {"random": {0: record(0.1)}}, suite=inside)
    assert judged["teachers"].word == "fail"


def test_a_level_without_positives_fails_and_one_without_a_count_is_not_run() -> None:
    few = POSITIVES | {"s-baseline": {"positives": [930, 70, 0]}}
    judged = judge(sound(), few)
    assert judged["levels"].word == "fail"
    assert "s-baseline: 93.0, 7.0, 0.0 %" in judged["levels"].figure
    missing = {name: count for name, count in POSITIVES.items() if name != "l-baseline"}
    assert judge(sound(), missing)["levels"].word == "not run"


def test_no_gate_names_or_reads_a_run_of_mkd() -> None:
    text = json.dumps(gates.load()["gates"]) + json.dumps(gates.load()["students"])
    of_mkd = [run.id for run in SUITE.runs.values() if run.method.startswith("mkd")]
    assert of_mkd
    assert not [name for name in of_mkd if f'"{name}"' in text]
    before = judge(sound())
    for ap in (0.0, 99.0):
        assert judge(sound() | {name: {0: record(ap)} for name in of_mkd}) == before


def test_a_metric_the_val_set_cannot_give_is_not_run() -> None:
    none = record(40.0)
    none["metrics"]["box"]["AP_L"] = None
    judged = judge(sound() | {"tiny-baseline": {0: none}})
    assert judged["object-sizes"].word == "not run"
    assert "no box.AP_L of tiny-baseline" in judged["object-sizes"].figure


def test_other_runs_alone_have_no_gate_that_passes() -> None:
    alone = replace(SUITE, runs={"mine": replace(SUITE.runs["x-baseline"], id="mine")})
    assert {gate.word for gate in judge({"mine": {0: record(9.0)}}, {}, alone).values()} == {
        "not run"
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["gates"][0].update(kind="bigger"), "gates"),
        (lambda d: d["gates"][2].pop("most"), "gates"),
        (lambda d: d["gates"][-1].update(expected="good"), "gates"),
        (lambda d: d["gates"].append(d["gates"][0]), "stands there twice"),
        (lambda d: d.update(min_seeds=1), "min_seeds"),
    ],
)
def test_malformed_gates_are_refused(tmp_path: Any, change: Any, message: str) -> None:
    document = yaml.safe_load(gates.FILE.read_text())
    change(document)
    path = tmp_path / "gates.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(UserError, match=message):
        gates.load(path)


def test_the_verb_prints_every_gate_and_stops_nothing(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["gates", "--config", f"results={tmp_path}"])
    *lines, summary = capsys.readouterr().out.splitlines()
    assert [line.split()[2].rstrip(":") for line in lines] == [
        g["id"] for g in gates.load()["gates"]
    ]
    assert summary == "0 of 10 gates pass, 0 fail, 10 not run. MKD takes no part in any of them."


@pytest.mark.parametrize(("name", "kind"), [("levels", "weights"), ("noise", "detections")])
def test_what_was_measured_on_other_files_than_the_records_is_left_out(
    suite: Suite, fill: Any, name: str, kind: str
) -> None:
    fill("tiny-baseline", "tiny-cwd")
    digests = load_folder(suite.results, "desk").by_run["tiny-baseline"][0]["digests"]
    run = {"seed": 0, "AP": 1.0, "sd": 1.0, "images": 1, "positives": [1], kind: digests[kind]}
    other = {"seed": 9, "AP": 1.0, "sd": 1.0, "images": 1, "positives": [1], kind: "x"}
    content = {
        "scale": "desk", "batches": 1, "images": 1, "resamples": 2, "strides": [8],
        "runs": {"tiny-baseline": run, "tiny-cwd": other}, "difference": {"AP": 1.0, "sd": 1.0},
        "commit": None, "dirty": False,
    }  # fmt: skip
    path = suite.results / f"{name}.json"
    path.write_text(json.dumps(content))
    assert load_folder(suite.results, "desk").measured == {name: content}
    run[kind] = "y"
    path.write_text(json.dumps(content))
    records = load_folder(suite.results, "desk")
    assert records.measured == {}
    assert f"other {kind} than the record of tiny-baseline seed 0" in records.problems[0].what


@pytest.mark.parametrize("content", ["{", "[]", '{"scale": "lab"}', '{"scale": NaN}'])
def test_a_broken_count_is_named_and_left_out(tmp_path: Any, content: str) -> None:
    (tmp_path / "levels.json").write_text(content)
    records = load_folder(tmp_path, "desk")
    assert records.measured == {}
    assert [problem.where for problem in records.problems] == ["levels.json"]


def test_a_count_of_another_scale_is_left_out(tmp_path: Any) -> None:
    other = {
        "scale": "lab",
        "batches": 1,
        "strides": [8],
        "runs": {},
        "commit": None,
        "dirty": False,
    }
    (tmp_path / "levels.json").write_text(json.dumps(other))
    assert load_folder(tmp_path, "desk").measured == {}
    assert load_folder(tmp_path, "lab").measured == {"levels": other}


def test_a_line_of_a_gate_that_fails_says_what_not_to_read() -> None:
    failed = gates.Gate("levels", "A rule.", gates.FAIL, "It is 3", "So read nothing.")
    assert gates.lines([failed, replace(failed, word=gates.PASS, otherwise="")])[:2] == [
        "fail     levels: A rule. It is 3. So read nothing.",
        "pass     levels: A rule. It is 3.",
    ]


@pytest.mark.parametrize("at", range(10))
def test_every_gate_says_what_not_to_read(tmp_path: Path, at: int) -> None:
    document = yaml.safe_load(gates.FILE.read_text())
    del document["gates"][at]["otherwise"]
    path = tmp_path / "gates.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(UserError, match=f"gates.{at}"):
        gates.load(path)


def test_a_kind_that_costs_less_than_nothing_is_not_lost_and_seeds_are_averaged() -> None:
    def seed(missed: float) -> dict[str, Any]:
        costs = dict.fromkeys(KINDS, 1.0) | {"missed": missed, "duplicate": -1.0}
        return record(44.0, errors=costs)

    # 3.9 of 7.9 on average, of the first seed more than half.
    judged = judge(sound() | {"s-baseline": {0: seed(5.9), 1: seed(1.9)}})["errors"]
    assert judged.word == "pass"
    assert "s-baseline: missed 49.4 %" in judged.figure
