"""Detections that a training leaves: taken where the same decided them, made anew elsewhere."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mkd.detectors import models  # before mmdet

# isort: split
import pytest

from mkd.errors import UserError
from mkd.evaluation import detected
from mkd.experiment import config
from mkd.training import outputs

KEY = {"data": "a", "evaluation_code": "b", "evaluation_config": "c"}


@pytest.fixture
def folder(tmp_path: Path, trained_as: Callable[..., Path]) -> Path:
    resolved = config.load({"scale": "smoke"}).resolve("tiny-baseline", 0)
    folder = tmp_path / "tiny-baseline/seed0"
    model = models.build(models.model_config(resolved.architecture, 6, resolved.width))
    trained_as(folder, resolved, model)
    return folder


def test_what_a_training_left_is_taken_only_where_the_same_decided_it(
    folder: Path, smoke_data: Path
) -> None:
    said = outputs.read(folder)
    fresh = detected.find(folder, said, smoke_data, KEY)
    assert not (folder / detected.NAME).exists()
    detected.leave(folder, said, smoke_data, KEY)
    left = detected.find(folder, said, smoke_data, KEY)
    assert {**left, "seconds": 0} == {**fresh, "seconds": 0}

    # Marked, to tell what was left from what is found anew.
    content = json.loads((folder / detected.NAME).read_text())
    (folder / detected.NAME).write_text(json.dumps(content | {"seconds": -1}))
    assert detected.find(folder, said, smoke_data, KEY)["seconds"] == -1
    for other in (KEY | {"data": "z"}, KEY | {"evaluation_code": "z"}):
        assert detected.find(folder, said, smoke_data, other)["seconds"] > 0
    for broken in ("", "[", "null", '{"key": 3}'):
        (folder / detected.NAME).write_text(broken)
        assert detected.find(folder, said, smoke_data, KEY)["seconds"] > 0


def test_detections_of_weights_that_are_no_longer_there_are_refused(
    folder: Path, smoke_data: Path, tmp_path: Path
) -> None:
    said = outputs.read(folder)
    detected.leave(folder, said, smoke_data, KEY)
    shutil.copy(folder / "train.json", folder / "weights.pth")
    with pytest.raises(UserError, match=r"is not the one that train\.json beside it was written"):
        detected.find(folder, said, smoke_data, KEY)
    # Of other weights nothing was left.
    with pytest.raises(UserError, match="no checkpoint"):
        detected.find(folder, replace(said, weights="0" * 64), smoke_data, KEY)
