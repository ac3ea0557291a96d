"""The only reader of the edge suite's records, one folder a kind: :data:`KINDS`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mkd.edge.engines import ENGINES, place
from mkd.edge.spread import APART
from mkd.errors import UserError
from mkd.schemas import read_record

KINDS = ("complexity", "exported", "latency", "published")
AP_DRIFT = 0.5
"""An AP that lies further from torch's is marked, in percent."""
SETTINGS = (("tensorrt", "fp16"), ("cuda", "fp16"), ("cpu", "fp32"))
"""Provider and precision of Table 1's latency column: the paper's own, or the nearest to it."""


class Conditions(NamedTuple):
    """What two latencies must share to be compared; the engine with its version."""

    place: str
    precision: str
    chip: str
    threads: int
    engine: str
    input_px: int | None


@dataclass(frozen=True)
class EdgeRecords:
    """What was counted, exported and timed at one scale.

    Attributes:
        complexity: Model → record.
        latency: Every latency record; those with ``scale`` null come from another host.
        refused: Those of files that an engine does not take, with ``refused``, the reason.
        exported: Run → record.
        published: Model whose published checkpoint was scored → record.
        shaky: Problems with a record that can be used, and whose figures are marked.
        problems: Path in the scale's folder, and what is wrong with the record there.
    """

    complexity: dict[str, dict[str, Any]] = field(default_factory=dict)
    latency: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    exported: dict[str, dict[str, Any]] = field(default_factory=dict)
    published: dict[str, dict[str, Any]] = field(default_factory=dict)
    shaky: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def columns(self) -> dict[Conditions, list[dict[str, Any]]]:
        """This scale's own steady latencies of Table 1's models, by what they were timed under."""
        found: dict[Conditions, list[dict[str, Any]]] = {}
        for record in self.latency:
            if _of_table_1(record) and steady(record["graph"]):
                found.setdefault(conditions(record), []).append(record)
        return found

    def column(self) -> list[dict[str, Any]]:
        """The latency records of Table 1's column: of the conditions with most of them."""
        columns = self.columns()
        known = [
            found for setting in SETTINGS for key, found in columns.items() if key[:2] == setting
        ]
        return max(known, key=len, default=[])

    def unsteady(self) -> set[str]:
        """Models of Table 1 that were timed for its column at this scale, and not steadily.

        Where no setting of the column has a steady figure, those that were timed at any of them.
        """
        column = self.column()
        chosen = {conditions(record) for record in column}
        tried = {
            record["model"]
            for record in filter(_of_table_1, self.latency)
            if (conditions(record) in chosen if chosen else conditions(record)[:2] in SETTINGS)
        }
        return tried - {record["model"] for record in column}

    def costs(self) -> dict[str, dict[str, float]]:
        """What is known of each model of Table 1.

        ``params_m`` and ``macs_g``; where it was timed ``latency_ms``; where its published
        checkpoint was scored ``box.AP`` and ``box.AP50``.
        """
        costs = {
            model: {key: float(record[key]) for key in ("params_m", "macs_g")}
            for model, record in self.complexity.items()
        }
        for record in self.column():
            costs.setdefault(record["model"], {})["latency_ms"] = float(record["latency_ms"])
        for model, record in self.published.items():
            scored = {f"box.{name}": record["metrics"][name] for name in ("AP", "AP50")}
            known = {key: float(value) for key, value in scored.items() if value is not None}
            costs.setdefault(model, {}).update(known)
        return costs

    def outdated(self, record: dict[str, Any]) -> bool:
        """Whether a latency is of another file of its run than those that are exported now."""
        exported = self.exported.get(record["model"], {"files": {}})["files"].values()
        digests = {file["digest"] for file in exported}
        return bool(digests) and record["digests"]["model"] not in digests

    def note(self) -> str:
        """What the figures of Table 1 are that no run has, in two sentences."""
        quoted = "AP of a detector outside the suite is quoted: the paper’s column has it"
        if self.published:
            quoted += "; where a figure stands, its published weights were scored on this val set"
        return f"{self._costs_note()}{quoted}."

    def _costs_note(self) -> str:
        sizes = sorted({record["input_px"] for record in self.complexity.values()})
        if not sizes:
            return ""
        words = (
            "Params, MACs and latency are those of the full-width detectors of 80 classes at "
            f"{' and '.join(map(str, sizes))} px, their weights random"
        )
        column = self.column()
        if not column:
            said = "has no steady figure" if self.unsteady() else "was not run"
            return f"{words}; latency {said}. "
        first = column[0]
        threads = first["settings"]["threads"]
        return (
            f"{words}; latency is the median of the {first['precision'].upper()} graph without "
            f"NMS, batch 1, ONNX Runtime {first['provider'].upper()}, "
            f"{threads} CPU thread{'s' * (threads > 1)}, {chip(first)}. "
        )


def conditions(record: dict[str, Any]) -> Conditions:
    """What a latency was timed under."""
    return Conditions(
        place(record),
        record["precision"],
        chip(record),
        record["settings"]["threads"],
        engine_version(record),
        record["input_px"],
    )


def _of_table_1(record: dict[str, Any]) -> bool:
    """Whether a latency is this scale's own, of one of Table 1's models."""
    return record["scale"] is not None and record["model"] == record["arch"]


def steady(timed: dict[str, Any]) -> bool:
    """Whether a graph, or the way end to end, was timed steadily, within and over restarts."""
    return bool(timed["passed"]) and (timed.get("restart_spread") or 0.0) <= APART


def chip(record: dict[str, Any]) -> str:
    """The GPUs of a latency record's host, or else its CPU."""
    return ", ".join(record["host"]["gpu"]) or str(record["host"]["cpu"])


def engine_version(record: dict[str, Any]) -> str:
    """Engine and version of a latency record: ``ONNX Runtime 1.31.1``."""
    engine = record.get("engine", "onnxruntime")
    versions: dict[str, str] = record["versions"]
    version = versions.get(f"{engine}-gpu", versions.get(engine, ""))
    return f"{ENGINES[engine].title} {version}".strip()


def load(root: Path, scale: str) -> EdgeRecords:
    """Read a scale's folder; a missing folder gives no records.

    Args:
        root: The folder.
        scale: Its scale; a latency record may say so or be of no scale.
    """
    records = EdgeRecords()
    own: dict[tuple[str, str, str], Path] = {}
    for path in (file for kind in KINDS for file in sorted(root.glob(f"{kind}/**/*.json"))):
        kind = path.relative_to(root).parts[0]
        try:
            record = read_record(path, kind)
            if kind != "complexity" and record["scale"] not in (scale, None):
                raise UserError(f"is of scale {record['scale']}: it does not belong in this folder")
            name = record["run" if kind == "exported" else "model"]
            if kind != "latency" and path != root / kind / f"{name}.json":
                raise UserError(f"speaks of {name}: it does not belong in this file")
            if kind == "latency" and record["scale"] is not None:
                # Whoever carries one here from a device names its file.
                timed = (name, record["precision"], place(record))
                first = own.setdefault(timed, path)
                if first != path:
                    raise UserError(f"is of what {first.name} is of: remove one of them")
        except UserError as error:
            records.problems.append(left_out(path, root, error))
            continue
        if "refused" in record:
            records.refused.append(record)
        elif kind == "latency":
            records.latency.append(record)
            if not (record["passed"] and steady(record["graph"])):
                words = f"was timed on a machine that was not quiet ({_why(record)}): time it again"
                records.shaky.append((path.relative_to(root).as_posix(), words))
                records.problems.append(records.shaky[-1])
        else:
            found: dict[str, Any] = getattr(records, kind)
            found[name] = record
    return records


def _why(record: dict[str, Any]) -> str:
    """Why a latency is not steady; older records do not say."""
    if record.get("unsteady"):
        return "; ".join(record["unsteady"])
    spread = record["graph"].get("restart_spread") or 0.0
    return f"medians of restarts lie {spread:.0%} apart" if spread > APART else "its samples spread"


def left_out(path: Path, root: Path, error: UserError) -> tuple[str, str]:
    """Where a record lies that cannot be used, and why."""
    where = str(path.relative_to(root)).encode(errors="backslashreplace").decode()
    return where, str(error).removeprefix(f"{path}: ")
