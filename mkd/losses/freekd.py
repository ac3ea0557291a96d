"""FreeKD without its prompts (Zhang et al., CVPR 2024, arXiv 2311.12079)."""

import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from mkd.losses.common import in_full_precision, promote

SCALES = 3
"""Of the wavelet transform, as its authors take it."""


@MODELS.register_module()
class FreeKD(nn.Module):
    """High frequencies of a Haar wavelet transform, and the map itself.

    For the detail bands W_j(x), N×C×3×h×w, of the j-th of three scales (the finest first)::

        loss = loss_weight · (frequency_weight · Σ_j mean |W_j(S) − W_j(T)|
                              + feature_weight · mean (S − T)²)

    with S the student's map behind a 1×1 convolution to the teacher's channels.

    The authors also learn *prompts*, points of interest that weigh the bands' positions. They train
    them first, in the teacher, with its detector's loss. A distiller that trains once has no such
    phase, so that every position weighs the same here. Their RetinaNet configuration distils the
    output of the regression branch as well, which is another method's matter and left out.

    Args:
        student_channels: Channels of the student's map.
        teacher_channels: Channels of the teacher's map.
        frequency_weight: Of the bands; the authors' for RetinaNet.
        feature_weight: Of the map itself; the authors' for RetinaNet.
        loss_weight: Factor of the whole term.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        frequency_weight: float = 1.0,
        feature_weight: float = 5.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.align = nn.Conv2d(student_channels, teacher_channels, 1)
        self.frequency_weight = frequency_weight
        self.feature_weight = feature_weight
        self.loss_weight = loss_weight

    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """The loss of one level (scalar) for raw maps N×C×H×W, C of each side."""
        return self._distance(self.align(promote(preds_S)), preds_T)

    @in_full_precision
    def _distance(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        # The transform is linear: the difference of the bands is that of the maps, transformed.
        rest, bands = preds_S - preds_T, preds_S.new_zeros(())
        loss = self.feature_weight * rest.square().mean()
        for _ in range(SCALES):
            rest, *details = _haar(rest)
            bands = bands + sum(band.abs().mean() for band in details) / 3
        return self.loss_weight * (loss + self.frequency_weight * bands)


def _haar(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One scale of the orthonormal transform: the average and the three detail bands.

    Args:
        x: N×C×H×W; odd sides are continued by a zero.
    """
    x = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2))
    a, b = x[..., ::2, ::2], x[..., ::2, 1::2]
    c, d = x[..., 1::2, ::2], x[..., 1::2, 1::2]
    return (
        (a + b + c + d) / 2,
        (a + b - c - d) / 2,
        (a - b + c - d) / 2,
        (a - b - c + d) / 2,
    )
