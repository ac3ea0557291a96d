"""Loaders of a configuration that would be left out without a word are refused."""

from pathlib import Path

import pytest

from mkd.errors import UserError
from mkd.experiment.architectures import architecture
from mkd.training import config_check

BASE = "_base_ = 'mmdet::{}'\n"
OTHER = """
steps = [dict(type="LoadImageFromFile"), dict(type="PackDetInputs")]
{loader} = dict(dataset=dict(pipeline=steps))
"""


def check(text: str, base: str = "gfl/gfl_r50_fpn_1x_coco.py") -> None:
    Path("own.py").write_text(BASE.format(base) + text)
    config_check.check(architecture("config:own.py"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Files of one name are told apart by their folder.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        config_check.models, "_generic_config", config_check.models._generic_config.__wrapped__
    )


@pytest.mark.parametrize(
    "name", ["rtmdet-tiny", "gfl_r50_fpn_1x_coco", "yolox_tiny_8xb8-300e_coco"]
)
def test_the_suites_and_mmdets_own_pass(name: str) -> None:
    config_check.check(architecture(name))


def test_pipelines_by_their_names_pass() -> None:
    check("")
    check("train_pipeline = [dict(type='LoadImageFromFile')]\n"
          "train_dataloader = dict(dataset=dict(pipeline=train_pipeline))\n")  # fmt: skip
    # Its mixing data set holds one that loads.
    check("", "yolox/yolox_tiny_8xb8-300e_coco.py")


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader"])
def test_a_pipeline_of_the_loaders_own_is_refused(loader: str) -> None:
    with pytest.raises(UserError, match=rf"own\.py: {loader} has another pipeline than t"):
        check(OTHER.format(loader=loader))


def test_a_loader_without_a_sampler_is_refused() -> None:
    kept = "dict(_delete_=True, batch_size=2, dataset=dict(type='CocoDataset'))"
    with pytest.raises(UserError, match="names no sampler: add"):
        check(f"train_dataloader = {kept}\n")
