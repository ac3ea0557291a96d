"""Training in two processes, as torchrun starts them for two GPUs; here on the CPU, by gloo.

This file is also what each of the processes runs.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mkd import ROOT
from mkd.detectors import models  # before mmdet
from mkd.training import trainer

# isort: split
import torch.distributed as dist
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.model import BaseModel, MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.registry import HOOKS, MODEL_WRAPPERS

from mkd.experiment import config
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.suite import Suite
from mkd.training import weights

RUNS = {
    "plain": "rtmdet-tiny\t-\tbaseline",
    "cwd": "rtmdet-tiny\ts\tcwd",
    "mkd": "rtmdet-tiny\ts\tmkd",
    "balanced": "rtmdet-tiny\ts\tmkd-balanced",
    "fgd": "rtmdet-tiny\ts\tfgd",
}
WARNED = ("strides", "unused parameters", "did not receive grad")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of runs and the weights of their teacher."""
    made = tmp_path_factory.mktemp("ddp")
    rows = [f"{run}\t{row}\t-\t1" for run, row in {"s": "rtmdet-s\t-\tbaseline", **RUNS}.items()]
    (made / "runs.tsv").write_text(
        "\n".join(["run\tarch\tteacher\tmethod\toptions\ttables", *rows, ""])
    )
    torch.manual_seed(0)
    width = suite(made).settings.width
    model = models.build(models.model_config(ARCHITECTURES["rtmdet-s"], 6, width))
    models.init_weights(model)
    weights.save(model, made / "teacher.pth", {})
    return made


def suite(folder: Path) -> Suite:
    return config.load({"scale": "smoke", "runs": str(folder / "runs.tsv")})


def in_two_processes(folder: Path, data: Path, *works: str, ends: int = -1) -> tuple[int, str]:
    """Train ``<run>-<any>`` for each of ``works``: exit code and all that was said."""
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    done = subprocess.run(
        [*launcher, "--nproc-per-node", "2", __file__, str(folder), str(data), str(ends), *works],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def left(folder: Path, work: str, rank: int = 0) -> dict[str, Any]:
    return torch.load(folder / work / f"rank{rank}.pth", weights_only=True)


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    assert one.keys() == other.keys()
    return [key for key in one if not torch.equal(one[key], other[key])]


@pytest.fixture(scope="module")
def said(folder: Path, smoke_data: Path) -> str:
    """Every run twice, ``<run>-1`` and ``<run>-2``: what was said meanwhile."""
    works = [f"{run}-{time}" for run in RUNS for time in (1, 2)]
    code, lines = in_two_processes(folder, smoke_data, *works)
    assert code == 0, lines[-3000:]
    return lines


@pytest.mark.slow
def test_two_processes_train_one_model_and_the_same_seed_gives_the_same_weights(
    folder: Path, said: str
) -> None:
    assert not [line for line in said.splitlines() if any(word in line for word in WARNED)]
    for run in RUNS:
        first = left(folder, f"{run}-1")
        assert not differing(first, left(folder, f"{run}-2")), run
        # Running statistics are of a process's own batches where batch norms are not in step.
        apart = differing(first, left(folder, f"{run}-1", rank=1))
        assert not [key for key in apart if "running_" not in key], run


@pytest.mark.slow
@pytest.mark.usefixtures("said")
@pytest.mark.parametrize("run", ["plain", "balanced"])
def test_a_training_that_loses_a_process_goes_on_to_the_same_weights(
    folder: Path, smoke_data: Path, run: str
) -> None:
    broken = f"{run}-broken"
    code, _ = in_two_processes(folder, smoke_data, broken, ends=8)
    assert code != 0
    assert (folder / broken / "epoch_1.pth").exists()
    code, lines = in_two_processes(folder, smoke_data, broken)
    assert code == 0, lines[-3000:]
    assert not differing(left(folder, f"{run}-1"), left(folder, broken))


@HOOKS.register_module()
class KilledHook(Hook):
    """Kills the second process before a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.step and dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)


@MODEL_WRAPPERS.register_module()
class OnCpu(MMDistributedDataParallel):
    """The wrapper of several GPUs, without the two things that only GPUs have."""

    def __init__(self, module: BaseModel, device_ids: list[int], **kwargs: Any) -> None:
        # Batch norms in step.
        super().__init__(revert_sync_batchnorm(module), **kwargs)


def main(folder: Path, data: Path, ends: int, works: list[str]) -> None:
    """One of the processes: each training ends with its weights in a file of the process."""
    # mmengine would choose NCCL.
    dist.init_process_group("gloo")
    made = trainer.runner_config

    def on_cpu(*arguments: Any) -> ConfigDict:
        found = made(*arguments)
        found.cfg.model_wrapper_cfg = {
            "type": "OnCpu",
            "broadcast_buffers": False,
            "find_unused_parameters": found.cfg.find_unused_parameters,
        }
        if ends >= 0:
            found.custom_hooks.append({"type": "KilledHook", "step": ends})
        return found

    trainer.runner_config = on_cpu
    for work in works:
        resolved = suite(folder).resolve(work.partition("-")[0], 0)
        train = resolved.train.model_copy(update={"batch_size": 4})
        teacher = folder / "teacher.pth" if resolved.teacher else None
        model, _ = trainer.train(
            resolved.model_copy(update={"train": train}),
            *(data, folder / work, None, teacher),
            launcher="pytorch",
        )
        torch.save(model.state_dict(), folder / work / f"rank{dist.get_rank()}.pth")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
