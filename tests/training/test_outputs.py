"""What a training leaves: two files that know each other, their run and their seed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mkd.detectors import models  # before mmdet
from mkd.training import trainer

# isort: split
import pytest
import torch

from mkd import jobs
from mkd.errors import UserError
from mkd.experiment import config, paths
from mkd.experiment.suite import Suite
from mkd.training import outputs, weights

RUN, OTHER = "tiny-baseline", "tiny-mkd"


@pytest.fixture
def suite(tmp_path: Path, smoke_data: Path, checked: Callable[[Suite, Path], None]) -> Suite:
    """Scale smoke with the weights of two seeds of a run, of another run, and of the teacher."""
    data = {"badges": str(tmp_path), "coco": str(tmp_path)}
    loaded = config.load({"scale": "smoke", "results": str(tmp_path / "results"), "data": data})
    loaded.data_root.symlink_to(smoke_data)
    checked(loaded, tmp_path / "data.json")
    checked(loaded, loaded.results / "data.json")
    return loaded


@pytest.fixture
def lay(suite: Suite, trained_as: Callable[..., Path]) -> Callable[..., Path]:
    """Weights of a run and seed, where the suite has them, of the data set that is there."""
    own = json.loads((suite.results / "data.json").read_text())["digest"]

    def put(run: str, seed: int, data: str = own) -> Path:
        resolved = suite.resolve(run, seed)
        torch.manual_seed(seed)
        model = models.build(models.model_config(resolved.architecture, 6, resolved.width))
        return trained_as(Path(paths.run_path(suite, run, seed, "")), resolved, model, data)

    return put


def refused(suite: Suite, words: str, run: str = RUN, seed: int = 0) -> None:
    """Scoring says one sentence and leaves nothing."""
    data = Path(suite.config["results"]).parent / "data.json"
    with pytest.raises(UserError, match=words) as caught:
        jobs.evaluate(suite, run, seed, data, "")
    assert "\n" not in str(caught.value)
    folder = Path(paths.run_path(suite, run, seed, ""))
    assert {path.name for path in folder.iterdir()} <= {"weights.pth", "train.json"}


def test_weights_of_another_run_or_seed_are_not_scored(
    suite: Suite, lay: Callable[..., Path]
) -> None:
    own, other, seed = lay(RUN, 0), lay(OTHER, 0), lay(RUN, 1)
    for foreign, name in ((other, OTHER), (seed, f"{RUN}, seed 1")):
        shutil.copy(foreign, own)
        refused(suite, f"weights.pth is of {name}.*, not of {RUN}, seed 0: put the right file")
        # With the file beside it, which speaks of the same weights.
        shutil.copy(foreign.with_name("train.json"), own.with_name("train.json"))
        refused(suite, f"train.json is of {name}.* does not belong in this folder")
        lay(RUN, 0)


def test_weights_of_another_row_or_of_other_data_are_not_scored(
    suite: Suite, lay: Callable[..., Path]
) -> None:
    """The record would name today's row and data."""
    lay(RUN, 0, data="d" * 64)
    row = replace(suite.runs[RUN], arch="rtmdet-s")
    refused(
        replace(suite, runs={**suite.runs, RUN: row}), "with another configuration than config/"
    )
    refused(suite, "was trained on other data than .* holds now: train it again")


def test_weights_of_an_earlier_training_of_the_same_run_are_not_scored(
    suite: Suite, lay: Callable[..., Path], trained_as: Callable[..., Path]
) -> None:
    """As a kill between the two files could leave them."""
    path = lay(RUN, 0)
    said = path.with_name("train.json").read_bytes()
    resolved = suite.resolve(RUN, 0)
    torch.manual_seed(5)
    model = models.build(models.model_config(resolved.architecture, 6, resolved.width))
    trained_as(path.parent, resolved, model)
    path.with_name("train.json").write_bytes(said)
    refused(suite, "is not the one that train.json beside it was written with")
    longer = resolved.train.model_copy(update={"epochs": 9})
    changed = resolved.model_copy(update={"train": longer})
    trained_as(path.parent, changed, model)
    path.with_name("train.json").write_bytes(said)
    refused(suite, "is of another config")


@pytest.mark.parametrize(
    "said", ["", "{", "{}", "[]", "null", '"x"', "[" * 5000, '{"config": {"run": NaN}}', "\xff"]
)
def test_a_train_json_that_is_none_is_one_sentence(
    suite: Suite, lay: Callable[..., Path], said: str
) -> None:
    lay(RUN, 0).with_name("train.json").write_bytes(said.encode("latin1"))
    refused(suite, "train.json.*: train the run again$")


def test_a_train_json_that_was_changed_is_one_sentence(
    suite: Suite, lay: Callable[..., Path]
) -> None:
    path = lay(RUN, 0).with_name("train.json")
    said = json.loads(path.read_text())
    for key in list(said):
        for value in (None, [], "x", 7, {}):
            if value == said[key] or key in ("commit", "started", "versions", "host", "teacher"):
                continue
            path.write_text(json.dumps({**said, key: value}))
            with pytest.raises(UserError):
                outputs.load(torch.nn.Linear(1, 1), path.parent, outputs.read(path.parent))
    path.write_text(json.dumps({**said, "config": {**said["config"], "input_px": 96}}))
    refused(suite, "its configuration has another digest than it says")


def test_weights_of_another_scale_are_not_scored(suite: Suite, lay: Callable[..., Path]) -> None:
    path = lay(RUN, 0)
    other = config.load({"scale": "desk", "results": suite.config["results"]})
    shutil.copytree(path.parent, paths.run_path(other, RUN, 0, ""))
    refused(other, "of scale smoke: train the run again")


def test_a_teacher_is_the_run_and_seed_that_the_table_says(
    suite: Suite, lay: Callable[..., Path], smoke_data: Path, tmp_path: Path
) -> None:
    resolved = suite.resolve(OTHER, 0)
    right = lay("s-baseline", 0)
    wrong = lay("s-baseline", 1)
    with pytest.raises(UserError, match="is of s-baseline, seed 1, not of s-baseline, seed 0"):
        trainer.train(resolved, smoke_data, tmp_path / "work", None, wrong)
    assert outputs.teacher(right, "s-baseline") == "s-baseline"
    shutil.copy(wrong, right)
    with pytest.raises(UserError, match="is not the one that train.json beside it"):
        outputs.teacher(right, "s-baseline")


def test_a_teacher_that_no_run_made_is_named_as_the_file_it_is(tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.ones(1)}, "meta": {"seed": 0}}, tmp_path / "mine.pth")
    assert outputs.teacher(tmp_path / "mine.pth", "s-baseline") == "mine.pth"


def test_a_backbone_of_another_size_is_not_taken(
    suite: Suite, smoke_data: Path, tmp_path: Path
) -> None:
    resolved = suite.resolve(RUN, 0)
    model = models.build(models.model_config(resolved.architecture, 6, resolved.width))
    weights.save(model.backbone, tmp_path / "x.pth", {"backbone": "s", "accuracy": 0.5})
    with pytest.raises(UserError, match=f"is a backbone of size s, and run '{RUN}' wants tiny"):
        trainer.train(resolved, smoke_data, tmp_path / "work", tmp_path / "x.pth")


def test_checkpoints_under_another_teacher_are_another_trainings(
    suite: Suite, lay: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed run does not go on from them."""

    class Begun(Exception):
        pass

    seen: list[tuple[Path, str]] = []

    def begin(*given: Any) -> None:
        seen.append((given[2], given[7]))
        raise Begun

    monkeypatch.setattr(trainer, "train", begin)
    other = tmp_path / "mine.pth"
    torch.save({"state_dict": {"w": torch.ones(1)}}, other)
    own = lay("s-baseline", 0)
    for teacher in (own, own, other):
        with pytest.raises(Begun):
            jobs.train(suite, OTHER, 0, tmp_path / "data.json", None, teacher, None)
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[2][0]
    assert seen[0][1] != seen[2][1]
