"""How a loss is compared with its reference."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import mkd.losses  # noqa: F401  (registers the losses, and makes mmrazor import)

Loss = Callable[[Tensor, Tensor], Tensor]


def value_and_gradient(loss: Loss, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    student = student.clone().requires_grad_()
    torch.manual_seed(7)
    value = loss(student, teacher)
    (gradient,) = torch.autograd.grad(value, student)
    return value.detach().double(), gradient.double()


@pytest.fixture
def assert_parity() -> Callable[..., None]:
    """Value and gradient of a float32 loss against a float64 reference, 1e-5 relative.

    Both run from the same seed.
    """

    def check(
        loss: Loss, reference: Loss, student: Tensor, teacher: Tensor, rtol: float = 1e-5
    ) -> None:
        value, gradient = value_and_gradient(loss, student, teacher)
        expected, slope = value_and_gradient(reference, student.double(), teacher.double())
        assert abs(value - expected) <= rtol * abs(expected)
        assert (gradient - slope).norm() <= rtol * slope.norm()

    return check


@pytest.fixture
def maps() -> Callable[..., tuple[Tensor, Tensor]]:
    """Random student and teacher maps of a shape, float32."""

    def draw(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)

    return draw
