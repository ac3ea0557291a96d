"""The data of a scale of a user's own are looked at before anything is trained on them."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mkd import jobs
from mkd.data import fingerprint
from mkd.errors import UserError
from mkd.experiment import config
from mkd.experiment.suite import Suite
from mkd.files import write_json
from mkd.jobs import runs

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


def test_an_image_with_more_objects_than_detections_are_kept_is_refused(
    load: Callable[..., Suite],
) -> None:
    """No detector could find them all, and every AP would be too low."""
    suite = load("here", "evaluate: {max_per_image: 1}\n")
    said = r"val set in .* has ([2-9]) objects, and scale 'cells' keeps 1 detections"
    with pytest.raises(UserError, match=said) as seen:
        jobs.prepare_data(suite, suite.results / "data.json")
    assert not (suite.results / "data.json").exists()
    densest = re.search(said, str(seen.value))
    assert densest
    enough = load("here", f"evaluate: {{max_per_image: {densest[1]}}}\n")
    jobs.prepare_data(enough, enough.results / "data.json")


def test_a_detector_with_masks_wants_data_that_were_checked_for_them(
    load: Callable[..., Suite],
) -> None:
    suite = load("here")
    data = suite.results / "data.json"
    jobs.prepare_data(suite, data)
    masked = replace(
        suite, runs={"ins": replace(suite.runs["tiny-baseline"], id="ins", arch="rtmdet-ins-tiny")}
    )
    runs._check_masks(masked, "ins", data, "val")
    checked = json.loads(data.read_text())
    checked["splits"]["val"]["masks"] = False
    data.write_text(json.dumps(checked))
    runs._check_masks(suite, "tiny-baseline", data, "val")
    with pytest.raises(UserError, match="run 'ins' has masks, and objects of the val set in"):
        runs._check_masks(masked, "ins", data, "val")


def test_data_that_have_changed_name_the_command_of_their_scale(
    load: Callable[..., Suite],
) -> None:
    suite = load("here")
    write_json(suite.results / "data.json", {"digest": "0" * 64, "stamp": "0" * 64})
    said = f"anew: snakemake summary --config scale={suite.file} --forcerun data"
    with pytest.raises(UserError, match=re.escape(said)):
        fingerprint.verify_data(suite)
