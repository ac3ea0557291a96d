"""Teacher, student and the terms between them, on mmrazor's distiller.

Works without the workflow: :func:`distiller_config` returns the ``distiller`` of a
``FrozenTeacherDistill`` for any pair of mmdet detectors (``docs/losses.md``).
"""

from collections.abc import Sequence
from importlib import import_module
from inspect import signature
from typing import Any

import mkd.compat  # noqa: F401  (before mmrazor)

# isort: split
import mmrazor.models  # noqa: F401  (registers)
import torch
from mmengine.config import ConfigDict
from mmrazor.models.algorithms import FpnTeacherDistill
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.utils import add_prefix
from mmrazor.registry import MODELS
from torch import Tensor

from mkd.errors import UserError
from mkd.experiment.plan import Plan

_POWERS = range(48, -25, -8)
"""Tried as factors of a loss, 2 to the power, before its gradient is taken."""


@MODELS.register_module()
class SharedConnectorDistiller(ConfigurableDistiller):
    """A ``ConfigurableDistiller`` whose terms share their connectors.

    mmrazor runs a connector anew for every loss that names it; here one level has one adapter
    and one norm however many terms it has. A loss whose forward takes ``boxes`` is given those
    of the batch.

    Args:
        kwargs: Those of ``ConfigurableDistiller``.

    Attributes:
        measure: While true, every step also returns ``grad_<term>_<level>``: the norm of the
            term's gradient at the recorded student feature.
    """

    measure = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._with_boxes = {
            name
            for name, loss in self.distill_losses.items()
            if "boxes" in signature(loss.forward).parameters
        }
        terms = sorted({name.rsplit("_", 1)[0] for name in self.distill_losses})
        for term in terms:
            # Buffers: a resumed run goes on with what it had.
            self.register_buffer(f"weight_of_{term}", torch.ones(()))
            self.register_buffer(f"norms_of_{term}", torch.zeros(()))

    def weight(self, loss: str) -> Tensor:
        """The factor of a loss's term (scalar): 1, or as :class:`BalanceHook` set it."""
        return self.get_buffer(f"weight_of_{loss.rsplit('_', 1)[0]}")

    def compute_distill_losses(self, boxes: Tensor | None = None) -> dict[str, Tensor]:
        """All terms by name, and their gradient norms while they are measured.

        Args:
            boxes: Ground truth K×5 for the losses that take it: index of the image, x1, y1, x2,
                y2 as shares of the network's padded input.
        """
        self._records: dict[tuple[Any, ...], Any] = {}
        results: dict[str, Tensor] = {}
        for name, mapping in self.loss_forward_mappings.items():
            inputs = {key: self.get_record(**record) for key, record in mapping.items()}
            if name in self._with_boxes:
                inputs["boxes"] = boxes
            loss = self.distill_losses[name](**inputs)
            if self.measure:
                results[name.replace("loss_", "grad_")] = self._gradient_norm(loss, mapping)
            results[name] = self.weight(name) * loss
        del self._records
        return results

    def get_record(self, recorder: str, from_student: bool, **where: Any) -> Any:
        """A recorded feature behind its connector, computed once a step."""
        key = (recorder, from_student, *sorted(where.items()))
        if key not in self._records:
            self._records[key] = super().get_record(recorder, from_student, **where)
        return self._records[key]

    def _gradient_norm(self, loss: Tensor, mapping: dict[str, dict[str, Any]]) -> Tensor:
        where = {k: v for k, v in mapping["preds_S"].items() if k != "connector"}
        return gradient_norm(loss, super().get_record(**where))


def gradient_norm(loss: Tensor, feature: Tensor) -> Tensor:
    """The Euclidean norm of a loss's gradient at a feature it was computed from, float32.

    In half precision a mean's gradient over a large map is rounded to nothing, so it is that of
    the loss times the largest of a few powers of two that overflows nowhere, which the norm is
    divided by. Such a factor is exact in float32. Each power that is tried waits for the device.

    Args:
        loss: A scalar.
        feature: A tensor of any precision.
    """
    for power in _POWERS:
        scale = torch.full_like(loss, 2.0**power)
        (gradient,) = torch.autograd.grad(loss, feature, scale, retain_graph=True)
        norm = gradient.float().norm()
        if norm.isfinite():
            break
    return norm / 2.0**power


@MODELS.register_module()
class FrozenTeacherDistill(FpnTeacherDistill):
    """mmrazor's ``FpnTeacherDistill`` with a teacher that leaves no trace in autograd.

    The teacher runs backbone and neck once a step, in inference mode.
    """

    def loss(self, batch_inputs: Tensor, data_samples: list[Any]) -> dict[str, Tensor]:
        """Detector's and distillation's losses of a batch N×3×H×W, by name."""
        if self.distillation_stopped:
            return add_prefix(self.student(batch_inputs, data_samples, mode="loss"), "student")
        with self.distiller.teacher_recorders, torch.inference_mode():
            self.teacher.extract_feat(batch_inputs)
        with self.distiller.student_recorders:
            losses = add_prefix(self.student(batch_inputs, data_samples, mode="loss"), "student")
        boxes = _relative_boxes(data_samples, batch_inputs)
        distilled = self.distiller.compute_distill_losses(boxes)
        return {**losses, **add_prefix(distilled, "distill")}


def _relative_boxes(data_samples: list[Any], batch_inputs: Tensor) -> Tensor:
    device = batch_inputs.device
    boxes = [sample.gt_instances.bboxes for sample in data_samples]
    boxes = [getattr(box, "tensor", box) for box in boxes]
    counts = torch.tensor([len(box) for box in boxes], device=device)
    index = torch.arange(len(boxes), device=device).repeat_interleave(
        counts, output_size=sum(len(box) for box in boxes)
    )
    # All features are maps of the whole padded input, whatever shape an image in it has.
    height, width = batch_inputs.shape[-2:]
    size = torch.tensor([width, height, width, height], device=device)
    return torch.cat([index[:, None].float(), torch.cat(boxes).float() / size], 1)


def distiller_config(
    plan: Plan,
    student_channels: Sequence[int],
    teacher_channels: Sequence[int],
    sources: Sequence[tuple[str, int | None]],
) -> ConfigDict:
    """The ``distiller`` of a method for a pair of detectors; its losses are registered, no others.

    Args:
        plan: The method's terms (:func:`mkd.experiment.methods.plan`).
        student_channels: Channels of the recorded student feature, one a level.
        teacher_channels: Channels of the recorded teacher feature, one a level.
        sources: For each level, the finest first, the module whose output is recorded, of the
            same name in both, and the index of the feature where that output is a tuple.

    Returns:
        A configuration for mmrazor's registry. By default student features pass a 1×1
        convolution to the teacher's channels and a batch norm without parameters or running
        statistics, teacher features the same norm: OpenMMLab's RTMDet recipe (MMYOLO,
        ``kd_*_rtmdet_*_neck_300e_coco``).

    Raises:
        UserError: The adapter is ``identity`` and the channels differ.
    """
    for module in plan.modules.values():
        import_module(f"mkd.losses.{module}")
    norm = {"type": "BN", "affine": False, "track_running_stats": False}
    recorders: dict[str, Any] = {}
    connectors: dict[str, Any] = {}
    losses: dict[str, Any] = {}
    mappings: dict[str, Any] = {}
    for level, (source, index) in enumerate(sources):
        recorders[source] = {"type": "mmrazor.ModuleOutputs", "source": source}
        own, above = student_channels[level], teacher_channels[level]
        student = {"recorder": source, "from_student": True, "data_idx": index}
        teacher = {"recorder": source, "from_student": False, "data_idx": index}
        if plan.features == "normalized":
            if plan.adapter == "identity" and own != above:
                raise UserError(
                    f"adapter=identity needs equal channels, but level {level} has {own} in the "
                    f"student and {above} in the teacher: use adapter=norm or adapter=conv"
                )
            if plan.adapter != "identity":
                connectors[f"student{level}"] = {
                    "type": "mmrazor.ConvModuleConnector",
                    "in_channel": own,
                    "out_channel": above,
                    "bias": False,
                    "norm_cfg": norm if plan.adapter == "norm" else None,
                    "act_cfg": None,
                }
                student["connector"] = f"student{level}"
            if plan.adapter == "norm":
                connectors[f"teacher{level}"] = {
                    "type": "mmrazor.NormConnector",
                    "in_channels": above,
                    "norm_cfg": norm,
                }
                teacher["connector"] = f"teacher{level}"
        for name, arguments in plan.losses.items():
            apart = plan.levels.get(name, [])
            loss = {
                **(apart[level] if level < len(apart) else {}),
                **arguments,
                "type": f"mmrazor.{arguments['type']}",
            }
            if plan.features == "raw":
                loss |= {"student_channels": own, "teacher_channels": above}
            losses[f"loss_{name}_{level}"] = loss
            mappings[f"loss_{name}_{level}"] = {"preds_S": student, "preds_T": teacher}
    return ConfigDict(
        type="mmrazor.SharedConnectorDistiller",
        student_recorders=recorders,
        teacher_recorders=recorders,
        connectors=connectors,
        distill_losses=losses,
        loss_forward_mappings=mappings,
    )
