"""AP over images drawn anew, on the smoke scale's val set."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO

from mkd import cli, jobs
from mkd.data import annotations
from mkd.errors import UserError
from mkd.evaluation import bootstrap, scoring
from mkd.experiment.config import load

VAL = "annotations/instances_val.json"


@pytest.fixture(scope="module")
def truth(smoke_data: Path) -> dict[str, Any]:
    return dict(json.loads((smoke_data / VAL).read_bytes()))


def found(truth: dict[str, Any], wrong: float, seed: int = 0) -> list[dict[str, Any]]:
    """Every object with its box a little off, a share of them with another class."""
    chance = np.random.default_rng(seed)
    made = []
    for item in truth["annotations"]:
        other = int(chance.integers(1, 7)) if chance.random() < wrong else item["category_id"]
        x, y, w, h = item["bbox"]
        box = [x + chance.normal(0, 0.1) * w, y, w, h]
        one = {"image_id": item["image_id"], "category_id": other, "bbox": box}
        made.append({**one, "score": float(chance.random())})
    return made


@pytest.fixture(scope="module")
def judged(smoke_data: Path, truth: dict[str, Any]) -> bootstrap.Judged:
    objects = annotations.truth(truth, masks=False)
    return bootstrap.Judged(COCO(objects.content), objects.number(found(truth, 0.3)))


def test_all_images_once_give_the_records_ap(
    smoke_data: Path, truth: dict[str, Any], judged: bootstrap.Judged
) -> None:
    scored = scoring.score(smoke_data / VAL, {"bbox": found(truth, 0.3)})
    for order in (np.arange(24), np.arange(24)[::-1]):
        assert judged.ap(order) == pytest.approx(scored["metrics"]["box"]["AP"], abs=1e-3)


def test_an_image_drawn_twice_counts_as_two_images(
    tmp_path: Path, truth: dict[str, Any], judged: bootstrap.Judged
) -> None:
    """Against a val set in which the other image really stands once more."""
    ids = sorted(image["id"] for image in truth["images"])
    draw = np.arange(24)
    draw[0] = 1
    new = 10**6
    doubled = {
        **truth,
        "images": [i | ({"id": new} if i["id"] == ids[0] else {}) for i in truth["images"]],
        "annotations": [a for a in truth["annotations"] if a["image_id"] != ids[0]],
    }
    again = [a for a in doubled["annotations"] if a["image_id"] == ids[1]]
    doubled["annotations"] = doubled["annotations"] + [
        {**a, "id": new + a["id"], "image_id": new} for a in again
    ]
    path = tmp_path / "val.json"
    path.write_text(json.dumps(doubled))
    detections = [d for d in found(truth, 0.3) if d["image_id"] != ids[0]]
    detections += [{**d, "image_id": new} for d in detections if d["image_id"] == ids[1]]
    expected = scoring.score(path, {"bbox": detections})["metrics"]["box"]["AP"]
    # The copy stands last there and first here: equal scores are all that order could change.
    assert judged.ap(draw) == pytest.approx(expected, abs=0.3)
    assert judged.ap(draw) != pytest.approx(judged.ap(np.arange(24)), abs=0.01)


def test_a_paired_difference_is_less_noisy_than_its_sides(
    smoke_data: Path, truth: dict[str, Any]
) -> None:
    sides = {"tiny-baseline": found(truth, 0.3), "tiny-cwd": found(truth, 0.25)}
    measured = bootstrap.measure(smoke_data / VAL, sides, resamples=40)
    assert measured == bootstrap.measure(smoke_data / VAL, sides, resamples=40)
    runs, difference = measured["runs"], measured["difference"]
    assert (measured["images"], measured["resamples"]) == (24, 40)
    assert difference["AP"] == pytest.approx(
        runs["tiny-cwd"]["AP"] - runs["tiny-baseline"]["AP"], abs=2e-3
    )
    assert 0 < difference["sd"] < min(run["sd"] for run in runs.values())
    same = bootstrap.measure(
        smoke_data / VAL, {"a": sides["tiny-cwd"], "b": sides["tiny-cwd"]}, resamples=3
    )
    assert same["difference"] == {"AP": 0.0, "sd": 0.0}


def test_a_detector_that_finds_nothing_has_no_noise(
    smoke_data: Path, truth: dict[str, Any]
) -> None:
    measured = bootstrap.measure(smoke_data / VAL, {"a": [], "b": found(truth, 0)}, resamples=3)
    assert measured["runs"]["a"] == {"AP": 0.0, "sd": 0.0}
    assert measured["runs"]["b"]["AP"] > 20


def test_the_job_writes_whose_detections_it_read(
    tmp_path: Path,
    smoke_data: Path,
    truth: dict[str, Any],
    checked: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = {"badges": str(smoke_data.parent), "coco": "coco"}
    suite = load({"scale": "smoke", "results": str(tmp_path / "results"), "data": data})
    checked(suite, suite.results / "data.json")
    out = suite.results / "noise.json"
    runs = ["tiny-baseline", "tiny-cwd"]
    with pytest.raises(UserError, match=r"detections\.json"):
        jobs.noise(suite, runs, out)
    for run, wrong in zip(runs, (0.3, 0.2), strict=True):
        path = suite.results / f"runs/{run}/seed0/detections.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"bbox": found(truth, wrong)}))
    monkeypatch.setattr(bootstrap, "RESAMPLES", 3)
    jobs.noise(suite, runs, out)
    written = json.loads(out.read_text())
    assert written["scale"] == "smoke"
    assert written["runs"]["tiny-cwd"]["seed"] == 0
    assert len(written["runs"]["tiny-cwd"]["detections"]) == 64


def test_a_table_without_those_runs_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs.tsv"
    runs.write_text(
        "run\tarch\tteacher\tmethod\toptions\ttables\nmine\trtmdet-s\t-\tbaseline\t-\t1"
    )
    for verb in ("noise", "levels"):
        with pytest.raises(SystemExit):
            cli.main([verb, "--out", str(tmp_path / "x.json"), "--config", f"runs={runs}"])
        assert "lacks a run this is measured on" in capsys.readouterr().err
    scale = tmp_path / "cells.yaml"
    scale.write_text("base: smoke\ndata: {kind: coco, root: cells}\n")
    for verb in ("noise", "levels", "attention"):
        with pytest.raises(SystemExit):
            cli.main([verb, "--out", str(tmp_path / "x.json"), "--config", f"scale={scale}"])
        assert "cells.yaml is a scale of your own: this is measured" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()
