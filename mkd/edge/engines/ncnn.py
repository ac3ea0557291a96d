"""ncnn on the CPU; pnnx, its converter, makes its files from an ONNX file."""

import platform
import subprocess
from importlib.util import find_spec
from pathlib import Path

import ncnn
import numpy as np
from numpy.typing import NDArray

from mkd.edge.contents import shape_text
from mkd.edge.engines import Call, CannotRun, Feed, Task

SECONDS = 600
"""A conversion may take so long."""


class Model:
    """A loaded network."""

    def __init__(self, net: ncnn.Net, task: Task) -> None:
        self._net, self._task = net, task

    def call(self, feed: Feed) -> Call:
        """As :class:`mkd.edge.engines.Model`; it raises ``CannotRun`` where one is missing."""
        # ncnn has no batch axis.
        mats = [
            (f"in{at}", ncnn.Mat(np.ascontiguousarray(feed[port.name][0], np.float32)).clone())
            for at, port in enumerate(self._task.contents.inputs)
        ]
        names = [f"out{at}" for at in range(len(self._task.contents.outputs))]
        net = self._net

        def run() -> list[NDArray]:
            extractor = net.create_extractor()
            for name, mat in mats:
                extractor.input(name, mat)
            found = []
            for name in names:
                failed, mat = extractor.extract(name)
                if failed:
                    raise CannotRun(f"ncnn does not compute this graph: it gives no {name}")
                found.append(np.array(mat)[None])
            return found

        return run


def prepare(task: Task, folder: Path) -> Path:
    """Convert a file with pnnx.

    Args:
        task: What to convert.
        folder: Where ``model.ncnn.param`` and ``model.ncnn.bin`` are written.

    Returns:
        The ``.param`` file; ``.bin`` lies beside it.

    Raises:
        CannotRun: The converter is not here or fails, or ncnn has no counterpart of what the file
            has.
    """
    _check(task)
    found = find_spec("pnnx")
    if found is None or not found.submodule_search_locations:
        raise CannotRun(
            "pnnx, ncnn's converter, is not installed: pip install --no-deps -r envs/edge-ncnn.txt"
        )
    name = "pnnx.exe" if platform.system() == "Windows" else "pnnx"
    program = Path(next(iter(found.submodule_search_locations)), name)
    # It writes beside the file it is given.
    source = folder / "model.onnx"
    source.symlink_to(task.path.resolve())
    shapes = ",".join(
        f"[{','.join(map(str, shape))}]" + ("f16" if port.type == "float16" else "")
        for port, shape in ((p, task.shapes[p.name]) for p in task.contents.inputs)
    )
    try:
        done = subprocess.run(
            [program, source.name, f"inputshape={shapes}", f"fp16={int(task.precision == 'fp16')}"],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"pnnx, ncnn's converter, did not work: {error}") from error
    param = folder / "model.ncnn.param"
    if done.returncode or not param.is_file():
        raise CannotRun(f"pnnx, ncnn's converter, ended with {done.returncode} and no network")
    return param


def _check(task: Task) -> None:
    """Refuse what ncnn has no counterpart of, before its converter makes something else of it."""
    if task.contents.external:
        raise CannotRun(
            "pnnx, ncnn's converter, loses weights that lie in other files: save the model as one "
            "ONNX file"
        )
    if task.contents.precision != "fp32":
        raise CannotRun(
            "ncnn takes FP32 files, which it computes in half precision itself where asked to; "
            "its INT8 needs calibration tools that its wheel does not bring"
        )
    if task.precision == "fp16" and not ncnn.cpu_support_arm_asimdhp():
        raise CannotRun("ncnn has FP16 kernels for ARM CPUs that have them, and not for this CPU")
    for port in task.contents.inputs:
        shape = task.shapes[port.name]
        if not port.type.startswith("float") or len(shape) < 2 or shape[0] != 1:
            raise CannotRun(
                "ncnn takes inputs of floats and batch 1 alone, and this one is "
                f"'{port.name}' {shape_text(shape)} {port.type}"
            )


def open_model(task: Task, file: Path) -> Model:
    """Load a network.

    Raises:
        CannotRun: It has a layer that ncnn has not.
    """
    layers = {line.split()[0] for line in file.read_text(encoding="utf-8").splitlines()[2:]}
    strange = sorted(layer for layer in layers if "." in layer)
    if strange:
        raise CannotRun(f"ncnn has no layer for a part of this graph: {', '.join(strange[:3])}")
    net = ncnn.Net()
    half = task.precision == "fp16"
    net.opt.num_threads = task.threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = half
    net.opt.use_bf16_storage = False
    if net.load_param(str(file)) or net.load_model(str(file.with_suffix(".bin"))):
        raise CannotRun("ncnn has no layer for a part of this graph")
    return Model(net, task)
