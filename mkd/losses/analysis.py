"""What the mask of L_FDMD does to the loss, measured against closed forms (audit 10 and 11).

Let A be the gain on a pair of frequencies ±k and ζ the mask ratio. The literal loss masks the
two independently, A ∈ {0, ½, 1}; a Hermitian mask keeps or drops both, A ∈ {0, 1}. With
E‖A⊙S − T‖² per frequency, in units of the teacher's power:

- the residual at S = T is E[(1 − A)²]: ζ² + ζ(1 − ζ)/2 literal, ζ Hermitian;
- the minimizer is S = c·T with c = E[A] / E[A²]: 1/(1 − ζ/2) literal, 1 Hermitian;
- where S has the teacher's power, as behind the default adapter's norms, the expected loss is
  (1 − ζ)·MSE(S, T) plus the residual, under either mask: its minimum is then at S = T.

A frequency that is its own mirror image (the mean, the Nyquist ones) has one draw, as under a
Hermitian mask.
"""

from collections.abc import Sequence

import torch

from mkd.losses.frequency_mask import FrequencyMaskLoss


def residual_at_teacher(mask: str, ratio: float) -> float:
    """Closed form of the loss at S = T over the teacher's power, for ``mask`` and ζ."""
    return ratio**2 + ratio * (1 - ratio) / 2 if mask == "literal" else ratio


def minimizer_scale(mask: str, ratio: float) -> float:
    """Closed form of c, where S = c·T minimizes the expected loss, for ``mask`` and ζ."""
    return 1 / (1 - ratio / 2) if mask == "literal" else 1.0


def measure_masks(
    ratios: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 0.9),
    masks: Sequence[str] = ("literal", "hermitian"),
    size: int = 21,
    draws: int = 256,
    seed: int = 0,
) -> list[dict[str, float | str]]:
    """Measures residual and minimizer of :class:`FrequencyMaskLoss` on random teacher maps.

    The loss is a parabola in c on the line S = c·T: three values of it, under the same masks,
    give its residual at 1 and its minimum.

    Args:
        ratios: Mask ratios ζ.
        masks: Of ``"literal"``, ``"hermitian"``.
        size: Height and width of the maps, odd: every frequency but the mean, which is
            taken off the maps, then has a distinct mirror image.
        draws: Number of masks, one for each of as many maps.
        seed: Of maps and masks; the caller's random state is kept.

    Returns:
        One record for each mask and ratio: ``mask``, ``mask_ratio``, ``residual``,
        ``residual_expected``, ``minimizer_scale``, ``minimizer_scale_expected``, ``draws``.

    Raises:
        ValueError: ``size`` is even.
    """
    if size % 2 == 0:
        raise ValueError(f"measure_masks: size={size} must be odd")
    records: list[dict[str, float | str]] = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        teacher = torch.randn(draws, 1, size, size, dtype=torch.float64)
        teacher -= teacher.mean((2, 3), keepdim=True)
        power = teacher.square().mean().item()
        for mask in masks:
            for ratio in ratios:
                loss = FrequencyMaskLoss(mask_ratio=ratio, mask=mask)
                values = []
                for c in (0, 1, 2):
                    torch.manual_seed(seed + 1)
                    values.append(loss(c * teacher, teacher).item() / power)
                curvature = (values[0] - 2 * values[1] + values[2]) / 2
                slope_at_0 = (4 * values[1] - 3 * values[0] - values[2]) / 2
                records.append(
                    {
                        "mask": mask,
                        "mask_ratio": ratio,
                        "residual": values[1],
                        "residual_expected": residual_at_teacher(mask, ratio),
                        "minimizer_scale": -slope_at_0 / (2 * curvature),
                        "minimizer_scale_expected": minimizer_scale(mask, ratio),
                        "draws": draws,
                    }
                )
    return records
