"""What the Snakefile asks of the edge suite: its settings, files and targets.

Torch and onnxruntime are not imported here.
"""

import ctypes.util
import os
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from mkd import ROOT, host
from mkd.edge import models
from mkd.edge.engines import ENGINES, installed
from mkd.edge.metadata import PRECISIONS, precision_path
from mkd.errors import UserError
from mkd.experiment import checks
from mkd.experiment.paths import only_one
from mkd.experiment.suite import Suite
from mkd.schemas import checked_yaml

FILE = ROOT / "config" / "latency.yaml"
ENGINE_MODULES = tuple(f"mkd.edge.engines.{name}" for name in ENGINES)
"""They are imported by name, so that whoever needs them in a digest has to say so."""
PROVIDER_PRECISIONS = {
    "cpu": ENGINES["onnxruntime"].precisions,
    "cuda": ("fp32", "fp16"),
    "tensorrt": ("fp32", "fp16", "int8-symmetric"),
    **{name: engine.precisions for name, engine in ENGINES.items() if name != "onnxruntime"},
}
"""What each provider of ONNX Runtime, and each other engine, has kernels for."""


@dataclass(frozen=True)
class EdgeSettings:
    """How detectors are exported and timed: a section of ``config/latency.yaml``.

    Attributes:
        input_px: Side in pixels of the square input of Table 1's models.
        models: Those that are timed, or ``all``.
        students: Runs whose first seed is exported, scored and timed.
        calibration_images: Images from which INT8 takes its ranges.
        min_samples: Timed runs of a process.
        min_seconds: And their length, whichever takes longer.
        max_seconds: When sampling ends though the median is not known to 2 %.
        load: The largest share of its CPUs' time that other work may take.
        restarts: Processes.
        gate: The largest interquartile range over the median.
        retries: Series more where one does not pass the gate.
    """

    input_px: int
    models: str | list[str]
    students: list[str]
    calibration_images: int
    min_samples: int
    min_seconds: float
    max_seconds: float
    load: float
    restarts: int
    gate: float
    retries: int


@cache
def _read() -> dict[str, EdgeSettings]:
    settings = checked_yaml(FILE, "latency-settings")
    for scale, section in settings.items():
        chosen = section["models"]
        unknown = [] if chosen == "all" else sorted(set(chosen) - models.MODELS.keys())
        if unknown:
            raise UserError(
                f"{FILE}: {scale}: unknown model '{unknown[0]}'; there are "
                f"{', '.join(models.MODELS)}"
            )
    return {scale: EdgeSettings(**section) for scale, section in settings.items()}


def settings(suite: Suite) -> EdgeSettings:
    """The section of ``config/latency.yaml`` for a scale.

    A scale without one times nothing but the runs it names itself, as scale desk does; nor does a
    table of runs that trains nothing.

    Raises:
        UserError: The file does not fit ``workflow/schemas/latency-settings.schema.yaml``, or names
            a model that Table 1 has not or a run that cannot be exported; or the scale's own file
            names runs beside its section.
    """
    sections = _read()
    if suite.scale in sections:
        checks.check_exported(suite, f"{FILE}: {suite.scale}", sections[suite.scale].students)
    if suite.scale in sections and suite.settings.latency is not None:
        raise UserError(
            f"{suite.file}: latency: {FILE} has a section for scale '{suite.scale}': name its "
            "students there"
        )
    if suite.scale in sections and not all(run in suite.pretrained for run in suite.runs):
        return sections[suite.scale]
    return replace(sections["desk"], models=[], students=suite.settings.latency or [])


def zoo(suite: Suite) -> list[str]:
    """Models of Table 1 that this scale times and this environment can build."""
    chosen = settings(suite).models
    return [m for m in models.available() if chosen == "all" or m in chosen]


def students(suite: Suite) -> list[str]:
    """Runs whose first seed is exported, scored and timed."""
    return [run for run in settings(suite).students if run in suite.runs and suite.scored(run)]


def providers() -> list[str]:
    """Providers to export for and to time on; the one that runs is asserted later.

    They stand in the environment variable ``MKD_PROVIDERS``, or else are those this machine can be
    expected to have.

    Raises:
        UserError: The variable names an unknown one.
    """
    told = os.environ.get("MKD_PROVIDERS")
    if told:
        chosen = [name.strip() for name in told.split(",")]
        unknown = sorted(set(chosen) - PROVIDER_PRECISIONS.keys())
        if unknown:
            raise UserError(
                f"MKD_PROVIDERS={told}: unknown provider '{unknown[0]}'; there are "
                f"{', '.join(PROVIDER_PRECISIONS)}"
            )
        return chosen
    found = ["cpu", *filter(installed, engines())]
    if Path("/dev/nvidiactl").exists():
        found.append("cuda")
        if ctypes.util.find_library("nvinfer") or find_spec("tensorrt_libs"):
            found.append("tensorrt")
    return found


def engines() -> list[str]:
    """Engines beside ONNX Runtime, installed or not: where one is not, its cells say so."""
    return [name for name in ENGINES if name != "onnxruntime"]


def wheels(provider: str | None = None) -> str:
    """Wheels of a provider's engine that are here, by default of all engines.

    With another one a refusal may no longer stand: what was refused is tried again.
    """
    other = provider if provider in ENGINES else "onnxruntime"
    chosen = ENGINES.values() if provider is None else [ENGINES[other]]
    named = (wheel for engine in chosen for wheel in engine.wheels)
    return " ".join(wheel for wheel in named if any(metadata.distributions(name=wheel)))


def precisions() -> list[str]:
    """Precisions exported for :func:`providers`."""
    wanted = {
        exported_precision(provider, precision)
        for provider in providers()
        for precision in PROVIDER_PRECISIONS[provider]
    }
    return [precision for precision in PRECISIONS if precision in wanted]


def exported_precision(provider: str, precision: str) -> str:
    """That of the file which is timed: some engines compute an FP32 file in half precision."""
    engine = ENGINES.get(provider)
    return "fp32" if engine and engine.halves and precision == "fp16" else precision


def onnx_file(suite: Suite, name: str, precision: str) -> str:
    """An exported file; ``name`` is a model or a run and may be a wildcard."""
    return precision_path(suite.results / "onnx" / f"{name}.onnx", precision).as_posix()


def onnx_files(suite: Suite, name: str, chosen: list[str]) -> list[str]:
    """The raw file and the detector of each precision."""
    raw = [onnx_file(suite, name, precision) for precision in chosen]
    return [*raw, *(file.removesuffix(".onnx") + "-detector.onnx" for file in raw)]


def latency_records(suite: Suite, names: list[str], on: list[str] | None = None) -> list[str]:
    """Latency records of models or runs, for every precision of each provider.

    The providers are ``on``, by default those of :func:`providers`.
    """
    return [
        f"{suite.results.as_posix()}/latency/{name}-{precision}-{provider}.json"
        for name in names
        for provider in on or providers()
        for precision in PROVIDER_PRECISIONS[provider]
    ]


def complexity_records(suite: Suite) -> list[str]:
    """Complexity records of the models of this scale."""
    return [f"{suite.results.as_posix()}/complexity/{model}.json" for model in zoo(suite)]


def exported_records(suite: Suite) -> list[str]:
    """AP of the exported files of the students of this scale."""
    return [f"{suite.results.as_posix()}/exported/{run}.json" for run in students(suite)]


def published_records(suite: Suite) -> list[str]:
    """AP of the published checkpoints that the weights folder holds, where the data are COCO's."""
    if not suite.settings.data.published_classes:
        return []
    held = [model for model in zoo(suite) if checkpoint(suite, model) is not None]
    return [f"{suite.results.as_posix()}/published/{model}.json" for model in held]


def checkpoint(suite: Suite, model: str) -> Path | None:
    """The published checkpoint of a model that is MMYOLO's, or None where there is none.

    OpenMMLab names a checkpoint by its configuration, with the date and a digest behind it. RTMDet
    is trained here, so what is published of it is not looked for.

    Raises:
        UserError: Several files may be it.
    """
    source = models.MODELS[model]
    if source is None:
        return None
    folder = Path(suite.config["weights"])
    return only_one(folder, Path(source).name, f"the published checkpoint of {model}")


def table_records(suite: Suite) -> list[str]:
    """All that Table 1 shows and no run has: params, MACs, latency, AP of published checkpoints."""
    return [
        *complexity_records(suite),
        *latency_records(suite, zoo(suite)),
        *published_records(suite),
    ]


def student_records(suite: Suite) -> list[str]:
    """AP and latency of the students' exported files."""
    return [*exported_records(suite), *latency_records(suite, students(suite))]


def engine_options(provider: str, precision: str) -> str:
    """Options of `mkd latency` that say where a file is timed."""
    half = " --half" if exported_precision(provider, precision) != precision else ""
    return f"--engine {provider}{half}" if provider in ENGINES else f"--provider {provider}"


def timing_options(suite: Suite) -> str:
    """Options of `mkd latency`. Students have an input size of their own."""
    chosen = settings(suite)
    names = ["min_samples", "min_seconds", "max_seconds", "gate", "load", "retries", "restarts"]
    options = [f"--{name.replace('_', '-')} {getattr(chosen, name)}" for name in names]
    return " ".join([f"--scale {suite.scale}", *options])


def timing_threads(cores: int) -> int:
    """Threads of a timing job that was given that many cores: no more than the machine has."""
    return min(cores, len(host.usable_cpus()))
