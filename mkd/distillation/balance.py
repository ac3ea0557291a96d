"""Gradient norms of the terms: logged for every method, and what ``mkd-balanced`` is weighed by."""

from typing import Any

from mmengine import dist
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from mkd.distillation.distiller import SharedConnectorDistiller

BALANCE_STEPS = 20
"""Steps over which ``mkd-balanced`` measures gradient norms before it freezes the weights."""
_REFERENCE = "fad"


@HOOKS.register_module()
class GradientNormHook(Hook):
    """Logs every term's gradient norm, per level, at the first step of every epoch."""

    priority = "HIGH"

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Measure at the first step of the epoch."""
        _distiller(runner).measure = batch_idx == 0


@HOOKS.register_module()
class BalanceHook(Hook):
    """Sets the terms' weights so that each one's gradient is as strong as L_FAD's.

    Over the first :data:`BALANCE_STEPS` steps the norm of each term's gradient at the recorded
    student features is measured (root of the sum of squares over levels); a term's weight is the
    mean norm of L_FAD over its own mean norm. After these steps the weights are frozen. The rule
    looks at the training batches alone, never at the val set.
    """

    priority = "LOW"

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Measure while there is something to learn."""
        if runner.iter < BALANCE_STEPS:
            _distiller(runner).measure = True

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Take in the step's norms."""
        if runner.iter >= BALANCE_STEPS:
            return
        squares: dict[str, Tensor] = {}
        for name, value in outputs.items():
            if name.startswith("distill.grad_"):
                term = name.removeprefix("distill.grad_").rsplit("_", 1)[0]
                squares[term] = squares.get(term, 0) + value.detach() ** 2
        distiller = _distiller(runner)
        for term, square in squares.items():
            norm = square.sqrt()
            dist.all_reduce(norm, "mean")
            distiller.get_buffer(f"norms_of_loss_{term}").add_(norm)
        reference = distiller.get_buffer(f"norms_of_loss_{_REFERENCE}")
        for term in squares:
            norms = distiller.get_buffer(f"norms_of_loss_{term}")
            distiller.get_buffer(f"weight_of_loss_{term}").copy_(reference / norms.clamp(min=1e-12))


def _distiller(runner: Runner) -> SharedConnectorDistiller:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model.distiller
