"""Every loss of a table of runs, tried on small maps before anything is trained.

A run distils only after its teacher is trained, which may take days: what its losses make of their
options, channels and levels is found out before the first training begins.
"""

from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from importlib import import_module
from inspect import signature
from typing import Any

from mkd.detectors import models  # before mmrazor
from mkd.distillation import distiller

# isort: split
import torch
from mmrazor.registry import MODELS
from torch import Tensor

from mkd.detectors.architectures import Architecture
from mkd.errors import UserError
from mkd.experiment.plan import Plan
from mkd.experiment.resolved import ResolvedRun
from mkd.provenance import digest

SIDE = 4
"""Height and width of the maps."""


def rehearse(runs: Iterable[ResolvedRun]) -> None:
    """Compute the losses of runs once, forth and back.

    Raises:
        UserError: A loss cannot be made with its options, refuses the run's maps, writes over
            them, or gives the student no finite gradient.
    """
    done = set()
    for run in runs:
        plan, above = run.distillation, run.teacher
        if not plan.losses or above is None:
            continue
        channels = [_channels(each.architecture, each.width, plan.layers) for each in (run, above)]
        key = digest([asdict(plan), channels])
        if key not in done:
            done.add(key)
            with torch.random.fork_rng(devices=[]):
                check(run.run, plan, channels[0], channels[1])


def check(run: str, plan: Plan, student: list[int], teacher: list[int]) -> None:
    """Compute the losses of one plan.

    Args:
        run: The run's id, for the messages.
        plan: Its terms.
        student: Channels of the student's features, one a level.
        teacher: Channels of the teacher's.

    Raises:
        UserError: As :func:`rehearse` does.
    """
    for name, module in plan.modules.items():
        try:
            import_module(f"mkd.losses.{module}")
        except (Exception, SystemExit) as error:  # whatever a file of a user's own raises
            raise UserError(
                f"mkd/losses/{module}.py, which run '{run}' needs, cannot be imported: "
                f"{type(error).__name__}: {_line(error)}"
            ) from error
        if MODELS.get(f"mmrazor.{plan.losses[name]['type']}") is None:
            raise UserError(
                f"mkd/losses/{module}.py does not register '{plan.losses[name]['type']}', which "
                f"run '{run}' needs: decorate the class with @MODELS.register_module()"
            )
    sources = [(f"level{level}", None) for level in range(len(student))]
    try:
        made = distiller.distiller_config(plan, student, teacher, sources)
    except UserError as error:
        raise UserError(f"run '{run}': {error}") from error
    done = []
    for key, config in made.distill_losses.items():
        name, level = key.removeprefix("loss_").rsplit("_", 1)
        own, above = student[int(level)], teacher[int(level)]
        if (config, own, above) in done:
            continue
        done.append((config, own, above))
        try:
            _try(config, own if plan.features == "raw" else above, above)
        except (Exception, SystemExit) as error:  # whatever a loss of a user's own raises
            raise UserError(
                f"run '{run}': the options of term '{name}' do not fit: "
                f"{_line(error) or type(error).__name__}"
            ) from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _try(config: dict[str, Any], own: int, above: int) -> None:
    loss = MODELS.build(config)
    student = torch.randn(2, own, SIDE, SIDE, requires_grad=True)
    more = {}
    if "boxes" in signature(loss.forward).parameters:
        more["boxes"] = torch.tensor([[0, 0.2, 0.2, 0.6, 0.7], [1, 0.1, 0.5, 0.9, 0.8]])
    teacher = torch.randn(2, above, SIDE, SIDE)
    given = {"student": (student, student.detach().clone()), "teacher": (teacher, teacher.clone())}
    value = loss(preds_S=student, preds_T=teacher, **more)
    for whose, (now, before) in given.items():
        if not torch.equal(now, before):
            raise ValueError(f"the loss writes over the {whose}'s map, which other terms read too")
    if not isinstance(value, Tensor) or value.dim() or not value.isfinite():
        raise ValueError(f"the loss is no finite scalar but {value}")
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value, student, allow_unused=True)
        if gradient is not None and gradient.isfinite().all():
            return
    raise ValueError("the loss gives the student no finite gradient")


@cache
def _channels(arch: Architecture, width: float, layers: str) -> list[int]:
    return models.feature_channels(models.model_config(arch, 1, width), layers)
