"""L_FAD against loops over Eq. 5, and CWD, which its default is."""

from itertools import product

import pytest
import torch
from mmrazor.models.losses import ChannelWiseDivergence
from torch import Tensor

from mkd.losses import CWD, FeatureAlignmentLoss

READINGS = [
    {},
    {"temperature": 4.0},
    {"temperature": 2.0, "temperature_inside": False},
    {"softmax_axis": "channel"},
    {"softmax_axis": "channel", "temperature": 2.0},
    {"attention_weighted": True},
    {"attention_weighted": True, "softmax_axis": "channel", "temperature": 0.5},
]


def phi(values: Tensor) -> Tensor:
    e = (values - values.max()).exp()
    return e / e.sum()


def weigh(x: Tensor) -> Tensor:
    """One sample C×H×W times H·W·softmax(mean over channels of abs / 0.5)."""
    c, h, w = x.shape
    strength = sum(x[k].abs() for k in range(c)) / c
    return x * (h * w * phi(strength / 0.5))


def reference(
    temperature=1.0, temperature_inside=True, softmax_axis="spatial", attention_weighted=False
):
    inner = temperature if temperature_inside else 1.0

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        n, c, h, w = student.shape
        total = 0
        for s, t in zip(student, teacher, strict=True):
            if attention_weighted:
                s, t = weigh(s), weigh(t)
            if softmax_axis == "spatial":
                groups = [(s[k], t[k]) for k in range(c)]
            else:
                groups = [(s[:, y, x], t[:, y, x]) for y, x in product(range(h), range(w))]
            for a, b in groups:
                p, q = phi(a / inner), phi(b / inner)
                total = total + (q * (q / p).log()).sum()
        return temperature**2 / (n * c) * total

    return loss


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 2, 1, 3), (1, 4, 7, 2)])
@pytest.mark.parametrize("options", READINGS, ids=str)
def test_parity(assert_parity, maps, options, shape):
    assert_parity(FeatureAlignmentLoss(**options), reference(**options), *maps(*shape))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_cwd_parity(assert_parity, maps, temperature):
    student, teacher = maps(2, 3, 5, 4)
    ours = CWD(temperature)
    assert_parity(ours, reference(temperature), student, teacher)
    assert_parity(ours, ChannelWiseDivergence(tau=temperature), student, teacher)
    assert_parity(ours, FeatureAlignmentLoss(temperature), student, teacher)


def test_cwd_takes_what_mmrazors_refuses(maps):
    student, teacher = (x.transpose(2, 3) for x in maps(2, 3, 5, 4))
    with pytest.raises(RuntimeError, match="view"):
        ChannelWiseDivergence()(student, teacher)
    expected = ChannelWiseDivergence()(student.contiguous(), teacher.contiguous())
    torch.testing.assert_close(CWD()(student, teacher), expected)


@pytest.mark.parametrize("options", READINGS, ids=str)
def test_zero_at_the_teacher_positive_elsewhere(maps, options):
    student, teacher = maps(2, 3, 4, 5)
    loss = FeatureAlignmentLoss(**options)
    assert loss(teacher, teacher) == 0
    assert loss(student, teacher) > 0


def test_shift_laws(maps):
    student, teacher = maps(2, 3, 4, 5)
    per_channel, per_position = torch.randn(2, 3, 1, 1), torch.randn(2, 1, 4, 5)
    spatial, channel = FeatureAlignmentLoss(), FeatureAlignmentLoss(softmax_axis="channel")
    torch.testing.assert_close(spatial(student + per_channel, teacher), spatial(student, teacher))
    torch.testing.assert_close(channel(student + per_position, teacher), channel(student, teacher))


def test_temperature_law(maps):
    student, teacher = maps(2, 3, 4, 5)
    torch.testing.assert_close(
        FeatureAlignmentLoss(4.0)(4 * student, 4 * teacher),
        16 * FeatureAlignmentLoss()(student, teacher),
    )


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"softmax_axis": "both"},
        {"temperature_inside": False},
    ],
    ids=str,
)
def test_rejects(options):
    with pytest.raises(ValueError, match="FeatureAlignmentLoss"):
        FeatureAlignmentLoss(**options)
