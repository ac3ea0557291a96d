"""MGD and FKD against their formulas and against mmrazor's own classes."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from mmrazor.models.architectures.connectors import (
    FBKDStudentConnector,
    FBKDTeacherConnector,
    MGDConnector,
)
from mmrazor.models.losses import FBKDLoss, MGDLoss
from torch import Tensor, nn

from mkd.experiment.methods import METHODS
from mkd.losses import FKD, MGD


def randomize(module: nn.Module) -> nn.Module:
    """Leaves no parameter at a value that hides a term (zero-initialized layers)."""
    generator = torch.Generator().manual_seed(5)
    for parameter in module.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator) + 0.05
    return module


def students(maps, channels: tuple[int, int], n=2, h=6, w=5) -> tuple[Tensor, Tensor]:
    return maps(n, channels[0], h, w)[0], maps(n, channels[1], h, w, seed=1)[1]


def mgd_by_formula(module: MGD):
    p = {k: v.detach().double() for k, v in module.connector.named_parameters()}

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        n, _, h, w = student.shape
        if "align.weight" in p:
            student = F.conv2d(student, p["align.weight"], p["align.bias"])
        kept = (torch.rand(n, 1, h, w) <= 1 - module.connector.lambda_mgd).double()
        x = F.conv2d(student * kept, p["generation.0.weight"], p["generation.0.bias"], padding=1)
        x = F.conv2d(x.clamp(min=0), p["generation.2.weight"], p["generation.2.bias"], padding=1)
        return module.distance.alpha_mgd * ((x - teacher) ** 2).sum() / n

    return loss


@pytest.mark.parametrize("channels", [(3, 3), (2, 4)])
def test_mgd_parity(assert_parity, maps, channels):
    module = randomize(MGD(*channels))
    student, teacher = students(maps, channels)
    assert_parity(module, mgd_by_formula(module), student, teacher)

    theirs = MGDConnector(*channels, lambda_mgd=0.65)
    theirs.load_state_dict(module.connector.state_dict())
    theirs.double()
    distance = MGDLoss(alpha_mgd=2e-5)
    assert_parity(module, lambda s, t: distance(theirs(s), t), student, teacher)


def test_mgd_drops_the_published_share_of_positions():
    torch.manual_seed(0)
    module = MGD(1, 1)
    module.connector.generation = nn.Identity()
    value = module(torch.ones(4, 1, 100, 100), torch.zeros(4, 1, 100, 100))
    assert value.item() / (2e-5 * 100 * 100) == pytest.approx(0.35, abs=0.015)


def non_local(module, x: Tensor, stride: int) -> Tensor:
    """The embedded dot-product block: x + BN(conv(θ(x) φ(x)ᵀ g(x) / positions))."""
    p = {k: v.detach().double() for k, v in module.named_parameters()}

    def conv(name: str, y: Tensor) -> Tensor:
        return F.conv2d(y, p[f"{name}.conv.weight"], p.get(f"{name}.conv.bias"))

    pooled = {k: F.max_pool2d(conv(f"{k}.0.0", x), stride, ceil_mode=True) for k in ("g", "phi")}
    n, _, h, w = x.shape
    out = []
    for i in range(n):
        theta = conv("theta", x)[i].flatten(1)
        keys, values = pooled["phi"][i].flatten(1), pooled["g"][i].flatten(1)
        out.append((values @ (theta.T @ keys / keys.shape[1]).T).view(-1, h, w))
    y = conv("conv_out", torch.stack(out))
    mean, var = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), correction=0, keepdim=True)
    scale, shift = (p[f"conv_out.bn.{k}"].view(-1, 1, 1) for k in ("weight", "bias"))
    return x + (y - mean) / (var + 1e-5).sqrt() * scale + shift


TWO_STAGE = METHODS["fkd"].terms["fkd"].two_stage


def fkd_by_formula(module: FKD, stride: int, two_stage: bool):
    """With the settings of one-stage detectors as copies of the authors' code have them, 6 times
    the weights of the two-stage ones, or with those."""
    m = deepcopy(module).double()
    temperature, times = (0.5, 1) if two_stage else (0.1, 6)

    def attention(x: Tensor) -> Tensor:
        c, h, w = x.shape[1:]
        strength = x.abs().sum(1) / c / temperature
        where = torch.stack([h * w * s.flatten().softmax(0).view(1, h, w) for s in strength])
        strength = x.abs().sum((2, 3)) / (h * w) / temperature
        which = torch.stack([c * s.softmax(0).view(c, 1, 1) for s in strength])
        return where, torch.ones_like(which) if two_stage else which

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        s, t = m.align(student), teacher
        (s_where, s_which), (t_where, t_which) = attention(s.detach()), attention(t)
        weight = (s_where + t_where) / 2 * (s_which + t_which) / 2
        side = m.student
        parts = [
            ((side.adaptation_layers(s) - t) ** 2 * weight).sum() ** 0.5,
            ((side.channel_wise_adaptation(s.mean((2, 3))) - t.mean((2, 3))) ** 2).sum() ** 0.5,
            ((side.spatial_wise_adaptation(s.mean(1, True)) - t.mean(1, True)) ** 2).sum() ** 0.5,
            (
                (
                    side.non_local_adaptation(non_local(side.student_non_local, s, stride))
                    - non_local(m.teacher.teacher_non_local, t, stride)
                )
                ** 2
            ).sum()
            ** 0.5,
        ]
        return times * (7e-5 * (parts[0] + parts[3]) + 4e-3 * (parts[1] + parts[2]))

    return loss


@pytest.mark.parametrize("channels", [(4, 4), (3, 4)])
@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("two_stage", [False, True])
def test_fkd_parity(assert_parity, maps, channels, stride, two_stage):
    options = TWO_STAGE if two_stage else {}
    module = randomize(FKD(*channels, pool_stride=stride, **options))
    student, teacher = students(maps, channels, h=8, w=8)
    assert_parity(module, fkd_by_formula(module, stride, two_stage), student, teacher)


@pytest.mark.parametrize("channels", [(4, 4), (3, 4)])
@pytest.mark.parametrize("stride", [2, 4])
def test_fkd_of_two_stages_is_mmrazors(assert_parity, maps, channels, stride):
    module = randomize(FKD(*channels, pool_stride=stride, **TWO_STAGE))
    student, teacher = students(maps, channels, h=8, w=8)
    options = {"mode": "dot_product", "sub_sample": True, "maxpool_stride": stride // 2}
    s_side = FBKDStudentConnector(channels[1], **options)
    t_side = FBKDTeacherConnector(channels[1], **options)
    s_side.load_state_dict(module.student.state_dict())
    t_side.load_state_dict(module.teacher.state_dict())
    align = deepcopy(module.align).double()
    s_side.double(), t_side.double()
    distance = FBKDLoss()
    assert_parity(module, lambda s, t: distance(s_side(align(s)), t_side(t)), student, teacher)


@pytest.mark.parametrize("stride", [0, 1, 3])
def test_fkd_rejects_an_odd_pooling(stride):
    with pytest.raises(ValueError, match="FKD: pool_stride"):
        FKD(4, 4, pool_stride=stride)


def test_fkd_terms_are_norms_of_the_batch(maps):
    """Without the non-local blocks it is homogeneous of degree one where attention is flat."""
    module = FKD(3, 3, temperature=1e9, relation_weight=0)
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    student, teacher = maps(2, 3, 4, 4)
    torch.testing.assert_close(
        module(5 * student, 5 * teacher), 5 * module(student, teacher), rtol=1e-4, atol=0
    )


def test_fkd_gradient_is_finite_where_mmrazors_is_not(maps):
    """At a distance of zero the gradient of a root of a sum is 0/0."""
    student, teacher = maps(2, 3, 4, 4)[0].requires_grad_(), maps(2, 3, 4, 4)[0]
    module = FKD(3, 3, channel_weight=0, spatial_weight=0, relation_weight=0)
    module.student.adaptation_layers = nn.Identity()
    theirs = FBKDLoss(channel_weight=0, spatial_weight=0, nonloacl_weight=0)
    (broken,) = torch.autograd.grad(
        theirs(module.student(student), module.teacher(teacher)), student
    )
    assert broken.isnan().all()
    value = module(student, teacher)
    value.backward()
    assert value == 0
    assert not student.grad.any()
