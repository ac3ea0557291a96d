"""L_fea: the term of MKD's Eq. 6 that has no formula."""

import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from mkd.losses.common import check_choice, in_full_precision
from mkd.losses.pkd import PKD


@MODELS.register_module()
class FeatureLoss(nn.Module):
    """A plain feature distance for the L_fea of MKD's Eq. 6 (audit 1; none by default).

    Args:
        kind: ``"mse"``: the element mean of squares; ``"pkd"``: :class:`mkd.losses.PKD` of
            weight 1.
        loss_weight: Factor of the whole term (audit 3).

    Raises:
        ValueError: ``kind`` is neither.
    """

    def __init__(self, kind: str = "mse", loss_weight: float = 1.0) -> None:
        super().__init__()
        check_choice("FeatureLoss", "kind", kind, ("mse", "pkd"))
        self.distance = PKD(distance_weight=1.0) if kind == "pkd" else F.mse_loss
        self.loss_weight = loss_weight

    @in_full_precision
    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """The loss of one level (scalar) for maps N×C×H×W."""
        return self.loss_weight * self.distance(preds_S, preds_T)
