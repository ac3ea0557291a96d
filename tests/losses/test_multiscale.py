"""L_Multiscale against loops over Eq. 1's windows."""

from itertools import product

import pytest
import torch
from torch import Tensor

from mkd.losses import MultiscaleLoss
from mkd.losses.multiscale import pyramid

OPTIONS = [
    {"pool": pool, "squared": squared, "normalizer": normalizer, "scale_reduction": reduction}
    for pool, squared, normalizer, reduction in product(
        ("avg", "max"), (True, False), ("elements", "hw"), ("sum", "mean")
    )
]


def pool_by_loops(x: Tensor, k: int, kind: str) -> Tensor:
    h, w = x.shape[-2:]
    rows = []
    for top in range(0, h, k):
        cells = []
        for left in range(0, w, k):
            window = x[..., top : top + k, left : left + k].flatten(-2)
            cells.append(window.mean(-1) if kind == "avg" else window.amax(-1))
        rows.append(torch.stack(cells, -1))
    return torch.stack(rows, -2)


def reference(scales, pool, squared, normalizer, scale_reduction):
    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        n, _, h, w = student.shape
        terms = []
        for k in scales:
            gap = pool_by_loops(student, k, pool) - pool_by_loops(teacher, k, pool)
            for sample in gap:
                distance = (sample**2).sum()
                if normalizer == "elements":
                    distance = distance / sample.numel()
                if not squared:
                    distance = distance**0.5
                if normalizer == "hw":
                    distance = distance / (h * w)
                terms.append(distance / n)
        return sum(terms) / (len(scales) if scale_reduction == "mean" else 1)

    return loss


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
@pytest.mark.parametrize("shape", [(2, 3, 8, 12), (3, 2, 5, 7), (1, 2, 3, 2)])
def test_parity(assert_parity, maps, options, shape):
    scales = (1, 2, 4)
    assert_parity(MultiscaleLoss(scales, **options), reference(scales, **options), *maps(*shape))


def test_default_is_the_audits(assert_parity, maps):
    expected = reference((1, 2, 4), "avg", True, "elements", "sum")
    assert_parity(MultiscaleLoss(), expected, *maps(2, 4, 16, 8))


@pytest.mark.parametrize("scales", [(2, 3), (3, 6), (4, 1, 2), (5,)])
def test_other_scales(assert_parity, maps, scales):
    options = {"pool": "avg", "squared": True, "normalizer": "elements", "scale_reduction": "sum"}
    assert_parity(MultiscaleLoss(scales), reference(scales, **options), *maps(2, 2, 12, 6))


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (6, 4), (7, 8), (10, 10), (12, 20)])
def test_cascade_is_direct_pooling(maps, pool, size):
    x, _ = maps(1, 2, *size)
    for k, pooled in zip((1, 2, 4, 8), pyramid(x, (1, 2, 4, 8), pool), strict=True):
        torch.testing.assert_close(pooled, pool_by_loops(x, k, pool))


def test_a_scale_beyond_the_map_pools_all_of_it(maps):
    student, teacher = maps(2, 3, 3, 3)
    gap = (student - teacher).mean((2, 3)).square().mean()
    torch.testing.assert_close(MultiscaleLoss((64,))(student, teacher), gap)


def test_shift_and_scale_laws(maps):
    student, teacher = maps(2, 3, 6, 5)
    loss, root = MultiscaleLoss(), MultiscaleLoss(squared=False)
    torch.testing.assert_close(loss(student + 5, teacher + 5), loss(student, teacher))
    torch.testing.assert_close(loss(3 * student, 3 * teacher), 9 * loss(student, teacher))
    torch.testing.assert_close(root(3 * student, 3 * teacher), 3 * root(student, teacher))


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
def test_zero_with_zero_gradient_at_the_teacher(maps, options):
    student = maps(2, 3, 5, 6)[0].requires_grad_()
    value = MultiscaleLoss(**options)(student, student.detach().clone())
    value.backward()
    assert value == 0
    assert not student.grad.any()


@pytest.mark.parametrize(
    "options",
    [
        {"scales": ()},
        {"scales": (0, 1)},
        {"scales": (2, 2)},
        {"pool": "median"},
        {"normalizer": "none"},
        {"scale_reduction": "max"},
        {"scales": (1,), "pool": "max"},
        {"scales": (2,), "scale_reduction": "mean"},
    ],
    ids=str,
)
def test_rejects(options):
    with pytest.raises(ValueError, match="MultiscaleLoss"):
        MultiscaleLoss(**options)
