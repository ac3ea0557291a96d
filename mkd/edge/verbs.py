"""The verbs ``export``, ``published`` and ``latency``. Nothing heavy is imported until one runs."""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mkd import gpus
from mkd.edge.engines import ENGINES, CannotRun
from mkd.edge.metadata import PRECISIONS
from mkd.errors import UserError, meant
from mkd.files import write_json
from mkd.provenance import seal


def add(verb: Callable[..., argparse.ArgumentParser], suite: Callable[..., Any]) -> None:
    """Add the verbs.

    Args:
        verb: Makes a verb's parser from its name, the function it calls and its text.
        suite: Makes the suite from the command line's options.
    """
    export = verb(
        "export",
        lambda options: _export(suite(options), options),
        "export a trained run, or a detector of Table 1, to ONNX and check it against torch",
    )
    what = export.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", help="id of a run of the scale, trained")
    what.add_argument("--model", help="a detector of Table 1, e.g. yolov7, with random weights")
    export.add_argument("--seed", type=int, help="of the run; default: its first")
    export.add_argument("--out", type=Path, required=True, help="the FP32 file; others beside it")
    export.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["fp32"])
    export.add_argument("--record", type=Path, help="write a run's AP, or a model's complexity")

    published = verb(
        "published",
        lambda options: _published(suite(options), options),
        "score a detector's published checkpoint on COCO's val set",
    )
    published.add_argument("--model", required=True, help="a detector of Table 1, e.g. yolov7")
    published.add_argument("--data", type=Path, required=True, help="what `mkd data` wrote")
    published.add_argument("--out", type=Path, required=True, help="the record")

    latency = verb("latency", _latency, "time ONNX files, on one engine or several")
    latency.add_argument("files", type=Path, nargs="+", help="ONNX files, of `mkd export` or any")
    latency.add_argument("--compare", action="store_true", help="in turns, as one table")
    latency.add_argument(
        "--engine", default="onnxruntime", help=f"one or more of {','.join(ENGINES)}"
    )
    latency.add_argument(
        "--provider", choices=["cpu", "cuda", "tensorrt"], default="cpu", help="of ONNX Runtime"
    )
    latency.add_argument(
        "--half", action="store_true", help="the engine computes an FP32 file in FP16"
    )
    latency.add_argument(
        "--shape",
        action="append",
        default=[],
        help="of open axes, e.g. 1x3x288x512, or NAME=1x3x288x512; once for each input",
    )
    latency.add_argument("--threads", type=int, help="default: all CPUs it may use")
    latency.add_argument("--input-px", type=int, help="refuse a file of another input size")
    latency.add_argument("--min-samples", type=int, default=30, help="timed runs a process")
    latency.add_argument("--min-seconds", type=float, default=1.0, help="and their length")
    latency.add_argument(
        "--max-seconds", type=float, default=10.0, help="even if the median is not known to 2 %%"
    )
    latency.add_argument("--gate", type=float, default=0.1, help="largest IQR over median")
    latency.add_argument("--load", type=float, default=0.1, help="largest share of other work")
    latency.add_argument("--retries", type=int, default=2, help="when the gate is not passed")
    latency.add_argument("--restarts", type=int, default=3, help="processes")
    latency.add_argument("--scale", help="the scale it is timed for, set by the workflow")
    latency.add_argument("--out", type=Path, help="the record; default: beside the file")


def _export(suite: Any, options: argparse.Namespace) -> None:
    # Files are exported and scored on the CPU; mmengine would take a GPU that it sees.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from mkd.edge import jobs

    if options.out.suffix != ".onnx":
        raise UserError(f"--out names an .onnx file, not {options.out}")
    if options.model is not None:
        difference = jobs.export_model(
            suite, options.model, options.out, options.precisions, options.record
        )
    else:
        suite.run(options.run)
        seed = suite.seeds(options.run)[0] if options.seed is None else options.seed
        difference = jobs.export_run(
            suite, options.run, seed, options.out, options.precisions, options.record
        )
    print(f"{options.out}: at most {max(difference.values()):.1e} from torch, relative", flush=True)


def _published(suite: Any, options: argparse.Namespace) -> None:
    from mkd.edge import published

    published.evaluate(suite, options.model, options.data, options.out)


def _latency(options: argparse.Namespace) -> None:
    from mkd.edge import paired

    chosen = _settings(options)
    for file in options.files:
        if not file.name:
            raise UserError(f"{file} is a folder: name an exported file")
    entries = [paired.Entry(file, settings) for file in options.files for settings in chosen]
    if options.out:
        _check_out(options.out, options.files)
    elif not options.compare:
        for file in options.files:
            _check_writable(file)
    if options.out and not options.compare and len(entries) > 1:
        raise UserError("--out is of one record: leave it out, or ask for one table by --compare")
    on_gpu = any(settings.place in ("cuda", "tensorrt") for settings in chosen)
    # A Jetson's GPU is none that the driver's tool lists.
    if not (on_gpu and gpus.visible()):
        _time(options, entries)
        return
    # A training on the same GPU would slow it down unseen: only the load of CPUs is looked at.
    with gpus.take(1) as taken:
        os.environ["CUDA_VISIBLE_DEVICES"] = taken[0]
        _time(options, entries)


def _time(options: argparse.Namespace, entries: list[Any]) -> None:
    from mkd.edge import measure, paired, paired_table

    if options.compare:
        record = paired.compare(entries)
        if options.out:
            write_json(options.out, {**record, "sha256": seal(record)})
        print(paired_table.table(record))
        return
    refused = []
    for entry in entries:
        settings, file = entry.settings, entry.path
        half = "-half" if settings.half else ""
        out = options.out or file.with_name(f"{file.stem}{half}-{settings.place}.json")
        try:
            record = measure.measure(file, settings, options.scale)
        except CannotRun as error:
            if options.scale is None:
                refused.append(f"{file}: {error}")
                continue
            # The workflow goes on; the cell says why.
            record = measure.refused(file, settings, options.scale, str(error))
        _validate(record)
        write_json(out, {**record, "sha256": seal(record)})
        print(json.dumps({"record": str(out)}) if not sys.stdout.isatty() else f"record: {out}")
        print(measure.line(record), file=sys.stderr)
    if refused:
        raise UserError("; ".join(refused))


def _check_out(out: Path, files: Sequence[Path]) -> None:
    """Refuse a record's path before the minutes of timing, not behind them."""
    if out.is_dir():
        raise UserError(
            f"--out {out} is a folder: name the record's file, such as {out / 'a.json'}"
        )
    if out.suffix == ".onnx" or out.resolve() in [file.resolve() for file in files]:
        raise UserError(f"--out {out} would write a record over a detector: name a .json file")
    _check_writable(out)


def _check_writable(out: Path) -> None:
    folder = next(path for path in out.absolute().parents if path.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(
            f"no record can be written beside {out.name}, as {folder} is no folder to write into: "
            "name another by --out"
        )


def _settings(options: argparse.Namespace) -> list[Any]:
    """How files are timed, on one engine after another."""
    from mkd import host
    from mkd.edge import feeds
    from mkd.edge.opening import Settings

    if min(options.min_samples, options.restarts) < 1 or options.retries < 0:
        raise UserError("--min-samples and --restarts are at least 1, --retries at least 0")
    if options.threads is not None and options.threads < 1:
        raise UserError(f"--threads {options.threads}: at least 1")
    for name in ("min_seconds", "max_seconds", "gate", "load"):
        if not 0 <= getattr(options, name) < math.inf:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} {getattr(options, name)}: at least 0, and finite")
    names = list(dict.fromkeys(options.engine.split(",")))
    for name in names:
        if name not in ENGINES:
            raise UserError(
                f"unknown engine '{name}': there are {', '.join(ENGINES)}{meant(name, ENGINES)}"
            )
    if options.provider != "cpu" and names != ["onnxruntime"]:
        raise UserError(
            f"--provider {options.provider} is of ONNX Runtime: leave --engine out, or the provider"
        )
    common = Settings(
        provider=options.provider,
        half=options.half,
        shape=feeds.parse(options.shape),
        threads=options.threads or len(host.usable_cpus()),
        min_samples=options.min_samples,
        min_seconds=options.min_seconds,
        max_seconds=max(options.min_seconds, options.max_seconds),
        gate=options.gate,
        load=options.load,
        retries=options.retries,
        restarts=options.restarts,
        input_px=options.input_px,
    )
    return [replace(common, engine=name) for name in names]


def _validate(record: dict[str, Any]) -> None:
    """Against the schema, where a device has what that takes."""
    try:
        from mkd.schemas import schema_path, validate
    except ImportError:
        return
    if schema_path("latency").is_file():
        validate(record, "latency", "the latency record")
