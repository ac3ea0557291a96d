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

from mkd import arguments, methods
from mkd.errors import UserError

METHODS = [name for name in methods.METHODS if name != "baseline"]


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
    torch.testing.assert_close(terms["distill.grad_fdmd_1"], gradient.norm())


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


def test_summed_losses_keep_their_published_strength() -> None:
    plan = methods.plan("test", "mgd", {})
    assert methods.sized(plan, 1.0, 640).term_weights == {"mgd": 1.0}
    assert methods.sized(plan, 0.5, 128).term_weights == {"mgd": 2 * 25}
    assert methods.sized(methods.plan("test", "mkd", {}), 0.5, 128).term_weights["fad"] == 1


@pytest.mark.parametrize("two_stage", [False, True])
@pytest.mark.parametrize("method", ["fgd", "fkd"])
def test_each_part_of_a_summed_loss_keeps_its_published_strength(
    method: str, two_stage: bool
) -> None:
    plan = methods.plan("test", method, {}, two_stage)
    assert methods.sized(plan, 1.0, 640).losses == plan.losses
    parts = [name for name in _weights(plan) if name != "loss_weight"]
    assert len(parts) == 4
    for part in parts:
        full = _part(methods.sized(plan, 1.0, 640), part, 64, 256)
        assert _part(methods.sized(plan, 1.0, 320), part, 64, 128) == pytest.approx(full, rel=0.3)
        narrow = _part(methods.sized(plan, 0.5, 640), part, 32, 256)
        assert narrow == pytest.approx(full, rel=0.3), part


def _weights(plan: methods.Plan) -> dict[str, float]:
    ((name, given),) = plan.losses.items()
    term = plan.method.terms[name]
    defaults = arguments.defaults(term.module, term.type)
    known = {**defaults, **given}
    return {argument: known[argument] for argument in defaults if argument.endswith("_weight")}


def _part(plan: methods.Plan, part: str, channels: int, px: int) -> float:
    """One part of a loss on random maps of stride 8, at the weight the plan has for it."""
    ((name, given),) = plan.losses.items()
    weights = _weights(plan)
    alone = {**dict.fromkeys(weights, 0.0), part: weights[part], "loss_weight": 1.0}
    torch.manual_seed(0)
    loss = MODELS.build(
        {
            **given,
            **alone,
            "type": f"mmrazor.{given['type']}",
            "student_channels": channels,
            "teacher_channels": channels,
        }
    )
    side = px // 8
    # With means over channels and over positions that do not vanish on larger maps.
    student, teacher = sum(
        torch.randn(2, 8, *shape)
        for shape in ((channels, side, side), (channels, 1, 1), (1, side, side))
    )
    more = ()
    if name == "fgd":
        box = [px / 4, px / 4, px * 3 / 4, px * 3 / 4]
        more = (torch.tensor([[i, *box] for i in range(8)]), torch.full((8, 2), px))
    with torch.no_grad():
        return plan.term_weights[name] * float(loss(student, teacher, *more))
