"""Records that were edited, damaged or made up: named and left out, and the rest is rendered."""

import copy
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mkd import ROOT, cli
from mkd.data import fingerprint
from mkd.errors import UserError
from mkd.evaluation import scoring
from mkd.experiment import config
from mkd.experiment.datasets import Badges
from mkd.experiment.suite import Suite
from mkd.files import parse_json, read_json, sha256_file
from mkd.provenance import seal
from mkd.report.render import render
from mkd.results.check import check
from mkd.results.compare import compare
from mkd.results.plausible import implausible
from mkd.results.records import load_folder
from mkd.results.reference import keep
from mkd.results.rescore import rescored
from mkd.training import outputs

pytestmark = pytest.mark.usefixtures("quick_fonts")
KINDS = {
    "runs": "runs/tiny-cwd/seed0/record.json",
    "complexity": "complexity/rtmdet-s.json",
    "exported": "exported/tiny-mkd.json",
    "latency": "latency/rtmdet-s-fp32-cpu.json",
    "published": "published/yolov7.json",
}
PUBLISHED = {
    "kind": "published",
    "schema": 1,
    "model": "yolov7",
    "scale": "desk",
    "metrics": {"AP": 51.0, "AP50": 69.5},
    "checkpoint": "yolov7.pth",
    "digests": {"weights": "a" * 64, "data": "d" * 64},
    "commit": None,
    "dirty": False,
    "versions": {"torch": "2"},
    "host": {"cpu": "A", "cores": 1, "memory_gb": 1, "gpu": [], "os": "L", "python": "3"},
    "started": "2026-01-01T00:00:00+00:00",
    "wall_s": 1.0,
}
NASTY: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        "",
        "x",
        "\ud800",
        "a{b}\n\t\0<i>",
        [],
        {},
        [[]],
        {"": None},
        [None],
        ["x"],
    ),
    *(0, -1, 1.5, 10**6, 2**32, 2**63, 10**30, 10**400, -(10**400), 5e-324, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf"), "9" * 10_000, list(range(300)), {"a": {"b": {}}}),
)


@pytest.fixture
def full(suite: Suite, fill: Callable[..., Path]) -> Suite:
    """A sound folder with records of every kind, three runs with a seed each."""
    names = ("tiny-baseline", "tiny-cwd", "tiny-mkd")
    small = replace(
        suite,
        runs={name: replace(suite.runs[name], teacher=None) for name in names},
        config={**suite.config, "seeds": [0]},
    )
    fill(*names, seeds=(0,))
    for path in small.results.glob("runs/*/*/record.json"):
        record = json.loads(path.read_text())
        record["train"]["curve"] = record["train"]["curve"][:4]
        write(path, record)
    kept = ROOT / "results/reference/desk"
    for name in ("complexity", "exported", "latency"):
        record = read_json(kept / KINDS[name])
        for process in record.get("processes", ()):
            process["graph"]["attempts"] = [{"iqr_ratio": 0.01, "samples_ms": [1.0, 2.0]}]
        write(small.results / KINDS[name], record)
    write(small.results / KINDS["published"], PUBLISHED)
    return small


def write(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**record, "sha256": seal(record)}))


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where anything stands in a value; of a list its first item."""
    found = [at] if at else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*at, key))
    elif isinstance(value, list) and value:
        found += places(value[0], (*at, 0))
    return found


def mutated(record: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """A record with one to three things in it changed."""
    changed = copy.deepcopy(record)
    for _ in range(chance.randint(1, 3)):
        *way, last = chance.choice(places(changed))
        inside = changed
        for key in way:
            inside = inside[key]
        action = chance.randrange(10)
        if action == 0:
            del inside[last]
        elif action == 1 and isinstance(inside, dict):
            inside[chance.choice(["x", "loss_x", "AP", "", "\ud800"])] = nasty(chance)
        elif isinstance(inside[last], int | float) and action < 5:
            factor = chance.choice([-1, 0, 0.5, 1e-9, 1e9, 1e300])
            inside[last] = inside[last] * factor if abs(inside[last]) < 1e9 else factor
        else:
            inside[last] = nasty(chance)
    return changed


def nasty(chance: random.Random) -> Any:
    """One of :data:`NASTY`, which a second change of the same record shall not change."""
    return copy.deepcopy(chance.choice(NASTY))


def show(suite: Suite) -> list[tuple[str, str]]:
    """What `check-results` says; to know it, it builds and writes out every table."""
    return [(problem.where, problem.what) for problem in check(suite, suite.results)[1]]


@pytest.mark.slow(50)
def test_no_record_however_changed_stops_the_rest_or_passes_in_silence(full: Suite) -> None:
    chance = random.Random(0)
    files = {kind: full.results / place for kind, place in KINDS.items()}
    sound = {kind: json.loads(path.read_text()) for kind, path in files.items()}
    silent = []
    for at in range(70):
        # Three kinds at once: to look at them takes as long as to look at one.
        changed = {kind: mutated(sound[kind], chance) for kind in chance.sample(list(KINDS), 3)}
        # The first as if the suite had written it so, or before it kept a digest.
        as_written = next(iter(changed))
        changed[as_written].pop("sha256", None)
        for kind, record in changed.items():
            files[kind].write_text(json.dumps(record))
        said = {where for where, _ in show(full)}
        for kind, record in changed.items():
            different = json.dumps(record) != json.dumps(sound[kind])
            if different and kind != as_written and KINDS[kind] not in said:
                silent.append(record)
        if at % 7 == 6 or at < 2:
            compare(full.results, full.results)
            render(full, full.results / "report")
            (full.results / "report/data.json").unlink()
        for kind in changed:
            files[kind].write_text(json.dumps(sound[kind]))
    # What is not different is a digest that was taken away: that is said of all such records.
    assert [changed for changed in silent if "sha256" in changed] == []


def test_a_digest_that_was_taken_away_is_missed(full: Suite) -> None:
    path = full.results / KINDS["runs"]
    record = json.loads(path.read_text())
    record["digests"]["detections"] = "1" * 64
    path.write_text(json.dumps({**record, "sha256": seal(record)}))
    assert KINDS["runs"] not in {where for where, _ in show(full)}
    record["metrics"]["box"]["AP"] += 0.1
    record.pop("sha256", None)
    path.write_text(json.dumps(record))
    assert (KINDS["runs"], "does not have the content it was written with") in {
        (where, what.partition(":")[0]) for where, what in show(full)
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not readable as JSON"),
        (b"[]", "is not of type 'object'"),
        (b"null", "is not of type 'object'"),
        (b'{"a": NaN}', "NaN is not a finite number"),
        (b'{"a": -Infinity}', "-Infinity is not a finite number"),
        (b'{"a": 1e999}', "1e999 is not a finite number"),
        (b"[" * 2000 + b"]" * 2000, "too deep"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "too deep"),
        (b"9" * 5000, "too large a whole number"),
        (b'{"a": 1, "a": 2}', "the key 'a' stands twice"),
        (b'{"a": "\\ud800"}', "half of a UTF-16 pair"),
        ("größe".encode("latin-1"), "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    ],
)
def test_what_is_no_json_is_named_and_the_rest_is_shown(
    full: Suite, content: bytes, words: str
) -> None:
    for place in KINDS.values():
        (full.results / place).write_bytes(content)
    found = dict(show(full))
    for place in KINDS.values():
        assert words in found[place]
        assert "\n" not in found[place]
    assert load_folder(full.results, "desk").by_run.keys() == {"tiny-baseline", "tiny-mkd"}


@pytest.mark.parametrize("what", ["folder", "dangling link", "loop", "pipe"])
def test_what_is_no_file_is_named(full: Suite, what: str) -> None:
    for place in KINDS.values():
        path = full.results / place
        path.unlink()
        if what == "folder":
            path.mkdir()
        elif what == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(path if what == "loop" else full.results / "nowhere")
    assert set(KINDS.values()) <= {where for where, _ in show(full)}
    if what in ("folder", "pipe"):
        # Whoever opened a pipe would wait for ever.
        render(full, full.results / "report")


def test_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": "ü"}', encoding="utf-8-sig")
    assert read_json(path) == {"a": "ü"}
    assert parse_json("[1, -0.5, 1e300]") == [1, -0.5, 1e300]


def test_a_metric_edited_by_hand_is_never_shown(full: Suite) -> None:
    path = full.results / KINDS["runs"]
    record = json.loads(path.read_text())
    record["metrics"]["box"]["AP"] += 0.1
    path.write_text(json.dumps(record))
    assert "it was edited or damaged" in dict(show(full))[KINDS["runs"]]
    render(full, full.results / "report")
    page = (full.results / "report/index.html").read_text(encoding="utf-8")
    assert "it was edited or damaged" in page
    with pytest.raises(UserError, match=r"tiny-cwd/seed0/record.json: .* edited or damaged"):
        keep(full, full.results, full.results.parent / "kept")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"AP": 60.0}, "is above AP50"),
        ({"AP75": 70.0}, "is above AP50"),
        ({"AP": 10.0}, "is no mean of"),
        ({"AP": 46.0}, "is no mean of"),
        ({"AP50": 52.0}, "is not the area"),
        ({"AP75": 33.0}, "is not the area"),
    ],
)
def test_figures_no_detections_can_have(full: Suite, change: dict[str, float], words: str) -> None:
    path = full.results / KINDS["runs"]
    record = json.loads(path.read_text())
    record["metrics"]["box"].update(change)
    write(path, record)
    assert any(where == "tiny-cwd seed 0" and words in what for where, what in show(full))


@pytest.mark.parametrize(
    ("kind", "place", "key", "value", "words"),
    [
        ("runs", ("train",), "wall_s", 999.0, "its training takes longer than all of it"),
        ("runs", ("errors",), "missed", 99.0, "leaves no 99.0 to lose to one kind of error"),
        ("exported", ("torch",), "AP", 60.0, "is above AP50"),
        ("exported", ("files", "int8", "metrics"), "AP", 60.0, "is above AP50"),
        ("exported", ("engines", "openvino", "fp16", "metrics"), "AP75", 60.0, "is above AP50"),
        ("published", ("metrics",), "AP", 70.0, "is above AP50"),
        ("latency", ("graph",), "p90_ms", 1.0, "its figures do not fit together"),
        ("latency", ("graph",), "p99_ms", 1.0, "its figures do not fit together"),
        ("latency", (), "latency_ms", 1.0, "its figures do not fit together"),
    ],
)
def test_figures_no_training_export_or_timing_can_have(
    full: Suite, kind: str, place: tuple[str, ...], key: str, value: float, words: str
) -> None:
    records = load_folder(full.results, "desk")
    assert list(implausible(records)) == []
    record: dict[str, Any] = {
        "runs": records.by_run["tiny-cwd"][0],
        "exported": records.edge.exported["tiny-mkd"],
        "published": records.edge.published["yolov7"],
        "latency": records.edge.latency[0],
    }[kind]
    for part in place:
        record = record[part]
    record[key] = value
    (problem,) = implausible(records)
    named = {"runs": "tiny-cwd seed 0", "latency": "latency of rtmdet-s"}
    assert problem.where == named.get(kind, KINDS[kind])
    assert words in problem.what


def test_a_record_without_digests_is_read_and_it_is_said(full: Suite) -> None:
    path = full.results / KINDS["runs"]
    record = json.loads(path.read_text())
    del record["sha256"], record["digests"]["detections"]
    path.write_text(json.dumps(record))
    assert "tiny-cwd" in load_folder(full.results, "desk").by_run
    said = {what for where, what in show(full) if where == "tiny-cwd seed 0"}
    assert "without a SHA-256 of its own content: an edit is not seen" in said
    assert "without a SHA-256 of its detections" in said
    for place in KINDS.values():
        content = json.loads((full.results / place).read_text())
        content.pop("sha256", None)
        (full.results / place).write_text(json.dumps(content))
    unsealed = "without a SHA-256 of its own content: an edit is not seen"
    (named,) = (where for where, what in show(full) if what == unsealed)
    assert named == (
        "tiny-cwd seed 0, complexity/rtmdet-s, exported/tiny-mkd, published/yolov7, "
        "latency of rtmdet-s"
    )


def test_the_kept_reference_is_sound(suite: Suite) -> None:
    root = ROOT / "results/reference/desk"
    if not root.is_dir():
        pytest.skip("no reference of desk scale is kept: python -m mkd reference")
    assert load_folder(root, "desk").problems == []


def test_other_detections_or_another_training_beside_a_record(full: Suite) -> None:
    path = full.results / KINDS["runs"]
    record = json.loads(path.read_text())
    detections = path.with_name("detections.json")
    detections.write_text('{"bbox": []}')
    record["digests"]["detections"] = sha256_file(detections)
    write(path, record)

    def said() -> str:
        return " ".join(what for where, what in show(full) if where == "tiny-cwd seed 0")

    assert "beside the record" not in said()
    detections.write_text('{"bbox": [] }')
    assert "detections.json beside the record is not the file that was scored" in said()
    other = {"weights": "0" * 64, "train": record["train"]}
    for content in ("{", "[]", "{}", json.dumps(other)):
        path.with_name("train.json").write_text(content)
        assert "train.json beside the record" in said()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '{"config": []}', '{"a": NaN}'])
def test_a_broken_training_file_is_one_sentence(full: Suite, content: str) -> None:
    path = full.results / "runs/tiny-cwd/seed0/train.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"train\.json"):
        outputs.read_trained(full, "tiny-cwd", 0)


def test_data_of_figures_that_are_none_leave_the_page(full: Suite) -> None:
    chance = random.Random(0)
    folder = full.results / "figures"
    folder.mkdir()
    for name in ("qualitative", "attention", "spectrum"):
        (folder / f"{name}.json").write_text(json.dumps(chance.choice(NASTY[:12])))
    (folder / "spectrum.json").write_text("[NaN]")
    render(full, full.results / "report")
    page = (full.results / "report/index.html").read_text(encoding="utf-8")
    assert page.count("not the figure&#39;s data") == 3


def half_of(annotations: Path) -> dict[str, Any]:
    """Every second object as a detection."""
    truth = read_json(annotations)["annotations"]
    return {"bbox": [{**t, "score": 0.5 + i % 7 / 20} for i, t in enumerate(truth[::2])]}


def test_detections_are_scored_anew_and_compared(full: Suite, smoke_data: Path) -> None:
    settings = config.load({"scale": "smoke"}).settings
    badges = {"badges": str(smoke_data.parent), "coco": "coco"}
    suite = replace(full, settings=settings, config={**full.config, "data": badges})
    splits = Badges.splits
    annotations = smoke_data / splits["val"].annotations
    found = half_of(annotations)
    path = full.results / KINDS["runs"]
    path.with_name("detections.json").write_text(json.dumps(found))
    record = json.loads(path.read_text()) | scoring.score(annotations, found)
    record["digests"]["data"] = fingerprint.digest(smoke_data, *splits.values())

    def said() -> set[str]:
        write(path, record)
        records = [("tiny-cwd", 0, record)]
        return {what for _, what in rescored(suite, suite.results, records)}

    assert said() == set()
    record["metrics"]["box"]["AP_S"] += 0.01
    record["errors"]["missed"] -= 0.01
    record["pr"]["75"][3] -= 0.001
    assert said() == {"scored anew it has another errors missed, metrics box AP_S, pr 75"}
    older = {**record, "metrics": json.loads(json.dumps(record["metrics"]))}
    older["metrics"]["box"]["AP_S"] -= 0.01
    for key in ("classes", "errors", "pr"):
        del older[key]
    assert not list(rescored(suite, suite.results, [("tiny-cwd", 0, older)]))
    for content in ("{", "[]", '{"bbox": [1]}', '{"bbox": [{"image_id": -5}]}'):
        path.with_name("detections.json").write_text(content)
        (words,) = said()
        assert "cannot be scored anew" in words
    path.with_name("detections.json").unlink()
    assert "detections.json does not exist" in next(iter(said()))
    record["digests"]["data"] = "0" * 64
    assert "is not its data set" in next(iter(said()))


def test_the_verb_scores_anew_where_it_is_asked_to(
    suite: Suite, fill: Callable[..., Path], smoke_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = fill("tiny-cwd", seeds=(0,))
    splits = Badges.splits
    found = half_of(smoke_data / splits["val"].annotations)
    record = json.loads((root / "desk" / KINDS["runs"]).read_text())
    record |= scoring.score(smoke_data / splits["val"].annotations, found) | {"scale": "smoke"}
    record["digests"]["data"] = fingerprint.digest(smoke_data, *splits.values())
    path = root / "smoke" / KINDS["runs"]
    write(path, record)
    asked = ["--config", "scale=smoke", f"results={root}"]
    asked.append(f"data={{badges: {smoke_data.parent}, coco: coco}}")

    def said(detections: dict[str, Any], *options: str) -> list[str]:
        path.with_name("detections.json").write_text(json.dumps(detections))
        with pytest.raises(SystemExit):
            cli.main(["check-results", *options, *asked])
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if "scored anew" in line]

    assert said(found, "--rescore") == []
    other = {"bbox": found["bbox"][::2]}
    assert said(other) == []
    (line,) = said(other, "--rescore")
    assert line.startswith("tiny-cwd seed 0: scored anew it has another classes box ")
