"""Measured once a scale, beside its records: ``levels.json`` and ``noise.json``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mkd import provenance
from mkd.data import fingerprint
from mkd.experiment import paths
from mkd.experiment.suite import Suite
from mkd.files import read_json, sha256_file, write_json
from mkd.schemas import validate


def levels(suite: Suite, runs: Sequence[str], out: Path) -> None:
    """Count the positives that each level of trained detectors gets, first seeds.

    Args:
        suite: The scale and its table of runs.
        runs: Trained RTMDet runs.
        out: ``workflow/schemas/levels.schema.yaml``.

    Raises:
        UserError: A run is not trained, or the data have changed.
    """
    from mkd.evaluation import levels as counting

    fingerprint.verify_data(suite)
    counted = {run: counting.count(_folder(suite, run), suite.data_root) for run in runs}
    _write(
        suite,
        out,
        "levels",
        {"batches": counting.BATCHES, "strides": list(counting.STRIDES), "runs": counted},
    )


def noise(suite: Suite, runs: Sequence[str], out: Path) -> None:
    """Bootstrap the AP of two scored runs over the val images, first seeds.

    Args:
        suite: The scale and its table of runs.
        runs: The run that is compared with, and the one compared.
        out: ``workflow/schemas/noise.schema.yaml``.

    Raises:
        UserError: A run is not scored, or the data have changed.
    """
    from mkd.evaluation import bootstrap

    fingerprint.verify_data(suite)
    files = {run: _folder(suite, run) / "detections.json" for run in runs}
    annotations = suite.data_root / suite.settings.data.splits["val"].annotations
    found = bootstrap.measure(
        annotations, {run: read_json(path)["bbox"] for run, path in files.items()}
    )
    for run, path in files.items():
        found["runs"][run] |= {"seed": suite.seeds(run)[0], "detections": sha256_file(path)}
    _write(suite, out, "noise", found)


def _folder(suite: Suite, run: str) -> Path:
    return Path(paths.run_path(suite, run, suite.seeds(run)[0], ""))


def _write(suite: Suite, out: Path, kind: str, found: dict[str, Any]) -> None:
    content = {"scale": suite.scale, **found, **provenance.commit()}
    validate(content, kind, f"{kind} of scale {suite.scale}")
    write_json(out, content)
