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
from mkd.experiment.plan import Plan, loss_module

HEAD = "bbox_head"
"""The module of a detector of one stage whose outputs are its classes and boxes."""
OUTPUTS = ("cls", "bbox")
"""What a dense head gives first, each one map a level: logits of classes, and what it says of
boxes."""
_POWERS = range(48, -25, -8)
"""Tried as factors of a loss, 2 to the power, before its gradient is taken."""


@MODELS.register_module()
class SharedConnectorDistiller(ConfigurableDistiller):
    """A ``ConfigurableDistiller`` whose terms share their connectors.

    mmrazor runs a connector anew for every loss that names it; here one level has one adapter
    and one norm however many terms it has. A loss whose forward takes ``boxes`` is given those
    of the batch; one that takes ``confidence`` the teacher's largest class probability at each
    position of its level, N×1×H×W.

    Args:
        kwargs: Those of ``ConfigurableDistiller``.

    Attributes:
        measure: While true, every step also returns ``grad_<term>_<level>``: the norm of the
            term's gradient at the recorded student feature.
    """

    measure = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._takes = {
            name: signature(loss.forward).parameters for name, loss in self.distill_losses.items()
        }
        terms = sorted({name.rsplit("_", 1)[0] for name in self.distill_losses})
        for term in terms:
            # Buffers: a resumed run goes on with what it had.
            self.register_buffer(f"weight_of_{term}", torch.ones(()))
            self.register_buffer(f"norms_of_{term}", torch.zeros(()))

    @property
    def reads_head(self) -> bool:
        """Whether a term reads what the teacher's head says."""
        return HEAD in self.teacher_recorders.recorders

    def weight(self, loss: str) -> Tensor:
        """The factor of a loss's term (scalar): 1, or what :mod:`mkd.distillation.balance` set."""
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
            if "boxes" in self._takes[name]:
                inputs["boxes"] = boxes
            if "confidence" in self._takes[name]:
                inputs["confidence"] = self._confidence(mapping["preds_T"])
            loss = self.distill_losses[name](**inputs)
            if self.measure:
                results[name.replace("loss_", "grad_")] = self._gradient_norm(loss, mapping)
            results[name] = self.weight(name) * loss
        del self._records
        return results

    def get_record(self, recorder: str, from_student: bool, **where: Any) -> Any:
        """A recorded feature behind its connector, computed once a step.

        Args:
            recorder: Its recorder.
            from_student: Whether it is the student's.
            where: The other arguments of ``ConfigurableDistiller.get_record``; and ``level`` where
                what they name holds one map a level, as a head's outputs do.
        """
        key = (recorder, from_student, *sorted(where.items()))
        if key not in self._records:
            level = where.pop("level", None)
            record = super().get_record(recorder, from_student, **where)
            self._records[key] = record if level is None else record[level]
        return self._records[key]

    def _confidence(self, teacher: dict[str, Any]) -> Tensor:
        scores = self.get_record(**{**teacher, "data_idx": OUTPUTS.index("cls")})
        return scores.sigmoid().amax(1, keepdim=True)

    def _gradient_norm(self, loss: Tensor, mapping: dict[str, dict[str, Any]]) -> Tensor:
        where = {k: v for k, v in mapping["preds_S"].items() if k != "connector"}
        return gradient_norm(loss, self.get_record(**where))


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

    The teacher runs backbone and neck once a step, in inference mode; and its head where a term
    reads it.
    """

    def loss(self, batch_inputs: Tensor, data_samples: list[Any]) -> dict[str, Tensor]:
        """Detector's and distillation's losses of a batch N×3×H×W, by name."""
        if self.distillation_stopped:
            return add_prefix(self.student(batch_inputs, data_samples, mode="loss"), "student")
        with self.distiller.teacher_recorders, torch.inference_mode():
            features = self.teacher.extract_feat(batch_inputs)
            if self.distiller.reads_head:
                self.teacher.bbox_head(features)
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
    teacher_sources: Sequence[tuple[str, int | None]] | None = None,
    head_levels: Sequence[tuple[int, int]] = (),
) -> ConfigDict:
    """The ``distiller`` of a method for a pair of detectors; its losses are registered, no others.

    Args:
        plan: The method's terms (:func:`mkd.experiment.methods.plan`).
        student_channels: Channels of the recorded student feature, one a level.
        teacher_channels: Channels of the recorded teacher feature, one a level.
        sources: For each level, the finest first, the module of the student whose output is
            recorded, and the index of the feature where that output is a tuple.
        teacher_sources: Likewise of the teacher; None: of the same names.
        head_levels: For each level of the student's head, its index and that of the teacher's
            level of the same stride; for terms that read the heads.

    Returns:
        A configuration for mmrazor's registry. By default student features pass a 1×1
        convolution to the teacher's channels and a batch norm without parameters or running
        statistics, teacher features the same norm: OpenMMLab's RTMDet recipe (MMYOLO,
        ``kd_*_rtmdet_*_neck_300e_coco``). What heads say is read as it is.

    Raises:
        UserError: The adapter is ``identity`` and the channels differ.
    """
    for module in plan.modules.values():
        import_module(loss_module(module))
    norm = {"type": "BN", "affine": False, "track_running_stats": False}
    student_recorders: dict[str, Any] = {}
    teacher_recorders: dict[str, Any] = {}
    connectors: dict[str, Any] = {}
    losses: dict[str, Any] = {}
    mappings: dict[str, Any] = {}

    def add(name: str, level: int, student: Any, teacher: Any, **channels: int) -> None:
        apart = plan.levels.get(name, [])
        arguments = plan.losses[name]
        losses[f"loss_{name}_{level}"] = {
            **(apart[level] if level < len(apart) else {}),
            **arguments,
            "type": f"mmrazor.{arguments['type']}",
            **channels,
        }
        mappings[f"loss_{name}_{level}"] = {"preds_S": student, "preds_T": teacher}

    outputs = plan.outputs or {}
    on_features = [name for name in plan.losses if name not in outputs]
    pairs = zip(sources, teacher_sources or sources, strict=True) if on_features else ()
    for level, (source, other) in enumerate(pairs):
        student_recorders[source[0]] = {"type": "mmrazor.ModuleOutputs", "source": source[0]}
        teacher_recorders[other[0]] = {"type": "mmrazor.ModuleOutputs", "source": other[0]}
        own, above = student_channels[level], teacher_channels[level]
        student = {"recorder": source[0], "from_student": True, "data_idx": source[1]}
        teacher = {"recorder": other[0], "from_student": False, "data_idx": other[1]}
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
        raw = plan.features == "raw"
        channels = {"student_channels": own, "teacher_channels": above} if raw else {}
        for name in on_features:
            add(name, level, student, teacher, **channels)
    for name, output in outputs.items():
        student_recorders[HEAD] = teacher_recorders[HEAD] = {
            "type": "mmrazor.ModuleOutputs",
            "source": HEAD,
        }
        read = {"recorder": HEAD, "data_idx": OUTPUTS.index(output)}
        for own, above in head_levels:
            student = {**read, "from_student": True, "level": own}
            add(name, own, student, {**read, "from_student": False, "level": above})
    return ConfigDict(
        type="mmrazor.SharedConnectorDistiller",
        student_recorders=student_recorders,
        teacher_recorders=teacher_recorders,
        connectors=connectors,
        distill_losses=losses,
        loss_forward_mappings=mappings,
    )
