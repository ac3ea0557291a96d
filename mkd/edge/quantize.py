"""FP16 and INT8 files from an FP32 one; both keep FP32 inputs and outputs."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from mkd.edge.graph import INPUT, save
from mkd.edge.metadata import Card
from mkd.errors import UserError


def to_fp16(raw: Path, card: Card, out: Path) -> None:
    """Convert weights and activations to half precision.

    Args:
        raw: An FP32 file of raw head outputs.
        card: Of that file.
        out: The file to write.
    """
    model = OnnxModel(convert_float_to_float16(onnx.load(raw), keep_io_types=True))
    # The converter appends its casts at the end, where no reader may find them.
    model.topological_sort()
    save(model.model, card.at("fp16"), out)


def to_int8(
    raw: Path, card: Card, inputs: Sequence[NDArray[np.float32]], out: Path, symmetric: bool
) -> None:
    """Quantize statically to 8-bit integers, with quantize and dequantize nodes (QDQ).

    Weights have one symmetric scale a channel, activations one range a tensor: its extremes over
    the calibration images.

    Args:
        raw: An FP32 file of raw head outputs.
        card: Of that file.
        inputs: Prepared calibration images, each 1×3×S×S.
        out: The file to write.
        symmetric: Signed activations around zero, which TensorRT needs; x86 CPUs are several
            times faster with the unsigned ones of ``int8``.

    Raises:
        UserError: There is no calibration image.
    """
    if not inputs:
        raise UserError(
            f"the calibration set of {card.model} is empty: INT8 needs at least one train image"
        )
    with tempfile.TemporaryDirectory() as folder:
        shaped, quantized = Path(folder, "shaped.onnx"), Path(folder, "int8.onnx")
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)
        try:
            quant_pre_process(raw, shaped, skip_optimization=True, skip_symbolic_shape=True)
            quantization.quantize_static(
                shaped,
                quantized,
                _Reader(inputs),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QInt8
                if symmetric
                else quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                extra_options={"ActivationSymmetric": symmetric},
            )
        finally:
            root.setLevel(level)
        save(onnx.load(quantized), card.at("int8-symmetric" if symmetric else "int8"), out)


class _Reader(quantization.CalibrationDataReader):
    def __init__(self, inputs: Sequence[NDArray[np.float32]]) -> None:
        self._left: Iterator[NDArray[np.float32]] = iter(inputs)

    def get_next(self) -> dict[str, Any] | None:
        images = next(self._left, None)
        return None if images is None else {INPUT: images}
