"""The model that a run trains: its detector, with the teacher where it distils."""

import random
from pathlib import Path

from mkd import distillation
from mkd.detectors import models  # before mmdet
from mkd.distillation import levels

# isort: split
import numpy as np
import torch
from mmengine.model import BaseModel

from mkd.errors import UserError
from mkd.experiment.resolved import ResolvedRun
from mkd.training import weights


def build(
    resolved: ResolvedRun,
    num_classes: int,
    backbone_weights: Path | None,
    teacher_weights: Path | None,
    start_weights: Path | None,
) -> BaseModel:
    """Build a run's model and read the weights it starts from.

    Args:
        resolved: The run.
        num_classes: Number of classes of its data set.
        backbone_weights: As for :func:`mkd.training.trainer.train`; so are the two below.
        teacher_weights: The teacher's.
        start_weights: The whole detector's.

    Returns:
        The detector alone where nothing is distilled; else mmrazor's algorithm, which has it as
        ``student`` beside its frozen teacher.

    Raises:
        UserError: Weights are missing, or are not those of this run.
    """
    device = resolved.train.device
    config = models.model_config(resolved.architecture, num_classes, resolved.width)
    if resolved.architecture.generic and backbone_weights is None and start_weights is None:
        models.thaw(config)
    # Seeded here, not by the Runner: the student starts alike with and without a teacher.
    torch.manual_seed(resolved.draws)
    random.seed(resolved.draws)
    np.random.seed(resolved.draws)
    student = models.build(config, device)
    models.init_weights(student)
    if backbone_weights is not None:
        size = resolved.architecture.backbone
        found = weights.load(student.backbone, backbone_weights, "backbone.").get("backbone", size)
        if found != size:
            raise UserError(
                f"{backbone_weights} is a backbone of size {found}, and run '{resolved.run}' "
                f"wants {size}: name the right file"
            )
    if start_weights is not None:
        said = weights.load(student, start_weights)
        if resolved.start is not None and "run" in said:
            weights.expect(
                said,
                start_weights,
                {"run": resolved.start.run, "seed": resolved.start.seed},
            )
    student._is_init = True
    plan, above = resolved.distillation, resolved.teacher
    if not plan.losses:
        return student
    if teacher_weights is None or above is None:
        raise UserError(f"run '{resolved.run}' distils and was given no teacher's weights")
    # Of a published teacher the head may know other classes; features are what is distilled.
    known = weights.num_classes(teacher_weights) or num_classes
    teacher_config = models.model_config(above.architecture, known, above.width)
    teacher = models.build(teacher_config, device)
    said = weights.load(teacher, teacher_weights)
    # What no run of the suite made is a user's own file, and his own choice.
    if "run" in said:
        weights.expect(said, teacher_weights, {"run": above.run, "seed": above.seed})
    model = distillation.FrozenTeacherDistill(
        distiller=distillation.distiller_config(
            plan,
            **levels.pair(
                plan, (resolved.architecture, config), (above.architecture, teacher_config)
            ),
        ),
        architecture=student,
        teacher=teacher,
        # No recorded feature is written over by the module that reads it.
        module_inplace=True,
        teacher_module_inplace=True,
    )
    model._is_init = teacher._is_init = True
    return model
