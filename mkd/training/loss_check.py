"""Every loss of a table of runs, tried on small maps before anything is trained.

A run distils only after its teacher is trained, which may take days: what its losses make of their
options, channels and levels is found out before the first training begins.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from importlib import import_module
from inspect import signature
from typing import Any

from mkd.detectors import models  # before mmrazor
from mkd.distillation import distiller, levels

# isort: split
import torch
from mmengine.config import ConfigDict
from mmrazor.registry import MODELS
from torch import Tensor

from mkd.detectors.architectures import Architecture
from mkd.errors import UserError
from mkd.experiment import code
from mkd.experiment.plan import Plan, loss_module
from mkd.experiment.resolved import ResolvedRun
from mkd.provenance import digest

SIDE = 4
"""Height and width of the maps."""
CLASSES = 2
"""Of the detectors whose levels are looked at."""
DRAWS = 100
"""Maps and masks a loss may need until it teaches: a random mask can hide all of so small a map."""


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
        names = f"{run.architecture.name} and {above.architecture.name}"
        try:
            with told(f"the levels of {names} cannot be measured by a forward pass"):
                pair, outputs = _pair(plan, run), _outputs(plan, run)
        except UserError as error:
            raise UserError(f"run '{run.run}': {error}") from error
        key = digest([asdict(plan), pair, outputs])
        if key not in done:
            done.add(key)
            check(run.run, plan, pair["student_channels"], pair["teacher_channels"], outputs)


@torch.random.fork_rng(devices=[])
def check(
    run: str,
    plan: Plan,
    student: list[int],
    teacher: list[int],
    outputs: Sequence[dict[str, list[int]]] = ({}, {}),
) -> None:
    """Compute the losses of one plan, on the same random maps every time.

    Args:
        run: The run's id, for the messages.
        plan: Its terms.
        student: Channels of the student's features, one a level.
        teacher: Channels of the teacher's.
        outputs: Channels of the student's and the teacher's head, by output, one for each level of
            the student's head; for terms that read the heads.

    Raises:
        UserError: As :func:`rehearse` does.
    """
    for name, module in plan.modules.items():
        file = code.shown(loss_module(module))
        try:
            import_module(loss_module(module))
        except (Exception, SystemExit) as error:  # whatever a file of a user's own raises
            raise UserError(
                f"{file}, which run '{run}' needs, cannot be imported: "
                f"{type(error).__name__}: {_line(error)}"
            ) from error
        if MODELS.get(f"mmrazor.{plan.losses[name]['type']}") is None:
            raise UserError(
                f"{file} does not register '{plan.losses[name]['type']}', which "
                f"run '{run}' needs: decorate the class with @MODELS.register_module()"
            )
    sources = [(f"level{level}", None) for level in range(len(student))]
    read = list((plan.outputs or {}).values())
    heads = [(level, level) for level in range(len(outputs[0][read[0]]))] if read else []
    try:
        made = distiller.distiller_config(plan, student, teacher, sources, head_levels=heads)
    except UserError as error:
        raise UserError(f"run '{run}': {error}") from error
    done = []
    for key, config in made.distill_losses.items():
        name, level = key.removeprefix("loss_").rsplit("_", 1)
        output = (plan.outputs or {}).get(name)
        if output is None:
            own, above = student[int(level)], teacher[int(level)]
            own = own if plan.features == "raw" else above
        else:
            own, above = (side[output][int(level)] for side in outputs)
        if (config, own, above) in done:
            continue
        done.append((config, own, above))
        try:
            _try(config, own, above)
        except (Exception, SystemExit) as error:  # whatever a loss of a user's own raises
            raise UserError(
                f"run '{run}': the options of term '{name}' do not fit: "
                f"{_line(error) or type(error).__name__}"
            ) from error


@contextmanager
def told(what: str) -> Iterator[None]:
    """Whatever a detector raises that is made for other images or labels, as a sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{what}: {type(error).__name__}: {_line(error)}") from error


def by_level(
    heads: Sequence[dict[str, list[int]]], pair: dict[str, Any]
) -> list[dict[str, list[int]]]:
    """Channels of two heads by output, level by level as they are paired.

    Args:
        heads: Of the student's and the teacher's (:func:`mkd.distillation.levels.output_channels`).
        pair: What :func:`mkd.distillation.levels.pair` says of both.
    """
    pairs = pair.get("head_levels", ())
    return [
        {name: [counts[at[side]] for at in pairs] for name, counts in head.items()}
        for side, head in enumerate(heads)
    ]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _try(config: dict[str, Any], own: int, above: int) -> None:
    for draw in range(DRAWS):
        torch.manual_seed(draw)
        if _teaches(MODELS.build(config), own, above):
            return
    raise ValueError("the loss is not zero, but the student gets no gradient from it")


def _teaches(loss: torch.nn.Module, own: int, above: int) -> bool:
    """Whether a loss, where it is not zero, gives the student a gradient that is not."""
    student = torch.randn(2, own, SIDE, SIDE, requires_grad=True)
    more, takes = {}, signature(loss.forward).parameters
    if "boxes" in takes:
        more["boxes"] = torch.tensor([[0, 0.2, 0.2, 0.6, 0.7], [1, 0.1, 0.5, 0.9, 0.8]])
    if "confidence" in takes:
        more["confidence"] = torch.rand(2, 1, SIDE, SIDE)
    teacher = torch.randn(2, above, SIDE, SIDE)
    given = {"student": (student, student.detach().clone()), "teacher": (teacher, teacher.clone())}
    value = loss(preds_S=student, preds_T=teacher, **more)
    for whose, (now, before) in given.items():
        if not torch.equal(now, before):
            raise ValueError(f"the loss writes over the {whose}'s map, which other terms read too")
    if not isinstance(value, Tensor):
        raise ValueError(f"the loss is no tensor but of type {type(value).__name__}")
    if value.dim():
        raise ValueError(f"the loss is no scalar but of shape {'×'.join(map(str, value.shape))}")
    if not value.isfinite():
        raise ValueError(f"the loss is no finite scalar but {float(value)}")
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value, student, allow_unused=True)
        if gradient is not None and gradient.isfinite().all():
            return bool(gradient.any()) or not value
    raise ValueError("the loss gives the student no finite gradient")


def _pair(plan: Plan, run: ResolvedRun) -> dict[str, Any]:
    sides = [(each.architecture, _config(each.architecture, each.width)) for each in _both(run)]
    return levels.pair(plan, *sides)


def _outputs(plan: Plan, run: ResolvedRun) -> list[dict[str, list[int]]]:
    """Channels of both heads, level by level as they are paired."""
    if not plan.outputs:
        return [{}, {}]
    heads = [_heads(each.architecture, each.width) for each in _both(run)]
    return by_level(heads, _pair(plan, run))


def _both(run: ResolvedRun) -> tuple[ResolvedRun, ResolvedRun]:
    if run.teacher is None:
        raise ValueError(f"run '{run.run}' has no teacher")
    return run, run.teacher


@cache
def _config(arch: Architecture, width: float) -> ConfigDict:
    return models.model_config(arch, CLASSES, width)


@cache
def _heads(arch: Architecture, width: float) -> dict[str, list[int]]:
    return levels.output_channels(arch, _config(arch, width))
