"""The data of a scale of a user's own are looked at before anything is trained on them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mkd import jobs
from mkd.errors import UserError
from mkd.experiment import config
from mkd.experiment.suite import Suite

TEXT = """base: smoke
data:
  kind: coco
  root: {root}
  train: [annotations/instances_train.json, train]
  val: [annotations/instances_val.json, val]
"""


@pytest.fixture
def load(tmp_path: Path, smoke_data: Path) -> Callable[..., Suite]:
    """The scale of a file in a folder, over the images of scale smoke."""

    def loaded(folder: str, more: str = "") -> Suite:
        file = tmp_path / folder / "cells.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(TEXT.format(root=json.dumps(str(smoke_data))) + more)
        return config.load({"scale": str(file), "results": str(tmp_path / "results")})

    return loaded


def test_whose_data_were_prepared_owns_the_results_of_that_name(
    load: Callable[..., Suite],
) -> None:
    first = load("here")
    jobs.prepare_data(first, first.results / "data.json")
    assert load("here").file == first.file
    with pytest.raises(UserError, match=f"has the results of {first.file}, another scale of this"):
        load("there")


def test_weights_that_are_to_take_a_trainings_place_are_there_before_the_data_are_read(
    load: Callable[..., Suite],
) -> None:
    suite = load("here", "pretrained: {s-baseline: no.pth}\n")
    with pytest.raises(UserError, match=r"no\.pth of run 's-baseline' is not there: put it there"):
        jobs.prepare_data(suite, suite.results / "data.json")
    assert not suite.results.exists()
