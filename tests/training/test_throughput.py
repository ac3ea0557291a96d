"""What makes a step quick changes no bit of it: against mmengine's and mmdet's own."""

import pytest
import torch

import mkd.training.optimizer  # noqa: F401  (registers)
from mkd.detectors import models  # before mmdet

# isort: split
from mmdet.models.layers import ExpMomentumEMA
from mmengine.optim import build_optim_wrapper
from torch import nn

from mkd.experiment.architectures import ARCHITECTURES
from mkd.training.averaging import GroupedExpMomentumEMA


@pytest.fixture
def detector() -> nn.Module:
    torch.manual_seed(0)
    model = models.build(models.model_config(ARCHITECTURES["rtmdet-tiny"], 6, 1 / 2))
    models.init_weights(model)
    return model


def _disturb(model: nn.Module) -> None:
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.add_(torch.randn_like(value))
        else:
            value += 1


def test_the_grouped_average_is_mmdets_bit_for_bit_also_from_a_restored_state(
    detector: nn.Module,
) -> None:
    options = {"momentum": 0.01, "gamma": 100, "update_buffers": True}
    ours, stock = GroupedExpMomentumEMA(detector, **options), ExpMomentumEMA(detector, **options)
    for step in range(4):
        if step == 2:
            restored = GroupedExpMomentumEMA(detector, **options)
            restored.load_state_dict(ours.state_dict())
            ours = restored
        _disturb(detector)
        ours.update_parameters(detector)
        stock.update_parameters(detector)
        expected = stock.state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in ours.state_dict().items())


def test_merged_groups_step_as_one_group_a_parameter_does(detector: nn.Module) -> None:
    settings = {
        "type": "OptimWrapper",
        "optimizer": {"type": "AdamW", "lr": 0.01, "weight_decay": 0.05},
        "paramwise_cfg": {"norm_decay_mult": 0, "bias_decay_mult": 0, "bypass_duplicate": True},
    }
    start = {key: value.clone() for key, value in detector.state_dict().items()}
    after = []
    for constructor in ("DefaultOptimWrapperConstructor", "GroupedOptimWrapperConstructor"):
        detector.load_state_dict(start)
        wrapper = build_optim_wrapper(detector, {**settings, "constructor": constructor})
        torch.manual_seed(1)
        for parameter in detector.parameters():
            parameter.grad = torch.randn_like(parameter)
        wrapper.step()
        after.append({key: value.clone() for key, value in detector.state_dict().items()})
    # Convolutions' weights decay; norms and biases do not.
    assert {group["weight_decay"] for group in wrapper.param_groups} == {0, 0.05}
    assert len(wrapper.param_groups) < 4
    assert all(torch.equal(after[0][key], after[1][key]) for key in start)
