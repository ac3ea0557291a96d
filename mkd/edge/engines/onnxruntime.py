"""ONNX Runtime on a CPU, CUDA or TensorRT, and on no other than was asked for."""

import ctypes
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from mkd.edge.engines import Call, CannotRun, Feed, Task, one_line
from mkd.errors import UserError

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_ERRORS: tuple[type[Exception], ...] = (
    *(
        kind
        for kind in vars(ort_errors).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
    # Its bindings raise these for values of another type or shape.
    RuntimeError,
    ValueError,
)


class Model:
    """An opened session."""

    def __init__(self, session: onnxruntime.InferenceSession, task: Task) -> None:
        self._session, self._task = session, task

    def call(self, feed: Feed) -> Call:
        """As :class:`mkd.edge.engines.Model`; it raises ``UserError`` for shapes that do not go."""
        names = [output.name for output in self._session.get_outputs()]
        session = self._session

        def run() -> list[NDArray]:
            try:
                found: list[NDArray] = session.run(names, feed)
            except _ERRORS as error:
                raise _does_not_run(self._task, error) from error
            return found

        return run


def prepare(task: Task, folder: Path) -> Path:
    """The file itself."""
    return task.path


def open_model(task: Task, file: Path) -> Model:
    """Open a file.

    Raises:
        UserError: It is broken, or the provider is not there or not used.
    """
    return Model(open_session(task, file), task)


def _load_tensorrt() -> None:
    """Load TensorRT from its pip wheel, where there is one: nothing else looks there."""
    found = find_spec("tensorrt_libs")
    for folder in (found.submodule_search_locations if found else None) or ():
        for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
            for file in Path(folder).glob(f"lib{name}.so*"):
                with suppress(OSError):
                    ctypes.CDLL(str(file))


def open_session(task: Task, file: Path) -> onnxruntime.InferenceSession:
    """A session on the provider that was asked for, and on no other.

    Raises:
        UserError: As :func:`open_model`.
    """
    wanted = PROVIDERS[task.provider]
    if wanted not in onnxruntime.get_available_providers():
        has = ", ".join(onnxruntime.get_available_providers())
        raise CannotRun(
            f"this onnxruntime has no {wanted} (it has {has}): install the build that has it, "
            "or choose another --provider"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Below this it says in several lines what the error says in one.
    options.log_severity_level = 4
    for port in task.contents.inputs:
        for axis, length in zip(port.shape or (), task.shapes[port.name], strict=False):
            if isinstance(axis, str) and axis != "?":
                options.add_free_dimension_override_by_name(axis, length)
    providers: list[Any] = [wanted]
    if task.provider != "cpu":
        # CUDA's libraries from pip's wheels, where the system has none.
        onnxruntime.preload_dlls()
        if task.provider == "tensorrt":
            _load_tensorrt()
        if task.strict:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if task.provider == "tensorrt":
        # Else it would compute an FP32 file in whatever is fastest.
        precisions = {
            "trt_fp16_enable": task.precision == "fp16",
            "trt_int8_enable": task.precision.startswith("int8"),
        }
        after = [] if task.strict else [PROVIDERS["cuda"]]
        providers = [(wanted, precisions), *after]
    try:
        # Its own second try, with other providers, would hide why the first one failed.
        session = onnxruntime.InferenceSession(
            file, options, providers=providers, enable_fallback=False
        )
    except _ERRORS as error:
        if task.provider != "cpu" and task.strict:
            raise CannotRun(
                f"{task.path} does not run on {wanted} alone: its driver or libraries are missing, "
                f"or it lacks a kernel, and a fallback is not timed; {one_line(error)}"
            ) from error
        if _lacks_kernel(error):
            raise CannotRun(
                f"ONNX Runtime {onnxruntime.__version__} has no kernel for a part of {task.path}: "
                f"{one_line(error)}"
            ) from error
        if not all(port.fixed for port in task.contents.inputs):
            raise _does_not_run(task, error) from error
        raise UserError(
            f"{task.path} is not a sound ONNX file (wrong, truncated, or newer than onnxruntime "
            f"{onnxruntime.__version__}): export it again; {one_line(error)}"
        ) from error
    if session.get_providers()[0] != wanted:
        raise CannotRun(
            f"{wanted} did not start and ONNX Runtime fell back to {session.get_providers()[0]}: "
            "check the driver and its libraries, or choose another --provider"
        )
    return session


def _does_not_run(task: Task, error: Exception) -> UserError:
    return UserError(f"{task.path} does not run at {task.at}: {one_line(error)}")


def _lacks_kernel(error: Exception) -> bool:
    return isinstance(error, ort_errors.NotImplemented) or "not a registered" in str(error)
