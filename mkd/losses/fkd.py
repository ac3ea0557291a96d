"""FKD: feature-based knowledge distillation (Zhang & Ma, ICLR 2021)."""

import torch
from mmrazor.models.architectures.connectors import FBKDStudentConnector, FBKDTeacherConnector
from mmrazor.registry import MODELS
from torch import Tensor, nn
from torch.linalg import vector_norm

from mkd.losses.common import (
    channel_adapter,
    check_positive,
    in_full_precision,
    promote,
    sample_norms,
)


@MODELS.register_module()
class FKD(nn.Module):
    """Attention-guided and non-local distillation, on mmrazor's two FBKD connectors.

    Every term is an unsquared norm over the whole batch, as the authors coded it::

        loss = loss_weight · (w_f ‖√(A^S A^C) ⊙ (f(S) − T)‖ + w_c ‖g(mean_hw S) − mean_hw T‖
                              + w_s ‖h(mean_c S) − mean_c T‖ + w_r ‖r(NL(S)) − NL(T)‖)

    A^S (N×1×H×W) and A^C (N×C×1×1) are the means of both sides' spatial and channel attentions,
    constants; f, g, h, r are learned adapters; NL are non-local blocks, the teacher's learned
    too. S and T are raw features; a 1×1 conv comes first where the channels differ.

    The authors have one set of values for detectors of one stage (the defaults) and one for
    detectors of two, whose form mmrazor has. Of their code only copies are public; two unlike ones
    for one-stage detectors agree on every value published here.

    Args:
        student_channels: C of the student's map.
        teacher_channels: C of the teacher's map.
        reduction: Channel reduction inside the non-local blocks. Published: 4 at the two finest
            levels, 2 beyond (the default).
        pool_stride: Max pooling of their keys and values, even. Published: 8 at the finest level,
            4 at the next, 2 beyond (the default).
        temperature: Of both attentions. Published: 0.1; 0.5 for two stages.
        channel_attention: Weigh the feature term by A^C too. Published: yes; no for two stages.
        feature_weight: w_f. Published: 4.2e-4; 7e-5 for two stages.
        channel_weight: w_c. Published: 2.4e-2; 4e-3 for two stages.
        spatial_weight: w_s. Published: 2.4e-2; 4e-3 for two stages.
        relation_weight: w_r. Published: 4.2e-4; 7e-5 for two stages.
        loss_weight: Factor of the whole term.

    Raises:
        ValueError: ``pool_stride`` is odd, or ``temperature`` is not positive.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        reduction: int = 2,
        pool_stride: int = 2,
        temperature: float = 0.1,
        channel_attention: bool = True,
        feature_weight: float = 4.2e-4,
        channel_weight: float = 2.4e-2,
        spatial_weight: float = 2.4e-2,
        relation_weight: float = 4.2e-4,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if pool_stride % 2 or pool_stride < 2:
            raise ValueError(f"FKD: pool_stride={pool_stride} must be even and at least 2")
        check_positive("FKD", temperature=temperature, reduction=reduction)
        self.align = channel_adapter(student_channels, teacher_channels)
        options = {
            "in_channels": teacher_channels,
            "reduction": reduction,
            "mode": "dot_product",
            "sub_sample": True,
            # mmrazor's block pools by this on top of a pooling by 2; the authors' pools once.
            "maxpool_stride": pool_stride // 2,
            "spatial_T": temperature,
            "channel_T": temperature,
        }
        self.student = FBKDStudentConnector(**options)
        self.teacher = FBKDTeacherConnector(**options)
        for module in self.modules():
            if isinstance(module, nn.MaxPool2d):
                # A border or a map narrower than the window is pooled, not dropped or refused.
                module.ceil_mode = True
        self.channel_attention = channel_attention
        self.weights = (feature_weight, channel_weight, spatial_weight, relation_weight)
        self.loss_weight = loss_weight

    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """The loss of one level (scalar) for raw maps N×C×H×W, C of each side.

        Raises:
            ValueError: One sample of one position in training mode: the non-local blocks'
                batch norm has nothing to normalize over.
        """
        return self._distance(self.align(promote(preds_S)), preds_T)

    @in_full_precision
    def _distance(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        (s_where, s_which, s_channel, s_spatial, s_relation, s_map) = self.student(
            preds_S.contiguous()
        )
        t_where, t_which, t_spatial, t_relation, t_map = self.teacher(preds_T.contiguous())
        attention = ((s_where + t_where) / 2).detach()
        if self.channel_attention:
            attention = attention * ((s_which + t_which) / 2).detach()
        # mmrazor's norms are roots of sums, whose gradient is undefined where the maps agree.
        differences = (
            (s_map - t_map) * attention.sqrt(),
            s_channel - t_map.mean((2, 3)),
            s_spatial - t_spatial,
            s_relation - t_relation,
        )
        norms = [vector_norm(sample_norms(d)) for d in differences]
        terms = [w * norm for w, norm in zip(self.weights, norms, strict=True)]
        return self.loss_weight * torch.stack(terms).sum()
