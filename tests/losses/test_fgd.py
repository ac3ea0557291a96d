"""FGD against a transcription of its paper with loops over images and boxes."""

from math import ceil, floor

import pytest
import torch
from torch import Tensor

from mkd.losses import FGD
from mkd.losses.fgd import box_masks

BOXES = torch.tensor(
    [
        [0, 3.0, 5.0, 20.0, 31.0],
        [0, 10.0, 2.0, 18.0, 12.0],
        [0, 0.0, 0.0, 64.0, 48.0],
        [2, 40.0, 30.0, 63.9, 47.9],
        [2, 8.0, 8.0, 8.5, 16.0],
        [2, 41.0, 20.0, 60.0, 40.0],
    ]
)
N, HEIGHT, WIDTH = 3, 48, 64


def shares(boxes: Tensor) -> Tensor:
    """Boxes in pixels as shares of the padded input, which is HEIGHT×WIDTH."""
    return boxes / torch.tensor([1, WIDTH, HEIGHT, WIDTH, HEIGHT])


def masks_by_loops(boxes: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Of boxes in pixels."""
    foreground = torch.zeros(N, h, w, dtype=torch.float64)
    for image, x1, y1, x2, y2 in boxes.double().tolist():
        left, right = floor(x1 / WIDTH * w), ceil(x2 / WIDTH * w)
        top, bottom = floor(y1 / HEIGHT * h), ceil(y2 / HEIGHT * h)
        area = (bottom - top + 1) * (right - left + 1)
        for y in range(h):
            for x in range(w):
                if top <= y <= bottom and left <= x <= right:
                    cell = foreground[int(image), y, x]
                    foreground[int(image), y, x] = max(cell, 1 / area)
    background = (foreground == 0).double()
    for image in background:
        if image.sum() > 0:
            image /= image.sum()
    return foreground, background


def soft(x: Tensor) -> Tensor:
    return (x - x.max()).exp() / (x - x.max()).exp().sum()


def gc_block(block, x: Tensor) -> Tensor:
    """One sample C×H×W plus its context."""
    p = {k: v.detach().double() for k, v in block.named_parameters()}
    c = x.shape[0]
    score = (p["attention.weight"].view(c, 1, 1) * x).sum(0) + p["attention.bias"]
    context = (x * soft(score)).sum((1, 2))
    y = p["transform.0.weight"].flatten(1) @ context + p["transform.0.bias"]
    y = (y - y.mean()) / (y.var(correction=0) + 1e-5).sqrt()
    y = y * p["transform.1.weight"].flatten() + p["transform.1.bias"].flatten()
    y = p["transform.3.weight"].flatten(1) @ y.clamp(min=0) + p["transform.3.bias"]
    return x + y.view(c, 1, 1)


def reference(module: FGD, boxes: Tensor):
    """α, β, γ, λ of YOLOX l→m, temperature 0.5."""

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        n, _, h, w = student.shape
        if isinstance(module.align, torch.nn.Conv2d):
            weight, bias = module.align.weight.double(), module.align.bias.double()
            student = torch.einsum("nihw,oi->nohw", student, weight.detach()[..., 0, 0])
            student = student + bias.detach().view(-1, 1, 1)
        foreground, background = masks_by_loops(boxes, h, w)
        total = 0
        for i in range(n):
            s, t = student[i], teacher[i]
            c = len(t)
            spatial = [h * w * soft(f.abs().mean(0) / 0.5) for f in (s, t)]
            channel = [c * soft(f.abs().mean((1, 2)) / 0.5) for f in (s, t)]
            for mask, factor in ((foreground[i], 2e-3), (background[i], 1e-3)):
                weight = (spatial[1] * mask).sqrt() * channel[1].view(c, 1, 1).sqrt()
                total = total + factor * ((weight * s - weight * t) ** 2).sum()
            attention = (spatial[0] - spatial[1]).abs().sum()
            attention = attention + (channel[0] - channel[1]).abs().sum()
            relation = gc_block(module.student_context, s) - gc_block(module.teacher_context, t)
            total = total + 1e-3 * attention + 1e-5 * (relation**2).sum()
        return total / n

    return loss


def randomized(module: FGD) -> FGD:
    generator = torch.Generator().manual_seed(5)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return module


@pytest.mark.parametrize("channels", [(4, 4), (3, 6)])
def test_parity(assert_parity, maps, channels):
    module = randomized(FGD(*channels))
    student = maps(3, channels[0], 6, 8)[0]
    teacher = maps(3, channels[1], 6, 8, seed=1)[1]
    assert_parity(
        lambda s, t: module(s, t, shares(BOXES)),
        reference(module, BOXES),
        student,
        teacher,
    )


def test_parity_without_boxes(assert_parity, maps):
    module = randomized(FGD(4, 4))
    assert_parity(
        lambda s, t: module(s, t, BOXES[:0]),
        reference(module, BOXES[:0]),
        *maps(3, 4, 6, 8),
    )


@pytest.mark.parametrize("size", [(6, 8), (12, 16), (5, 7), (1, 1)])
def test_masks(size):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(40, 4, generator=generator) * 40
    corners[:, 2:] = torch.minimum(corners[:, :2] + corners[:, 2:] / 2, torch.tensor([64.0, 48.0]))
    image = torch.randint(0, 3, (40, 1), generator=generator)
    boxes = torch.cat([torch.cat([image, corners], 1), BOXES])
    for chosen in (boxes, boxes[:3], BOXES, BOXES[:0]):
        ours = box_masks(shares(chosen), N, *size)
        for mask, expected in zip(ours, masks_by_loops(chosen, *size), strict=True):
            torch.testing.assert_close(mask.double(), expected, rtol=1e-6, atol=0)


def test_rows_are_y_and_columns_are_x():
    foreground, _ = box_masks(torch.tensor([[0, 0.0, 0.0, 0.99, 0.1]]), 1, 8, 8)
    assert foreground[0, 0].all()
    assert not foreground[0, 2:].any()


def test_a_new_module_is_zero_at_the_teacher(maps):
    """GcBlock's last layer starts at zero, so both sides start as the identity."""
    teacher, _ = maps(3, 4, 6, 8)
    assert FGD(4, 4)(teacher, teacher, shares(BOXES)) == 0


def test_global_context_matches_mmcvs(maps):
    from mmcv.cnn import ContextBlock

    module = randomized(FGD(4, 4)).student_context
    theirs = ContextBlock(4, ratio=0.5)
    names = {
        "conv_mask.weight": "attention.weight",
        "conv_mask.bias": "attention.bias",
        **{f"channel_add_conv.{k}": f"transform.{k}" for k in ("0.weight", "0.bias", "1.weight")},
        **{f"channel_add_conv.{k}": f"transform.{k}" for k in ("1.bias", "3.weight", "3.bias")},
    }
    state = module.state_dict()
    theirs.load_state_dict({theirs_: state[ours] for theirs_, ours in names.items()})
    x, _ = maps(3, 4, 6, 8)
    torch.testing.assert_close(x + module(x), theirs(x))


def test_a_box_of_a_padded_image_lies_where_its_pixels_are():
    """800×1216 in a batch padded to 1216×1216, on the map of stride 16."""
    box = torch.tensor([[0, 300.0, 500.0, 500.0, 780.0]]) / torch.tensor([1, *[1216.0] * 4])
    foreground, background = box_masks(box, 1, 76, 76)
    rows, columns = (foreground[0] > 0).nonzero().unbind(1)
    assert (rows.min(), rows.max()) == (31, 49)
    assert (columns.min(), columns.max()) == (18, 32)
    assert not background[0, 31:50, 18:33].any()
