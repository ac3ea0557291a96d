"""Engines that run an exported file, behind one small interface.

An engine is a module with two functions, :class:`Engine`'s own by name::

    prepare(task, folder) -> Path      what it opens: the file itself, or what it is converted to
    open_model(task, file) -> Model    ready to be called

It imports its own wheel and nothing but NumPy beside it. A new one is a module, an entry in
:data:`ENGINES`, and its name in the schemas of latency and of exported files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from numpy.typing import NDArray

from mkd.edge.contents import Contents, shape_text
from mkd.edge.feeds import Shape
from mkd.errors import UserError

Feed = dict[str, NDArray]
Call = Callable[[], list[NDArray]]


class CannotRun(UserError):
    """An engine is not here or does not take a graph; the sentence is what its cell says."""


@dataclass(frozen=True)
class Task:
    """What an engine is to open.

    Attributes:
        path: The ONNX file.
        contents: Of it.
        shapes: Input → shape; every axis has a length.
        precision: ``fp16`` where the engine itself shall compute an FP32 file in half precision;
            otherwise that of the file.
        threads: Threads of an operator.
        provider: Of ONNX Runtime: ``cpu``, ``cuda`` or ``tensorrt``.
        strict: No node may fall back to the CPU; otherwise some may (NMS has no CUDA kernel in
            every release).
    """

    path: Path
    contents: Contents
    shapes: dict[str, Shape]
    precision: str
    threads: int = 1
    provider: str = "cpu"
    strict: bool = True

    @property
    def at(self) -> str:
        """Its shapes in words, with what may help where some were chosen."""
        shapes = ", ".join(map(shape_text, self.shapes.values()))
        if all(port.fixed for port in self.contents.inputs):
            return shapes
        return f"{shapes}, choose another --shape (detectors want multiples of 32)"


class Model(Protocol):
    """An opened file."""

    def call(self, feed: Feed) -> Call:
        """A function that runs the file once on ``feed`` and returns its outputs in order.

        A batch axis of one that an engine drops is put back; what it computes is FP32 or the
        file's own type.
        """


@dataclass(frozen=True)
class Engine:
    """One of :data:`ENGINES`, which are named as their package and their module here.

    Attributes:
        title: Its own name.
        install: How to have it.
        detectors: Whether it runs files with NMS.
        halves: Whether it computes an FP32 file in half precision when asked to.
        precisions: What it has kernels for; of ONNX Runtime, what its CPU provider has.
        wheels: Packages whose versions decide a latency.
    """

    title: str
    install: str
    detectors: bool
    halves: bool
    precisions: tuple[str, ...]
    wheels: tuple[str, ...]


ENGINES = {
    "onnxruntime": Engine(
        title="ONNX Runtime",
        install="pip install -r envs/edge.txt",
        detectors=True,
        halves=False,
        precisions=("fp32", "int8"),
        wheels=("onnxruntime", "onnxruntime-gpu"),
    ),
    "openvino": Engine(
        title="OpenVINO",
        install="pip install -r envs/edge-openvino.txt",
        detectors=True,
        halves=True,
        precisions=("fp32", "fp16", "int8"),
        wheels=("openvino",),
    ),
    "ncnn": Engine(
        title="ncnn",
        install="pip install --no-deps -r envs/edge-ncnn.txt",
        detectors=False,
        halves=True,
        precisions=("fp32", "fp16"),
        wheels=("ncnn", "pnnx"),
    ),
}


def place(record: Mapping[str, Any]) -> str:
    """Where a file was timed, in one word: an engine, of ONNX Runtime its provider.

    Args:
        record: With ``provider`` and ``engine``; older records lack it and are of ONNX Runtime.
    """
    engine: str = record.get("engine", "onnxruntime")
    return record["provider"] if engine == "onnxruntime" else engine


def place_name(place: str) -> str:
    """That word as the page shows it."""
    return ENGINES[place].title if place in ENGINES else place.upper()


def installed(name: str) -> bool:
    """Whether an engine's wheel is here."""
    return find_spec(name) is not None


def load(name: str) -> Any:
    """An engine's module.

    Raises:
        CannotRun: Its wheel is not here, or cannot be imported.
    """
    engine = ENGINES[name]
    if not installed(name):
        raise CannotRun(f"{engine.title} is not installed: {engine.install}")
    try:
        module: ModuleType = import_module(f"{__name__}.{name}")
    except (ImportError, OSError) as error:
        raise CannotRun(
            f"{engine.title} is installed and cannot be imported: {one_line(error)}"
        ) from error
    return module


def one_line(error: object) -> str:
    """What a library says, in one line that is not too long."""
    return " ".join(str(error).split())[:300]
