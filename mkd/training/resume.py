"""A run's checkpoints on the way: tensors and plain values, sealed, and of one run and seed.

mmengine saves and resumes them. Its log goes into the file as tensors, so that nothing in the file
has to be more than data, and comes back on the way in.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader

from mkd.errors import UserError
from mkd.training import checkpoints

SCHEME = "mkd-run:"
"""Before a path: mmengine is to read it by :func:`load_from_run`, and not by ``torch.load``."""


@dataclass(frozen=True)
class Owner:
    """Whose checkpoints they are.

    Attributes:
        run: The run's id.
        seed: Its seed.
        key: Of all else that the run depends on.
    """

    run: str | None
    seed: int | None
    key: str = ""

    def __str__(self) -> str:
        return f"{self.run}, seed {self.seed}" + (f" ({self.key})" if self.key else "")


@HOOKS.register_module()
class OwnerHook(Hook):
    """Writes into every checkpoint whose it is, and seals it."""

    # After the hooks that add to a checkpoint.
    priority = "LOWEST"

    def __init__(self, owner: Owner) -> None:
        self.owner = owner

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Make plain, sign and seal."""
        checkpoint["meta"]["made_by"] = asdict(self.owner)
        hub = checkpoint["message_hub"]
        hub["log_scalars"] = {name: _packed(log) for name, log in hub["log_scalars"].items()}
        hub["runtime_info"] = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in hub["runtime_info"].items()
        }
        checkpoints.seal(checkpoint)


def last_checkpoint(work_dir: Path, owner: Owner) -> Path | None:
    """The newest checkpoint that can be read whole; damaged ones are set aside on the way.

    Args:
        work_dir: The run's folder.
        owner: What :class:`OwnerHook` wrote.

    Raises:
        UserError: A file there is no checkpoint of this run; it is left as it is.
    """
    found = (path for path in work_dir.glob("epoch_*.pth") if re.fullmatch(r"\w+_\d+", path.stem))
    for path in sorted(found, key=epoch, reverse=True):
        try:
            content = checkpoints.read(path, own=True)
        except checkpoints.Damaged as error:
            aside = path.with_name(f"{path.name}.damaged")
            logging.getLogger(__name__).warning("%s: it is now %s", error, aside.name)
            if is_main_process():
                path.replace(aside)
            continue
        except UserError as error:
            # Another process of this training may just have set it aside.
            if not path.exists():
                continue
            raise UserError(f"{error}; move it out of {work_dir} to train this run") from error
        meta = content["meta"] if isinstance(content.get("meta"), dict) else {}
        made_by = meta.get("made_by")
        # mmengine runs the text of a checkpoint's `config`; no file of the suite has one.
        if not isinstance(made_by, dict) or "config" in meta:
            raise UserError(
                f"{path} is no checkpoint of this suite's: move it out of {work_dir} to train this "
                "run"
            )
        if made_by != asdict(owner) or meta.get("epoch") != epoch(path):
            raise UserError(
                f"{path} is a checkpoint of {_named(made_by)}, epoch {meta.get('epoch')}, and does "
                f"not belong in the folder of {owner}: move it out of {work_dir}"
            )
        return path
    return None


def epoch(checkpoint: Path) -> int:
    """Epochs done, by a checkpoint's name."""
    return int(checkpoint.stem.split("_")[1])


@CheckpointLoader.register_scheme(prefixes=SCHEME)
def load_from_run(filename: str, map_location: Any = None) -> dict[str, Any]:
    """A checkpoint with its log as mmengine has it; mmengine calls it for :data:`SCHEME`."""
    content = checkpoints.read(Path(filename.removeprefix(SCHEME)), map_location, own=True)
    hub = content["message_hub"]
    hub["log_scalars"] = {name: _unpacked(log) for name, log in hub["log_scalars"].items()}
    return content


def _packed(log: HistoryBuffer) -> dict[str, Any]:
    values, counts = map(torch.from_numpy, log.data)
    return {"values": values, "counts": counts, "max_length": log.max_length}


def _unpacked(log: dict[str, Any]) -> HistoryBuffer:
    values, counts = (log[name].cpu().numpy() for name in ("values", "counts"))
    return HistoryBuffer(values, counts, log["max_length"])


def _named(made_by: Mapping[str, Any]) -> Owner:
    return Owner(made_by.get("run"), made_by.get("seed"), made_by.get("key", ""))
