"""Weights that are exchanged: tensors and a few plain values about them."""

import lzma
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mkd.errors import UserError
from mkd.files import atomic_path, sha256_file
from mkd.training import checkpoints

MOST_CLASSES = 100_000
"""A head of more does not fit into memory."""
_PACKER = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 1, "pb": 1}]
"""xz for numbers of two bytes, a fifteenth smaller than xz's own settings."""


def save(model: nn.Module, path: Path, meta: Mapping[str, Any]) -> None:
    """Write a model's weights and a few plain values about them, whole or not at all.

    Args:
        model: The model.
        path: The file.
        meta: Of a run's weights ``run``, ``seed`` and the digests of what they depend on.

    Raises:
        UserError: A tensor is not finite, or the disk is full.
    """
    state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    _write(state, path, meta)


def pack(path: Path, out: Path) -> None:
    """Write a file of :func:`save` again in half precision and packed by xz, whole or not at all.

    Half precision has two forms. bfloat16 packs to three quarters of the other's size, and to a
    tenth less with six bits of its mantissa, which are kept: a weight is off by at most 0.8 %.

    Args:
        path: The file.
        out: The file of a third of the size.

    Raises:
        UserError: It is missing or broken, or the disk is full.
    """
    content = checkpoints.read(path)
    state = {
        name: _short(value) if value.is_floating_point() else value
        for name, value in _tensors(content, path).items()
    }
    _write(state, out, _meta(content))


def _short(value: Tensor) -> Tensor:
    """The nearest bfloat16 whose last bit is zero."""
    bits = value.float().contiguous().view(torch.int32)
    return ((bits + (1 << 16)) >> 17 << 17).view(torch.float32).bfloat16()


def _write(state: dict[str, Tensor], path: Path, meta: Mapping[str, Any]) -> None:
    for name, value in state.items():
        if not _finite(value):
            raise UserError(
                f"'{name}' of the trained weights is not finite, and {path} was not written: lower "
                "the learning rate"
            )
    content = {"state_dict": state, "meta": dict(meta)}
    checkpoints.seal(content)
    # Given a path, torch would write the temporary name into the file: equal weights, other bytes.
    with (
        atomic_path(path) as temporary,
        lzma.open(temporary, "wb", filters=_PACKER)
        if path.suffix == ".xz"
        else temporary.open("wb") as handle,
    ):
        torch.save(content, handle)


def load(
    model: nn.Module, path: Path, prefix: str | None = None, more: bool = False
) -> dict[str, Any]:
    """Read weights into a model of the same architecture: all of them or none.

    The file is one of the suite's, a checkpoint of mmengine's, or the bare tensors. Where mmengine
    averaged the weights (EMA), ``state_dict`` holds the averages: its hook exchanges them with
    ``ema_state_dict`` when it saves. A file named as OpenMMLab names its releases,
    ``<model>-<8 hex digits>.pth``, is checked against the first digits of its SHA-256.

    Args:
        model: The model.
        path: The file.
        prefix: Where the model's tensors stand in a larger model's file, e.g. ``backbone.``;
            a file without the prefix is taken as the model's own.
        more: Whether the file may hold more than the model, as releases do; with a prefix it may.

    Returns:
        The plain values saved beside them.

    Raises:
        UserError: The file is missing, broken, not finite, or of another architecture.
    """
    state, said = read(path)
    if prefix and any(name.startswith(prefix) for name in state):
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    fill(model, state, path, more=more or prefix is not None)
    return said


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a file of weights holds by name, hardly looked at yet, and the plain values beside it.

    Args:
        path: The file, as :func:`load` takes it.

    Raises:
        UserError: The file is missing or broken, or has another digest than its name says.
    """
    content = checkpoints.read(path)
    named = re.search(r"-([0-9a-f]{8})$", path.stem)
    if named and not sha256_file(path).startswith(named[1]):
        raise UserError(
            f"the weights file {path} does not have the SHA-256 its name promises "
            f"({named[1]}…): fetch it again"
        )
    return _tensors(content, path), _meta(content)


def fill(model: nn.Module, state: dict[str, Any], path: Path, more: bool = False) -> None:
    """Put tensors into a model of the same architecture: all of them or none.

    Args:
        model: The model.
        state: The tensors by name.
        path: Where they are from, for the sentence.
        more: Whether there may be more than the model has.

    Raises:
        UserError: One is missing, not finite, or of another architecture.
    """
    own = model.state_dict()
    for name, value in own.items():
        if name.endswith("num_batches_tracked"):
            # A counter that older releases lack and no norm with a momentum reads.
            state.setdefault(name, value)
        _check(state.get(name), name, value, path)
    others = state.keys() - own.keys()
    if others and not more:
        raise UserError(
            f"the weights file {path} does not fit: the model has no '{min(others)}'; use weights "
            "of this architecture and width"
        )
    model.load_state_dict({name: state[name] for name in own})


def num_classes(path: Path) -> int | None:
    """How many classes the head in a file knows, where it is not as many as the data have.

    Raises:
        UserError: The file is missing or broken.
    """
    said = meta(path).get("num_classes")
    return said if type(said) is int and 0 < said <= MOST_CLASSES else None


def meta(path: Path) -> dict[str, Any]:
    """The plain values saved beside a file's tensors.

    Raises:
        UserError: The file is missing or broken.
    """
    return _meta(checkpoints.read(path))


def expect(said: Mapping[str, Any], path: Path, wanted: Mapping[str, Any]) -> None:
    """See that weights are those that are wanted.

    Args:
        said: What :func:`load` returned.
        path: The file.
        wanted: ``run``, ``seed``, and what else must be as it stands here.

    Raises:
        UserError: They are not.
    """
    if "run" not in said:
        raise UserError(f"the weights file {path} does not say which run it is of: train it again")
    for key, value in wanted.items():
        if said.get(key) != value:
            own, other = (f"{of.get('run')}, seed {of.get('seed')}" for of in (said, wanted))
            what = f"is of {own}, not of {other}" if own != other else f"is of another {key}"
            raise UserError(
                f"the weights file {path} {what}: put the right file there, or train {other} again"
            )


def _meta(content: dict[str, Any]) -> dict[str, Any]:
    said = content.get("meta")
    return dict(said) if isinstance(said, dict) else {}


def _tensors(content: dict[str, Any], path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, without the prefix a wrapped model has."""
    # torchvision's releases are the bare tensors.
    state = content.get("state_dict", content)
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise UserError(
            f"the weights file {path} has a state_dict that is no dict of tensors by name: save "
            "the model's own state_dict"
        )
    if state is content and not any(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"the weights file {path} has no state_dict: save the model's own in it")
    if state and all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): value for name, value in state.items()}
    return dict(state)


def _check(found: Any, name: str, own: Tensor, path: Path) -> None:
    """See that a value can take the place of one of the model's own tensors.

    Raises:
        UserError: It cannot.
    """
    if found is None:
        has = "no such tensor"
    elif not isinstance(found, Tensor):
        has = "something that is no tensor"
    elif found.layout != torch.strided or found.is_nested or found.is_quantized:
        has = "a sparse, nested or quantized tensor"
    elif found.device.type == "meta":
        has = "a tensor without values"
    elif found.shape != own.shape:
        has = f"the shape {tuple(found.shape)}"
    elif found.dtype != own.dtype and not (
        own.dtype == torch.float32 and found.dtype in (torch.float16, torch.bfloat16)
    ):
        has = f"{str(found.dtype).removeprefix('torch.')} values"
    elif not _finite(found):
        raise UserError(
            f"the weights file {path} is broken: '{name}' holds values that are not finite; use "
            "other weights"
        )
    else:
        return
    raise UserError(
        f"the weights file {path} does not fit: '{name}' wants {tuple(own.shape)} and the file has "
        f"{has}; use weights of this architecture and width"
    )


def _finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(value.isfinite().all())
