"""One pretrained backbone serves every architecture that has it."""

from pathlib import Path

import pytest
import torch

from mkd.training import pretraining  # before mmdet

# isort: split
from mkd.experiment import config
from mkd.experiment.architectures import ARCHITECTURES


@pytest.mark.slow
def test_a_backbone_is_the_same_in_whatever_detector_it_was_built(
    smoke_data: Path, tmp_path: Path
) -> None:
    scale = config.load({"scale": "smoke"}).settings
    one, two = (
        pretraining.pretrain(
            ARCHITECTURES[arch], 0.25, scale.pretrain, smoke_data, scale.data, tmp_path
        )[0].state_dict()
        for arch in ("rtmdet-tiny", "rtmdet-ins-tiny")
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
