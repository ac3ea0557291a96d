"""OpenVINO on the CPU: it reads ONNX files as they are, quantized ones too."""

from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from mkd.edge.engines import Call, CannotRun, Feed, Task, one_line

_TYPES = {"fp32": "f32", "int8": "f32", "int8-symmetric": "f32", "fp16": "f16"}
"""What is computed in where nothing is quantized; OpenVINO itself would choose by the CPU."""


class Model:
    """A compiled model with one request."""

    def __init__(self, compiled: openvino.CompiledModel, task: Task) -> None:
        self._request, self._task = compiled.create_infer_request(), task
        self._names = [port.name for port in task.contents.inputs]

    def call(self, feed: Feed) -> Call:
        """As :class:`mkd.edge.engines.Model`; it raises ``CannotRun`` for shapes that do not go."""
        # By place: a name may be lost when an input is folded into the node behind it.
        values = [feed[name] for name in self._names]
        request = self._request

        def run() -> list[NDArray]:
            try:
                return [
                    np.asarray(value)
                    for value in request.infer(values, share_inputs=True).to_tuple()
                ]
            except RuntimeError as error:
                raise CannotRun(
                    f"OpenVINO does not run it at {self._task.at}: {one_line(error)}"
                ) from error

        return run


def prepare(task: Task, folder: Path) -> Path:
    """The file itself."""
    return task.path


def open_model(task: Task, file: Path) -> Model:
    """Read and compile a file.

    Raises:
        CannotRun: It has an operator or shape that OpenVINO does not take, or the CPU has no half
            precision.
    """
    core = openvino.Core()
    if task.precision == "fp16" and "FP16" not in core.get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    ):
        raise CannotRun("OpenVINO has no FP16 kernels for this CPU: it would compute in FP32")
    try:
        model = core.read_model(file)
        names = [port.name for port in task.contents.inputs]
        if len(model.inputs) != len(names):
            raise CannotRun(
                f"OpenVINO keeps {len(model.inputs)} of its {len(names)} inputs: the rest have no "
                "part in its outputs"
            )
        model.reshape(
            {port: list(task.shapes[name]) for port, name in zip(model.inputs, names, strict=True)}
        )
        compiled = core.compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": _TYPES[task.precision],
                "INFERENCE_NUM_THREADS": task.threads,
                "NUM_STREAMS": 1,
            },
        )
    except RuntimeError as error:
        raise CannotRun(f"OpenVINO does not take this graph: {one_line(error)}") from error
    return Model(compiled, task)
