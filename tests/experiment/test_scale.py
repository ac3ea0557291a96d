"""A scale's file as models, and the schema that is made from them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment import config, run_digests, scale, scale_file
from mkd.experiment.datasets import Badges
from mkd.schemas import read_yaml, schema_path, validate

SCALES = scale_file.names(ROOT / "config/scales")


def settings(name: str) -> dict[str, Any]:
    found: dict[str, Any] = read_yaml(ROOT / f"config/scales/{name}.yaml")
    return found


def test_the_schema_is_the_models() -> None:
    assert schema_path("scale").read_text(encoding="utf-8") == scale.schema(), (
        "run python -m mkd.experiment.scale"
    )


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_keeps_all_its_file_says_and_never_changes(name: str) -> None:
    read = scale.Scale.model_validate(settings(name))
    assert read.model_dump(exclude_unset=True) == settings(name)
    with pytest.raises(ValidationError, match="frozen"):
        read.train.lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("section", "key"),
    [(None, "pretrain"), (None, "estimate"), (None, "mask_rcnn"), (None, "runs"),
     ("data", "train_images"), ("train", "teacher_epochs"), ("train", "by_run")],
)  # fmt: skip
def test_what_may_be_left_out_is_not_written_as_null(section: str | None, key: str) -> None:
    made = settings("lab")
    (made if section is None else made[section])[key] = None
    with pytest.raises(UserError, match=f"{key}: None is not of type"):
        validate(made, "scale", "x")


def test_a_misspelt_key_is_named_and_not_the_one_that_is_missing() -> None:
    made = settings("smoke")
    made["pretrain"]["rate"] = made["pretrain"].pop("lr")
    with pytest.raises(UserError, match="pretrain: .*'rate' was unexpected"):
        validate(made, "scale", "x")


@pytest.mark.parametrize("data", [[], None, {}, {"kind": []}, {"kind": "coco", "val_images": 1}])
def test_a_data_set_of_no_known_kind_is_one_sentence(data: object) -> None:
    with pytest.raises(UserError, match=r"^x: data") as error:
        validate({**settings("smoke"), "data": data}, "scale", "x")
    assert "\n" not in str(error.value)


def test_mask_rcnn_replaces_what_its_section_names_alone() -> None:
    suite = config.load({"scale": "paper"})
    own, plain = suite.train("mask-r50-baseline"), suite.train("tiny-baseline")
    replaced = suite.settings.mask_rcnn.train.model_dump(exclude_none=True).keys()
    for key, value in own:
        assert key in replaced or value == getattr(plain, key)
    assert own.sgd is not None
    assert plain.sgd is None
    assert suite.evaluate("mask-r50-baseline").batch_size == 1
    scored = [
        run_digests.evaluation_config(suite, f"{name}-baseline") for name in ("mask-r50", "s")
    ]
    assert len(set(scored)) == 2


def test_badges_of_every_size_and_seed_have_a_folder_of_their_own() -> None:
    kinds = [(8, 4, 0), (8, 4, 1), (8, 4, 2), (9, 4, 0), (8, 5, 0)]
    made = [
        Badges(kind="badges", train_images=train, val_images=val, seed=seed)
        for train, val, seed in kinds
    ]
    folders = {data.folder(Path("badges"), Path("scales")) for data in made}
    assert len(folders) == len(kinds)
    assert {folder.parent for folder in folders} == {Path("badges")}
