"""Checkpoints of others, as releases have them, in the place of a training."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mkd.detectors import models  # before mmdet

# isort: split
from mmengine.config import Config
from torch import nn

from mkd import jobs
from mkd.data import splits
from mkd.edge.models import mmyolo_installed
from mkd.errors import UserError
from mkd.experiment import config, paths
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.resolved import ResolvedRun
from mkd.experiment.suite import Suite
from mkd.files import read_json, sha256_file
from mkd.results.check import comparable
from mkd.results.records import load_folder
from mkd.training import kept, outputs, released, weights

NAME = "rtmdet_s_8xb32-300e_coco"


def detector(arch: str, classes: int, width: float = 0.25) -> nn.Module:
    """Weights and statistics of norms that no constructor leaves."""
    torch.manual_seed(0)
    model = models.build(models.model_config(ARCHITECTURES[arch], classes, width))
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 0.9)
    return model


@pytest.fixture
def load(
    smoke_data: Path, tmp_path: Path, checked: Callable[[Suite, Path], None]
) -> Callable[..., Suite]:
    """Scale smoke over checked data, with weights from files by run."""

    def loaded(**pretrained: Any) -> Suite:
        data = config.load({"scale": "smoke"}).settings.data
        suite = config.load(
            {
                "scale": "smoke",
                "results": str(tmp_path / "results"),
                "weights": str(tmp_path / "weights"),
                "pretrained": {run.replace("_", "-"): file for run, file in pretrained.items()},
                "data": {"badges": str(tmp_path / "badges"), "coco": "none"},
            }
        )
        root = data.folder(tmp_path / "badges", tmp_path)
        if not root.exists():
            root.parent.mkdir()
            root.symlink_to(smoke_data)
            checked(suite, suite.results / "data.json")
        return suite

    return loaded


def classes(suite: Suite) -> tuple[str, ...]:
    return splits.classes(suite.data_root, suite.settings.data)


@pytest.mark.parametrize("prefix", ["", "module.", "architecture."])
def test_a_release_takes_the_place_of_a_training(
    load: Callable[..., Suite], release: Callable[..., Path], tmp_path: Path, prefix: str
) -> None:
    """Averaged, logged, wrapped or a student beside its teacher; its name lacks date and digest."""
    suite, theirs = load(s_baseline=NAME), detector("rtmdet-s", 6)
    state = {f"{prefix}{name}": value for name, value in theirs.state_dict().items()}
    if prefix == "architecture.":
        state |= {"teacher.neck.weight": torch.zeros(2), "distiller.fpn.conv": torch.zeros(2)}
    file = release(tmp_path / "weights", state, classes=list(classes(suite)))
    kept.take(suite, "s-baseline", 0)
    folder = Path(paths.run_path(suite, "s-baseline", 0, ""))
    said = outputs.read_trained(suite, "s-baseline", 0)
    assert (said.taken, said.inputs["published"]) == (file.name, sha256_file(file))
    assert said.train["epochs"] == 0
    ours = detector("rtmdet-s", 6)
    models.init_weights(ours)
    outputs.load(ours, folder, said)
    assert all(torch.equal(ours.state_dict()[k], v) for k, v in theirs.state_dict().items())


def test_it_is_scored_and_its_record_says_whose_it_is(
    load: Callable[..., Suite], release: Callable[..., Path], tmp_path: Path
) -> None:
    suite, theirs = load(s_baseline=NAME), detector("rtmdet-s", 6)
    models.init_weights(theirs)
    file = release(tmp_path / "weights", theirs.state_dict(), classes=classes(suite))
    with pytest.raises(UserError, match="is not trained here, its weights are those of"):
        jobs.train(suite, "s-baseline", 0, suite.results / "data.json", None, None, None)
    kept.take(suite, "s-baseline", 0)
    jobs.evaluate(suite, "s-baseline", 0, suite.results / "data.json", "")
    records = load_folder(suite.results, suite.scale)
    assert records.problems == []
    record = records.by_run["s-baseline"][0]
    assert (record["taken"], record["digests"]["published"]) == (file.name, sha256_file(file))
    assert records.published("s-baseline") is record
    assert records.marked("RTMDet-s", "s-baseline") == "RTMDet-s (published weights)"
    assert not [problem for problem in comparable(suite, records) if "s-baseline" in problem.where]


def test_a_file_that_is_not_the_release_its_name_says(
    load: Callable[..., Suite], release: Callable[..., Path], tmp_path: Path
) -> None:
    suite = load(s_baseline=NAME)
    file = release(tmp_path / "weights", detector("rtmdet-s", 6).state_dict())
    with file.open("ab") as handle:
        handle.write(b"more")
    with pytest.raises(UserError, match=r"is damaged|does not have the SHA-256 its name promises"):
        kept.take(suite, "s-baseline", 0)
    other = file.with_name(f"{NAME}_20220905_161602-00000000.pth")
    release(tmp_path / "other", detector("rtmdet-s", 6).state_dict()).rename(other)
    file.unlink()
    with pytest.raises(UserError, match=r"SHA-256 its name promises \(00000000"):
        kept.take(suite, "s-baseline", 0)
    assert not Path(paths.run_path(suite, "s-baseline", 0, "weights.pth")).exists()


def test_without_checked_data_nothing_is_left_half_taken(
    load: Callable[..., Suite], release: Callable[..., Path], tmp_path: Path
) -> None:
    suite = load(s_baseline=NAME)
    release(tmp_path / "weights", detector("rtmdet-s", 6).state_dict())
    (suite.results / "data.json").unlink()
    with pytest.raises(UserError, match=r"data\.json does not exist: run `mkd data"):
        kept.take(suite, "s-baseline", 0)
    assert not list(suite.results.rglob("weights.pth"))


class Touch:
    """Unpickled without care, it touches a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def test_no_code_of_a_release_runs(
    load: Callable[..., Suite], release: Callable[..., Path], tmp_path: Path
) -> None:
    suite, marker = load(s_baseline=NAME), tmp_path / "touched"
    release(tmp_path / "weights", detector("rtmdet-s", 6).state_dict(), classes=Touch(marker))
    with pytest.raises(UserError, match="nothing of it was run"):
        kept.take(suite, "s-baseline", 0)
    assert not marker.exists()


def test_another_architecture_is_refused(
    load: Callable[..., Suite], release: Callable[..., Path], tmp_path: Path
) -> None:
    suite = load(s_baseline="own.pth")
    file = release(tmp_path / "weights", detector("rtmdet-tiny", 6).state_dict())
    file.rename(file.with_name("own.pth"))
    with pytest.raises(UserError, match=r"own\.pth does not fit: 'backbone"):
        kept.take(suite, "s-baseline", 0)


@pytest.mark.parametrize(
    ("count", "named", "key", "words"),
    [
        (80, None, "classes", r"knows 80 classes and the data set has 6 \("),
        (80, [f"c{at}" for at in range(80)], "CLASSES", r"knows 80 classes \(c0, c1, c2, …\)"),
        (6, ["a", "b", "c", "d", "e", "f"], "classes", r"knows 6 classes \(a, b, c, …\)"),
        (6, "reversed", "classes", "in another order"),
        (6, ["a", "b"], "classes", "names 2 classes and has a head for 6"),
    ],
)
def test_other_classes_can_teach_and_are_not_scored(
    load: Callable[..., Suite],
    release: Callable[..., Path],
    tmp_path: Path,
    count: int,
    named: Any,
    key: str,
    words: str,
) -> None:
    suite = load(s_baseline=NAME)
    theirs = detector("rtmdet-s", count)
    known = classes(suite)[::-1] if named == "reversed" else named
    file = release(tmp_path / "weights", theirs.state_dict(), **{key: known})
    with pytest.raises(UserError, match=words) as caught:
        kept.take(suite, "s-baseline", 0)
    assert f'pretrained: {{s-baseline: {{teaches: "{file}"}}}}' in str(caught.value)
    assert suite.scored("s-baseline")
    teaching = load(s_baseline={"teaches": NAME})
    assert not teaching.scored("s-baseline")
    kept.take(teaching, "s-baseline", 0)
    path = Path(paths.run_path(teaching, "s-baseline", 0, "weights.pth"))
    assert weights.num_classes(path) == (None if count == 6 else count)


def test_names_where_mmdet_2_has_them_count(load: Callable[..., Suite], tmp_path: Path) -> None:
    suite = load(s_baseline="old.pth")
    file = tmp_path / "weights/old.pth"
    file.parent.mkdir()
    state = detector("rtmdet-s", 6).state_dict()
    torch.save({"meta": {"CLASSES": classes(suite)[::-1]}, "state_dict": state}, file)
    with pytest.raises(UserError, match="in another order"):
        kept.take(suite, "s-baseline", 0)


def test_several_files_that_fit_are_named(load: Callable[..., Suite], tmp_path: Path) -> None:
    suite = load(s_baseline=NAME)
    (tmp_path / "weights").mkdir()
    for date in ("20220101", "20220202"):
        (tmp_path / f"weights/{NAME}_{date}.pth").touch()
    with pytest.raises(UserError, match=r"_20220101\.pth or .*_20220202\.pth, both fit"):
        kept.take(suite, "s-baseline", 0)


def test_a_seed_of_its_own(load: Callable[..., Suite]) -> None:
    """One file is one seed; a name with a place for the seed has as many as the scale."""
    one, many = load(tiny_baseline="own.pth"), load(tiny_baseline="own-{seed}.pth")
    assert (one.seeds("tiny-baseline"), many.seeds("tiny-baseline")) == ([0], [0, 1])
    assert paths.pretrained_file(many, "tiny-baseline", 1).name == "own-1.pth"


def test_what_is_named_decides_and_the_training_does_not(load: Callable[..., Suite]) -> None:
    def resolved(**pretrained: Any) -> ResolvedRun:
        return load(**pretrained).resolve("tiny-cwd", 0)

    plain, taught, other = resolved(), resolved(s_baseline="a.pth"), resolved(s_baseline="b.pth")
    assert len({run.decisive_digest() for run in (plain, taught, other)}) == 3
    teacher = taught.teacher
    assert teacher is not None
    longer = teacher.model_copy(update={"train": teacher.train.model_copy(update={"epochs": 9})})
    assert longer.decisive_digest() == teacher.decisive_digest()
    wider = teacher.model_copy(update={"width": 1.0})
    assert wider.decisive_digest() != teacher.decisive_digest()


needs_mmyolo = pytest.mark.skipif(not mmyolo_installed(), reason="MMYOLO is not installed")


@needs_mmyolo
def test_mmyolos_rtmdet_says_the_same_in_mmdets_modules(
    load: Callable[..., Suite], tmp_path: Path
) -> None:
    """Of size m: there mmdet's head has an exponential that MMYOLO's has not."""
    import mmyolo

    from mkd.edge import zoo

    source = Path(mmyolo.__file__).parent / ".mim/configs/rtmdet"
    settings = Config.fromfile(source / "rtmdet_m_syncbn_fast_8xb32-300e_coco.py").model
    theirs = zoo.mmyolo_build(settings).eval()
    for name, value in theirs.state_dict().items():
        if "running_" in name:
            value.uniform_(0.5, 1.5)
    suite = load()
    resolved = suite.resolve("s-baseline", 0).model_copy(
        update={"architecture": ARCHITECTURES["rtmdet-m"], "width": 1.0}
    )
    state = {f"architecture.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "m.pth")
    names = tuple(f"c{at}" for at in range(80))
    model, more = released.read(tmp_path / "m.pth", resolved, names, scored=True)
    weights.save(model, tmp_path / "m/seed0/weights.pth", more)
    assert more == {"exp_on_reg": False}
    image = torch.randn(1, 3, 64, 64)
    model.eval().bbox_head.exp_on_reg = False
    with torch.no_grad():
        scores, sides = theirs.bbox_head(theirs.neck(theirs.backbone(image)))
        ours, distances = model.bbox_head(model.neck(model.backbone(image)))
    for level, stride in enumerate((8, 16, 32)):
        assert torch.allclose(ours[level], scores[level], atol=1e-4)
        assert torch.allclose(distances[level], sides[level] * stride, atol=1e-3)


def test_a_head_without_an_exponential_is_read_as_one(
    load: Callable[..., Suite], trained_as: Callable[..., Path], tmp_path: Path
) -> None:
    """Whoever reads the weights of a run, its score, its export, its attention."""
    suite = load()
    resolved, model = suite.resolve("s-baseline", 0), detector("rtmdet-s", 6)
    path = trained_as(tmp_path / "s-baseline/seed0", resolved, model)
    said = outputs.read(path.parent)
    meta = {"run": "s-baseline", "seed": 0, **said.digests}
    for more, wanted in (({}, True), ({"exp_on_reg": False}, False)):
        weights.save(model, path, meta | more)
        content = read_json(path.with_name("train.json"))
        content["weights"] = sha256_file(path)
        path.with_name("train.json").write_text(json.dumps(content))
        model.bbox_head.exp_on_reg = True
        outputs.load(model, path.parent, outputs.read(path.parent))
        assert model.bbox_head.exp_on_reg is wanted
