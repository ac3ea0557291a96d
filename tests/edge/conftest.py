"""One small detector with settled weights, exported once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from mkd.detectors import models  # before mmdet
from mkd.edge import export, nms, zoo
from mkd.edge.metadata import Card
from mkd.edge.preprocessing import prepare
from mkd.experiment.architectures import ARCHITECTURES


@dataclass(frozen=True)
class Exported:
    detector: object
    card: Card
    path: Path
    inputs: list[np.ndarray]


def build(arch: str) -> tuple[object, Card]:
    """A narrow detector for six classes, and its card."""
    config = models.model_config(ARCHITECTURES[arch], 6, 0.5)
    detector = models.build(config).eval()
    card = zoo.card_of(config, model="small", arch=arch, width=0.5, weights="random")
    return detector, replace(card, input_px=64)


@pytest.fixture(scope="session")
def small() -> Callable[[str], tuple[object, Card]]:
    """Makes a narrow detector of an architecture, and its card."""
    return build


@pytest.fixture(scope="session")
def frames() -> list[np.ndarray]:
    """Smooth random pictures, 48×64."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (4, 6, 8, 3), np.uint8)
    return list(coarse.repeat(8, 1).repeat(8, 2))


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, frames: list[np.ndarray]) -> Exported:
    """The small detector, its raw file and its full detector."""
    detector, card = build("rtmdet-tiny")
    zoo.settle(detector, frames, card)
    path = tmp_path_factory.mktemp("onnx") / "small.onnx"
    export.export_raw(detector, card, path)
    nms.export(detector, path, card, iou=0.65, score=0.001, max_boxes=50)
    return Exported(detector, card, path, [prepare(frame, card) for frame in frames])
