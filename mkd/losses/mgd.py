"""MGD: masked generative distillation (Yang et al., ECCV 2022, arXiv 2205.01529)."""

import torch
from mmrazor.models.architectures.connectors import MGDConnector
from mmrazor.models.losses import MGDLoss
from mmrazor.registry import MODELS
from torch import Tensor, nn

from mkd.losses.common import in_full_precision, promote


@MODELS.register_module()
class MGD(nn.Module):
    """The teacher's map, generated from the student's behind a random mask.

    mmrazor's connector and loss in one module, the mask drawn where the maps are::

        loss = loss_weight · distance_weight · Σ (G(align(S) ⊙ M) − T)² / N

    M is N×1×H×W and zero with probability ``mask_ratio``; G is 3×3 conv–ReLU–3×3 conv; align
    is a 1×1 conv where the channels differ. S and T are raw features.

    Args:
        student_channels: C of the student's map.
        teacher_channels: C of the teacher's map.
        mask_ratio: λ. Published: 0.65 for one-stage (the default), 0.45 for two-stage.
        distance_weight: α. Published: 2e-5 for one-stage (the default), 5e-7 for two-stage.
        loss_weight: Factor of the whole term.

    Raises:
        ValueError: ``mask_ratio`` is out of its range.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        mask_ratio: float = 0.65,
        distance_weight: float = 2e-5,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= mask_ratio < 1:
            raise ValueError(f"MGD: mask_ratio={mask_ratio} must lie in [0, 1)")
        self.connector = MGDConnector(student_channels, teacher_channels, mask_ratio)
        self.distance = MGDLoss(distance_weight)
        self.loss_weight = loss_weight

    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """The loss of one level (scalar) for raw maps N×C×H×W, C of each side."""
        student = promote(preds_S)
        if self.connector.align is not None:
            student = self.connector.align(student)
        n, _, h, w = student.shape
        # mmrazor draws on the CPU and copies, which stalls a GPU at every step.
        mask = torch.rand(n, 1, h, w, device=student.device) <= 1 - self.connector.lambda_mgd
        return self._distance(self.connector.generation(student * mask), preds_T)

    @in_full_precision
    def _distance(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        return self.loss_weight * self.distance(preds_S, preds_T)
