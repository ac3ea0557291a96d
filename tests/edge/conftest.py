"""One small detector with settled weights, exported once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mkd.edge import measure
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
    # Torch takes seconds to import, and most tests of timing need none.
    from mkd.detectors import models  # before mmdet
    from mkd.edge import zoo

    config = models.model_config(ARCHITECTURES[arch], 6, 0.5)
    detector = models.build(config).eval()
    card = zoo.card_of(config, model="small", arch=arch, width=0.5, weights="random")
    return detector, replace(card, input_px=64)


@pytest.fixture(autouse=True)
def _unquiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests run beside these, and are not waited for."""
    monkeypatch.setattr(measure, "QUIET_S", 0)


@pytest.fixture(scope="session")
def write_conv() -> Callable[..., Path]:
    """Writes an ONNX file of one convolution and what follows it, as others make them."""

    def write(
        path: Path,
        shape: Sequence[int | str | None] = (1, 3, 16, 16),
        kind: int = TensorProto.FLOAT,
        more: Sequence[tuple[str, int, Sequence[int | str]]] = (),
        layers: int = 1,
        external: str | None = None,
    ) -> Path:
        random = np.random.default_rng(0)
        type_ = helper.tensor_dtype_to_np_dtype(kind)
        sizes = [(8, 3, 3, 3), *[(8, 8, 3, 3)] * (layers - 1)]
        weights = [
            numpy_helper.from_array((random.normal(size=size) / 5).astype(type_), f"w{at}")
            for at, size in enumerate(sizes)
        ]
        nodes, last = [], "image"
        for at in range(layers):
            nodes.append(helper.make_node("Conv", [last, f"w{at}"], [f"c{at}"], pads=[1] * 4))
            last = f"c{at}"
        for other, other_kind, _ in more:
            if other_kind != kind:
                nodes.append(helper.make_node("Cast", [other], [f"{other}_cast"], to=kind))
            factor = other if other_kind == kind else f"{other}_cast"
            nodes.append(helper.make_node("Mul", [last, factor], [f"{other}_mul"]))
            last = f"{other}_mul"
        nodes.append(helper.make_node("Relu", [last], ["maps"]))
        inputs = [helper.make_tensor_value_info(*port) for port in (("image", kind, shape), *more)]
        outputs = [helper.make_tensor_value_info("maps", kind, ["n", "c", "y", "x"])]
        graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
        opset = [helper.make_opsetid("", 18)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=10)
        beside = {"save_as_external_data": True, "location": external, "size_threshold": 0}
        onnx.save(model, path, **(beside if external else {}))
        return path

    return write


@pytest.fixture
def conv(write_conv: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Writes such a file into the test's own folder."""
    return lambda name, *arguments, **more: write_conv(tmp_path / name, *arguments, **more)


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
    from mkd.edge import export, nms, zoo

    detector, card = build("rtmdet-tiny")
    zoo.settle(detector, frames, card)
    path = tmp_path_factory.mktemp("onnx") / "small.onnx"
    export.export_raw(detector, card, path)
    nms.export(detector, {path: card}, iou=0.65, score=0.001, max_boxes=50)
    return Exported(detector, card, path, [prepare(frame, card) for frame in frames])
