"""Weights that others trained: what mmengine, MMDetection, MMYOLO and MMRazor save.

A run takes them in the place of a training. They become one file of the suite's own, so that
whatever reads weights afterwards knows one format. MMYOLO's RTMDet is mmdet's with other names,
and its head has no exponential behind the distances, which mmdet's larger sizes have.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mkd.detectors import models  # before mmdet

# isort: split
from mmengine.model import BaseModel

from mkd.errors import UserError
from mkd.experiment.resolved import ResolvedRun
from mkd.training import weights

STUDENT = "architecture."
"""Where MMRazor keeps the student; teacher and connectors stand beside it."""
MMYOLO_HEAD = "bbox_head.head_module."
RENAMED = (
    (r"^neck\.reduce_layers\.2\.", "neck.reduce_layers.0."),
    (r"^neck\.top_down_layers\.0\.1\.", "neck.reduce_layers.1."),
    (r"^neck\.top_down_layers\.0\.0\.", "neck.top_down_blocks.0."),
    (r"^neck\.top_down_layers\.", "neck.top_down_blocks."),
    (r"^neck\.downsample_layers\.", "neck.downsamples."),
    (r"^neck\.bottom_up_layers\.", "neck.bottom_up_blocks."),
    (r"^neck\.out_layers\.", "neck.out_convs."),
    (r"^bbox_head\.head_module\.", "bbox_head."),
)
"""MMYOLO's names of RTMDet's modules, and mmdet's; the first that fits holds."""


def read(
    path: Path, resolved: ResolvedRun, classes: tuple[str, ...], scored: bool
) -> tuple[BaseModel, dict[str, Any]]:
    """A detector with the weights of a file.

    Args:
        path: The file, as :func:`mkd.training.weights.load` takes it.
        resolved: The run that they are of.
        classes: Those of the data set, in the order of the labels.
        scored: Whether the detector is to know these classes; else it keeps its own.

    Returns:
        The detector, and what must be known to build and read it again, for its weights' ``meta``.

    Raises:
        UserError: The file is missing, broken or of another architecture, or knows other classes.
    """
    state, said = weights.read(path)
    if any(name.startswith(STUDENT) for name in state):
        state = {k.removeprefix(STUDENT): v for k, v in state.items() if k.startswith(STUDENT)}
    state = {k: v for k, v in state.items() if not k.startswith("data_preprocessor.")}
    more: dict[str, Any] = {}
    if any(name.startswith(MMYOLO_HEAD) for name in state):
        state = {_renamed(name): value for name, value in state.items()}
        more["exp_on_reg"] = False

    def config(count: int) -> Any:
        return models.model_config(resolved.architecture, count, resolved.width)

    count = _count(state, config) or len(classes)
    if scored:
        _check_classes(path, resolved.run, count, _names(said), classes)
    if count != len(classes):
        more["num_classes"] = count
    model = models.build(config(count))
    weights.fill(model, state, path)
    return model, more


def _renamed(name: str) -> str:
    for pattern, ours in RENAMED:
        renamed, times = re.subn(pattern, ours, name)
        if times:
            return renamed
    return name


def _count(state: Mapping[str, Any], config: Callable[[int], Any]) -> int | None:
    """How many classes a head's tensors are for: those whose length grows with the classes."""
    one, two = (models.build(config(count)).state_dict() for count in (1, 2))
    for name in one:
        shapes = [tuple(of[name].shape) for of in (one, two)]
        theirs = tuple(getattr(state.get(name), "shape", ()))
        if len(theirs) != len(shapes[0]) or shapes[0][:1] == shapes[1][:1]:
            continue
        first, second, found = (shape[0] for shape in (*shapes, theirs))
        count, rest = divmod(found - first, second - first)
        if not rest and 0 <= count < weights.MOST_CLASSES:
            return int(count) + 1
    return None


def _names(said: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The class names a checkpoint keeps; older releases write them in capitals, mmdet 2 alone."""
    dataset = said.get("dataset_meta") or {"CLASSES": said.get("CLASSES")}
    names = dataset.get("classes", dataset.get("CLASSES")) if isinstance(dataset, dict) else None
    known = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return tuple(names) if names and known else None


def _check_classes(
    path: Path, run: str, count: int, theirs: tuple[str, ...] | None, ours: tuple[str, ...]
) -> None:
    if count == len(ours) and theirs in (None, ours):
        return
    if theirs and len(theirs) != count:
        what = f"names {len(theirs)} classes and has a head for {count}"
    elif theirs and set(theirs) == set(ours):
        what = "knows the data set's classes in another order"
    else:
        few = f" ({', '.join(theirs[:3])}{', …' if len(theirs) > 3 else ''})" if theirs else ""
        what = (
            f"knows {count} classes{few} and the data set has {len(ours)} ({', '.join(ours[:3])})"
        )
    raise UserError(
        f"the weights file {path} {what}: it can teach and not be scored, write "
        f"pretrained: {{{run}: {{teaches: {json.dumps(str(path), ensure_ascii=False)}}}}}"
    )
