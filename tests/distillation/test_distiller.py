"""The distiller: connectors shared, teacher frozen, gradients where they belong."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mkd import distillation  # before mmdet

# isort: split
from mmdet.testing import demo_mm_inputs
from mmrazor.registry import MODELS
from torch import nn

from mkd.errors import UserError
from mkd.experiment import loss_arguments, methods
from mkd.experiment.plan import Plan

METHODS = [
    name
    for name, entry in methods.METHODS.items()
    if name != "baseline" and not any(term.output for term in entry.terms.values())
]


def losses(model: distillation.FrozenTeacherDistill) -> dict[str, torch.Tensor]:
    batch = demo_mm_inputs(2, [[3, 64, 64]] * 2, num_classes=6, num_items=[2, 3])
    batch = model.data_preprocessor(batch, True)
    torch.manual_seed(1)
    return model(**batch, mode="loss")


def total(terms: dict[str, Any]) -> torch.Tensor:
    """As mmengine's ``parse_losses`` sums them."""
    return sum(
        sum(term) if isinstance(term, list) else term
        for name, term in terms.items()
        if "loss" in name
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_term_of_every_method_reaches_the_student_and_never_the_teacher(
    distiller: Any, method: str
) -> None:
    model = distiller(method)
    terms = losses(model)
    distilled = {name: term for name, term in terms.items() if name.startswith("distill.")}
    names = methods.plan("test", method, {}).losses
    assert set(distilled) == {f"distill.loss_{n}_{level}" for n in names for level in range(3)}
    for name, term in distilled.items():
        level = int(name[-1])
        weight = model.student.neck.out_convs[level].conv.weight
        (gradient,) = torch.autograd.grad(term, weight, retain_graph=True)
        assert gradient.abs().sum() > 0, name
    total(terms).backward()
    assert all(parameter.grad is None for parameter in model.teacher.parameters())


def test_a_level_runs_each_connector_once_however_many_terms_it_has(distiller: Any) -> None:
    model = distiller("mkd")
    calls: list[str] = []
    for name, connector in model.distiller.connectors.items():
        connector.register_forward_hook(lambda *_, name=name: calls.append(name))
    losses(model)
    assert sorted(calls) == sorted(model.distiller.connectors)


def test_a_term_left_out_leaves_the_others_as_they_are(distiller: Any) -> None:
    whole, without = losses(distiller("mkd")), losses(distiller("mkd", terms="multiscale,fad"))
    assert set(whole) - set(without) == {f"distill.loss_fdmd_{level}" for level in range(3)}
    for name in without:
        if name.startswith("distill."):
            torch.testing.assert_close(whole[name], without[name])


def test_gradient_norms_are_those_of_the_recorded_features(distiller: Any) -> None:
    model = distiller("mkd")
    model.distiller.measure = True
    terms = losses(model)
    recorded = model.distiller.student_recorders.get_recorder("neck.out_convs.1.conv")
    (gradient,) = torch.autograd.grad(
        terms["distill.loss_fdmd_1"], recorded.get_record_data(), retain_graph=True
    )
    # To the bit: in float32 the powers of two that the loss is multiplied by are exact.
    assert torch.equal(terms["distill.grad_fdmd_1"], gradient.norm())


class Recorded(nn.Module):
    """A module that gives what it is called with, for a recorder."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Identity()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("method", ["mkd", "cwd", "pkd", "mgd", "fkd"])
@pytest.mark.parametrize("alpha", [1e-8, 1e-4, 1.0, 1e6])
def test_gradient_norms_in_half_precision_are_those_of_float32(
    dtype: torch.dtype, method: str, alpha: float
) -> None:
    """A student near its teacher; a small alpha stands for a mean over large maps of a batch."""
    torch.manual_seed(0)
    plan = methods.plan("test", method, {"alpha": alpha, "layers": "neck"})
    config = distillation.distiller_config(plan, [16], [16], [("x", None)])
    distiller = MODELS.build(config)
    student, teacher = Recorded(), Recorded()
    distiller.prepare_from_student(student)
    distiller.prepare_from_teacher(teacher)
    distiller.measure = True
    if plan.features == "normalized":
        # Behind its adapter the student is near its teacher, too.
        nn.init.dirac_(distiller.connectors["student0"].conv_module.conv.weight)
    target = torch.randn(4, 16, 20, 20).to(dtype)
    feature = (target + torch.randn(4, 16, 20, 20) / 20).to(dtype)

    def norms(feature: torch.Tensor, target: torch.Tensor, half: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=dtype, enabled=half):
            with distiller.student_recorders:
                student.x(feature.requires_grad_())
            with distiller.teacher_recorders:
                teacher.x(target)
            found = distiller.compute_distill_losses()
        return {name: value for name, value in found.items() if name.startswith("grad_")}

    expected = norms(feature.float(), target.float(), False)
    found = norms(feature, target, True)
    assert len(found) == len(plan.losses)
    for name, value in found.items():
        assert value.dtype == torch.float32
        assert float(value) == pytest.approx(float(expected[name]), rel=0.01), name


def test_a_norm_of_nothing_is_zero_and_of_what_is_not_finite_is_not() -> None:
    x = torch.ones(3, requires_grad=True)
    assert distillation.gradient_norm((0 * x).sum(), x) == 0
    assert not distillation.gradient_norm((x * torch.inf).sum(), x).isfinite()


def test_boxes_are_shares_of_the_padded_input(distiller: Any) -> None:
    """A landscape and a portrait image in one batch, each padded to the square that holds both."""
    model = distiller("fgd")
    batch = demo_mm_inputs(2, [[3, 64, 96], [3, 96, 64]], num_classes=6, num_items=[2, 3])
    expected = [sample.gt_instances.bboxes / 96 for sample in batch["data_samples"]]
    given = {}
    for level in range(3):
        loss = model.distiller.distill_losses[f"loss_fgd_{level}"]
        loss.register_forward_pre_hook(lambda *a: given.update(a[-1]), with_kwargs=True)
    model(**model.data_preprocessor(batch, True), mode="loss")
    torch.testing.assert_close(given["boxes"][:, 1:], torch.cat(expected))
    assert given["boxes"][:, 0].tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("method", "source"),
    [("cwd", "neck.out_convs.0.conv"), ("pkd", "neck.out_convs.0.conv"),
     ("mkd", "neck.out_convs.0.conv"), ("mgd", "neck"), ("fgd", "neck"), ("fkd", "neck")],
)  # fmt: skip
def test_a_method_is_recorded_where_its_authors_do(
    distiller: Any, method: str, source: str
) -> None:
    model = distiller(method)
    assert source in model.distiller.student_recorders.recorders
    assert "backbone" in distiller(method, layers="backbone").distiller.student_recorders.recorders


def test_the_rivals_see_what_the_head_sees(distiller: Any) -> None:
    model = distiller("mgd")
    seen = {}
    model.student.bbox_head.register_forward_pre_hook(lambda _, given: seen.update(maps=given[0]))
    losses(model)
    for level in range(3):
        given = model.distiller.loss_forward_mappings[f"loss_mgd_{level}"]["preds_S"]
        model.distiller._records = {}
        assert torch.equal(model.distiller.get_record(**given), seen["maps"][level])
        # SiLU has a floor, which a convolution has not.
        assert seen["maps"][level].min() > -0.3


@pytest.mark.parametrize("layers", ["neck_output", "backbone"])
@pytest.mark.parametrize("adapter", ["norm", "conv"])
def test_other_layers_and_adapters(distiller: Any, layers: str, adapter: str) -> None:
    model = distiller("mkd", layers=layers, adapter=adapter)
    terms = losses(model)
    total({n: t for n, t in terms.items() if n.startswith("distill.")}).backward()
    head = model.student.bbox_head
    assert all(p.grad is None for p in head.parameters())
    assert any(p.grad is not None for p in model.student.backbone.parameters())


def test_identity_wants_equal_channels(distiller: Any) -> None:
    with pytest.raises(UserError, match="level 0 has 48 in the student and 64 in the teacher"):
        distiller("mkd", adapter="identity")


def test_balanced_terms_are_made_as_strong_as_fad_and_then_frozen(distiller: Any) -> None:
    model = distiller("mkd-balanced")
    hook, steps = distillation.BalanceHook(), distillation.BALANCE_STEPS
    # Levels of a term; those of one grow by the number of the step, and leap after the last.
    start = {"fad": (3.0, 4.0), "fdmd": (6.0, 8.0), "multiscale": (0.0, 2.0)}
    means = {
        term: math.hypot(*levels) * ((steps + 1) / 2 if term == "fdmd" else 1)
        for term, levels in start.items()
    }
    for step in range(steps + 5):
        more = 1 + step if step < steps else 1000
        outputs = {
            f"distill.grad_{term}_{level}": torch.tensor(norm * (more if term == "fdmd" else 1))
            for term, levels in start.items()
            for level, norm in enumerate(levels)
        }
        runner = SimpleNamespace(iter=step, model=model)
        model.distiller.measure = False
        hook.before_train_iter(runner, step)
        assert model.distiller.measure == (step < steps)
        hook.after_train_iter(runner, step, outputs=outputs)
    for term, mean in means.items():
        weight = float(model.distiller.weight(f"loss_{term}_0"))
        assert weight == pytest.approx(means["fad"] / mean)
    assert float(model.distiller.weight("loss_fad_0")) == 1


WIDTH, TIMES = 0.5, 5  # of a narrow teacher, and 640 / 128 px
PARTS = [
    (method, two_stage, part)
    for method in ("mgd", "fgd", "fkd")
    for two_stage in (False, True)
    for part in methods.METHODS[method].terms[method].growth
]


@pytest.mark.parametrize("side", [16, 8, 4])
@pytest.mark.parametrize(("method", "two_stage", "part"), PARTS)
def test_each_part_of_a_summed_loss_is_as_strong_at_a_small_size_as_at_full_size(
    method: str, two_stage: bool, part: str, side: int
) -> None:
    """Measured against a mean-squared loss on the same maps, by the gradients' norms."""
    full = methods.plan("test", method, {}, two_stage)
    small = methods.plan("test", method, {}, two_stage, WIDTH, 640 // TIMES)
    expected = _strength(full, method, part, *(_enlarged(x) for x in _maps(side)))
    assert _strength(small, method, part, *_maps(side)) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("method", "term"), [("cwd", "cwd"), ("pkd", "pkd"), ("mkd", "fad")])
@pytest.mark.parametrize("side", [16, 8, 4])
def test_a_mean_needs_no_factor(method: str, term: str, side: int) -> None:
    full, small = (methods.plan("test", method, {}, False, *at) for at in ((1.0, 640), (0.5, 128)))
    assert full == small
    expected = _strength(full, term, None, *(_enlarged(x) for x in _maps(side)))
    assert _strength(small, term, None, *_maps(side)) == pytest.approx(expected, rel=0.1)


def test_weights_at_full_size_are_the_published_ones() -> None:
    for method in METHODS:
        losses = methods.plan("test", method, {}).losses
        assert all(loss.keys() == {"type"} for loss in losses.values())
    mgd = methods.plan("test", "mgd", {}, width=0.5, input_px=128).losses["mgd"]
    assert mgd["distance_weight"] == pytest.approx(2e-5 * 2 * 25)
    given = methods.plan("test", "mgd", {"mgd.distance_weight": 1e-5}, width=0.5, input_px=128)
    assert given.losses["mgd"]["distance_weight"] == pytest.approx(1e-5 * 2 * 25)


def _maps(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Student and teacher, 4×16×side×side, with channels and positions of unlike strength."""
    generator = torch.Generator().manual_seed(side)
    shapes = ((4, 16, side, side), (4, 16, 1, 1), (4, 1, side, side))
    noise, channel, position = (torch.randn(2, *shape, generator=generator) for shape in shapes)
    student, teacher = noise / 2 + (channel + position) / 4
    return student, teacher


def _enlarged(x: torch.Tensor) -> torch.Tensor:
    """The same content at full size: more channels of a kind, each position several times."""
    x = x.repeat(1, round(1 / WIDTH), 1, 1)
    return x.repeat_interleave(TIMES, 2).repeat_interleave(TIMES, 3)


def _strength(
    plan: Plan, term: str, part: str | None, student: torch.Tensor, teacher: torch.Tensor
) -> float:
    """A loss's gradient norm over a mean-squared one's; of one part, without learned adapters."""
    given = plan.losses[term]
    channels = [student.shape[1]]
    config = distillation.distiller_config(plan, channels, channels, [("x", None)])
    loss = MODELS.build(config.distill_losses[f"loss_{term}_0"])
    growth = methods.METHODS[term].terms[term].growth if part else {}
    known = {**(loss_arguments.defaults(plan.modules[term], given["type"]) or {}), **given}
    kept = [known[argument] * (argument == part) for argument in growth]
    if term == "fkd":
        loss.weights = kept
        for adapter in ("adaptation_layers", "channel_wise_adaptation", "spatial_wise_adaptation",
                        "non_local_adaptation"):  # fmt: skip
            setattr(loss.student, adapter, torch.nn.Identity())
    elif term == "fgd":
        for argument, weight in zip(growth, kept, strict=True):
            setattr(loss, argument, weight)
    elif term == "mgd":
        loss.connector.generation = torch.nn.Identity()
    more = {}
    if term == "fgd":
        # The same share of the cells at every size: a box is rounded outwards to cells.
        high = 0.75 - 1 / student.shape[-1]
        more["boxes"] = torch.tensor([[image, 0.25, 0.25, high, high] for image in range(4)])
    student = student.requires_grad_()
    torch.manual_seed(0)
    mean = torch.nn.functional.mse_loss(student, teacher)
    norms = [
        torch.autograd.grad(value, student)[0].norm()
        for value in (loss(preds_S=student, preds_T=teacher, **more), mean)
    ]
    return float(norms[0] / norms[1])
