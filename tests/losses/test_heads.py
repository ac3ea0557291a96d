"""Logit KD and localization distillation against their formulas and MMDetection's code."""

import pytest
import torch
from mmdet.models.losses.kd_loss import knowledge_distillation_kl_div_loss
from torch import Tensor

from mkd.losses import LD, LogitKD


def confidence(n: int, h: int, w: int) -> Tensor:
    return torch.rand(n, 1, h, w, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("objects", [20, 0.1])
def test_logit_kd_parity(assert_parity, maps, temperature, objects):
    """Two outcomes of a coin for each class, by the definition of the divergence."""
    seen = confidence(2, 5, 4)
    seen = objects * seen / seen.sum()

    def by_formula(student: Tensor, teacher: Tensor) -> Tensor:
        p, q = ((x / temperature).sigmoid() for x in (teacher, student))
        coins = [(torch.stack([x, 1 - x])) for x in (p, q)]
        divergence = (coins[0] * (coins[0].log() - coins[1].log())).sum()
        return temperature**2 * divergence / max(1, objects)

    module = LogitKD(temperature=temperature)
    assert_parity(lambda s, t: module(s, t, seen.to(s.dtype)), by_formula, *maps(2, 3, 5, 4))


def test_ld_parity(assert_parity, maps):
    """MMDetection's loss of one edge, which holds the authors' division by the bins."""
    seen, bins, temperature = confidence(2, 5, 4), 17, 10

    def by_mmdet(student: Tensor, teacher: Tensor) -> Tensor:
        total = 0
        for image in range(2):
            for y in range(5):
                for x in range(4):
                    edges = [m[image, :, y, x].reshape(4, bins) for m in (student, teacher)]
                    each = knowledge_distillation_kl_div_loss(
                        *edges, T=temperature, reduction="none"
                    )
                    total = total + seen[image, 0, y, x].double() * each.mean()
        return 0.25 * total / seen.double().sum()

    module = LD()
    assert_parity(lambda s, t: module(s, t, seen.to(s.dtype)), by_mmdet, *maps(2, 68, 5, 4))


def test_a_position_where_the_teacher_sees_nothing_does_not_count(maps):
    student, teacher = maps(1, 8, 2, 2)
    seen = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(LD(bins=2)(student, teacher, seen), student)
    assert gradient[..., 0, 0].any()
    gradient[..., 0, 0] = 0
    assert not gradient.any()


def test_equal_heads_are_at_rest_and_other_ones_are_refused(maps):
    student, teacher = maps(2, 8, 3, 3)
    seen = confidence(2, 3, 3)
    assert LD(bins=2)(teacher, teacher, seen) == 0
    assert LogitKD()(teacher, teacher, seen).abs() < 1e-4
    with pytest.raises(ValueError, match="the student's head gives 8 numbers at a position"):
        LD()(student, teacher, seen)
    with pytest.raises(ValueError, match="8 logits of classes at a position and the teacher's 4"):
        LogitKD()(student, teacher[:, :4], seen)
    for wrong in (lambda: LD(bins=1), lambda: LD(temperature=0), lambda: LogitKD(temperature=0)):
        with pytest.raises(ValueError, match="is n"):
            wrong()


def test_a_teacher_born_in_inference_mode_and_half_precision(maps):
    student, teacher = maps(2, 8, 3, 3)
    seen = confidence(2, 3, 3)
    with torch.inference_mode():
        inferred, sure = teacher.clone(), seen.clone()
    for module in (LD(bins=2), LogitKD()):
        value = module(student.requires_grad_(), inferred, sure)
        value.backward()
        assert torch.equal(value, module(student, teacher, seen))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(module(student, teacher, seen), value)
