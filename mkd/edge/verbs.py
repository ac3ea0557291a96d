"""The verbs ``export``, ``published`` and ``latency``. Nothing heavy is imported until one runs."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkd.edge.metadata import PRECISIONS
from mkd.errors import UserError
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
    what.add_argument("--run", help="an id of config/runs.tsv, trained")
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

    latency = verb("latency", _latency, "time an exported file with ONNX Runtime")
    latency.add_argument("file", type=Path, help="a file `mkd export` wrote")
    latency.add_argument("--provider", choices=["cpu", "cuda", "tensorrt"], default="cpu")
    latency.add_argument("--threads", type=int, help="default: all CPUs it may use")
    latency.add_argument("--input-px", type=int, help="refuse a file of another input size")
    latency.add_argument("--min-samples", type=int, default=100, help="timed runs a process")
    latency.add_argument("--min-seconds", type=float, default=10.0, help="and their length")
    latency.add_argument("--gate", type=float, default=0.1, help="largest IQR over median")
    latency.add_argument("--retries", type=int, default=2, help="when the gate is not passed")
    latency.add_argument("--restarts", type=int, default=3, help="processes")
    latency.add_argument("--scale", help="the scale it is timed for, set by the workflow")
    latency.add_argument("--out", type=Path, help="default: beside the file")


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
    from mkd.edge import measure
    from mkd.edge.timing import Settings

    if min(options.min_samples, options.restarts) < 1 or options.retries < 0:
        raise UserError("--min-samples and --restarts are at least 1, --retries at least 0")
    threads = len(measure.usable_cpus()) if options.threads is None else options.threads
    settings = Settings(
        provider=options.provider,
        threads=threads,
        min_samples=options.min_samples,
        min_seconds=options.min_seconds,
        gate=options.gate,
        retries=options.retries,
        restarts=options.restarts,
        input_px=options.input_px,
    )
    record = measure.measure(options.file, settings, options.scale)
    _validate(record)
    out = options.out or options.file.with_name(f"{options.file.stem}-{options.provider}.json")
    write_json(out, {**record, "sha256": seal(record)})
    print(json.dumps({"record": str(out)}) if not sys.stdout.isatty() else f"record: {out}")
    print(measure.line(record), file=sys.stderr)


def _validate(record: dict[str, Any]) -> None:
    """Against the schema, where a device has what that takes."""
    try:
        from mkd.schemas import validate
    except ImportError:
        return
    validate(record, "latency", "the latency record")
