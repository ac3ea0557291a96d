"""What ``mkd compare`` says of two results folders."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mkd.errors import UserError
from mkd.experiment.suite import Suite
from mkd.provenance import seal
from mkd.results import statistics
from mkd.results.compare import compare
from mkd.results.records import load_folder


@pytest.fixture
def pair(suite: Suite, fill: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """A folder and its copy."""
    fill("tiny-baseline", "tiny-cwd", "tiny-mkd")
    shutil.copytree(suite.results, tmp_path / "other" / "desk")
    return suite.results, tmp_path / "other" / "desk"


def shift(root: Path, run: str, *steps: float) -> None:
    for seed, step in enumerate(steps):
        path = root / f"runs/{run}/seed{seed}/record.json"
        record = json.loads(path.read_text())
        record["metrics"]["box"]["AP"] += step
        path.write_text(json.dumps({**record, "sha256": seal(record)}))


def test_the_same_is_the_same(pair: tuple[Path, Path]) -> None:
    lines = compare(*pair)
    assert lines[0].startswith(f"A {pair[0]}: 9 records of desk scale; commit 0123456789;")
    assert lines[1].startswith(f"B {pair[1]}: 9 records of desk scale")
    assert lines[2:] == ["the same to the last digit in both: tiny-baseline, tiny-cwd, tiny-mkd"]


def test_a_broken_record_is_named_with_its_side_and_of_nothing_but_such_the_first(
    pair: tuple[Path, Path],
) -> None:
    a, b = pair
    (b / "runs/tiny-cwd/seed0/record.json").write_text("{")
    assert next(line for line in compare(a, b) if "not readable" in line).startswith(
        "B runs/tiny-cwd/seed0/record.json: "
    )
    for path in b.glob("runs/*/seed*/record.json"):
        path.write_text("{")
    with pytest.raises(UserError, match="has no sound record: .*not readable as JSON"):
        compare(a, b)


def test_a_record_of_an_earlier_version_says_less(pair: tuple[Path, Path]) -> None:
    for path in pair[0].glob("runs/*/seed*/record.json"):
        record = json.loads(path.read_text())
        del record["digests"]["evaluation_config"]
        path.write_text(json.dumps({**record, "sha256": seal(record)}))
    assert compare(*pair)[2:] == [
        "the same to the last digit in both: tiny-baseline, tiny-cwd, tiny-mkd"
    ]


def test_a_changed_figure_is_paired_by_seed_and_the_verdicts_follow(
    pair: tuple[Path, Path],
) -> None:
    a, b = pair
    shift(b, "tiny-mkd", -30.0, -30.5, -31.0)
    lines = compare(a, b)
    old, new = (load_folder(root, "desk").points("tiny-mkd", "box.AP") for root in pair)
    delta = statistics.paired_delta(new, old)
    assert delta is not None
    said = next(line for line in lines if line.startswith("tiny-mkd: "))
    assert said.endswith(f"Δ −30.50 ± {delta.half_width:.2f} over seed 0, 1, 2")
    assert "verdict on mkd-over-baseline-tiny: reproduced → not reproduced" in lines
    # Of a scale of a user's own nothing is judged, whatever its runs are called.
    for root in pair:
        for path in root.glob("runs/*/seed*/record.json"):
            record = json.loads(path.read_text()) | {"scale": "cells"}
            path.write_text(json.dumps({**record, "sha256": seal(record)}))
    lines = compare(a, b)
    assert any(line.startswith("tiny-mkd: ") for line in lines)
    assert not any(line.startswith("verdict") for line in lines)
    assert "the same to the last digit in both: tiny-baseline, tiny-cwd" in lines


def test_what_only_one_has_and_what_is_broken_is_named(pair: tuple[Path, Path]) -> None:
    a, b = pair
    shutil.rmtree(b / "runs/tiny-cwd/seed1")
    (a / "runs/tiny-mkd/seed2/record.json").write_text("[]")
    lines = compare(a, b)
    assert "only in A: tiny-cwd seed 1" in lines
    assert "only in B: tiny-mkd seed 2" in lines
    assert any(line.startswith("A runs/tiny-mkd/seed2/record.json: ") for line in lines)


def test_code_data_and_libraries_that_differ_are_named(pair: tuple[Path, Path]) -> None:
    a, b = pair
    parts = {
        "config": "configuration",
        "data": "data",
        "code": "training code",
        "evaluation_code": "scoring code",
        "evaluation_config": "scoring settings",
    }
    for seed in (0, 1, 2):
        path = b / f"runs/tiny-cwd/seed{seed}/record.json"
        record = json.loads(path.read_text())
        record["digests"].update(dict.fromkeys(parts, "1" * 64))
        record["versions"]["torch"] = "2.15.0"
        path.write_text(json.dumps({**record, "sha256": seal(record)}))
    lines = compare(a, b)
    for words in parts.values():
        assert f"{words} differs in 3 of 9 shared records: tiny-cwd" in lines
    assert "torch: 2.14.1 → 2.14.1 / 2.15.0" in lines


@pytest.mark.parametrize(
    ("counted", "words"),
    [
        ("params_m", "millions of parameters 1.213 → 2.0 / 1.213"),
        ("macs_g", "GMACs 0.0812 → 2.0 / 0.0812"),
    ],
)
def test_a_run_that_costs_otherwise_is_not_the_same(
    pair: tuple[Path, Path], counted: str, words: str
) -> None:
    path = pair[1] / "runs/tiny-cwd/seed0/record.json"
    record = json.loads(path.read_text()) | {counted: 2.0}
    path.write_text(json.dumps({**record, "sha256": seal(record)}))
    lines = compare(*pair)
    assert "the same to the last digit in both: tiny-baseline, tiny-mkd" in lines
    assert f"tiny-cwd: {words}" in lines


def test_two_scales_do_not_compare(pair: tuple[Path, Path]) -> None:
    for path in pair[1].glob("runs/*/seed*/record.json"):
        record = json.loads(path.read_text()) | {"scale": "lab"}
        path.write_text(json.dumps({**record, "sha256": seal(record)}))
    with pytest.raises(UserError, match="desk scale and .* lab scale"):
        compare(*pair)


def test_a_folder_without_records_is_one_sentence(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no record"):
        compare(pair[0], tmp_path / "none")
