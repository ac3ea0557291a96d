"""What holds for every loss: precision, layouts, gradients, determinism, no host transfer."""

import warnings
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmrazor.registry import MODELS
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import mkd.losses
from mkd.losses import (
    CWD,
    FGD,
    FKD,
    MGD,
    PKD,
    FeatureAlignmentLoss,
    FeatureLoss,
    FreeKD,
    FrequencyMaskLoss,
    LogitKD,
    MultiscaleLoss,
)
from mkd.losses.common import promote

CHANNELS = 4
PLAIN: dict[str, Callable[[], nn.Module]] = {
    "multiscale": MultiscaleLoss,
    "multiscale-max": lambda: MultiscaleLoss(pool="max"),
    "multiscale-norm": lambda: MultiscaleLoss(squared=False, normalizer="hw"),
    "frequency": FrequencyMaskLoss,
    "frequency-hermitian": lambda: FrequencyMaskLoss(mask="hermitian"),
    "frequency-magnitude": lambda: FrequencyMaskLoss(mask="magnitude"),
    "frequency-spectral": lambda: FrequencyMaskLoss(error="spectral"),
    "alignment": FeatureAlignmentLoss,
    "alignment-channel": lambda: FeatureAlignmentLoss(softmax_axis="channel", temperature=2.0),
    "alignment-attention": lambda: FeatureAlignmentLoss(attention_weighted=True),
    "feature-mse": FeatureLoss,
    "feature-pkd": lambda: FeatureLoss("pkd"),
    "cwd": CWD,
    "pkd": PKD,
    "kd": LogitKD,
}
LEARNED: dict[str, Callable[[], nn.Module]] = {
    "frequency-generator": lambda: FrequencyMaskLoss(generator_channels=CHANNELS),
    "mgd": lambda: MGD(CHANNELS, CHANNELS),
    "fkd": lambda: FKD(CHANNELS, CHANNELS),
    "fgd": lambda: FGD(CHANNELS, CHANNELS),
    "freekd": lambda: FreeKD(CHANNELS, CHANNELS),
}
ALL = PLAIN | LEARNED
# Raw features come in, and an adapter of their own makes them fit.
ADAPTED = {"mgd": MGD, "fkd": FKD, "fgd": FGD, "freekd": FreeKD}


def run(module: nn.Module, student: Tensor, teacher: Tensor) -> Tensor:
    """The loss from a fixed seed, FGD with two boxes an image."""
    torch.manual_seed(11)
    if isinstance(module, LogitKD):
        return module(student, teacher, promote(teacher.detach()).sigmoid().amax(1, keepdim=True))
    if not isinstance(module, FGD):
        return module(student, teacher)
    n = len(student)
    box = torch.tensor([[0.06, 0.06, 0.47, 0.4], [0.3, 0.25, 0.9, 0.8]], device=student.device)
    index = torch.arange(n, device=student.device, dtype=torch.float32).repeat_interleave(2)
    boxes = torch.cat([index[:, None], box.repeat(n, 1)], 1)
    return module(student, teacher, boxes)


def build(name: str) -> nn.Module:
    torch.manual_seed(2)
    module = ALL[name]()
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return module


@pytest.fixture(params=ALL)
def module(request):
    return build(request.param)


def test_one_factor_of_the_whole_term(module, maps):
    assert module.loss_weight == 1
    plain = run(module, *maps(2, CHANNELS, 6, 5))
    module.loss_weight = 3.0
    torch.testing.assert_close(run(module, *maps(2, CHANNELS, 6, 5)), 3 * plain)


def test_two_backward_passes_agree(module, maps):
    """Gradient norms are measured on the graph that is then back-propagated."""
    student, teacher = maps(2, CHANNELS, 6, 5)
    value = run(module, student.requires_grad_(), teacher)
    (first,) = torch.autograd.grad(value, student, retain_graph=True)
    (second,) = torch.autograd.grad(value, student)
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", mkd.losses.__all__)
def test_registered_under_its_name(name):
    assert MODELS.get(name) is getattr(mkd.losses, name)


def test_gradcheck(module, maps):
    module.double()
    if isinstance(module, FKD):
        # Its attentions are constants to the gradient: flat ones are so to differences, too.
        module.student.spatial_T = module.student.channel_T = 1e12
    student, teacher = (x.double() for x in maps(2, CHANNELS, 3, 4))
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: run(module, s, teacher), student)


@pytest.mark.parametrize("module", LEARNED, indirect=True)
def test_gradients_of_parameters(module, maps):
    module.double()
    student, teacher = (x.double() for x in maps(2, CHANNELS, 3, 4))
    parameters = list(module.parameters())
    value = run(module, student, teacher)
    slopes = torch.autograd.grad(value, parameters)
    step = 1e-6
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(p.shape, generator=generator).double() for p in parameters]
    ends = []
    for sign in (1, -1):
        moved = deepcopy(module)
        for p, direction in zip(moved.parameters(), directions, strict=True):
            p.data += sign * step * direction
        ends.append(run(moved, student, teacher))
    expected = (ends[0] - ends[1]) / (2 * step)
    got = sum((g * d).sum() for g, d in zip(slopes, directions, strict=True))
    torch.testing.assert_close(got, expected.detach(), rtol=1e-4, atol=1e-9)
    assert all(g.any() for g in slopes[-2:])


def test_gradients_stop_at_the_teacher(module, maps):
    student, teacher = (x.requires_grad_() for x in maps(2, CHANNELS, 6, 5))
    run(module, student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.any()


def test_takes_a_teacher_born_in_inference_mode(module, maps):
    student, teacher = maps(2, CHANNELS, 6, 5)
    with torch.inference_mode():
        inferred = teacher.clone()
    value = run(module, student.requires_grad_(), inferred)
    value.backward()
    assert torch.equal(value, run(module, student, teacher))


@pytest.mark.parametrize("name", ADAPTED)
def test_adapter_where_channels_differ(name, maps):
    module = ADAPTED[name](3, 5)
    student, teacher = maps(2, 3, 6, 5)[0].requires_grad_(), maps(2, 5, 6, 5)[1]
    run(module, student, teacher).backward()
    assert student.grad.any()
    align = module.connector.align if name == "mgd" else module.align
    assert align.weight.shape == (5, 3, 1, 1)
    assert align.weight.grad.any()


def test_weight_zero_gives_gradient_zero(module, maps):
    module.loss_weight = 0.0
    student, teacher = maps(2, CHANNELS, 6, 5)
    value = run(module, student.requires_grad_(), teacher)
    value.backward()
    assert value == 0
    assert not student.grad.any()


@pytest.mark.parametrize(
    "module", [k for k in ALL if not k.startswith(("frequency", "mgd"))], indirect=True
)
def test_permutation_of_the_batch(module, maps):
    """Losses without random masks do not see the order of samples."""
    module.double()
    student, teacher = (x.double() for x in maps(3, CHANNELS, 6, 5))
    order = [2, 0, 1]
    torch.testing.assert_close(
        run(module, student[order], teacher[order]), run(module, student, teacher)
    )


@pytest.mark.parametrize("module", [k for k in ALL if k.startswith("frequency")], indirect=True)
def test_permutation_of_the_batch_under_one_mask(module, maps):
    module.mask_scope = "batch"
    student, teacher = maps(3, CHANNELS, 6, 5)
    order = [2, 0, 1]
    torch.testing.assert_close(
        run(module, student[order], teacher[order]), run(module, student, teacher)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("module", PLAIN, indirect=True)
def test_half_precision_is_computed_in_float32(module, dtype, maps):
    student, teacher = (x.to(dtype) for x in maps(2, CHANNELS, 20, 10))
    expected = run(module, student.float(), teacher.float())
    assert torch.equal(run(module, student, teacher), expected)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(run(module, student, teacher), expected)
        assert torch.equal(run(module, student.float(), teacher.float()), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("module", LEARNED, indirect=True)
def test_learned_losses_under_autocast(module, dtype, maps):
    student, teacher = (x.to(dtype) for x in maps(2, CHANNELS, 20, 10))
    student.requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        value = run(module, student, teacher)
    value.backward()
    assert value.dtype == torch.float32
    assert student.grad.isfinite().all()
    torch.testing.assert_close(
        value, run(module, student.float(), teacher.float()), rtol=0.05, atol=0
    )


@pytest.mark.parametrize("name", ALL)
def test_never_waits_for_the_device(name):
    """A fake tensor has no values: whatever needs one on the host (item, if, nonzero) raises."""
    with FakeTensorMode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = ALL[name]()
        student = torch.empty(2, CHANNELS, 6, 5, requires_grad=True)
        more = {FGD: (torch.empty(7, 5),), LogitKD: (torch.empty(2, 1, 6, 5),)}
        value = module(student, torch.empty(2, CHANNELS, 6, 5), *more.get(type(module), ()))
        value.backward()
        assert value.shape == ()
        assert student.grad.shape == student.shape


def test_rejects_maps_of_two_shapes(module, maps):
    with pytest.raises(ValueError, match=r"compares maps of one shape.*put an adapter before"):
        run(module, maps(2, CHANNELS, 6, 5)[0], maps(2, CHANNELS, 6, 4)[0])


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "strided": lambda x: x.repeat_interleave(2, dim=3)[..., ::2],
    "expanded": lambda x: x[:1].expand_as(x),
}
CONTENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "random": lambda x: x,
    "zero": torch.zeros_like,
    "constant": lambda x: torch.full_like(x, 3.0),
    "huge": lambda x: 1e4 * x,
}


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 11), st.integers(1, 11)),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    layouts=st.tuples(st.sampled_from(sorted(LAYOUTS)), st.sampled_from(sorted(LAYOUTS))),
    contents=st.tuples(st.sampled_from(sorted(CONTENTS)), st.sampled_from(sorted(CONTENTS))),
)
def test_any_shape_dtype_layout_and_content(name, shape, dtype, layouts, contents):
    n, h, w = shape
    if name == "fkd" and n * h * w == 1:
        return  # batch norm refuses a single value, see FKD.forward
    module = build(name)
    if dtype == torch.float64:
        module = module.double()
    generator = torch.Generator().manual_seed(n + 10 * h + 100 * w)
    student, teacher = (
        LAYOUTS[layout](
            CONTENTS[content](torch.randn(n, CHANNELS, h, w, generator=generator)).to(dtype)
        ).detach()
        for layout, content in zip(layouts, contents, strict=True)
    )
    student.requires_grad_()
    value = run(module, student, teacher)
    value.backward()
    assert value.shape == ()
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert value.isfinite()
    assert value >= 0
    plain = [x.detach().clone(memory_format=torch.contiguous_format) for x in (student, teacher)]
    if dtype in (torch.float16, torch.bfloat16):
        plain = [x.float() for x in plain]
    plain[0].requires_grad_()
    expected = run(deepcopy(module), *plain)
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
    (slope,) = torch.autograd.grad(expected, plain[0])
    assert slope.isfinite().all()
    # PKD divides by a deviation of 1e-6 where the student is constant: beyond fp16's range.
    assert student.grad[slope.abs() < torch.finfo(dtype).max].isfinite().all()
    for parameter in module.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
