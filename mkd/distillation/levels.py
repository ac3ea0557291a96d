"""Where the levels of two detectors are recorded, and which of them belong together.

Levels of equal stride are a pair, whatever the families. Of RTMDet and Mask R-CNN the places and
channels stand in their configurations; of any other detector a dry forward measures them.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from mkd.detectors import models  # before mmdet

# isort: split
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from torch import Tensor

from mkd.detectors.architectures import Architecture
from mkd.errors import UserError
from mkd.experiment.plan import Plan

SIDE = 256
"""Height and width in pixels of the image a dry forward is made of: no stride passes it."""


class Level(NamedTuple):
    """A feature of a detector.

    Attributes:
        source: The module whose output is recorded.
        index: Of the feature, where that output is a tuple.
        channels: Its channels.
        stride: Pixels of the input between two of its positions.
    """

    source: str
    index: int | None  # type: ignore[assignment]  # it hides a tuple's method
    channels: int
    stride: int


def levels(arch: Architecture, model: ConfigDict, layers: str) -> list[Level]:
    """A detector's levels, the finest first.

    Args:
        arch: Its architecture.
        model: Its configuration (:func:`mkd.detectors.models.model_config`).
        layers: Where features are recorded (:class:`mkd.experiment.plan.Plan`).

    Raises:
        UserError: It has no such features.
    """
    if arch.generic:
        return list(_measured(arch, layers))
    places = models.feature_sources(model, layers)
    channels = models.feature_channels(model, layers)
    finest = 4 if arch.two_stage else 8
    return [
        Level(*place, count, finest << level)
        for level, (place, count) in enumerate(zip(places, channels, strict=True))
    ]


def matched(student: Sequence[Level], teacher: Sequence[Level]) -> list[tuple[int, int]]:
    """For each level of the student, its index and that of the teacher's level of its stride.

    Raises:
        UserError: The teacher has none.
    """
    known = {level.stride: at for at, level in enumerate(teacher)}
    if any(level.stride not in known for level in student):
        strides = [", ".join(str(level.stride) for level in side) for side in (student, teacher)]
        raise UserError(
            f"the student's levels have the strides {strides[0]} and the teacher's {strides[1]}: "
            "choose a teacher that has a level for each of the student's"
        )
    return [(at, known[level.stride]) for at, level in enumerate(student)]


def pair(
    plan: Plan,
    student: tuple[Architecture, ConfigDict],
    teacher: tuple[Architecture, ConfigDict],
) -> dict[str, Any]:
    """What :func:`mkd.distillation.distiller_config` is told of two detectors.

    Args:
        plan: The method's terms.
        student: The student's architecture and configuration.
        teacher: The teacher's.

    Raises:
        UserError: Their levels do not match, or a head that is read is not there.
    """
    said: dict[str, Any] = {"student_channels": [], "teacher_channels": [], "sources": []}
    outputs = plan.outputs or {}
    if plan.losses.keys() - outputs.keys():
        own, above = (levels(*side, plan.layers) for side in (student, teacher))
        pairs = [(own[at], above[other]) for at, other in matched(own, above)]
        said["student_channels"] = [level.channels for level, _ in pairs]
        said["teacher_channels"] = [level.channels for _, level in pairs]
        said["sources"] = [level[:2] for level, _ in pairs]
        said["teacher_sources"] = [level[:2] for _, level in pairs]
    if outputs:
        for arch, _ in (student, teacher):
            if arch.two_stage:
                raise UserError(
                    f"{arch.name} has two stages, and its heads judge proposals, which student "
                    "and teacher do not share: distil features, or take detectors of one stage"
                )
        said["head_levels"] = matched(
            *(levels(*side, "neck_output") for side in (student, teacher))
        )
    return said


def output_channels(arch: Architecture, model: ConfigDict) -> dict[str, list[int]]:
    """Channels of a dense head's first two outputs, ``cls`` and ``bbox``, one a level.

    Raises:
        UserError: The detector has no head that gives both, one map a level.
    """
    detector = _built(arch, model)
    with torch.no_grad():
        try:
            features = detector.extract_feat(torch.zeros(1, 3, SIDE, SIDE))
            cls, bbox = detector.bbox_head(features)[:2]
            maps = [cls, bbox]
            if all(len(each) == len(features) for each in maps):
                return {
                    name: [int(level.shape[1]) for level in each]
                    for name, each in zip(("cls", "bbox"), maps, strict=True)
                }
        except (AttributeError, TypeError, ValueError):
            pass
    raise UserError(
        f"{arch.name} has no dense head that gives classes and boxes for each level: "
        "distil features, or take another detector"
    )


@cache
def _measured(arch: Architecture, layers: str) -> tuple[Level, ...]:
    detector = _built(arch, models.model_config(arch, 1))
    if layers != "backbone" and not detector.with_neck:
        raise UserError(f"{arch.name} has no neck: distil with layers=backbone")
    image = torch.zeros(1, 3, SIDE, SIDE)
    with torch.no_grad():
        features = (
            detector.backbone(image) if layers == "backbone" else detector.extract_feat(image)
        )
    places: list[tuple[str, int | None]] = [
        ("backbone" if layers == "backbone" else "neck", level) for level in range(len(features))
    ]
    convolutions = getattr(detector.neck, "out_convs", ()) if layers == "neck" else ()
    if len(convolutions) == len(features) and all(hasattr(each, "conv") for each in convolutions):
        places = [(f"neck.out_convs.{level}.conv", None) for level in range(len(features))]
    return tuple(Level(*place, *_size(map_)) for place, map_ in zip(places, features, strict=True))


def _size(feature: Tensor) -> tuple[int, int]:
    return int(feature.shape[1]), round(SIDE / feature.shape[-1])


def _built(arch: Architecture, model: ConfigDict) -> BaseModel:
    # Whoever trains has seeded torch, and draws on after this.
    with torch.random.fork_rng(devices=[]):
        try:
            return models.build(model).eval()
        except (Exception, SystemExit) as error:  # whatever a file of a user's own raises
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"{arch.name} cannot be built: {said}") from error
