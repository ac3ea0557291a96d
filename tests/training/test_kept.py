"""Weights that one scale keeps and another takes: the same numbers, and nobody else's."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from mkd.detectors import models  # before mmdet
from mkd.training import trainer

# isort: split
import pytest
import torch
import yaml

from mkd import ROOT, host, jobs
from mkd.errors import UserError
from mkd.experiment import config, paths
from mkd.experiment.suite import Suite
from mkd.files import sha256_file
from mkd.results.check import check
from mkd.training import checkpoints, kept, outputs, weights

HEAD = "run\tarch\tteacher\tmethod\toptions\ttables\n"


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    smoke_data: Path,
    checked: Callable[[Suite, Path], None],
    trained_as: Callable[..., Path],
) -> Path:
    """A scale whose students branch from stems of another, which also trains its teacher.

    Of the other, one seed of each run is kept. ``results`` is for a test, and copied from ``kept``.
    """
    made = tmp_path_factory.mktemp("scales")
    folder = made / "config"
    shutil.copytree(ROOT / "config", folder)
    (folder / "starts.tsv").write_text(
        HEAD + "tiny-stem\trtmdet-tiny\t-\tbaseline\t-\t-\ns-teacher\trtmdet-s\t-\tbaseline\t-\t-\n"
    )
    (folder / "small.tsv").write_text(
        HEAD
        + "s-baseline\trtmdet-s\t-\tbaseline\t-\t1\ntiny-baseline\trtmdet-tiny\t-\tbaseline\t-\t1\n"
        + "tiny-cwd\trtmdet-tiny\ts-baseline\tcwd\t-\t1\n"
    )
    settings = yaml.safe_load((folder / "scales/smoke.yaml").read_text())
    settings["train"] |= {"epochs": 1, "pretrained": "none"}
    del settings["pretrain"]
    starts = {"scale": "small-starts", "stems": {"rtmdet-tiny": "tiny-stem"}}
    for name, more in (
        ("small-starts", {"runs": "config/starts.tsv"}),
        ("small", {"runs": "config/small.tsv", "starts": starts}),
    ):
        (folder / f"scales/{name}.yaml").write_text(yaml.safe_dump(settings | more))
    (made / smoke_data.name).symlink_to(smoke_data)
    suite = loaded(made)
    own = suite.starts
    assert own is not None
    for each in (suite, own):
        checked(each, each.results / "data.json")
    for run in own.runs:
        resolved = own.resolve(run, 0)
        torch.manual_seed(0)
        model = models.build(models.model_config(resolved.architecture, 6, resolved.width))
        models.init_weights(model)
        path = Path(paths.run_path(own, run, 0, ""))
        trained_as(path, resolved, model)
        said = json.loads((path / "train.json").read_text())
        said["inputs"]["data"] = json.loads((own.results / "data.json").read_text())["digest"]
        said["host"] = host.describe([])
        (path / "train.json").write_text(json.dumps(said))
        jobs.evaluate(own, run, 0, own.results / "data.json", "")
        kept.keep(own, run, 0, Path(paths.kept_weights(own, run, 0)))
    shutil.copytree(made / "results", made / "kept")
    return made


def loaded(made: Path) -> Suite:
    """The scale that branches."""
    asked = {
        "scale": "small",
        "results": str(made / "results"),
        "starts": "train",
        "data": {"badges": str(made), "coco": str(made)},
    }
    return config.load(asked, made / "config/config.yaml")


@pytest.fixture
def scales(made: Path) -> Suite:
    """The scale that branches, whatever a test before has done to its results."""
    shutil.rmtree(made / "results")
    shutil.copytree(made / "kept", made / "results")
    return loaded(made)


@pytest.fixture
def starts(scales: Suite) -> Suite:
    """The scale that trains what is kept."""
    assert scales.starts is not None
    return scales.starts


def test_a_run_of_another_scale_is_not_trained_on_this_ones_data(scales: Suite) -> None:
    data = scales.results / "data.json"
    with pytest.raises(UserError, match="its weights are those of scale small-starts: `mkd take`"):
        jobs.train(scales, "s-teacher", 0, data, None, None, None)


def train(suite: Suite, run: str, seed: int) -> Path:
    """Train, score, and return the run's folder."""
    data, folder = suite.results / "data.json", Path(paths.run_path(suite, run, seed, ""))
    teacher, start = (
        Path(found[0]) if found else None
        for found in (
            paths.teacher_weights(suite, run, seed),
            paths.start_weights(suite, run, seed),
        )
    )
    jobs.train(suite, run, seed, data, None, teacher, start)
    jobs.evaluate(suite, run, seed, data, "")
    return folder


def test_kept_weights_are_small_and_have_nearly_the_same_numbers(starts: Suite) -> None:
    own = Path(paths.run_path(starts, "tiny-stem", 0, "weights.pth"))
    path = Path(paths.kept_weights(starts, "tiny-stem", 0))
    assert path.stat().st_size < 0.5 * own.stat().st_size
    whole, half = (checkpoints.read(file)["state_dict"] for file in (own, path))
    for name, value in whole.items():
        torch.testing.assert_close(half[name].to(value.dtype), value, rtol=2**-7, atol=0)
    card = json.loads(kept.card(path).read_text())
    assert card["weights"] == sha256_file(path)
    assert card["metrics"]["box"].keys() >= {"AP", "AP_S"}


@pytest.mark.slow
def test_a_student_branches_from_its_stem_and_learns_from_the_teacher_that_was_taken(
    scales: Suite, starts: Suite
) -> None:
    kept.take(scales, "s-teacher", 0)
    jobs.evaluate(scales, "s-teacher", 0, scales.results / "data.json", "")
    teacher = json.loads(Path(paths.run_path(scales, "s-teacher", 0, "record.json")).read_text())
    assert (teacher["scale"], teacher["taken"]) == ("small", "s-teacher-seed0.pth.xz")
    # Its scale may train it on other images than these, which the check knows.
    said = Path(paths.run_path(scales, "s-teacher", 0, "train.json"))
    before = said.read_text()
    for name, other in ("data", False), ("weights", True):
        said.write_text(before.replace(teacher["digests"][name], "1" * 64))
        found = [problem.what for problem in check(scales, scales.results)[1]]
        assert any("train.json beside the record" in what for what in found) == other
    said.write_text(before)
    folder = train(scales, "tiny-cwd", 0)
    record = json.loads((folder / "record.json").read_text())
    assert record["taken"] is None
    assert record["digests"]["teacher"] == teacher["digests"]["weights"]
    stem = Path(paths.kept_weights(starts, "tiny-stem", 0))
    assert record["digests"]["start"] == sha256_file(stem)
    # With hardly a step made, the student still is its stem.
    resolved = scales.resolve("tiny-baseline", 0)
    still = resolved.train.model_copy(update={"lr": 1e-9})
    student, _ = trainer.train(
        resolved.model_copy(update={"train": still}),
        scales.data_root,
        scales.results / "still",
        start_weights=stem,
    )
    own = checkpoints.read(stem)["state_dict"]
    for name, value in student.state_dict().items():
        if name.endswith("weight"):
            assert torch.allclose(value, own[name].float(), atol=1e-6), name


def test_only_the_right_weights_are_taken(scales: Suite, starts: Suite) -> None:
    path = Path(paths.kept_weights(scales, "s-teacher", 0))
    folder = Path(paths.run_path(scales, "s-teacher", 0, ""))

    def refused(words: str) -> None:
        with pytest.raises(UserError, match=words) as caught:
            kept.take(scales, "s-teacher", 0)
        assert "snakemake starts --config scale=small-starts" in str(caught.value)
        assert not folder.exists() or not list(folder.iterdir())

    content, card = path.read_bytes(), kept.card(path).read_text()
    path.write_bytes(Path(paths.kept_weights(starts, "tiny-stem", 0)).read_bytes())
    refused("is not the one its card is of")
    path.unlink()
    refused("does not exist")
    path.write_bytes(content)
    other = scales.starts
    assert other is not None
    train = other.settings.train.model_copy(update={"lr": 0.001})
    object.__setattr__(other, "settings", other.settings.model_copy(update={"train": train}))
    refused("with another configuration than scale 'small-starts' has now")
    assert kept.card(path).read_text() == card


def test_a_start_of_another_seed_is_refused(scales: Suite, starts: Suite) -> None:
    start = Path(paths.kept_weights(starts, "tiny-stem", 0))
    resolved = scales.resolve("tiny-baseline", 1)
    with pytest.raises(UserError, match="is of tiny-stem, seed 0, not of tiny-stem, seed 1"):
        trainer.train(resolved, scales.data_root, scales.results / "x", start_weights=start)


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" + b])
def test_a_packed_file_that_is_damaged_is_said_to_be(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    whole, packed = tmp_path / "a.pth", tmp_path / "a.pth.xz"
    weights.save(torch.nn.Linear(2, 2), whole, {"run": "a"})
    weights.pack(whole, packed)
    assert weights.meta(packed) == {"run": "a"}
    packed.write_bytes(spoil(packed.read_bytes()))
    with pytest.raises(checkpoints.Damaged, match=r"a\.pth\.xz is damaged, xz cannot unpack it"):
        weights.meta(packed)


def test_packed_weights_are_the_nearest_of_six_bits(tmp_path: Path) -> None:
    whole, packed = tmp_path / "a.pth", tmp_path / "a.pth.xz"
    model = torch.nn.Linear(100, 100)
    with torch.no_grad():
        model.bias[:4] = torch.tensor([0.0, 1.0, -1.0, 2 + 2**-5])
    weights.save(model, whole, {"run": "a"})
    weights.pack(whole, packed)
    was, became = model.state_dict(), weights.read(packed)[0]
    assert became["bias"].dtype == torch.bfloat16
    assert torch.equal(became["bias"][:4].float(), was["bias"][:4])
    lost = (became["weight"].float() - was["weight"]).abs() / was["weight"].abs()
    assert 2**-8 < lost.max() <= 2**-7


def test_a_card_is_read_as_a_training_is(starts: Suite) -> None:
    path = Path(paths.kept_weights(starts, "tiny-stem", 0))
    assert outputs.parse(kept.card(path)).config == starts.resolve("tiny-stem", 0)


def test_weights_that_were_not_scored_are_not_kept(starts: Suite) -> None:
    """Their card would have another file's figures."""
    own = Path(paths.run_path(starts, "tiny-stem", 0, "weights.pth"))
    own.write_bytes(own.read_bytes() + b"x")
    out = starts.results / "other.pth.xz"
    with pytest.raises(UserError, match="is not what was trained and scored"):
        kept.keep(starts, "tiny-stem", 0, out)
    assert not out.exists()
