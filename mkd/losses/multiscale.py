"""L_Multiscale: the squared distance of pooled maps (MKD §3.1, Eq. 1)."""

from collections.abc import Sequence
from functools import partial, reduce

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from mkd.losses.common import check_choice, in_full_precision, sample_norms


@MODELS.register_module()
class MultiscaleLoss(nn.Module):
    """Distance of student and teacher after pooling, over several scales (MKD Eq. 1).

    With the defaults, for D = S − T and D_k its average over k×k windows::

        loss = loss_weight · Σ_k mean_{n,c,i,j} (D_k)²

    Windows do not overlap and start at the top left; a window that crosses the right or lower
    border pools the positions it has, so a scale larger than the map pools all of it.

    Args:
        scales: The window sizes k, distinct (audit 8).
        pool: ``"avg"`` or ``"max"`` (audit 8).
        squared: The L2 distance squared, or as it is: the norm of each sample (audit 7).
        normalizer: What the (squared) distance is divided by. ``"elements"``: its own
            elements, which makes it a mean (a root mean square if not ``squared``);
            ``"hw"``: H·W of the map before pooling, as Eq. 1 prints it, without C (audit 7).
        scale_reduction: ``"sum"`` or ``"mean"`` over the scales (audit 7).
        loss_weight: Factor of the whole term (audit 3).

    Raises:
        ValueError: An option is out of its range, or two of them contradict each other.
    """

    def __init__(
        self,
        scales: Sequence[int] = (1, 2, 4),
        pool: str = "avg",
        squared: bool = True,
        normalizer: str = "elements",
        scale_reduction: str = "sum",
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_choice("MultiscaleLoss", "pool", pool, ("avg", "max"))
        check_choice("MultiscaleLoss", "normalizer", normalizer, ("elements", "hw"))
        check_choice("MultiscaleLoss", "scale_reduction", scale_reduction, ("sum", "mean"))
        if not scales or min(scales) < 1 or len(set(scales)) < len(scales):
            raise ValueError(f"MultiscaleLoss: scales={scales} must be distinct and at least 1")
        if pool == "max" and max(scales) == 1:
            raise ValueError("MultiscaleLoss: pool='max' has no effect at scale 1 alone")
        if scale_reduction == "mean" and len(scales) == 1:
            raise ValueError("MultiscaleLoss: scale_reduction='mean' has no effect on one scale")
        self.scales = tuple(sorted(scales))
        self.pool = pool
        self.squared = squared
        self.normalizer = normalizer
        self.scale_reduction = scale_reduction
        self.loss_weight = loss_weight

    @in_full_precision
    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """The loss of one level (scalar) for maps N×C×H×W."""
        height, width = preds_S.shape[-2:]
        if self.pool == "avg":
            # Averaging is linear: pool(S) − pool(T) = pool(S − T), one pyramid instead of two.
            differences = pyramid(preds_S - preds_T, self.scales, "avg")
        else:
            student = pyramid(preds_S, self.scales, "max")
            teacher = pyramid(preds_T, self.scales, "max")
            differences = [s - t for s, t in zip(student, teacher, strict=True)]
        terms = [self._distance(d, height * width) for d in differences]
        total = torch.stack(terms).sum()
        if self.scale_reduction == "mean":
            total = total / len(terms)
        return self.loss_weight * total

    def _distance(self, difference: Tensor, area: int) -> Tensor:
        n, c, h, w = difference.shape
        divisor = area if self.normalizer == "hw" else c * h * w
        if self.squared:
            return difference.square().sum() / (n * divisor)
        return sample_norms(difference).mean() / (
            divisor if self.normalizer == "hw" else divisor**0.5
        )


def pyramid(x: Tensor, scales: tuple[int, ...], pool: str) -> list[Tensor]:
    """``x`` (N×C×H×W) pooled at each of the ascending scales, each from the coarsest that fits.

    The maps equal those pooled from ``x`` directly. A maximum of maxima always is the maximum;
    a mean of means is the mean where every finer window is a full one.
    """
    height, width = x.shape[-2:]
    maps = {1: x}
    for scale in scales:
        finer = max(
            s
            for s in maps
            if scale % s == 0 and (pool == "max" or (height % s == 0 and width % s == 0))
        )
        if scale not in maps:
            pooling = average if pool == "avg" else partial(F.max_pool2d, ceil_mode=True)
            maps[scale] = pooling(maps[finer], scale // finer)
    return [maps[scale] for scale in scales]


def average(x: Tensor, k: int) -> Tensor:
    """The means of k×k windows of ``x`` (N×C×H×W); border windows average what they have."""
    if x.shape[-2] % k or x.shape[-1] % k:
        return F.avg_pool2d(x, k, ceil_mode=True)
    # On a CPU adding strided slices takes a fraction of avg_pool2d's time.
    rows = reduce(torch.add, [x[..., i::k, :] for i in range(k)])
    return reduce(torch.add, [rows[..., i::k] for i in range(k)]) / k**2
