"""What every loss of the suite shares: its precision, its view of the teacher, its options."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm


def promote(x: Tensor) -> Tensor:
    """Half precision (fp16, bf16) as float32; float32 and float64 as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def as_teacher(x: Tensor) -> Tensor:
    """The teacher's map as a constant: promoted, cut from the graph, fit to be saved by it."""
    x = promote(x.detach())
    # Autograd refuses to save a tensor born in inference mode; outside of it a copy is normal.
    return x.clone() if x.is_inference() else x


def check_same_shape(student: Tensor, teacher: Tensor, name: str) -> None:
    """Raises ValueError unless both maps are N×C×H×W of one shape."""
    if student.dim() != 4 or student.shape != teacher.shape:
        raise ValueError(
            f"{name} compares maps of one shape N×C×H×W, got {tuple(student.shape)} for the "
            f"student and {tuple(teacher.shape)} for the teacher: put an adapter before it"
        )


def in_full_precision(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Runs ``method(self, preds_S, preds_T, *rest)`` in at least float32, autocast off.

    FFT, softmax and sums over whole maps lose their meaning in half precision (and cuFFT
    takes half-precision maps of power-of-two sizes only). The teacher's map arrives as a
    constant: gradients reach the student and its adapter alone.

    Raises:
        ValueError: The maps differ in shape.
    """

    @wraps(method)
    def wrapped(self: nn.Module, preds_S: Tensor, preds_T: Tensor, *rest: Tensor) -> Tensor:
        check_same_shape(preds_S, preds_T, type(self).__name__)
        with torch.autocast(preds_S.device.type, enabled=False):
            return method(self, promote(preds_S), as_teacher(preds_T), *rest)

    return wrapped


def channel_adapter(student_channels: int, teacher_channels: int) -> nn.Module:
    """The 1×1 convolution the rivals put before their losses where the channels differ."""
    if student_channels == teacher_channels:
        return nn.Identity()
    return nn.Conv2d(student_channels, teacher_channels, kernel_size=1)


def check_choice(loss: str, option: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raises ValueError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ValueError(
            f"{loss}: {option}={value!r} is not one of {', '.join(map(repr, choices))}"
        )


def check_positive(loss: str, **options: float) -> None:
    """Raises ValueError unless every option is a finite number above 0."""
    for option, value in options.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{loss}: {option}={value} must be positive")


def sample_norms(x: Tensor) -> Tensor:
    """The Euclidean norm of each sample of N×…: N. Its gradient is 0 where the norm is 0."""
    # Row by row first: vector_norm adds up plainly, which costs digits over a whole map. A
    # square root instead would have an infinite slope at 0.
    rows = vector_norm(x, dim=-1).reshape(len(x), -1)
    return vector_norm(rows, dim=1)


def spatial_attention(x: Tensor, temperature: float) -> Tensor:
    """H·W·softmax over positions of mean_c abs(x) / temperature: N×1×H×W, of mean 1.

    The attention of FKD (Zhang & Ma, ICLR 2021) and FGD (Yang et al., CVPR 2022).
    """
    n, _, h, w = x.shape
    strength = x.abs().mean(1).flatten(1) / temperature
    return (h * w * strength.softmax(1)).view(n, 1, h, w)


def channel_attention(x: Tensor, temperature: float) -> Tensor:
    """C·softmax over channels of mean_hw abs(x) / temperature: N×C×1×1, of mean 1.

    The attention of FGD (Yang et al., CVPR 2022).
    """
    strength = x.abs().mean((2, 3), keepdim=True) / temperature
    return x.shape[1] * strength.softmax(1)
