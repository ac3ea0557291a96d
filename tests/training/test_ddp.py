"""Training in two processes, as torchrun starts them for two GPUs; here on the CPU, by gloo."""

import gc
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from mkd.detectors import models  # before mmdet
from mkd.training import trainer

# isort: split
import torch.distributed as dist
from mmdet.models.dense_heads import rtmdet_head
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.model import BaseModel, MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.registry import HOOKS, MODEL_WRAPPERS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.distributed.elastic.rendezvous import dynamic_rendezvous
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from mkd.experiment import config
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.suite import Suite
from mkd.training import weights

RUNS = {
    "plain": "rtmdet-tiny\t-\tbaseline\t-",
    "cwd": "rtmdet-tiny\ts\tcwd\t-",
    "mkd": "rtmdet-tiny\ts\tmkd\t-",
    "balanced": "rtmdet-tiny\ts\tmkd-balanced\t-",
    "fgd": "rtmdet-tiny\ts\tfgd\t-",
}
TABLE = {
    "s": "rtmdet-s\t-\tbaseline\t-",
    **RUNS,
    "unmasked": "rtmdet-tiny\ts\tmkd\tfdmd.mask_ratio=0",
}
IN_STEP = {"halves": "detector", "halves_in_step": "all"}
"""Works whose images change by no chance, and which of their batch norms see both processes'."""
SAME, NORMS = ((0, 1e-4), (0, 0.3)), ((1e-3, 0.15), (0.4, 1.5))
"""Bounds of the two distances of :func:`apart`: rounding alone, and norms of half the batch."""
APART = {
    "plain-halves": SAME,
    "fgd-halves": SAME,
    "cwd-halves": NORMS,
    "cwd-halves_in_step": SAME,
    # Each process draws its own masks, too.
    "mkd-halves": NORMS,
    "balanced-halves": NORMS,
    "unmasked-halves": NORMS,
    "unmasked-halves_in_step": SAME,
}
WIDTH, TEACHERS_WIDTH = 1 / 3, 0.25
"""The student's is wider than smoke's own, so that a connector's norms show in the first loss."""
COMPARED = [work.partition("-")[0] for work in APART if work.endswith("-halves")]
CUT = [run for run in RUNS if run != "mkd"]
"""Runs that lose a process: balanced MKD has all that MKD has."""
RESUMED = "2"
"""Ends the names of works that are begun twice."""
WARNED = ("strides", "unused parameters", "did not receive grad")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of runs and the weights of their teacher."""
    made = tmp_path_factory.mktemp("ddp")
    rows = [f"{run}\t{row}\t1" for run, row in TABLE.items()]
    (made / "runs.tsv").write_text(
        "\n".join(["run\tarch\tteacher\tmethod\toptions\ttables", *rows, ""])
    )
    torch.manual_seed(0)
    model = models.build(models.model_config(ARCHITECTURES["rtmdet-s"], 6, TEACHERS_WIDTH))
    models.init_weights(model)
    weights.save(model, made / "teacher.pth", {})
    return made


def suite(folder: Path) -> Suite:
    return config.load({"scale": "smoke", "runs": str(folder / "runs.tsv")})


def in_two_processes(folder: Path, data: Path, *works: str, ends: int = -1) -> tuple[int, str]:
    """Train ``<run>-<any>`` for each of ``works``: exit code and all that was said."""
    log = folder / "log"
    launcher = multiprocessing.get_context("fork").Process(
        target=launched, args=(log, folder, data, ends, works)
    )
    launcher.start()
    launcher.join()
    assert launcher.exitcode is not None
    return launcher.exitcode, log.read_text()


def launched(log: Path, *arguments: Any) -> None:
    """What ``torchrun`` does, with processes that need not import everything anew."""
    # It looks through every module that was imported, to name a step in a log that nobody keeps.
    dynamic_rendezvous.get_method_name = lambda: ""
    with log.open("w", buffering=1) as sys.stdout:
        sys.stderr = sys.stdout
        for number in (1, 2):
            os.dup2(sys.stdout.fileno(), number)
        settings = LaunchConfig(
            *(1, 1, 2),
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            # This machine's own name need not resolve.
            local_addr="127.0.0.1",
            max_restarts=0,
            start_method="fork",
        )
        elastic_launch(settings, main)(*arguments)


def left(folder: Path, work: str, rank: int = 0) -> dict[str, Any]:
    return torch.load(folder / work / f"rank{rank}.pth", weights_only=True)


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    assert one.keys() == other.keys()
    return [key for key in one if not torch.equal(one[key], other[key])]


@pytest.fixture(scope="module")
def said(folder: Path, smoke_data: Path) -> str:
    """Every run as ``<run>-1``, some as ``<run>-2``, and those to be compared: what was said.

    Those of the second name have lost a process in their second epoch, and go on.
    """
    # By one process, and first: what a training imports is then there when processes are forked.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "runner_config", partial(still, trainer.runner_config))
        for run in COMPARED:
            compared(folder, smoke_data, f"{run}-whole", 8)
    # As in conftest: the collector, which mmengine calls often, need not look at what stays.
    gc.collect()
    gc.freeze()
    goes_on: list[str] = []
    for run in CUT:
        work = f"{run}-{RESUMED}"
        code, lines = in_two_processes(folder, smoke_data, *goes_on, work, ends=3)
        assert code != 0
        assert (folder / work / "epoch_1.pth").exists(), lines[-3000:]
        assert not (folder / work / "rank0.pth").exists()
        goes_on = [work]
    first = [f"{run}-1" for run in RUNS]
    code, lines = in_two_processes(folder, smoke_data, *goes_on, *first, *APART)
    assert code == 0, lines[-3000:]
    return lines


@pytest.mark.slow(110)
def test_two_processes_train_one_model(folder: Path, said: str) -> None:
    assert not [line for line in said.splitlines() if any(word in line for word in WARNED)]
    for run in RUNS:
        # Running statistics are of a process's own batches where batch norms are not in step.
        apart = differing(left(folder, f"{run}-1"), left(folder, f"{run}-1", rank=1))
        assert not [key for key in apart if "running_" not in key], run


@pytest.mark.slow
@pytest.mark.usefixtures("said")
@pytest.mark.parametrize("run", CUT)
def test_a_training_that_loses_a_process_goes_on_to_the_same_weights(
    folder: Path, run: str
) -> None:
    assert not differing(left(folder, f"{run}-1"), left(folder, f"{run}-{RESUMED}"))


def first_losses(folder: Path, work: str, rank: int = 0) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / work / f"losses{rank}.json").read_text())
    return found


def apart(folder: Path, work: str, whole: str) -> tuple[float, float]:
    """How far two processes are from one, in the first step's loss and in the weights at the end.

    Of the loss it is the difference over the loss, the mean over processes; of the weights the
    length of the difference over that of the way from the start.
    """
    loss, *halves = (first_losses(folder, *at)["loss"] for at in ((whole,), (work, 0), (work, 1)))
    begin = torch.load(folder / whole / "start.pth", weights_only=True)
    one, two = left(folder, whole), left(folder, work)
    trained = [key for key in one if key.endswith(("weight", "bias"))]
    way, between = (
        sum(float((first[key] - second[key]).double().square().sum()) for key in trained) ** 0.5
        for first, second in ((one, begin), (two, one))
    )
    return abs(sum(halves) / 2 / loss - 1), between / way


@pytest.mark.slow
@pytest.mark.usefixtures("said")
def test_two_halves_of_a_batch_against_the_whole(folder: Path) -> None:
    for work, bounds in APART.items():
        found = apart(folder, work, f"{work.partition('-')[0]}-whole")
        for value, (least, most) in zip(found, bounds, strict=True):
            assert least <= value <= most, (work, found)


@HOOKS.register_module()
class KilledHook(Hook):
    """Kills the second process before a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.step and dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)


FLOOR = 1000
"""mmdet divides RTMDet's losses by 1 at least, which only untrained detectors fall below: here by
so much less."""


@HOOKS.register_module()
class FirstLossesHook(Hook):
    """Writes the weights that a training starts with, and the losses of its first step."""

    def before_train(self, runner: Runner) -> None:
        model = getattr(runner.model, "module", runner.model)
        state = getattr(model, "student", model).state_dict()
        torch.save(state, Path(runner.work_dir) / "start.pth")
        head = getattr(model, "student", model).bbox_head
        for loss in (head.loss_cls, head.loss_bbox):
            loss.loss_weight *= FLOOR

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if runner.iter == 0:
            losses = {name: float(value) for name, value in outputs.items() if "loss" in name}
            file = Path(runner.work_dir) / f"losses{runner.rank}.json"
            file.write_text(json.dumps(losses))


class Mean(torch.autograd.Function):
    """The mean of a tensor over both processes."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        both = own.clone()
        dist.all_reduce(both)
        return both / 2

    backward = forward


class InStep(nn.BatchNorm2d):
    """Batch norm over the batches of both processes: SyncBN, which the CPU has not."""

    def forward(self, features: Tensor) -> Tensor:
        if not self.training and self.running_mean is not None:
            return super().forward(features)
        moments = [features.mean((0, 2, 3)), features.square().mean((0, 2, 3))]
        # Both at once: processes that wait for each other are what takes the time.
        mean, square = Mean.apply(torch.stack(moments))
        centered, var = features - mean[:, None, None], square - mean.square()
        if self.running_mean is not None:
            count = 2 * features[:, 0].numel()
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(var.detach() * count / (count - 1), self.momentum)
        scaled = centered * (var[:, None, None] + self.eps).rsqrt()
        if self.weight is None:
            return scaled
        return scaled * self.weight[:, None, None] + self.bias[:, None, None]


@MODEL_WRAPPERS.register_module()
class OnCpu(MMDistributedDataParallel):
    """The wrapper of several GPUs on the CPU, with as many batch norms in step as are wanted."""

    def __init__(
        self, module: BaseModel, device_ids: list[int], in_step: str | None, **kwargs: Any
    ) -> None:
        # mmdet's RTMDet makes its own norms SyncBN where there are several processes.
        module = revert_sync_batchnorm(module)
        for name, norm in module.named_modules():
            wanted = in_step == "all" or (in_step and not name.startswith("distiller."))
            if wanted and isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.__class__ = InStep
        super().__init__(module, **kwargs)


def still(made: Any, *arguments: Any) -> ConfigDict:
    """Images without random changes, and the first losses written."""
    found = made(*arguments)
    dataset = found.train_dataloader.dataset
    dataset.pipeline = [
        step for step in dataset.pipeline if step["type"] not in ("RandomFlip", "YOLOXHSVRandomAug")
    ]
    for step in dataset.pipeline:
        if step["type"] == "RandomResize":
            step["ratio_range"] = (1, 1)
    found.custom_hooks.append({"type": "FirstLossesHook"})
    found.default_hooks.checkpoint = None
    return found


def compared(folder: Path, data: Path, work: str, batch: int, launcher: str = "none") -> None:
    """Train a work that is to be compared."""
    average = rtmdet_head.reduce_mean
    rtmdet_head.reduce_mean = lambda value: FLOOR * average(value)
    train(folder, data, work, batch, launcher, epochs=1, warmup_iters=1)
    rtmdet_head.reduce_mean = average


def train(
    folder: Path, data: Path, work: str, batch: int, launcher: str = "none", **changes: Any
) -> None:
    """Train ``<run>-<any>`` with so many images a process; the weights in a file of the process."""
    resolved = suite(folder).resolve(work.partition("-")[0], 0)
    settings = resolved.train.model_copy(update={"batch_size": batch, **changes})
    teacher = resolved.teacher and resolved.teacher.model_copy(update={"width": TEACHERS_WIDTH})
    model, _ = trainer.train(
        resolved.model_copy(update={"train": settings, "width": WIDTH, "teacher": teacher}),
        *(data, folder / work, None, folder / "teacher.pth" if resolved.teacher else None),
        launcher=launcher,
    )
    rank = dist.get_rank() if dist.is_initialized() else 0
    torch.save(model.state_dict(), folder / work / f"rank{rank}.pth")


def main(folder: Path, data: Path, ends: int, works: Sequence[str]) -> None:
    """One of the processes: trains all in turn, and is killed in the last if it ``ends``."""
    # mmengine would choose NCCL.
    dist.init_process_group("gloo")
    made = trainer.runner_config

    def on_cpu(work: str, *arguments: Any) -> ConfigDict:
        kind = work.partition("-")[2]
        found = still(made, *arguments) if kind in IN_STEP else made(*arguments)
        if kind != RESUMED:
            # Nobody reads it.
            found.default_hooks.checkpoint = None
        found.cfg.model_wrapper_cfg = {
            "type": "OnCpu",
            "in_step": IN_STEP.get(kind),
            "broadcast_buffers": False,
            "find_unused_parameters": found.cfg.find_unused_parameters,
        }
        if ends >= 0 and work == works[-1]:
            found.custom_hooks.append({"type": "KilledHook", "step": ends})
        return found

    for work in works:
        trainer.runner_config = partial(on_cpu, work)
        if work in APART:
            compared(folder, data, work, 4, "pytorch")
        else:
            # Two steps an epoch.
            train(folder, data, work, 6, "pytorch", warmup_iters=1)
    dist.destroy_process_group()
