"""CWD: channel-wise distillation (Shu et al., ICCV 2021, arXiv 2011.13256)."""

from mmrazor.models.losses import ChannelWiseDivergence
from mmrazor.registry import MODELS
from torch import Tensor

from mkd.losses.common import check_positive, in_full_precision


@MODELS.register_module()
class CWD(ChannelWiseDivergence):
    """KL divergence of each channel's softmax over positions.

    mmrazor's class, which needs contiguous maps::

        loss = loss_weight · τ²/(N·C) · Σ softmax(T/τ) · (log softmax(T/τ) − log softmax(S/τ))

    Args:
        temperature: τ. OpenMMLab's RTMDet recipe: 1 (the default).
        loss_weight: OpenMMLab's RTMDet recipe: 1 (the default).

    Raises:
        ValueError: ``temperature`` is not positive.
    """

    def __init__(self, temperature: float = 1.0, loss_weight: float = 1.0) -> None:
        check_positive("CWD", temperature=temperature)
        super().__init__(tau=temperature, loss_weight=loss_weight)

    @in_full_precision
    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """The loss of one level (scalar) for maps N×C×H×W."""
        return super().forward(preds_S.contiguous(), preds_T.contiguous())
