"""L_FDMD against Eqs. 2–4 with the Fourier transform written out."""

from copy import deepcopy
from math import pi

import pytest
import torch
from torch import Tensor

from mkd.losses import FrequencyMaskLoss

READINGS = [
    {},
    {"mask_ratio": 0.0},
    {"mask_ratio": 0.9},
    {"keep_dc": True},
    {"mask_scope": "batch"},
    {"mask": "hermitian"},
    {"mask": "hermitian", "keep_dc": True, "mask_ratio": 0.3},
    {"mask": "magnitude"},
    {"mask": "magnitude", "mask_scope": "batch", "keep_dc": True},
    {"error": "spectral"},
    {"error": "spectral", "keep_dc": True},
    {"generator_channels": 3},
    {"generator_channels": 3, "mask": "hermitian"},
    {"generator_channels": 3, "mask": "magnitude"},
]
SHAPES = [(2, 3, 8, 6), (3, 3, 5, 7), (2, 3, 4, 9), (2, 3, 3, 2), (1, 3, 1, 5), (1, 3, 6, 1)]


def dft(x: Tensor, sign: int) -> Tensor:
    """Σ_y Σ_x f(y, x) exp(sign·2πi(uy/H + vx/W)), unnormalized."""
    for axis in (-2, -1):
        size = x.shape[axis]
        grid = torch.outer(torch.arange(size), torch.arange(size)).double()
        kernel = torch.polar(torch.ones_like(grid), sign * 2 * pi * grid / size)
        x = (x.transpose(axis, -1).to(kernel.dtype) @ kernel).transpose(axis, -1)
    return x


def reference(module: FrequencyMaskLoss):
    generator = deepcopy(module.generator).double() if module.generator is not None else None

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        n, c, h, w = student.shape
        mask = module.draw_mask(n, h, w, student.device)
        assert mask.dtype == torch.bool
        spectrum = mask * dft(student, -1)
        if module.error == "spectral":
            return (spectrum - dft(teacher, -1)).abs().pow(2).sum() / (n * c * (h * w) ** 2)
        inverse = dft(spectrum, 1) / (h * w)
        masked = inverse.abs() if module.mask == "magnitude" else inverse.real
        if generator is not None:
            masked = generator(masked)
        return ((masked - teacher) ** 2).mean()

    return loss


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", READINGS, ids=str)
def test_parity(assert_parity, maps, options, shape):
    module = FrequencyMaskLoss(**options)
    assert_parity(module, reference(module), *maps(*shape), rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"mask": "hermitian"}])
def test_parity_holds_on_a_level_of_true_size(assert_parity, maps, options):
    module = FrequencyMaskLoss(**options)
    assert_parity(module, reference(module), *maps(2, 16, 40, 40))


def test_default_is_the_audits():
    loss = FrequencyMaskLoss()
    assert (loss.mask_ratio, loss.mask, loss.keep_dc) == (0.65, "literal", False)
    assert (loss.mask_scope, loss.error, loss.generator) == ("sample", "spatial", None)


@pytest.mark.parametrize("mask", ["literal", "hermitian"])
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (6, 9), (1, 1), (2, 2)])
def test_mask_is_eq_3(mask, size):
    torch.manual_seed(0)
    h, w = size
    drawn = FrequencyMaskLoss(mask_ratio=0.3, mask=mask).draw_mask(3000, h, w, torch.device("cpu"))
    assert drawn.shape == (3000, 1, h, w)
    kept = drawn.float().mean(0)[0]
    # Five standard deviations of the mean of 3000 draws.
    assert (kept - 0.7).abs().max() < 5 * (0.21 / 3000) ** 0.5
    mirror = torch.empty_like(drawn)
    for y in range(h):
        for x in range(w):
            mirror[..., y, x] = drawn[..., -y % h, -x % w]
    if mask == "hermitian":
        assert torch.equal(drawn, mirror)
    elif h > 2:
        assert not torch.equal(drawn, mirror)


@pytest.mark.parametrize("mask", ["literal", "hermitian", "magnitude"])
def test_keep_dc_keeps_the_mean_alone(mask):
    torch.manual_seed(0)
    loss = FrequencyMaskLoss(mask_ratio=0.9, mask=mask, keep_dc=True)
    kept = loss.draw_mask(400, 5, 6, torch.device("cpu")).float().mean(0)[0]
    assert kept[0, 0] == 1
    assert (kept.flatten()[1:] - 0.1).abs().max() < 5 * (0.09 / 400) ** 0.5


def test_hermitian_inverse_is_real(maps):
    student, _ = maps(4, 3, 6, 8)
    mask = FrequencyMaskLoss(mask="hermitian").draw_mask(4, 6, 8, torch.device("cpu"))
    inverse = torch.fft.ifft2(mask * torch.fft.fft2(student.double()))
    assert inverse.imag.abs().max() < 1e-12


def test_masks_differ_by_sample_and_step_and_follow_the_seed():
    loss, device = FrequencyMaskLoss(), torch.device("cpu")
    torch.manual_seed(3)
    first, second = loss.draw_mask(2, 8, 8, device), loss.draw_mask(2, 8, 8, device)
    torch.manual_seed(3)
    again = loss.draw_mask(2, 8, 8, device)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    assert FrequencyMaskLoss(mask_scope="batch").draw_mask(5, 8, 8, device).shape[0] == 1


def test_without_a_mask_it_is_the_mean_squared_error(maps):
    student, teacher = maps(2, 3, 7, 6)
    expected = (student - teacher).square().mean()
    for mask in ("literal", "hermitian"):
        torch.testing.assert_close(
            FrequencyMaskLoss(mask_ratio=0, mask=mask)(student, teacher), expected
        )
    assert FrequencyMaskLoss(mask_ratio=0)(student, student) == 0


def seeded(loss: FrequencyMaskLoss, student: Tensor, teacher: Tensor) -> Tensor:
    torch.manual_seed(1)
    return loss(student, teacher)


def test_scale_law(maps):
    student, teacher = maps(2, 3, 7, 6)
    loss = FrequencyMaskLoss()
    torch.testing.assert_close(
        seeded(loss, 3 * student, 3 * teacher), 9 * seeded(loss, student, teacher)
    )


def test_shift_law_holds_where_the_mean_is_kept(maps):
    student, teacher = (x.double() for x in maps(2, 3, 7, 6))
    kept = FrequencyMaskLoss(keep_dc=True)
    torch.testing.assert_close(
        seeded(kept, student + 5, teacher + 5), seeded(kept, student, teacher)
    )
    masked = FrequencyMaskLoss(mask_ratio=0.999)
    assert seeded(masked, student + 5, teacher + 5) > seeded(masked, student, teacher) + 20


@pytest.mark.parametrize(
    "options",
    [
        {"mask_ratio": 1.0},
        {"mask_ratio": -0.1},
        {"mask": "phase"},
        {"mask_scope": "channel"},
        {"error": "both"},
        {"mask_ratio": 0.0, "keep_dc": True},
        {"error": "spectral", "mask": "hermitian"},
        {"error": "spectral", "mask": "magnitude"},
        {"error": "spectral", "generator_channels": 4},
    ],
    ids=str,
)
def test_rejects(options):
    with pytest.raises(ValueError, match="FrequencyMaskLoss"):
        FrequencyMaskLoss(**options)
