"""Detections scored anew, against what their records say."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mkd.data import fingerprint
from mkd.errors import UserError
from mkd.evaluation import scoring
from mkd.experiment.suite import Suite
from mkd.files import read_json

UNIT = 0.001
"""A figure's last digit, which another library may round otherwise; a precision has one more."""


def rescored(
    suite: Suite, root: Path, records: Iterable[tuple[str, int, dict[str, Any]]]
) -> Iterator[tuple[str, str]]:
    """Where a figure is another than its detections give, and which.

    Args:
        suite: The scale; its data set must be there.
        root: The results folder.
        records: Run, seed and record.

    Raises:
        UserError: There is no data set.
    """
    splits = suite.settings.data.splits
    digest = fingerprint.digest(suite.data_root, *splits.values())
    for run, seed, record in records:
        where = f"{run} seed {seed}"
        path = root / f"runs/{run}/seed{seed}/detections.json"
        if record["digests"]["data"] != digest:
            yield where, f"cannot be scored anew: {suite.data_root} is not its data set"
            continue
        try:
            scored = scoring.score(suite.data_root / splits["val"].annotations, read_json(path))
        except UserError as error:
            reason = str(error).removeprefix(f"{path}: ")
            yield where, f"cannot be scored anew: {path.name} {reason}"
            continue
        # Anything may stand in a file that was edited, and the scorer looks at none of it.
        except (LookupError, TypeError, ValueError, AssertionError, AttributeError) as error:
            yield (
                where,
                f"cannot be scored anew: {path.name} has no detections of this data: {error}",
            )
            continue
        # A record of an earlier version may lack some.
        kept = {key: record[key] for key in ("metrics", "errors", "pr", "classes") if key in record}
        other = list(_differences(kept, {key: scored.get(key) for key in kept}, ""))
        if other:
            yield where, f"scored anew it has another {', '.join(other)}"


def _differences(kept: Any, scored: Any, name: str) -> Iterator[str]:
    if isinstance(kept, dict) and isinstance(scored, dict):
        for key in sorted(kept.keys() | scored.keys()):
            yield from _differences(kept.get(key), scored.get(key), f"{name} {key}".strip())
    elif isinstance(kept, list) and isinstance(scored, list):
        pairs = zip(kept, scored, strict=False)
        if len(kept) != len(scored) or any(abs(a - b) > UNIT / 10 + 1e-9 for a, b in pairs):
            yield name
    elif isinstance(kept, int | float) and isinstance(scored, int | float):
        if abs(kept - scored) > UNIT + 1e-9:
            yield name
    elif kept != scored:
        yield name
