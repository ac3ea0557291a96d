"""FreeKD without prompts against its formula, and its wavelets against their definition."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mkd.losses import FreeKD


def haar(sides: int) -> Tensor:
    """The orthonormal Haar matrix of one scale: averages first, then differences."""
    matrix = torch.zeros(sides, sides, dtype=torch.float64)
    for k in range(sides // 2):
        matrix[k, 2 * k] = matrix[k, 2 * k + 1] = 0.5**0.5
        matrix[sides // 2 + k, 2 * k] = 0.5**0.5
        matrix[sides // 2 + k, 2 * k + 1] = -(0.5**0.5)
    return matrix


def bands(x: Tensor) -> list[Tensor]:
    """Details of three scales, N×C×3×h×w: as products with matrices from both sides."""
    found = []
    for _ in range(3):
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        h, w = x.shape[2] // 2, x.shape[3] // 2
        y = torch.einsum("ab,ncbd,ed->ncae", haar(2 * h), x, haar(2 * w))
        found.append(torch.stack([y[..., h:, :w], y[..., :h, w:], y[..., h:, w:]], 2))
        x = y[..., :h, :w]
    return found


@pytest.mark.parametrize("size", [(8, 16), (7, 5), (2, 2), (1, 1)])
@pytest.mark.parametrize("channels", [(3, 3), (2, 4)])
def test_parity(assert_parity, maps, channels, size):
    torch.manual_seed(1)
    module = FreeKD(*channels)
    weight, bias = module.align.weight.double(), module.align.bias.double()

    def by_formula(student: Tensor, teacher: Tensor) -> Tensor:
        student = F.conv2d(student, weight, bias)
        details = sum(
            F.l1_loss(own, above) for own, above in zip(bands(student), bands(teacher), strict=True)
        )
        return details + 5 * F.mse_loss(student, teacher)

    student, teacher = maps(2, channels[0], *size)[0], maps(2, channels[1], *size, seed=1)[1]
    assert_parity(module, by_formula, student, teacher)


def test_the_bands_see_no_constant_and_the_transform_keeps_the_power(maps):
    module = FreeKD(3, 3, feature_weight=0.0)
    torch.nn.init.dirac_(module.align.weight)
    torch.nn.init.zeros_(module.align.bias)
    student, teacher = maps(2, 3, 8, 8)
    plain = module(student, teacher)
    torch.testing.assert_close(module(student + 7, teacher - 2), plain, rtol=1e-4, atol=0)
    power = sum(band.square().sum() for band in bands(student.double()))
    average = F.avg_pool2d(student.double(), 8) * 8
    torch.testing.assert_close(power + average.square().sum(), student.double().square().sum())
