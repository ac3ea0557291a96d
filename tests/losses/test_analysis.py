"""The closed forms of audit 10, against the loss and against exact enumeration."""

from itertools import product

import pytest
import torch

from mkd.losses.analysis import measure_masks, minimizer_scale, residual_at_teacher
from mkd.losses.frequency_mask import FrequencyMaskLoss

RATIOS = (0.0, 0.1, 0.5, 0.65, 0.9)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("mask", ["literal", "hermitian"])
def test_closed_forms_are_the_expectation_over_a_pair(mask, ratio):
    moments = {1: 0.0, 2: 0.0}
    for first, second in product((0, 1), (0, 1)):
        chance = (1 - ratio if first else ratio) * (1 - ratio if second else ratio)
        gain = (first + second) / 2 if mask == "literal" else first
        for power in moments:
            moments[power] += chance * gain**power
    assert residual_at_teacher(mask, ratio) == pytest.approx(1 - 2 * moments[1] + moments[2])
    assert minimizer_scale(mask, ratio) == pytest.approx(moments[1] / moments[2])


def test_measured_matches_closed_forms():
    records = measure_masks(RATIOS)
    assert len(records) == 2 * len(RATIOS)
    for record in records:
        assert record["residual"] == pytest.approx(record["residual_expected"], abs=0.006)
        assert record["minimizer_scale"] == pytest.approx(
            record["minimizer_scale_expected"], abs=0.012
        )


@pytest.mark.parametrize("mask", ["literal", "hermitian"])
def test_behind_norms_the_term_is_a_weighted_squared_error(mask):
    ratio, draws = 0.65, 512
    torch.manual_seed(0)
    teacher, other = torch.randn(2, draws, 1, 21, 21, dtype=torch.float64)
    loss = FrequencyMaskLoss(mask_ratio=ratio, mask=mask)
    for near in (0.0, 0.5, 1.0):
        maps = [near * teacher + (1 - near) * other, teacher]
        student, target = (m - m.mean((2, 3), keepdim=True) for m in maps)
        student, target = (
            m / m.square().mean((2, 3), keepdim=True).sqrt() for m in (student, target)
        )
        expected = (1 - ratio) * (student - target).square().mean()
        expected += residual_at_teacher(mask, ratio)
        assert loss(student, target).item() == pytest.approx(expected.item(), abs=0.01)


def test_the_audits_example():
    assert residual_at_teacher("literal", 0.5) == 0.375
    (record,) = measure_masks([0.5], ["literal"], draws=64)
    assert record["residual"] == pytest.approx(0.375, abs=0.01)
    assert record["minimizer_scale"] > 1.3


def test_the_random_state_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    measure_masks([0.5], ["literal"], size=3, draws=2)
    assert torch.equal(torch.rand(3), expected)


def test_rejects_an_even_size():
    with pytest.raises(ValueError, match="size=8 must be odd"):
        measure_masks(size=8)
