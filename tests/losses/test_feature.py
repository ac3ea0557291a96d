"""L_fea and PKD, against the element mean and the Pearson correlation."""

import numpy as np
import pytest
import torch
from mmrazor.models.losses import PKDLoss
from torch import Tensor

from mkd.losses import PKD, FeatureLoss


def standardized(student: Tensor, teacher: Tensor) -> Tensor:
    c = student.shape[1]
    total = 0
    for k in range(c):
        a, b = student[:, k].flatten(), teacher[:, k].flatten()
        unit = [
            (x - x.sum() / len(x)) / (((x - x.mean()) ** 2).sum() / (len(x) - 1)).sqrt().add(1e-6)
            for x in (a, b)
        ]
        total = total + ((unit[0] - unit[1]) ** 2).sum()
    return total / student.numel() / 2


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 2, 3, 1), (4, 2, 1, 1), (2, 8, 20, 20)])
def test_pkd_parity(assert_parity, maps, shape):
    student, teacher = maps(*shape)
    assert_parity(PKD(distance_weight=1.0), standardized, student, teacher)
    assert_parity(PKD(), PKDLoss(loss_weight=10.0), student, teacher)
    assert_parity(FeatureLoss("pkd"), standardized, student, teacher)


def test_pkd_is_one_minus_the_pearson_correlation(maps):
    student, teacher = maps(2, 3, 4, 5)
    size = 40
    r = [
        np.corrcoef(student[:, k].flatten().numpy(), teacher[:, k].flatten().numpy())[0, 1]
        for k in range(3)
    ]
    expected = (size - 1) / size * (1 - np.mean(r))
    assert PKD(distance_weight=1.0)(student, teacher).item() == pytest.approx(expected, rel=1e-4)


def test_pkd_ignores_the_students_scale_and_shift(maps):
    student, teacher = maps(2, 3, 4, 5)
    affine = student * torch.tensor([2.0, 0.5, 7.0]).view(3, 1, 1) + 3
    torch.testing.assert_close(PKD()(affine, teacher), PKD()(student, teacher), rtol=1e-4, atol=0)


@pytest.mark.filterwarnings("ignore:std")
def test_pkd_is_defined_for_a_single_position(maps):
    student, teacher = maps(1, 3, 1, 1)
    student.requires_grad_()
    assert PKDLoss()(student, teacher).isnan()
    value = PKD()(student, teacher)
    value.backward()
    assert value == 0
    assert not student.grad.any()


def test_mse_parity(assert_parity, maps):
    assert_parity(FeatureLoss(), lambda s, t: ((s - t) ** 2).sum() / s.numel(), *maps(2, 3, 4, 5))


@pytest.mark.parametrize("loss", [FeatureLoss("mse"), FeatureLoss("pkd"), PKD()], ids=repr)
def test_zero_at_the_teacher(maps, loss):
    teacher, _ = maps(2, 3, 4, 5)
    assert loss(teacher, teacher) == 0


def test_rejects_another_kind():
    with pytest.raises(ValueError, match="FeatureLoss: kind='none'"):
        FeatureLoss("none")
