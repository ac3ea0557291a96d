"""What student and teacher say of classes, brought together.

Hinton, Vinyals, Dean 2015, Distilling the Knowledge in a Neural Network, arXiv 1503.02531, for
detectors whose classes are judged apart, each by a sigmoid.
"""

import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from mkd.losses.common import as_teacher, in_full_precision


@MODELS.register_module()
class LogitKD(nn.Module):
    """Kullback-Leibler divergence of the classes' probabilities at a temperature.

    For probabilities p = σ(t/T) of the teacher and q = σ(s/T) of the student,

        L = T² · Σ [p log(p/q) + (1-p) log((1-p)/(1-q))] / max(1, Σ c),

    summed over images, classes and positions, where c is the teacher's largest probability at a
    position: most positions show nothing, so its sum stands for the number of objects, as in the
    focal losses of the detectors themselves. The paper is about softmax classifiers; the sum and
    its divisor are this suite's reading.

    Args:
        temperature: T.
        loss_weight: Factor of the whole term.
    """

    def __init__(self, temperature: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} is not above 0")
        self.temperature = temperature
        self.loss_weight = loss_weight

    def forward(self, preds_S: Tensor, preds_T: Tensor, confidence: Tensor) -> Tensor:
        """The loss of one level (scalar).

        Args:
            preds_S: The student's logits, N×C×H×W.
            preds_T: The teacher's, of the same shape.
            confidence: The teacher's largest probability at each position, N×1×H×W.

        Raises:
            ValueError: Student and teacher have other classes, other priors at a position, or maps
                of other sizes.
        """
        if preds_S.shape[1] != preds_T.shape[1]:
            raise ValueError(
                f"the student's head has {preds_S.shape[1]} logits of classes at a position and "
                f"the teacher's {preds_T.shape[1]}: they need equal classes and priors"
            )
        return self._divergence(preds_S, preds_T, as_teacher(confidence).sum().clamp(min=1))

    @in_full_precision
    def _divergence(self, preds_S: Tensor, preds_T: Tensor, objects: Tensor) -> Tensor:
        student, teacher = preds_S / self.temperature, preds_T / self.temperature
        target = teacher.sigmoid()
        cross = F.binary_cross_entropy_with_logits(student, target, reduction="sum")
        entropy = F.binary_cross_entropy_with_logits(teacher, target, reduction="sum")
        return self.loss_weight * self.temperature**2 * (cross - entropy) / objects
