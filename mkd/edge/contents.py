"""What an ONNX file says of itself, read from its bytes: inputs, outputs, operators, weights.

A device has no ``onnx`` package, and an engine that refuses a file does not say what the file has.
Field numbers are those of ``onnx.proto3``; weights are stepped over, never read.
"""

import mmap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mkd.errors import UserError
from mkd.files import said

_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}
_EXTERNAL = 1
"""``TensorProto.data_location`` of a weight that lies in another file."""


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        name: Its name.
        type: Of its elements, as NumPy calls it where NumPy has it.
        shape: An axis is its length, its symbol, or ``?``; None where not even their number is
            known, or the value is no tensor.
    """

    name: str
    type: str
    shape: tuple[int | str, ...] | None

    @property
    def fixed(self) -> bool:
        """Whether every axis has a length."""
        return self.shape is not None and all(isinstance(axis, int) for axis in self.shape)

    def __str__(self) -> str:
        if self.shape is None:
            return f"'{self.name}' {self.type}" + " of any shape" * (self.type != "no tensor")
        return f"'{self.name}' {shape_text(self.shape)} {self.type}"


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        inputs: Those that a caller has to give.
        outputs: In order.
        operators: Types of the nodes at the top of the graph.
        metadata: Its ``metadata_props``.
        weights: Type → bytes of weights in the file and beside it.
        external: Files its weights lie in, by name relative to it, and the bytes needed of each.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: frozenset[str]
    metadata: dict[str, str]
    weights: dict[str, int]
    external: dict[str, int]

    @property
    def precision(self) -> str:
        """That of most of its weights; ``int8`` where it quantizes what it computes with, too."""
        if any("Quantize" in name or name.endswith("Integer") for name in self.operators):
            return "int8"
        most = max(self.weights, key=self.weights.__getitem__, default="")
        return {"float16": "fp16", "int8": "int8", "uint8": "int8"}.get(most, "fp32")


def shape_text(shape: tuple[int | str, ...]) -> str:
    """A shape as people write it: 1×3×288×512."""
    return "×".join(map(str, shape)) or "scalar"


def read(path: Path) -> Contents:
    """What an ONNX file holds.

    Raises:
        UserError: It is missing, no ONNX file, or truncated; a file its weights lie in is missing.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: name an ONNX file in it")
    if not path.is_file():
        raise UserError(f"the ONNX file {path} does not exist: export it first")
    unsound = f"{path} is not a sound ONNX file (wrong or truncated): export it again"
    try:
        if not path.stat().st_size:
            raise UserError(f"{unsound}; it is empty")
        with path.open("rb") as handle:
            found = _model(memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {said(error)}") from error
    except (ValueError, IndexError) as error:
        raise UserError(f"{unsound}; {error}") from error
    for name, size in found.external.items():
        beside = path.parent / name
        own = f"{path} keeps its weights in a file of their own, {name}"
        if not beside.is_file():
            raise UserError(f"{own}, which does not lie beside it: copy both")
        if beside.stat().st_size < size:
            raise UserError(f"{own}, which is shorter than they are: copy it again")
    return found


def _model(view: memoryview) -> Contents:
    graph, metadata = None, {}
    for number, value in _fields(view):
        if number == 7 and isinstance(value, memoryview):
            graph = value
        elif number == 14:
            entry = _texts(value)
            metadata[entry.get(1, "")] = entry.get(2, "")
    if graph is None:
        raise ValueError("it holds no graph")
    inputs, outputs, operators = [], [], set()
    given: set[str] = set()
    weights: Counter[str] = Counter()
    external: dict[str, int] = {}
    for number, value in _fields(graph):
        if number == 1:
            operators |= {_text(v) for n, v in _fields(_inner(value)) if n == 4}
        elif number == 5:
            name, kind, size, file, end = _tensor(_inner(value))
            given.add(name)
            weights[kind] += size
            if file:
                external[file] = max(end, external.get(file, 0))
        elif number == 11:
            inputs.append(_port(_inner(value)))
        elif number == 12:
            outputs.append(_port(_inner(value)))
    if not outputs:
        raise ValueError("its graph has no output")
    return Contents(
        # Old files list their weights among the inputs.
        tuple(port for port in inputs if port.name not in given),
        tuple(outputs),
        frozenset(operators),
        metadata,
        dict(weights),
        external,
    )


def _tensor(view: memoryview) -> tuple[str, str, int, str, int]:
    """Name, type and bytes of a weight; the file it lies in, if another, and its end there."""
    name, kind, size, location = "", "", 0, 0
    entries: list[dict[int, str]] = []
    for number, value in _fields(view):
        if number == 2 and isinstance(value, int):
            kind = _TYPES.get(value, f"type {value}")
        elif number == 8:
            name = _text(value)
        elif number == 13:
            entries.append(_texts(value))
        elif number == 14 and isinstance(value, int):
            location = value
        elif isinstance(value, memoryview) and number not in (1, 12):
            size += len(value)
    if location != _EXTERNAL:
        return name, kind, size, "", 0
    told = {entry.get(1, ""): entry.get(2, "") for entry in entries}
    size = int(told.get("length", "0"))
    if not told.get("location"):
        raise ValueError(f"its weight '{name}' lies in a file without a name")
    return name, kind, size, told["location"], int(told.get("offset", "0")) + size


def _port(view: memoryview) -> Port:
    name, kind = "", None
    for number, value in _fields(view):
        if number == 1:
            name = _text(value)
        elif number == 2:
            kind = dict(_fields(_inner(value)))
    if kind is None or 1 not in kind:
        return Port(name, "no tensor", None)
    code, shape = 0, None
    for number, value in _fields(_inner(kind[1])):
        if number == 1 and isinstance(value, int):
            code = value
        elif number == 2:
            shape = tuple(_axis(_inner(axis)) for n, axis in _fields(_inner(value)) if n == 1)
    return Port(name, _TYPES.get(code, f"type {code}"), shape)


def _axis(view: memoryview) -> int | str:
    for number, value in _fields(view):
        # Some exporters write a length of −1 or 0 for one that is open.
        if number == 1 and isinstance(value, int) and 0 < value < 2**63:
            return value
        if number == 2 and _text(value):
            return _text(value)
    return "?"


def _texts(value: int | memoryview) -> dict[int, str]:
    return {number: _text(inner) for number, inner in _fields(_inner(value))}


def _text(value: int | memoryview) -> str:
    return bytes(_inner(value)).decode("utf-8", "replace")


def _inner(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a field has another type than ONNX gives it")
    return value


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a Protocol Buffers message."""
    at = 0
    while at < len(view):
        key, at = _varint(view, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            whole, at = _varint(view, at)
            yield number, whole
            continue
        if wire == 2:
            length, at = _varint(view, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError("it is no Protocol Buffers message")
        if not number or at + length > len(view):
            raise ValueError("it ends before its content does")
        yield number, view[at : at + length]
        at += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            raise ValueError("it ends before its content does")
        byte = view[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("it is no Protocol Buffers message")
