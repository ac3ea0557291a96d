"""Teacher, student and the terms between them, on mmrazor's distiller.

Works without the workflow: :func:`distiller_config` returns the ``distiller`` of a
``FrozenTeacherDistill`` for any pair of mmdet detectors (``docs/losses.md``).
"""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import mkd.compat  # noqa: F401  (before mmrazor)

# isort: split
import mmrazor.models  # noqa: F401  (registers)
import torch
from mmengine import dist
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmrazor.models.algorithms import FpnTeacherDistill
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.utils import add_prefix
from mmrazor.registry import MODELS
from torch import Tensor

import mkd.losses  # noqa: F401  (registers)
from mkd.errors import UserError
from mkd.methods import Plan

BALANCE_STEPS = 20
"""Steps over which ``mkd-balanced`` measures gradient norms before it freezes the weights."""
_REFERENCE = "fad"


@MODELS.register_module()
class SharedConnectorDistiller(ConfigurableDistiller):
    """A ``ConfigurableDistiller`` whose terms share their connectors.

    mmrazor runs a connector anew for every loss that names it; here one level has one adapter
    and one norm however many terms it has. A loss whose forward takes ``boxes`` and
    ``image_shapes`` is given those of the batch.

    Args:
        term_weights: Factors of terms by name (``fad``), 1 where none is given.
        kwargs: Those of ``ConfigurableDistiller``.

    Attributes:
        measure: While true, every step also returns ``grad_<term>_<level>``: the norm of the
            term's gradient at the recorded student feature.
    """

    measure = False

    def __init__(self, term_weights: dict[str, float] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._with_boxes = {
            name
            for name, loss in self.distill_losses.items()
            if "boxes" in signature(loss.forward).parameters
        }
        terms = sorted({name.rsplit("_", 1)[0] for name in self.distill_losses})
        for term in terms:
            # Buffers: a resumed run goes on with what it had.
            factor = (term_weights or {}).get(term.removeprefix("loss_"), 1.0)
            self.register_buffer(f"weight_of_{term}", torch.tensor(factor))
            self.register_buffer(f"norms_of_{term}", torch.zeros(()))

    def weight(self, loss: str) -> Tensor:
        """The factor of a loss's term (scalar): as given, or as :class:`BalanceHook` set it."""
        return self.get_buffer(f"weight_of_{loss.rsplit('_', 1)[0]}")

    def compute_distill_losses(
        self, targets: tuple[Tensor, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """All terms by name, and their gradient norms while they are measured.

        Args:
            targets: Boxes K×5 (index of the image, x1, y1, x2, y2 in pixels of the network's
                input) and image shapes N×2 (height, width), for the losses that take them.
        """
        self._records: dict[tuple[Any, ...], Any] = {}
        results: dict[str, Tensor] = {}
        for name, mapping in self.loss_forward_mappings.items():
            inputs = {key: self.get_record(**record) for key, record in mapping.items()}
            if name in self._with_boxes:
                assert targets is not None
                inputs["boxes"], inputs["image_shapes"] = targets
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
        feature = super().get_record(**where)
        (gradient,) = torch.autograd.grad(loss, feature, retain_graph=True)
        return gradient.float().norm()


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
        distilled = self.distiller.compute_distill_losses(_targets(data_samples, batch_inputs))
        return {**losses, **add_prefix(distilled, "distill")}


def _targets(data_samples: list[Any], batch_inputs: Tensor) -> tuple[Tensor, Tensor]:
    device = batch_inputs.device
    boxes = [sample.gt_instances.bboxes for sample in data_samples]
    boxes = [getattr(box, "tensor", box) for box in boxes]
    counts = torch.tensor([len(box) for box in boxes], device=device)
    index = torch.arange(len(boxes), device=device).repeat_interleave(
        counts, output_size=sum(len(box) for box in boxes)
    )
    shapes = torch.tensor([sample.img_shape[:2] for sample in data_samples], device=device)
    return torch.cat([index[:, None].float(), torch.cat(boxes).float()], 1), shapes


def distiller_config(
    plan: Plan,
    student_channels: Sequence[int],
    teacher_channels: Sequence[int],
    sources: Sequence[tuple[str, int | None]],
    strides: Sequence[int] = (8, 16, 32),
) -> ConfigDict:
    """The ``distiller`` of a method for a pair of detectors.

    Args:
        plan: The method's terms (:func:`mkd.methods.plan`).
        student_channels: Channels of the recorded student feature, one a level.
        teacher_channels: Channels of the recorded teacher feature, one a level.
        sources: For each level the module whose output is recorded, of the same name in both,
            and the index of the feature where that output is a tuple.
        strides: Stride of each level; FKD has settings of its own at some.

    Returns:
        A configuration for mmrazor's registry. By default student features pass a 1×1
        convolution to the teacher's channels and a batch norm without parameters or running
        statistics, teacher features the same norm: OpenMMLab's RTMDet recipe (MMYOLO,
        ``kd_*_rtmdet_*_neck_300e_coco``).

    Raises:
        UserError: The adapter is ``identity`` and the channels differ.
    """
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
        if plan.method.features == "normalized":
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
            loss = {**arguments, "type": f"mmrazor.{arguments['type']}"}
            if plan.method.features == "raw":
                by_stride = plan.method.terms[name].strides
                loss = {
                    "student_channels": own,
                    "teacher_channels": above,
                    **(by_stride.get(strides[level], {}) if by_stride else {}),
                    **loss,
                }
            losses[f"loss_{name}_{level}"] = loss
            mappings[f"loss_{name}_{level}"] = {"preds_S": student, "preds_T": teacher}
    return ConfigDict(
        type="mmrazor.SharedConnectorDistiller",
        term_weights=dict(plan.term_weights),
        student_recorders=recorders,
        teacher_recorders=recorders,
        connectors=connectors,
        distill_losses=losses,
        loss_forward_mappings=mappings,
    )


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
