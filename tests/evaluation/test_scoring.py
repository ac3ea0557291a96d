"""What an evaluation says of detections, on the smoke scale's val set."""

import json
from pathlib import Path
from typing import Any

import pytest

from mkd.evaluation import scoring

VAL = "annotations/instances_val.json"


@pytest.fixture(scope="module")
def truth(smoke_data: Path) -> dict[str, Any]:
    return dict(json.loads((smoke_data / VAL).read_bytes()))


def shifted(truth: dict[str, Any], by: float) -> list[dict[str, Any]]:
    """Every second object, moved to the right by a share of its width."""
    return [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "bbox": [a["bbox"][0] + by * a["bbox"][2], *a["bbox"][1:]],
            "score": 1 / (1 + a["id"]),
        }
        for a in truth["annotations"][::2]
    ]


def test_the_curves_hold_the_aps_they_belong_to(smoke_data: Path, truth: dict[str, Any]):
    """At an IoU of 0.6 boxes count at .50 and not at .75."""
    scored = scoring.score(smoke_data / VAL, {"bbox": shifted(truth, 0.25)})
    box, curves = scored["metrics"]["box"], scored["pr"]
    assert box["AP50"] > 20
    assert box["AP75"] < 5
    for name in ("50", "75"):
        assert len(curves[name]) == 101
        assert 100 * sum(curves[name]) / 101 == pytest.approx(box[f"AP{name}"], abs=0.01)
    assert scored["errors"]["missed"] > 0


def test_a_detector_that_finds_nothing_has_errors_and_no_curve(smoke_data: Path):
    scored = scoring.score(smoke_data / VAL, {"bbox": []})
    assert scored["metrics"]["box"]["AP"] == 0
    assert scored["errors"]["missed"] == 100
    assert "pr" not in scored


def test_without_objects_there_is_no_figure(tmp_path: Path, truth: dict[str, Any]):
    path = tmp_path / "val.json"
    path.write_text(json.dumps({**truth, "annotations": []}))
    scored = scoring.score(path, {"bbox": shifted(truth, 0)})
    assert set(scored["metrics"]["box"].values()) == {None}
    assert "pr" not in scored


def test_ap_is_the_mean_of_the_classes(smoke_data: Path, truth: dict[str, Any], tmp_path: Path):
    """A class without an object has no figure and no part in the mean."""
    path = tmp_path / "val.json"
    more = [{"id": 99, "name": "nowhere"}, *reversed(truth["categories"])]
    path.write_text(json.dumps({**truth, "categories": more}))
    scored = scoring.score(path, {"bbox": shifted(truth, 0.25)})
    found = scored["classes"]["box"]
    by_id = sorted(truth["categories"], key=lambda category: category["id"])
    assert list(found) == [*(category["name"] for category in by_id), "nowhere"]
    assert found.pop("nowhere") is None
    assert len(set(found.values())) > 1
    mean = sum(found.values()) / len(found)
    assert mean == pytest.approx(scored["metrics"]["box"]["AP"], abs=0.01)
