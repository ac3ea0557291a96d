"""PKD: Pearson correlation (Cao et al., NeurIPS 2022, arXiv 2207.02039)."""

import torch
from mmrazor.models.losses import PKDLoss
from mmrazor.registry import MODELS
from torch import Tensor

from mkd.losses.common import in_full_precision


@MODELS.register_module()
class PKD(PKDLoss):
    """Mean squared error of standardized channels, halved: 1 − the Pearson correlation.

    For x̂ = (x − mean) / (std + 1e-6) of each channel over N, H and W::

        loss = loss_weight · distance_weight · ½ · mean (Ŝ − T̂)²

    Args:
        distance_weight: Published: 10 on RetinaNet (the default), 6 on two-stage detectors.
        loss_weight: Factor of the whole term.
    """

    def __init__(self, distance_weight: float = 10.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight=loss_weight)
        self.distance_weight = distance_weight

    @in_full_precision
    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """The loss of one level (scalar) for maps N×C×H×W."""
        return self.distance_weight * super().forward(preds_S, preds_T)

    def norm(self, feat: Tensor) -> Tensor:
        """Standardized over N, H and W; zero where a channel has one value only."""
        values = feat.numel() // feat.shape[1]
        # mmrazor's is undefined (0/0) for a single 1×1 map.
        std, mean = torch.std_mean(feat, (0, 2, 3), correction=min(values - 1, 1), keepdim=True)
        return (feat - mean) / (std + 1e-6)
