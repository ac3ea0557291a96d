"""Positives by level, of a real head and its own assigner."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkd.detectors import models  # before mmengine

# isort: split
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mkd import jobs
from mkd.evaluation import levels
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.config import load
from mkd.experiment.suite import Suite
from mkd.results.records import load_folder


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    made = models.build(models.model_config(ARCHITECTURES["rtmdet-tiny"], 6, 0.5))
    models.init_weights(made)
    for convolution in made.bbox_head.rtm_reg:
        # Every position says a square of four times its stride.
        torch.nn.init.constant_(convolution.bias, 2.0)
    return made.eval()


def batch(*sides: float) -> dict[str, Any]:
    """One image of 128 px an object, each a square of that side in the middle."""
    samples = []
    for side in sides:
        sample = DetDataSample(metainfo={"img_shape": (128, 128), "batch_input_shape": (128, 128)})
        low, high = 64 - side / 2, 64 + side / 2
        boxes = torch.tensor([[low, low, high, high]]) if side else torch.zeros(0, 4)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes)).long())
        samples.append(sample)
    image = torch.randint(0, 256, (3, 128, 128), dtype=torch.uint8)
    return {"inputs": [image] * len(sides), "data_samples": samples}


@pytest.mark.parametrize(("side", "level"), [(32, 0), (64, 1), (120, 2)])
def test_an_object_belongs_to_the_level_whose_boxes_fit_it(
    model: Any, side: float, level: int
) -> None:
    found = levels.of_batch(model, batch(side, side))
    assert len(found) == len(levels.STRIDES)
    assert found[level] > sum(found) / 2
    # The assigner gives an object thirteen positives at most.
    assert 2 <= sum(found) <= 2 * 13


def test_an_image_without_an_object_has_no_positive_and_the_head_stays_as_it_was(
    model: Any,
) -> None:
    assert levels.of_batch(model, batch(0)) == [0, 0, 0]
    assert "get_targets" not in vars(model.bbox_head)


@pytest.fixture
def trained(
    tmp_path: Path, smoke_data: Path, trained_as: Callable[..., Path], checked: Callable[..., None]
) -> Suite:
    data = {"badges": str(smoke_data.parent), "coco": "coco"}
    suite = load({"scale": "smoke", "results": str(tmp_path / "results"), "data": data})
    checked(suite, suite.results / "data.json")
    for run in ("tiny-baseline", "ins-s-baseline"):
        resolved = suite.resolve(run, 0)
        torch.manual_seed(0)
        made = models.build(models.model_config(resolved.architecture, 6, resolved.width))
        models.init_weights(made)
        trained_as(suite.results / f"runs/{run}/seed0", resolved, made)
    return suite


def test_the_job_counts_trained_detectors_on_their_own_train_batches(trained: Suite) -> None:
    """Detectors with masks too, whose head has another loss."""
    out, runs = trained.results / "levels.json", ["tiny-baseline", "ins-s-baseline"]
    jobs.levels(trained, runs, out)
    once = json.loads(out.read_text())
    for run in runs:
        counted = once["runs"][run]
        # Six batches of four are the whole train set, fewer than are asked for.
        assert (counted["seed"], counted["images"]) == (0, 24)
        assert sum(counted["positives"]) > 24
    jobs.levels(trained, runs, out)
    assert json.loads(out.read_text()) == once
    assert load_folder(trained.results, "smoke").measured == {"levels": once}
