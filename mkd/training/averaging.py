"""The student's averaged weights, which are what a run is scored with."""

import math
from collections import Counter
from typing import Any

import mkd.compat  # noqa: F401  (before mmdet)

# isort: split
import mmengine
import torch
from mmdet.models.layers import ExpMomentumEMA
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner
from mmrazor.models.algorithms import FpnTeacherDistill
from torch import Tensor, nn


@MODELS.register_module()
class GroupedExpMomentumEMA(ExpMomentumEMA):
    """mmdet's ``ExpMomentumEMA`` with its averages taken in few calls instead of two a tensor.

    With ``update_buffers`` and an interval of one, as the suite has it, the numbers are the same
    bit for bit: a tensor that modules share has several names and moves once for each of them, as
    it does there. Parameters and buffers must stay the tensors they were at the first update, as
    they do in mmengine's Runner; they are averaged alike.
    """

    _rounds: list[tuple[list[Tensor], list[Tensor]]] | None = None

    def update_parameters(self, model: nn.Module) -> None:
        """Move the averages towards the parameters and buffers of ``model``."""
        if self.steps == 0:
            super().update_parameters(model)
            return
        if self._rounds is None:
            self._rounds = _rounds(self.module, model)
        momentum = self.momentum
        momentum += (1 - self.momentum) * math.exp(-float(1 + self.steps) / self.gamma)
        for averages, sources in self._rounds:
            torch._foreach_mul_(averages, 1 - momentum)
            torch._foreach_add_(averages, sources, alpha=momentum)
        self.steps += 1


def _rounds(average: nn.Module, model: nn.Module) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Tensors of both by name, none twice in a round."""
    sources = model.state_dict()
    rounds: list[tuple[list[Tensor], list[Tensor]]] = []
    seen: Counter[int] = Counter()
    for name, tensor in average.state_dict().items():
        if not tensor.is_floating_point():
            continue
        nth = seen[tensor.data_ptr()]
        seen[tensor.data_ptr()] += 1
        if nth == len(rounds):
            rounds.append(([], []))
        rounds[nth][0].append(tensor)
        rounds[nth][1].append(sources[name])
    return rounds


@HOOKS.register_module()
class StudentEMAHook(EMAHook):
    """mmengine's exponential moving average, kept of the student alone.

    The stock hook copies the whole distiller, teacher and connectors included.
    """

    def before_run(self, runner: Runner) -> None:
        """Copy the student, or the plain detector where nothing is distilled."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        distilled = isinstance(model, FpnTeacherDistill)
        self._prefix = "architecture." if distilled else ""
        self.src_model: BaseModel = model.student if distilled else model
        self.ema_model = mmengine.MODELS.build(self.ema_cfg, default_args={"model": self.src_model})

    def _swap_ema_state_dict(self, checkpoint: dict[str, Any]) -> None:
        model, ema = checkpoint["state_dict"], checkpoint["ema_state_dict"]
        for key in ema:
            if key.startswith("module."):
                name = self._prefix + key.removeprefix("module.")
                ema[key], model[name] = model[name], ema[key]
