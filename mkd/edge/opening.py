"""A file that is to be timed: how, what it says of itself, opened on an engine and checked.

Only NumPy and the engine are imported: this is what runs on a device.
"""

import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mkd.edge import contents, engines, feeds
from mkd.edge import metadata as cards
from mkd.edge.contents import Contents, shape_text
from mkd.edge.engines import Call, CannotRun, Task
from mkd.edge.feeds import Shape
from mkd.edge.preprocessing import prepare
from mkd.errors import UserError

FRAME = (480, 640)
"""Height and width of the frame that end-to-end timing begins with, COCO's most common size."""
TOLERANCES = {"fp32": 1e-3, "fp16": 0.05, "int8": 0.5, "int8-symmetric": 0.5}
"""Largest difference to ONNX Runtime's outputs, relative to the largest magnitude of each. It tells
another function from rounding; what rounding does to AP is measured on the val set."""

BY_ROUNDING = frozenset(
    [
        "NonMaxSuppression",
        "TopK",
        "ArgMax",
        "ArgMin",
        "NonZero",
        "Unique",
        "Compress",
        "If",
        "Loop",
        "Round",
        "Floor",
        "Ceil",
    ]
)
"""Operators that a hair may tip: behind them boxes swap places, or there is one box more."""


@dataclass(frozen=True)
class Settings:
    """How a file is timed.

    Attributes:
        engine: A key of :data:`mkd.edge.engines.ENGINES`.
        provider: Of ONNX Runtime.
        half: The engine shall compute an FP32 file in half precision itself.
        shape: Input → shape, from :func:`mkd.edge.feeds.parse`; inputs that have one may lack.
        threads: Threads of an operator; as many CPUs are taken.
        min_samples: Timed runs of one attempt at least.
        min_seconds: And its length at least.
        max_seconds: Behind both, an attempt ends here or when the interval of its median is narrow.
        gate: An attempt is accepted when its interquartile range over its median is at most this.
        load: Share of its CPUs' time that other work may take before and meanwhile.
        retries: Further attempts when one is not accepted.
        restarts: Processes the whole is repeated in.
        input_px: Input size that the file must have, or None for any.
    """

    engine: str = "onnxruntime"
    provider: str = "cpu"
    half: bool = False
    shape: dict[str, Shape] = field(default_factory=dict)
    threads: int = 1
    min_samples: int = 100
    min_seconds: float = 1.0
    max_seconds: float = 10.0
    gate: float = 0.1
    load: float = 0.1
    retries: int = 2
    restarts: int = 3
    input_px: int | None = None

    @property
    def place(self) -> str:
        """Engine and provider in one word, as a record's file is named: ``cuda``, ``openvino``."""
        return engines.place(vars(self))


@dataclass(frozen=True)
class Opened:
    """A file that is ready to be timed.

    Attributes:
        card: Its own description.
        call: Runs it once.
        open_ms: Time it took to open.
    """

    card: cards.Card
    call: Call
    open_ms: float


def read(path: Path, settings: Settings) -> tuple[cards.Card, Task, engines.Feed]:
    """A file's card, what an engine is to open, and what it is fed.

    Raises:
        UserError: The file is missing, broken, or not as asked.
    """
    found = contents.read(path)
    shapes = feeds.fix(found, settings.shape, path)
    card = card_of(found, shapes, path, settings)
    if settings.half:
        engine = engines.ENGINES[settings.engine]
        if not engine.halves:
            raise CannotRun(
                f"{engine.title} computes a file in the file's own precision: export it as FP16 "
                "instead of asking for --half"
            )
        if card.precision != "fp32":
            raise CannotRun(f"{path} is {card.precision}: --half is for a file of FP32")
        card = card.at("fp16")
    task = Task(path, found, shapes, card.precision, settings.threads, settings.provider)
    if cards.KEY in found.metadata and len(shapes) == 1 and card.input_px:
        (port,) = found.inputs
        return card, task, {port.name: prepare(camera_frame(), card).astype(port.type)}
    return card, task, feeds.values(found, shapes)


def camera_frame() -> NDArray[np.uint8]:
    """A made-up frame that end-to-end timing begins with."""
    return np.random.default_rng(0).integers(0, 256, (*FRAME, 3), np.uint8)


def apart(ours: NDArray, theirs: NDArray) -> float:
    """The largest difference, relative to their largest magnitude.

    Infinite where one is no number and the other is.
    """
    numbers = np.isfinite(theirs)
    if not np.array_equal(ours[~numbers], theirs[~numbers], equal_nan=True):
        return math.inf
    if not numbers.any():
        return 0.0
    largest = max(np.abs(theirs[numbers]).max(), np.finfo(np.float32).tiny)
    found = np.abs(ours[numbers] - theirs[numbers]).max() / largest
    return float(found) if np.isfinite(found) else math.inf


def card_of(
    found: Contents, shapes: dict[str, Shape], path: Path, settings: Settings
) -> cards.Card:
    """The card of a file; of one that was not exported here, what its content says.

    Raises:
        UserError: It is of another size than asked for, or than it says.
    """
    first = feeds.image_shape(shapes)
    side = first[-1] if len(first) == 4 and first[-1] == first[-2] else 0
    if settings.input_px not in (None, side):
        size = f"images of {side} px" if side else shape_text(first)
        raise UserError(
            f"{path} takes {size} and {settings.input_px} px were asked for: export it at that size"
        )
    card = cards.loads(found.metadata.get(cards.KEY), path)
    if card.input_px not in (0, side):
        raise UserError(f"{path} says it takes {card.input_px} px and takes {shape_text(first)}")
    # Whoever quantizes an exported file leaves its card as it was.
    if card.precision.partition("-")[0] != found.precision:
        card = card.at(found.precision)
    return replace(card, input_px=side)


def open_file(path: Path, settings: Settings, file: Path | None = None) -> Opened:
    """Open a file.

    Args:
        path: The ONNX file.
        settings: Engine, threads, shape.
        file: What :func:`check` made of it for the engine, or None for the file itself.

    Raises:
        UserError: The file is not sound or not as asked, or the engine does not take it.
    """
    card, task, feed = read(path, settings)
    engine = engines.load(settings.engine)
    began = time.perf_counter()
    model = engine.open_model(task, file or path)
    opened = time.perf_counter() - began
    return Opened(card, model.call(feed), opened * 1e3)


def check(path: Path, settings: Settings, folder: Path) -> dict[str, Any]:
    """Make of a file what its engine opens, and compare its outputs with ONNX Runtime's.

    Returns:
        ``file``, what was made; ``difference``, the largest one of an output, relative to its
        largest magnitude, None where no two can be compared.

    Raises:
        UserError: As :func:`open_file`; or the outputs are others.
    """
    _, task, feed = read(path, settings)
    engine = engines.load(settings.engine)
    file = engine.prepare(task, folder)
    found = engine.open_model(task, file).call(feed)()
    expected = engines.load("onnxruntime").open_model(plain(task), path).call(feed)()
    return {"file": str(file), "difference": compared(task, found, expected)}


def plain(task: Task) -> Task:
    """The same file on ONNX Runtime's CPU, in its own precision."""
    return replace(task, precision=task.contents.precision, provider="cpu")


def compared(task: Task, found: list[NDArray], expected: list[NDArray]) -> float | None:
    """The largest relative difference of an engine's outputs to ONNX Runtime's.

    Raises:
        CannotRun: They are no rounding's, or of another shape than the file says.
    """
    exact = not BY_ROUNDING & task.contents.operators
    worst: dict[str, float] = {}
    for port, ours, theirs in zip(task.contents.outputs, found, expected, strict=True):
        if ours.shape != theirs.shape:
            if exact:
                raise CannotRun(
                    f"it computes other outputs than ONNX Runtime: '{port.name}' is "
                    f"{shape_text(ours.shape)} and not {shape_text(theirs.shape)}"
                )
        elif theirs.dtype.kind == "f" and theirs.size:
            worst[port.name] = apart(ours.astype(np.float64), theirs.astype(np.float64))
    if not worst:
        return None
    name = max(worst, key=worst.__getitem__)
    if exact and not worst[name] <= TOLERANCES[task.precision]:
        raise CannotRun(
            f"it computes other outputs than ONNX Runtime: '{name}' differs by "
            f"{worst[name]:.2g} of its largest magnitude"
        )
    return worst[name] if np.isfinite(worst[name]) else None
