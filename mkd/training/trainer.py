"""One training run on mmengine's Runner: plain, or a student with its teacher.

The same seed on the same CPU gives the same weights bit for bit, also when the run was killed
and resumed: a checkpoint closes an epoch, every random generator is seeded anew where an epoch
opens, and the sampler's order is a function of seed and epoch.
"""

import math
import random
import time
from pathlib import Path
from typing import Any

from mkd.detectors import models, pipelines  # before mmdet

# isort: split
import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

import mkd.data.dataset  # noqa: F401  (registers)
import mkd.training.optimizer  # noqa: F401  (registers)
from mkd.data import splits
from mkd.errors import UserError
from mkd.experiment.resolved import ResolvedRun
from mkd.training import averaging, history, recipe, resume, student


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds every generator from run seed, epoch and rank, so that a resumed epoch is the same."""

    priority = "VERY_HIGH"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed ``random``, NumPy and torch."""
        sequence = np.random.SeedSequence([self.seed, runner.epoch, get_rank()])
        state = int(sequence.generate_state(1)[0])
        random.seed(state)
        np.random.seed(state)
        torch.manual_seed(state)


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops a run whose loss is not finite and names the term."""

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Look at every term of the step.

        Raises:
            UserError: The first term that is NaN or infinite.
        """
        # The total last: it is not finite because a term is not.
        for name, value in sorted(outputs.items(), key=lambda item: item[0] == "loss"):
            if "loss" in name and not math.isfinite(value.detach()):
                raise UserError(
                    f"{name.removeprefix('distill.')} became {float(value.detach())} at iteration "
                    f"{runner.iter + 1}: lower the learning rate or the term's weight"
                )


def train(
    resolved: ResolvedRun,
    data_root: Path,
    work_dir: Path,
    backbone_weights: Path | None = None,
    teacher_weights: Path | None = None,
    start_weights: Path | None = None,
    launcher: str = "none",
    key: str = "",
) -> tuple[BaseModel, history.Summary]:
    """Train one run, from its last sound checkpoint where ``work_dir`` has one.

    Args:
        resolved: The run.
        data_root: The data set's folder, in COCO's layout.
        work_dir: Where checkpoints are kept; it must belong to this resolved run alone.
        backbone_weights: Weights the backbone starts from, as :mod:`mkd.training.weights` writes
            them.
        teacher_weights: The teacher's weights file, where the run has a teacher.
        start_weights: Weights the whole detector starts from, where another run trained some.
        launcher: mmengine's launcher, ``none`` or ``pytorch`` (torchrun).
        key: Of all that the run depends on beside its id and seed; checkpoints carry it.

    Returns:
        The trained detector with its averaged (EMA) weights, on the CPU in evaluation mode,
        and what the training says of itself.

    Raises:
        UserError: Data, teacher or a checkpoint do not fit, a loss is not finite, or no GPU where
            the scale wants one.
    """
    began = time.monotonic()
    settings = resolved.train
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"scale '{resolved.scale}' trains on GPUs and this machine shows none: "
            "run it where CUDA works, or use scale desk"
        )
    if settings.device == "cpu":
        torch.set_num_threads(1)
    classes = splits.classes(data_root, resolved.data)
    model = student.build(resolved, len(classes), backbone_weights, teacher_weights, start_weights)
    # oneDNN's and cuDNN's convolutions run this layout without reordering. Before the Runner wraps
    # the model: DistributedDataParallel lays its gradients out as it finds the weights.
    model.to(memory_format=torch.channels_last)
    runner = Runner(model=model, **runner_config(resolved, data_root, work_dir, classes, launcher))
    owner = resume.Owner(resolved.run, resolved.seed, key)
    runner.register_hook(resume.OwnerHook(owner))
    checkpoint = resume.last_checkpoint(work_dir, owner)
    if checkpoint is not None:
        runner._resume, runner._load_from = True, f"{resume.SCHEME}{checkpoint}"
    _check_last_batch(resolved, len(runner.train_loop.dataloader.sampler))
    _check_warmup(resolved, runner.train_loop.max_iters)
    runner.train()
    trained = runner.model.module if is_model_wrapper(runner.model) else runner.model
    trained = getattr(trained, "student", trained)
    # mmengine leaves the averaged weights in the EMA copy; validation would swap them in.
    ema = next(hook for hook in runner.hooks if isinstance(hook, averaging.StudentEMAHook))
    trained.load_state_dict(ema.ema_model.module.state_dict())
    resumed = resume.epoch(checkpoint) if checkpoint else 0
    return trained.cpu().eval(), history.summary(runner, time.monotonic() - began, resumed)


def runner_config(
    resolved: ResolvedRun,
    data_root: Path,
    work_dir: Path,
    classes: tuple[str, ...],
    launcher: str = "none",
) -> ConfigDict:
    """mmdet's recipe with the scale's values: mmengine's ``Runner`` less its model.

    Paper §4, implementation details; where paper and recipe differ see
    ``config/deviations.yaml``.
    """
    settings = resolved.train
    epochs, second_stage = settings.epochs, settings.second_stage_epochs
    on_gpu = settings.device == "cuda"
    official = models.official_config(resolved.architecture)
    masks = resolved.architecture.has_masks
    first, second = pipelines.train_pipelines(
        resolved.architecture,
        resolved.input_px,
        settings.mosaic,
        settings.resize_ratio,
        bitmap_masks=masks and splits.bitmap_masks(data_root, resolved.data),
    )
    hooks: list[dict[str, Any]] = [
        {"type": "EpochSeedHook", "seed": resolved.draws},
        {"type": "FiniteLossHook"},
        {
            "type": "StudentEMAHook",
            "ema_type": "GroupedExpMomentumEMA",
            "update_buffers": True,
            "priority": 49,
            **settings.ema.model_dump(),
        },
    ]
    plan = resolved.distillation
    if plan.losses:
        hooks.append({"type": "GradientNormHook"})
        if plan.balanced:
            hooks.append({"type": "BalanceHook"})
    if second_stage:
        hooks.append(
            {
                "type": "PipelineSwitchHook",
                "switch_epoch": epochs - second_stage,
                "switch_pipeline": second,
            }
        )
    if plan.stop_epoch is not None:
        hooks.append({"type": "mmrazor.StopDistillHook", "stop_epoch": plan.stop_epoch})
    return ConfigDict(
        work_dir=str(work_dir),
        default_scope="mmdet",
        launcher=launcher,
        # Read where the Runner wraps the model for several GPUs. After the last distilled epoch
        # the adapters get no gradient.
        cfg={"find_unused_parameters": plan.stop_epoch is not None},
        log_level="INFO",
        log_processor={"window_size": 20},
        # One CPU thread adds in one order; torch's deterministic mode would only fill buffers.
        randomness={"seed": resolved.draws},
        env_cfg=official.env_cfg,
        train_dataloader={
            "batch_size": settings.batch_size,
            "num_workers": settings.workers,
            "persistent_workers": settings.workers > 0,
            "pin_memory": on_gpu,
            "sampler": official.train_dataloader.sampler,
            "batch_sampler": official.train_dataloader.get("batch_sampler"),
            "dataset": splits.dataset_config(
                resolved.data, data_root, "train", classes, first, masks
            ),
        },
        train_cfg={"type": "EpochBasedTrainLoop", "max_epochs": epochs},
        optim_wrapper={
            "type": "AmpOptimWrapper" if on_gpu else "OptimWrapper",
            "constructor": "GroupedOptimWrapperConstructor",
            **recipe.optimizer(settings),
        },
        param_scheduler=recipe.schedule(settings),
        default_hooks={
            "logger": {"type": "LoggerHook", "interval": 20},
            "checkpoint": {
                "type": "CheckpointHook",
                "interval": settings.checkpoint_epochs,
                "max_keep_ckpts": 2,
            },
        },
        custom_hooks=hooks,
        visualizer={"type": "Visualizer", "vis_backends": []},
    )


def _check_warmup(resolved: ResolvedRun, steps: int) -> None:
    """Refuse a training that ends before its learning rate has risen.

    Args:
        resolved: The run.
        steps: Steps of the whole training.

    Raises:
        UserError: The warm-up has more steps than the training.
    """
    warmup = resolved.train.warmup_iters
    if warmup > steps:
        raise UserError(
            f"{resolved.run} would end before its warm-up: it has {steps} steps, and warmup_iters "
            f"is {warmup}: lower warmup_iters or raise epochs in the scale's file"
        )


def _check_last_batch(resolved: ResolvedRun, images: int) -> None:
    """Refuse an epoch whose last batch leaves a batch norm one value a channel.

    Args:
        resolved: The run.
        images: Images an epoch shows to one process.

    Raises:
        UserError: The last batch has one image, and its coarsest map, of stride 32, one position.
    """
    size, side = resolved.train.batch_size, resolved.input_px
    if side <= 32 and 1 in (size, images % size):
        raise UserError(
            f"{images} images in batches of {size} leave a batch of one, which batch norm cannot "
            f"take at an input of {side} px: change input_px or batch_size in the scale's file, or "
            "the number of images"
        )
