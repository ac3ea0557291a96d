"""Teacher, student and the terms between them, on mmrazor's distiller.

Works without the workflow: :func:`distiller_config` returns the ``distiller`` of an mmrazor
``FpnTeacherDistill`` for any pair of mmdet detectors.
"""

from collections.abc import Sequence
from typing import Any

import mkd.compat

# isort: split
import mmengine
import mmrazor.models  # noqa: F401  (registers)
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmrazor.models.algorithms import FpnTeacherDistill
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.registry import MODELS

import mkd.losses  # noqa: F401  (registers)
from mkd.methods import Plan


@MODELS.register_module()
class SharedConnectorDistiller(ConfigurableDistiller):
    """A ``ConfigurableDistiller`` that runs each connector once a step.

    mmrazor runs a connector anew for every loss that names it. The terms of one level share
    adapter and norm here, so a method of three terms costs one adapter, not three.
    """

    def compute_distill_losses(self) -> dict[str, torch.Tensor]:
        """All terms by name."""
        self._records: dict[tuple[Any, ...], Any] = {}
        losses = super().compute_distill_losses()
        del self._records
        return losses

    def get_record(self, recorder: str, from_student: bool, **where: Any) -> Any:
        """A recorded feature behind its connector, computed once a step."""
        key = (recorder, from_student, *sorted(where.items()))
        if key not in self._records:
            self._records[key] = super().get_record(recorder, from_student, **where)
        return self._records[key]


def distiller_config(
    plan: Plan,
    student_channels: int,
    teacher_channels: int,
    sources: Sequence[str],
) -> ConfigDict:
    """The ``distiller`` of a method for a pair of detectors.

    Args:
        plan: The method's terms (:func:`mkd.methods.plan`).
        student_channels: Channels of every recorded student feature.
        teacher_channels: Channels of every recorded teacher feature.
        sources: Module names whose outputs are recorded, one a level, the same in both.

    Returns:
        A configuration for mmrazor's registry. Student features pass a 1×1 convolution to the
        teacher's channels and a batch norm without parameters or running statistics, teacher
        features the same norm: OpenMMLab's RTMDet recipe (MMYOLO, ``kd_*_rtmdet_*_neck``).
    """
    norm = {"type": "BN", "affine": False, "track_running_stats": False}
    connectors: dict[str, Any] = {}
    losses: dict[str, Any] = {}
    mappings: dict[str, Any] = {}
    for level in range(len(sources)):
        feature = f"level{level}"
        student, teacher = f"student{level}", f"teacher{level}"
        if plan.method.features == "normalized":
            connectors[student] = {
                "type": "mmrazor.ConvModuleConnector",
                "in_channel": student_channels,
                "out_channel": teacher_channels,
                "bias": False,
                "norm_cfg": norm,
                "act_cfg": None,
            }
            connectors[teacher] = {
                "type": "mmrazor.NormConnector",
                "in_channels": teacher_channels,
                "norm_cfg": norm,
            }
        for name, arguments in plan.losses.items():
            key = f"loss_{name}_{level}"
            losses[key] = {**arguments, "type": f"mmrazor.{arguments['type']}"}
            mappings[key] = {
                "preds_S": {"recorder": feature, "from_student": True},
                "preds_T": {"recorder": feature, "from_student": False},
            }
            if plan.method.features == "normalized":
                mappings[key]["preds_S"]["connector"] = student
                mappings[key]["preds_T"]["connector"] = teacher
            else:
                losses[key] |= {
                    "student_channels": student_channels,
                    "teacher_channels": teacher_channels,
                }
    recorders = {
        f"level{level}": {"type": "mmrazor.ModuleOutputs", "source": source}
        for level, source in enumerate(sources)
    }
    return ConfigDict(
        type="mmrazor.SharedConnectorDistiller",
        student_recorders=recorders,
        teacher_recorders=recorders,
        connectors=connectors,
        distill_losses=losses,
        loss_forward_mappings=mappings,
    )


def distill(student: BaseModel, teacher: BaseModel, distiller: ConfigDict) -> FpnTeacherDistill:
    """A trainable pair: the teacher runs its backbone and neck only, without gradients.

    Args:
        student: The detector to train.
        teacher: A trained detector; it is put in evaluation mode and never changes.
        distiller: From :func:`distiller_config`.
    """
    return FpnTeacherDistill(
        distiller=distiller,
        architecture=student,
        teacher=teacher,
        # The recorded convolutions are read by a norm that writes elsewhere.
        module_inplace=True,
        teacher_module_inplace=True,
    )


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
        self.src_model = model.student if distilled else model
        self.ema_model = mmengine.MODELS.build(self.ema_cfg, default_args={"model": self.src_model})

    def _swap_ema_state_dict(self, checkpoint: dict[str, Any]) -> None:
        model, ema = checkpoint["state_dict"], checkpoint["ema_state_dict"]
        for key in ema:
            if key.startswith("module."):
                name = self._prefix + key.removeprefix("module.")
                ema[key], model[name] = model[name], ema[key]
