"""Weights that are exchanged: tensors only, read without running code from the file."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mkd.errors import UserError
from mkd.files import atomic_path, sha256_file


def save(model: nn.Module, path: Path, meta: dict[str, Any]) -> None:
    """Write a model's weights and a few plain values about them, whole or not at all.

    Raises:
        UserError: The disk is full.
    """
    state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    # Given a path, torch would write the temporary name into the file: equal weights, other bytes.
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        torch.save({"state_dict": state, "meta": meta}, handle)


def load(model: nn.Module, path: Path, prefix: str = "") -> dict[str, Any]:
    """Read weights into a model of the same architecture.

    A file named as OpenMMLab names its releases, ``<model>-<8 hex digits>.pth``, is checked
    against the first digits of its SHA-256.

    Args:
        model: The model.
        path: The file.
        prefix: Where the model's tensors stand in a larger model's file, e.g. ``backbone.``;
            a file without the prefix is taken as the model's own.

    Returns:
        The plain values saved beside them.

    Raises:
        UserError: The file is missing, broken, or of another architecture.
    """
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        # torchvision's releases are the bare tensors.
        state = saved.get("state_dict", saved)
    except FileNotFoundError as error:
        raise UserError(f"the weights file {path} does not exist: train its run first") from error
    except (RuntimeError, EOFError, pickle.UnpicklingError, AttributeError, OSError) as error:
        raise UserError(
            f"the weights file {path} is not a sound checkpoint: delete it and train its run again"
        ) from error
    named = re.search(r"-([0-9a-f]{8})$", path.stem)
    if named and not sha256_file(path).startswith(named[1]):
        raise UserError(
            f"the weights file {path} does not have the SHA-256 its name promises "
            f"({named[1]}…): fetch it again"
        )
    if any(name.startswith(prefix) for name in state):
        state = {name.removeprefix(prefix): v for name, v in state.items() if prefix in name}
    own = model.state_dict()
    for name, value in own.items():
        if name.endswith("num_batches_tracked"):
            # A counter that older releases lack and no norm with a momentum reads.
            state.setdefault(name, value)
        found = state.get(name)
        if found is None or found.shape != value.shape:
            has = "no such tensor" if found is None else f"the shape {tuple(found.shape)}"
            raise UserError(
                f"the weights file {path} does not fit: '{name}' wants {tuple(value.shape)} and "
                f"the file has {has}; use weights of this architecture and width"
            )
    model.load_state_dict({name: state[name] for name in own})
    return dict(saved.get("meta", {}))
