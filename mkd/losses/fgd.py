"""FGD: focal and global distillation (Yang et al., CVPR 2022, arXiv 2111.11837)."""

from mmengine.model import constant_init, kaiming_init
from mmrazor.registry import MODELS
from torch import Tensor, arange, nn

from mkd.losses.common import (
    channel_adapter,
    channel_attention,
    check_positive,
    in_full_precision,
    promote,
    spatial_attention,
)


@MODELS.register_module()
class FGD(nn.Module):
    """Foreground, background, attention and relation terms, as the authors coded them.

    A^S = H·W·softmax(mean_c abs(F)/temperature) over positions, A^C the same over channels;
    feature terms weigh by the teacher's attention only::

        loss = loss_weight / N · ( α Σ M_fg A^S_T A^C_T (S − T)² + β Σ M_bg A^S_T A^C_T (S − T)²
                                 + γ_s Σ abs(A^S_S − A^S_T) + γ_c Σ abs(A^C_S − A^C_T)
                                 + λ Σ (GcBlock(S) − GcBlock(T))² )

    S and T are raw features; a 1×1 conv comes first where the channels differ.

    Args:
        student_channels: C of the student's map.
        teacher_channels: C of the teacher's map.
        temperature: Of both attentions. Published: 0.5.
        foreground_weight: α.
        background_weight: β.
        spatial_weight: γ_s.
        channel_weight: γ_c; the authors have one γ for both.
        relation_weight: λ. Published α, β, γ, λ: 2e-3, 1e-3, 1e-3, 1e-5 for YOLOX l→m, the
            nearest to RTMDet (the defaults); 1e-3, 5e-4, 5e-4, 5e-6 for RetinaNet and GFL;
            5e-5, 2.5e-5, 5e-5, 5e-7 for two-stage detectors.
        loss_weight: Factor of the whole term.

    Raises:
        ValueError: ``temperature`` is not positive.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        temperature: float = 0.5,
        foreground_weight: float = 2e-3,
        background_weight: float = 1e-3,
        spatial_weight: float = 1e-3,
        channel_weight: float = 1e-3,
        relation_weight: float = 1e-5,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_positive("FGD", temperature=temperature)
        self.align = channel_adapter(student_channels, teacher_channels)
        self.student_context = GlobalContext(teacher_channels)
        self.teacher_context = GlobalContext(teacher_channels)
        self.temperature = temperature
        self.foreground_weight = foreground_weight
        self.background_weight = background_weight
        self.spatial_weight = spatial_weight
        self.channel_weight = channel_weight
        self.relation_weight = relation_weight
        self.loss_weight = loss_weight

    def forward(self, preds_S: Tensor, preds_T: Tensor, boxes: Tensor) -> Tensor:
        """The loss of one level (scalar) for raw maps N×C×H×W, C of each side.

        Args:
            preds_S: The student's map.
            preds_T: The teacher's map.
            boxes: Ground truth, K×5: index of the image in the batch, x1, y1, x2, y2 as shares
                of the width and height of the network's padded input, which the map covers.
                K may be 0.
        """
        return self._distance(self.align(promote(preds_S)), preds_T, boxes)

    @in_full_precision
    def _distance(self, preds_S: Tensor, preds_T: Tensor, boxes: Tensor) -> Tensor:
        n, _, h, w = preds_S.shape
        foreground, background = box_masks(boxes, n, h, w)
        s_spatial = spatial_attention(preds_S, self.temperature)
        t_spatial = spatial_attention(preds_T, self.temperature)
        s_channel = channel_attention(preds_S, self.temperature)
        t_channel = channel_attention(preds_T, self.temperature)

        difference = preds_S - preds_T
        # Both feature terms are one weighted sum: the masks differ, the squares do not.
        where = self.foreground_weight * foreground + self.background_weight * background
        energy = (difference.square() * t_channel).sum(1)
        feature = (energy * t_spatial.squeeze(1) * where).sum()
        spatial = self.spatial_weight * (s_spatial - t_spatial).abs().sum()
        channel = self.channel_weight * (s_channel - t_channel).abs().sum()
        context = self.student_context(preds_S) - self.teacher_context(preds_T)
        relation = (difference + context).square().sum()
        total = feature + spatial + channel + self.relation_weight * relation
        return self.loss_weight * total / n


class GlobalContext(nn.Module):
    """What a GcBlock (Cao et al. 2019, arXiv 1904.11492) adds to a map N×C×H×W: N×C×1×1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 2, 1)
        self.attention = nn.Conv2d(channels, 1, 1)
        self.transform = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.LayerNorm([hidden, 1, 1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
        )
        kaiming_init(self.attention, mode="fan_in")
        constant_init(self.transform[-1], 0)

    def forward(self, x: Tensor) -> Tensor:
        """The context, pooled by learned attention over positions and transformed."""
        weights = self.attention(x).flatten(2).softmax(2)
        context = x.flatten(2) @ weights.transpose(1, 2)
        return self.transform(context.unsqueeze(3))


def box_masks(boxes: Tensor, n: int, h: int, w: int) -> tuple[Tensor, Tensor]:
    """FGD's foreground and background masks on an H×W map.

    A box covers the cells from the floor of its near corner to the ceiling of its far one,
    both included; its area counts the cells it covers, beyond the border too. The map covers the
    padded input, so that is what boxes are shares of; the authors' code divides by the size of
    the image without its padding, which moves boxes where a batch mixes image shapes.

    Args:
        boxes: K×5: index of the image, x1, y1, x2, y2 as shares of the padded input.
        n: Images of the batch.
        h: Height of the map.
        w: Width of the map.

    Returns:
        Both N×H×W. Foreground: the greatest 1/area of the boxes that cover a cell, else 0.
        Background: 1 where no box is, divided by the number of such cells in the image.
    """
    boxes = boxes.float()
    index = boxes[:, 0].long()
    x1, y1, x2, y2 = boxes[:, 1:].unbind(1)
    left, right = (x1 * w).floor(), (x2 * w).ceil()
    top, bottom = (y1 * h).floor(), (y2 * h).ceil()
    density = 1 / (bottom + 1 - top) / (right + 1 - left)

    rows, columns = arange(h, device=boxes.device), arange(w, device=boxes.device)
    in_rows = (rows >= top[:, None]) & (rows <= bottom[:, None])
    in_columns = (columns >= left[:, None]) & (columns <= right[:, None])
    covered = in_rows[:, :, None] & in_columns[:, None, :]

    foreground = boxes.new_zeros(n, h, w).scatter_reduce(
        0, index[:, None, None].expand_as(covered), covered * density[:, None, None], "amax"
    )
    free = (foreground == 0).to(boxes.dtype)
    return foreground, free / free.sum((1, 2), keepdim=True).clamp(min=1)
