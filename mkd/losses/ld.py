"""Localization distillation: where student and teacher believe a box's edges to lie.

Zheng et al. 2022, Localization Distillation for Dense Object Detection, CVPR,
arXiv 2102.12252, Eq. 3 and 4.
"""

import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from mkd.losses.common import as_teacher, in_full_precision


@MODELS.register_module()
class LD(nn.Module):
    """Kullback-Leibler divergence of the distributions over each edge's place.

    It needs heads that give one: those of GFL and its kin say for each of the four edges how
    likely each of ``bins`` distances is. Of a box that is four plain numbers, as RTMDet's,
    RetinaNet's and YOLOX's are, there is nothing to compare.

        L = T² · Σ c · KL(softmax(t/T) ‖ softmax(s/T)) / bins / (4 Σ c),

    summed over images, positions and edges; the division by ``bins`` is MMDetection's, for which
    the authors' weight and temperature hold. The authors sum over the positives that the student's
    assigner picks, weighed by the student's score. Here every position counts by c, the teacher's
    largest class probability, which is small where it sees no object, and the sum is divided by
    that of the weights.

    Args:
        temperature: T; the authors' is 10.
        loss_weight: Factor of the whole term; the authors' is 0.25.
        bins: Distances an edge may have, ``reg_max + 1`` of both heads.
    """

    def __init__(
        self, temperature: float = 10.0, loss_weight: float = 0.25, bins: int = 17
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} is not above 0")
        if bins < 2:
            raise ValueError(f"bins={bins} is no distribution: take at least 2")
        self.temperature = temperature
        self.loss_weight = loss_weight
        self.bins = bins

    def forward(self, preds_S: Tensor, preds_T: Tensor, confidence: Tensor) -> Tensor:
        """The loss of one level (scalar).

        Args:
            preds_S: The student's logits, N×4·bins×H×W.
            preds_T: The teacher's, of the same shape.
            confidence: The teacher's largest class probability at each position, N×1×H×W.

        Raises:
            ValueError: A head gives no such distributions.
        """
        for whose, map_ in (("student", preds_S), ("teacher", preds_T)):
            if map_.shape[1] != 4 * self.bins:
                raise ValueError(
                    f"the {whose}'s head gives {map_.shape[1]} numbers at a position and not "
                    f"4 edges x {self.bins} bins: LD needs a head with a distribution over "
                    "edges, as GFL's"
                )
        return self._divergence(preds_S, preds_T, as_teacher(confidence))

    @in_full_precision
    def _divergence(self, preds_S: Tensor, preds_T: Tensor, weight: Tensor) -> Tensor:
        student, teacher = (
            F.log_softmax(map_.unflatten(1, (4, self.bins)) / self.temperature, 2)
            for map_ in (preds_S, preds_T)
        )
        divergence = (teacher.exp() * (teacher - student)).mean(2)
        mean = (weight * divergence).sum() / (4 * weight.sum()).clamp(min=1e-6)
        return self.loss_weight * self.temperature**2 * mean
