"""L_FDMD: the student behind a random mask on its spectrum (MKD §3.2, Eqs. 2–4)."""

from typing import Any

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mkd.losses.common import check_choice, in_full_precision


@MODELS.register_module()
class FrequencyMaskLoss(nn.Module):
    """Mean squared error between the frequency-masked student and the teacher (MKD Eqs. 2–4).

    With the defaults, for a binary mask M (N×1×H×W, zero with probability ζ)::

        loss = loss_weight · mean_{n,c,i,j} (Re 𝓕⁻¹(M ⊙ 𝓕(S)) − T)²

    M is fresh per sample, step and level and shared over channels (audit 13). It comes from
    torch's global generator of the maps' device: seeding torch seeds it.

    Args:
        mask_ratio: ζ of Eq. 3, in [0, 1) (audit 11).
        mask: What becomes of the complex inverse (audit 10). ``"literal"``: its real part;
            ``"magnitude"``: its modulus; ``"hermitian"``: M(k) = M(−k) instead, so that the
            inverse is real.
        keep_dc: Never mask the mean of a channel, the zero frequency (audit 12).
        mask_scope: ``"sample"``: a mask for each; ``"batch"``: one for all samples (audit 13).
        error: ``"spatial"``: Eq. 4; ``"spectral"``: mean |M ⊙ 𝓕(S) − 𝓕(T)|² of the unitary
            transform, which by Parseval counts the inverse's imaginary part too (audit 17).
        generator_channels: C of a generator block as in MGD, 3×3 conv–ReLU–3×3 conv, applied
            to the masked student before the error; None for no block (audit 14).
        loss_weight: Factor of the whole term (audit 3).

    Raises:
        ValueError: An option is out of its range, or two of them contradict each other.
    """

    def __init__(
        self,
        mask_ratio: float = 0.65,
        mask: str = "literal",
        keep_dc: bool = False,
        mask_scope: str = "sample",
        error: str = "spatial",
        generator_channels: int | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_choice("FrequencyMaskLoss", "mask", mask, ("literal", "hermitian", "magnitude"))
        check_choice("FrequencyMaskLoss", "mask_scope", mask_scope, ("sample", "batch"))
        check_choice("FrequencyMaskLoss", "error", error, ("spatial", "spectral"))
        if not 0 <= mask_ratio < 1:
            raise ValueError(f"FrequencyMaskLoss: mask_ratio={mask_ratio} must lie in [0, 1)")
        if keep_dc and mask_ratio == 0:
            raise ValueError("FrequencyMaskLoss: keep_dc has no effect at mask_ratio=0")
        if error == "spectral" and mask == "hermitian":
            raise ValueError(
                "FrequencyMaskLoss: error='spectral' equals 'spatial' for a hermitian mask "
                "(Parseval), use error='spatial'"
            )
        if error == "spectral" and mask == "magnitude":
            raise ValueError("FrequencyMaskLoss: mask='magnitude' needs error='spatial'")
        if error == "spectral" and generator_channels is not None:
            raise ValueError("FrequencyMaskLoss: a generator block needs error='spatial'")
        self.mask_ratio = mask_ratio
        self.mask = mask
        self.keep_dc = keep_dc
        self.mask_scope = mask_scope
        self.error = error
        self.loss_weight = loss_weight
        self.generator: nn.Module | None = None
        if generator_channels is not None:
            self.generator = nn.Sequential(
                nn.Conv2d(generator_channels, generator_channels, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(generator_channels, generator_channels, 3, padding=1),
            )

    @in_full_precision
    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """The loss of one level (scalar) for maps N×C×H×W."""
        n, _, h, w = preds_S.shape
        mask = self.draw_mask(n, h, w, preds_S.device)
        if self.error == "spectral":
            spectrum = mask * torch.fft.fft2(preds_S, norm="ortho")
            error = torch.view_as_real(spectrum - torch.fft.fft2(preds_T, norm="ortho"))
            return self.loss_weight * error.square().sum() / preds_S.numel()
        if self.mask != "magnitude" and self.generator is None:
            return self.loss_weight * MaskedError.apply(preds_S, preds_T, mask)
        inverse = torch.fft.ifft2(mask * torch.fft.fft2(preds_S))
        masked = inverse.abs() if self.mask == "magnitude" else inverse.real
        if self.generator is not None:
            masked = self.generator(masked)
        return self.loss_weight * F.mse_loss(masked, preds_T)

    def draw_mask(self, n: int, h: int, w: int, device: torch.device) -> Tensor:
        """M of Eq. 3: N×1×H×W (1×1×H×W for the whole batch), False with probability ζ."""
        n = n if self.mask_scope == "sample" else 1
        mask = torch.rand(n, 1, h, w, device=device) >= self.mask_ratio
        if self.keep_dc:
            mask[..., 0, 0] = True
        if self.mask == "hermitian":
            # The first of a pair ±k, in reading order, decides for both.
            index = torch.arange(h * w, device=device).view(h, w)
            mask = torch.where(index <= reflect(index), mask, reflect(mask))
        return mask


def reflect(x: Tensor) -> Tensor:
    """x(−k) for x(k) on the frequencies of fft2, …×H×W."""
    return x.flip(-2, -1).roll((1, 1), (-2, -1))


class MaskedError(torch.autograd.Function):
    """mean (Re 𝓕⁻¹(M ⊙ 𝓕(S)) − T)² by real transforms, one for each of S, T and the gradient.

    S is real, so 𝓕(S)(−k) is the conjugate of 𝓕(S)(k), and the real part of 𝓕⁻¹(M ⊙ 𝓕(S)) is
    exactly 𝓕⁻¹(A ⊙ 𝓕(S)) with the even A(k) = (M(k) + M(−k)) / 2 of values {0, ½, 1}. By
    Parseval the error is mean abs(R)² with R = A ⊙ 𝓕(S) − 𝓕(T), 𝓕 unitary, and its gradient
    for S is 2/(N·C·H·W) · 𝓕⁻¹(A ⊙ R).
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        """``student``, ``teacher`` N×C×H×W, ``mask`` boolean, (N or 1)×1×H×W; a scalar."""
        w = student.shape[-1]
        columns = w // 2 + 1
        even = (mask.to(student.dtype) + reflect(mask).to(student.dtype))[..., :columns] / 2
        residual = torch.fft.rfft2(student, norm="ortho").mul_(even)
        residual.sub_(torch.fft.rfft2(teacher, norm="ortho"))
        # rfft2 leaves out the mirror image of every column that is not its own.
        own_mirror = residual[..., :: w // 2] if w % 2 == 0 else residual[..., :1]
        energy = 2 * _energy(residual) - _energy(own_mirror)
        ctx.shape = student.shape
        ctx.save_for_backward(residual.mul_(even))
        return energy / student.numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """The gradient for the student; none for the teacher and the mask."""
        (residual,) = ctx.saved_tensors
        gradient = torch.fft.irfft2(residual, s=ctx.shape[-2:], norm="ortho")
        return gradient.mul_(grad * (2 / ctx.shape.numel())), None, None


def _energy(spectrum: Tensor) -> Tensor:
    return torch.view_as_real(spectrum).square().sum()
