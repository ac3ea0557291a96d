"""One step of a method on made-up images, before anything else is spent on it."""

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from mkd import distillation
from mkd.detectors import models  # before mmdet
from mkd.distillation import levels

# isort: split
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.config import ConfigDict

from mkd.detectors.architectures import Architecture
from mkd.errors import UserError
from mkd.experiment import methods
from mkd.experiment.architectures import architecture
from mkd.experiment.plan import Plan
from mkd.training import config_check, loss_check

CLASSES = 3
WIDTH = 0.25
"""Of the suite's own families."""


class Found(NamedTuple):
    """What a term does at a level: its value, and its gradient's norm where it is recorded."""

    term: str
    level: int
    value: float
    gradient: float


def check(method: str, student: str, teacher: str) -> list[str]:
    """Take one step of a method.

    Args:
        method: A key of :data:`mkd.experiment.methods.METHODS`.
        student: Architecture of the student; those of the suite are made narrow.
        teacher: Architecture of the teacher.

    Returns:
        What is found, in lines to read.

    Raises:
        UserError: Levels do not match, a loss cannot be made or is not finite, or gives the
            student no gradient.
    """
    began = time.monotonic()
    archs = [architecture(name) for name in (student, teacher)]
    config_check.check(archs[0])
    sides = [
        (arch, models.model_config(arch, CLASSES, 1.0 if arch.generic else WIDTH)) for arch in archs
    ]
    plan = methods.plan(method, method, {}, archs[0].two_stage)
    if not plan.losses:
        raise UserError(f"method '{method}' distils nothing: there is nothing to check")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with loss_check.told(
            f"the levels of {student} and {teacher} cannot be measured by a forward pass"
        ):
            pair = levels.pair(plan, sides[0], sides[1])
            heads = [levels.output_channels(*side) for side in sides] if plan.outputs else [{}, {}]
        outputs = loss_check.by_level(heads, pair)
        loss_check.check(method, plan, pair["student_channels"], pair["teacher_channels"], outputs)
        with loss_check.told(f"a step of {student} on boxes and masks alone does not work"):
            found = _step(plan, sides, pair)
    for each in found:
        if not each.gradient > 0:
            raise UserError(
                f"method '{method}': level {each.level} of term '{each.term}' gives the student no "
                "gradient, though its maps differ: look at what the loss detaches or rounds"
            )
    names = [f"{each.term} {each.level}" for each in found]
    width = max(map(len, ["term, level", *names]))
    return [
        f"{'term, level':{width}}  {'loss':>10}  {'gradient':>10}",
        *(
            f"{name:{width}}  {each.value:>10.4g}  {each.gradient:>10.4g}"
            for name, each in zip(names, found, strict=True)
        ),
        f"one step of {method}, {student} taught by {teacher}: every level gives the student a "
        f"finite gradient ({time.monotonic() - began:.1f} s)",
    ]


def _step(
    plan: Plan, sides: Sequence[tuple[Architecture, ConfigDict]], pair: dict[str, Any]
) -> list[Found]:
    student, teacher = (models.build(config) for _, config in sides)
    for side in (student, teacher):
        models.init_weights(side)
    model = distillation.FrozenTeacherDistill(
        distiller=distillation.distiller_config(plan, **pair),
        architecture=student,
        teacher=teacher,
        module_inplace=True,
        teacher_module_inplace=True,
    )
    model.train()
    model.distiller.measure = True
    arch, config = sides[0]
    # Two positions a side at the coarsest level: a map of one has no shape to compare.
    side_px = 2 * max(level.stride for level in levels.levels(arch, config, "neck_output"))
    shapes, masks = [[3, side_px, side_px]] * 2, arch.has_masks
    batch = demo_mm_inputs(2, shapes, num_items=[2, 3], num_classes=CLASSES, with_mask=masks)
    said = model(**model.data_preprocessor(batch, True), mode="loss")
    found = []
    for name in model.distiller.distill_losses:
        term, level = name.removeprefix("loss_").rsplit("_", 1)
        value, gradient = (
            float(said[f"distill.{kind}_{term}_{level}"].detach()) for kind in ("loss", "grad")
        )
        if not (math.isfinite(value) and math.isfinite(gradient)):
            raise UserError(
                f"level {level} of term '{term}' is {value} and its gradient {gradient}: "
                "look at what it divides by, or takes the root or logarithm of"
            )
        found.append(Found(term, int(level), value, gradient))
    return found
