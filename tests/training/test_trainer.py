"""Training: reproducible, resumable, and plain where nothing is distilled."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mkd.detectors import models  # before mmdet
from mkd.training import trainer

# isort: split
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, PARAM_SCHEDULERS

from mkd.errors import UserError
from mkd.experiment import config
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.datasets import Coco
from mkd.experiment.suite import Suite
from mkd.training import checkpoints, student, weights
from mkd.training.history import Summary

ROWS = [
    "s\trtmdet-s\t-\tbaseline\t-\t1",
    "plain\trtmdet-tiny\t-\tbaseline\t-\t1",
    "mkd\trtmdet-tiny\ts\tmkd\t-\t1",
    "zero\trtmdet-tiny\ts\tmkd\talpha=0\t1",
    "balanced\trtmdet-tiny\ts\tmkd-balanced\t-\t1",
    "stops\trtmdet-tiny\ts\tmkd\tstop_epoch=1\t1",
]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    table = tmp_path_factory.mktemp("runs") / "runs.tsv"
    table.write_text("\n".join(["run\tarch\tteacher\tmethod\toptions\ttables", *ROWS]) + "\n")
    return config.load({"scale": "smoke", "runs": str(table)})


@pytest.fixture(scope="module")
def teacher(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "weights.pth"
    torch.manual_seed(0)
    model = models.build(models.model_config(ARCHITECTURES["rtmdet-s"], 6, suite.settings.width))
    models.init_weights(model)
    weights.save(model, path, {})
    return path


def run(
    suite: Suite, name: str, data: Path, work: Path, teacher: Path, **changes: Any
) -> tuple[dict[str, torch.Tensor], Summary]:
    resolved = suite.resolve(name, 0)
    train = resolved.train.model_copy(update=changes)
    resolved = resolved.model_copy(update={"train": train})
    above = teacher if resolved.teacher else None
    model, summary = trainer.train(resolved, data, work, None, above)
    return model.state_dict(), summary


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
def test_alpha_zero_is_plain_training_weight_for_weight(
    suite: Suite, smoke_data: Path, tmp_path: Path, teacher: Path
) -> None:
    plain, _ = run(suite, "plain", smoke_data, tmp_path / "a", teacher)
    zero, summary = run(suite, "zero", smoke_data, tmp_path / "b", teacher)
    whole, _ = run(suite, "mkd", smoke_data, tmp_path / "c", teacher)
    assert same(plain, zero)
    assert not same(plain, whole)
    assert {"loss_multiscale", "loss_fdmd", "loss_fad"} <= summary.curve[0].keys()


def test_a_teacher_may_know_other_classes(suite: Suite, tmp_path: Path) -> None:
    """Features teach: its head stays its own, and no loss of the student knows of it."""
    path, width = tmp_path / "weights.pth", suite.width("s")
    theirs = models.build(models.model_config(ARCHITECTURES["rtmdet-s"], 80, width))
    models.init_weights(theirs)
    weights.save(theirs, path, {"run": "s", "seed": 0, "num_classes": 80})
    model = student.build(suite.resolve("mkd", 0), 3, None, path, None)
    assert model.teacher.bbox_head.num_classes == 80
    assert model.architecture.bbox_head.num_classes == 3
    assert same(model.teacher.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("said", [0, -1, "80", True, 10**12, None, [3]])
def test_what_no_number_of_classes_is_counts_as_unsaid(tmp_path: Path, said: Any) -> None:
    path = tmp_path / "weights.pth"
    weights.save(torch.nn.Linear(2, 2), path, {"num_classes": said})
    assert weights.num_classes(path) is None


@HOOKS.register_module()
class PowerCut(Hook):
    """Ends the process's work at an iteration, as a kill would."""

    class Cut(Exception):
        pass

    def __init__(self, at: int) -> None:
        self.at = at

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.at:
            raise PowerCut.Cut


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
def test_a_cut_run_resumes_to_the_same_weights_bit_for_bit(
    suite: Suite, smoke_data: Path, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the last checkpoint is cut short: the one before serves.

    Balanced MKD has all that MKD has, its random masks too, and weights beside.
    """
    name = "balanced"
    whole, summary = run(suite, name, smoke_data, tmp_path / "whole", teacher, epochs=3)
    with monkeypatch.context() as patch:
        stock = trainer.runner_config

        def with_cut(*arguments: Any) -> Any:
            made = stock(*arguments)
            made.custom_hooks.append({"type": "PowerCut", "at": 5})
            return made

        patch.setattr(trainer, "runner_config", with_cut)
        with pytest.raises(PowerCut.Cut):
            run(suite, name, smoke_data, tmp_path / "cut", teacher, epochs=3)
    shutil.copytree(tmp_path / "cut", tmp_path / "broken")
    last = tmp_path / "broken/epoch_2.pth"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    for work in ("cut", "broken"):
        resumed, after = run(suite, name, smoke_data, tmp_path / work, teacher, epochs=3)
        assert same(whole, resumed), work
        assert last.with_name("epoch_2.pth.damaged").exists() == (work == "broken")
        assert after.step_s < after.wall_s
        timeless = ("curve", "gradient_norms", "term_weights", "iterations")
        assert [getattr(summary, key) for key in timeless] == [
            getattr(after, key) for key in timeless
        ]


@pytest.mark.slow
def test_a_finished_runs_checkpoint_serves_that_run_and_seed_alone(
    suite: Suite, smoke_data: Path, tmp_path: Path, teacher: Path
) -> None:
    made, _ = run(suite, "plain", smoke_data, tmp_path, teacher, epochs=1)
    # Killed before its weights were written: nothing is left to train.
    again, _ = run(suite, "plain", smoke_data, tmp_path, teacher, epochs=1)
    assert same(made, again)
    # What is handed back are the averages, which mmengine keeps as the checkpoint's own weights.
    saved = checkpoints.read(tmp_path / "epoch_1.pth")
    last = {
        name.removeprefix("module."): value
        for name, value in saved["ema_state_dict"].items()
        if name.startswith("module.")
    }
    state = made if isinstance(made, dict) else made.state_dict()
    assert all(torch.equal(state[name], value) for name, value in saved["state_dict"].items())
    assert not all(torch.equal(state[name], value) for name, value in last.items())
    kept = (tmp_path / "epoch_1.pth").read_bytes()
    for name, seed in (("plain", 1), ("mkd", 0)):
        resolved = suite.resolve(name, seed)
        with pytest.raises(UserError, match="is a checkpoint of plain, seed 0.*move it out of"):
            trainer.train(resolved, smoke_data, tmp_path, None, teacher)
        assert (tmp_path / "epoch_1.pth").read_bytes() == kept


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(
    suite: Suite, smoke_data: Path, tmp_path: Path, teacher: Path
) -> None:
    resolved = suite.resolve("mkd", 0)
    # Beyond float32; no row of a table may say so.
    resolved.distillation.losses["fdmd"]["loss_weight"] = 1e39
    with pytest.raises(UserError, match=r"loss_fdmd_\d became inf at iteration 1: lower"):
        trainer.train(resolved, smoke_data, tmp_path, None, teacher)


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
def test_a_term_that_stops_at_an_epoch_ends_its_curve_there(
    suite: Suite, smoke_data: Path, tmp_path: Path, teacher: Path
) -> None:
    _, summary = run(suite, "stops", smoke_data, tmp_path, teacher)
    assert summary.epochs == 2
    for point in summary.curve:
        assert ("loss_fad" in point) == (point["epoch"] <= 1)
        assert all(math.isfinite(value) for value in point.values())


@pytest.mark.parametrize(("batch", "iterations"), [(23, 2), (64, 1)])
def test_the_images_left_at_the_end_of_an_epoch_are_a_batch_too(
    suite: Suite,
    smoke_data: Path,
    tmp_path: Path,
    teacher: Path,
    batch: int,
    iterations: int,
) -> None:
    """Also one image alone, and a data set smaller than a batch."""
    few = {"epochs": 1, "batch_size": batch, "warmup_iters": 1}
    _, summary = run(suite, "mkd", smoke_data, tmp_path, teacher, **few)
    assert summary.iterations == iterations
    assert all(math.isfinite(value) for value in summary.curve[-1].values())


def test_a_last_batch_no_norm_can_take_is_one_sentence(
    suite: Suite, smoke_data: Path, tmp_path: Path
) -> None:
    resolved = suite.resolve("plain", 0)
    train = resolved.train.model_copy(update={"batch_size": 23})
    resolved = resolved.model_copy(update={"input_px": 32, "train": train})
    with pytest.raises(UserError, match="24 images in batches of 23 leave a batch of one"):
        trainer.train(resolved, smoke_data, tmp_path, None, None)


def test_a_training_that_ends_before_its_warm_up_is_one_sentence(
    suite: Suite, smoke_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="it has 12 steps, and warmup_iters is 13"):
        run(suite, "plain", smoke_data, tmp_path, tmp_path, warmup_iters=13)


def test_a_gpu_scale_without_a_gpu_says_so(suite: Suite, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match="trains on GPUs and this machine shows none"):
        run(suite, "plain", tmp_path, tmp_path, tmp_path, device="cuda")


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_warm_up_of_any_length_ends_at_the_full_rate(suite: config.Suite, steps: int) -> None:
    settings = suite.train("plain").model_copy(update={"warmup_iters": steps})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=settings.lr)
    warmup = [
        PARAM_SCHEDULERS.build({**part, "optimizer": optimizer})
        for part in trainer.recipe.schedule(settings)
        if not part["by_epoch"]
    ]
    rates = []
    for _ in range(steps + 2):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for part in warmup:
            part.step()
    assert rates == sorted(rates)
    assert rates[steps - 1 :] == pytest.approx([settings.lr] * 3)
    assert all(rate < settings.lr for rate in rates[: steps - 1])


@pytest.mark.slow
def test_a_step_of_tiny_from_s_at_full_width_on_real_coco(
    suite: Suite, tiny_coco: Path, tmp_path: Path
) -> None:
    """The paper scale's own pipelines and model at 640 px, less its GPUs."""
    paper = config.load({"scale": "paper", "runs": suite.config["runs"]})
    resolved = paper.resolve("mkd", 0)
    changes = {
        "device": "cpu",
        "epochs": 1,
        "warmup_iters": 1,
        "batch_size": 2,
        "workers": 0,
        "second_stage_epochs": 0,
    }
    data = Coco(kind="coco", train_images=2)
    train = resolved.train.model_copy(update=changes)
    resolved = resolved.model_copy(update={"data": data, "train": train})
    torch.manual_seed(0)
    teacher = models.build(models.model_config(ARCHITECTURES["rtmdet-s"], 80))
    models.init_weights(teacher)
    weights.save(teacher, tmp_path / "teacher.pth", {})
    _, summary = trainer.train(
        resolved, tiny_coco, tmp_path / "work", None, tmp_path / "teacher.pth"
    )
    assert summary.iterations == 1
    last = summary.curve[-1]
    assert {"loss_cls", "loss_bbox", "loss_multiscale", "loss_fdmd", "loss_fad"} <= last.keys()
