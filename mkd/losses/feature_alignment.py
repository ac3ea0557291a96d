"""L_FAD: channel-wise Kullback–Leibler divergence (MKD §3.3, Eq. 5)."""

import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from mkd.losses.common import check_choice, check_positive, in_full_precision, spatial_attention


@MODELS.register_module()
class FeatureAlignmentLoss(nn.Module):
    """KL divergence of the normalized maps of each channel (MKD Eq. 5).

    With the defaults, φ the softmax over the H·W positions of a channel::

        loss = loss_weight · τ²/(N·C) · Σ_{n,c,i} φ(T/τ) · (log φ(T/τ) − log φ(S/τ))

    which is CWD (Shu et al. 2021, arXiv 2011.13256).

    Args:
        temperature: τ (audit 19).
        temperature_inside: Divide by τ inside φ, which Eq. 5 does not print (audit 19).
        softmax_axis: ``"spatial"``: over the positions of each channel; ``"channel"``: over
            the channels of each position, under the same factor τ²/C (audit 20).
        attention_weighted: G of Eq. 5 is each map times its own spatial attention
            H·W·softmax(mean_c |F| / 0.5), FGD's, instead of the map (audit 18).
        loss_weight: Factor of the whole term (audit 3).

    Raises:
        ValueError: An option is out of its range, or two of them contradict each other.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        temperature_inside: bool = True,
        softmax_axis: str = "spatial",
        attention_weighted: bool = False,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_choice("FeatureAlignmentLoss", "softmax_axis", softmax_axis, ("spatial", "channel"))
        check_positive("FeatureAlignmentLoss", temperature=temperature)
        if not temperature_inside and temperature == 1:
            raise ValueError(
                "FeatureAlignmentLoss: temperature_inside=False has no effect at temperature=1"
            )
        self.temperature = temperature
        self.temperature_inside = temperature_inside
        self.softmax_axis = softmax_axis
        self.attention_weighted = attention_weighted
        self.loss_weight = loss_weight

    @in_full_precision
    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """The loss of one level (scalar) for maps N×C×H×W."""
        n, c = preds_S.shape[:2]
        student, teacher = self._log_phi(preds_S), self._log_phi(preds_T)
        divergence = F.kl_div(student, teacher, reduction="sum", log_target=True)
        return self.loss_weight * self.temperature**2 / (n * c) * divergence

    def _log_phi(self, x: Tensor) -> Tensor:
        if self.attention_weighted:
            x = x * spatial_attention(x, temperature=0.5)
        if self.temperature_inside and self.temperature != 1:
            x = x / self.temperature
        return F.log_softmax(x.flatten(2), dim=2 if self.softmax_axis == "spatial" else 1)
