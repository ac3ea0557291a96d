"""What an exported file says of itself: one JSON value among its ONNX metadata.

Only the standard library is needed.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from mkd.errors import UserError
from mkd.files import parse_json

KEY = "mkd"
"""Name of the entry in the file's ``metadata_props``."""
OUTPUTS = {"boxes", "scores", "labels"}
"""Outputs of a full detector."""
PRECISIONS = ("fp32", "fp16", "int8", "int8-symmetric")
"""``int8`` has unsigned activations, ``int8-symmetric`` signed ones (:mod:`mkd.edge.quantize`)."""


@dataclass(frozen=True)
class Card:
    """An exported file's own description.

    Attributes:
        model: A model of the zoo or the id of a run.
        arch: Its architecture; empty for a file that was not exported here.
        width: Factor on the architecture's channel counts.
        seed: Of the run; None for a model of the zoo.
        weights: ``trained``, or ``random`` (seeded, with batch norm settled on real images).
        precision: One of :data:`PRECISIONS`.
        input_px: Side of the square input in pixels.
        mean: Per channel, subtracted from pixel values 0…255.
        std: Per channel, the difference is divided by it.
        rgb: Whether channels stand in the order R, G, B; otherwise B, G, R.
    """

    model: str
    arch: str = ""
    width: float = 1.0
    seed: int | None = None
    weights: str = ""
    precision: str = "fp32"
    input_px: int = 0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    rgb: bool = False

    def dumps(self) -> str:
        """The card as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    def at(self, precision: str) -> "Card":
        """The card of the same model at another precision."""
        return replace(self, precision=precision)


def loads(text: str | None, path: Path) -> Card:
    """The card of a file; one with the file's name alone where the file carries none.

    Raises:
        UserError: It carries something else under the name.
    """
    if text is None:
        return Card(model=path.stem)
    try:
        value: dict[str, Any] = parse_json(text)
        known = {field.name for field in fields(Card)}
        value = {key: item for key, item in value.items() if key in known}
        return Card(**{**value, "mean": tuple(value["mean"]), "std": tuple(value["std"])})
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} describes itself in a way that `mkd export` does not: export it again"
        ) from error


def one_model(raw: Card, detector: Card) -> bool:
    """Whether a file of raw outputs and a full detector hold one model.

    Files that were not exported here are named by themselves alone. Precisions are not compared:
    what decodes a small detector of FP16 may be more FP32 than the detector itself.
    """
    ours, theirs = (replace(card, precision="") for card in (raw, detector))
    if not (raw.arch or detector.arch):
        ours, theirs = replace(ours, model=""), replace(theirs, model="")
    return ours == theirs


def detector_path(path: Path) -> Path:
    """The full detector beside a file of raw head outputs: ``a.onnx`` → ``a-detector.onnx``."""
    return path.with_name(f"{path.stem}-detector.onnx")


def precision_path(path: Path, precision: str) -> Path:
    """The file of another precision: ``a.onnx`` → ``a-int8.onnx``; FP32 keeps the name."""
    return path if precision == "fp32" else path.with_name(f"{path.stem}-{precision}.onnx")
