"""The records of a results folder: read, checked, and kept apart by run.

A record that cannot be used is named and left out; it never stops the rest.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mkd.edge import records as edge_records
from mkd.errors import UserError
from mkd.experiment.architectures import has_masks
from mkd.experiment.suite import Suite
from mkd.files import read_json
from mkd.schemas import read_record, validate

MEASURED = {"levels": "weights", "noise": "detections"}
"""Measured once a scale, beside the records: ``<name>.json``, of the schema of that name → what of
a record it was measured on."""


def machine(record: dict[str, Any]) -> str:
    """The GPUs a record was made on, if any, and the CPU."""
    host = record["host"]
    return ", ".join([*host["gpu"], f"{host['cpu']}, {host['cores']} cores"])


def ap_of(arch: str) -> str:
    """The metric by which a detector is judged: AP of masks where it has them, else of boxes."""
    return "mask.AP" if has_masks(arch) else "box.AP"


@dataclass(frozen=True)
class Problem:
    """A record that was left out, or records that do not fit together.

    Attributes:
        where: Path relative to the scale's results folder, or a run's id.
        what: One sentence.
    """

    where: str
    what: str


def by_sentence(problems: Iterable[Problem]) -> dict[str, list[str]]:
    """Sentence → all the places it is said of."""
    found: dict[str, list[str]] = {}
    for problem in problems:
        found.setdefault(problem.what, []).append(problem.where)
    return found


@dataclass(frozen=True)
class Records:
    """The usable records of one scale.

    Attributes:
        scale: The scale's name.
        by_run: Run id → seed → record.
        problems: What was left out or looks wrong.
        edge: What was counted, exported and timed.
        measured: Content of those of :data:`MEASURED` that are there.
    """

    scale: str
    by_run: dict[str, dict[int, dict[str, Any]]]
    problems: list[Problem]
    edge: edge_records.EdgeRecords = field(default_factory=edge_records.EdgeRecords)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)

    def points(self, run: str | None, key: str) -> dict[int, Any]:
        """Seed → value of a figure.

        A figure is ``box.AP`` (percent), ``params_m``, ``graph`` (a digest) and so on.
        """
        if key == "graph":
            exported = self.edge.exported.get(run or "")
            return {exported["seed"]: exported["graph"]} if exported else {}
        found = {}
        for seed, record in sorted(self.by_run.get(run or "", {}).items()):
            head, dot, tail = key.partition(".")
            value = record["metrics"].get(head, {}).get(tail) if dot else record.get(key)
            if value is not None:
                found[seed] = value
        return found

    def of_teacher(self, run: str | None, key: str) -> Any:
        """A figure of the weights that students learn from; None where they have no record.

        They are those of one seed of the teacher: the others teach nobody.
        """
        points, seeds = self.points(run, key), self.by_run.get(run or "", {})
        students = (record for *_, record in self.each() if run and record.get("teacher") == run)
        named = {record.get("digests", {}).get("teacher") for record in students} - {None}
        if not named:
            return next(iter(points.values()), None)
        return next((p for s, p in points.items() if seeds[s]["digests"]["weights"] in named), None)

    def each(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Every run, seed and record."""
        for run, seeds in self.by_run.items():
            for seed, record in sorted(seeds.items()):
                yield run, seed, record

    def training_hours(self) -> float:
        """Hours of the trainings that this scale made, one process after the other.

        Of a training that was resumed it is the last process's part.
        """
        made = (record for _, _, record in self.each() if not record.get("taken"))
        return float(sum(record["train"]["wall_s"] for record in made)) / 3600

    def published(self, run: str | None) -> dict[str, Any] | None:
        """The record of a run whose weights were published, or are a user's own."""
        seeds = self.by_run.get(run or "", {}).values()
        return next((record for record in seeds if "published" in record.get("digests", {})), None)

    def marked(self, label: str, run: str | None) -> str:
        """A row's label, with the mark of published weights where it has such."""
        return label if self.published(run) is None else f"{label} (published weights)"


def coverage(records: Records, suite: Suite) -> str:
    """How much of the plan has a record, in one sentence."""
    planned = {run: suite.seeds(run) for run in suite.planned if suite.scored(run)}
    begun = sum(run in records.by_run for run in planned)
    done = sum(s in records.by_run.get(run, {}) for run, seeds in planned.items() for s in seeds)
    return (
        f"{begun} of {len(planned)} planned runs have a record, "
        f"{done} of {sum(map(len, planned.values()))} planned seeds are done."
    )


def load_folder(root: Path, scale: str) -> Records:
    """Read every ``record.json`` of one scale's results folder.

    Args:
        root: The folder; a missing one gives no records.
        scale: The scale its records must be of.

    Returns:
        The valid records; one :class:`Problem` for each that is not, and for each run whose seeds
        did not share data or code.
    """
    by_run: dict[str, dict[int, dict[str, Any]]] = {}
    problems = []
    for path in sorted(folder / "record.json" for folder in root.glob("runs/*/seed*")):
        # A link that leads nowhere does not exist, and is there.
        if not os.path.lexists(path):
            continue
        try:
            record = read_record(path, "record")
            said = (record["scale"], record["run"], f"seed{record['seed']}")
            if said != (scale, path.parts[-3], path.parts[-2]):
                raise UserError(
                    f"speaks of run {said[1]}, {said[2]} at scale {said[0]}: "
                    "it does not belong in this folder"
                )
            by_run.setdefault(record["run"], {})[record["seed"]] = record
        except UserError as error:
            problems.append(Problem(*edge_records.left_out(path, root, error)))
    for run, seeds in by_run.items():
        for kind in ("data", "code"):
            if len({record["digests"][kind] for record in seeds.values()}) > 1:
                problems.append(Problem(run, f"its seeds differ in their {kind} digest"))
    beside = edge_records.load(root, scale)
    problems += [Problem(*problem) for problem in beside.problems]
    measured = {}
    for name, kind in MEASURED.items():
        path = root / f"{name}.json"
        if os.path.lexists(path):
            try:
                content: dict[str, Any] = read_json(path)
                validate(content, name, str(path))
                if content["scale"] != scale:
                    raise UserError(f"speaks of scale {content['scale']}: it does not belong here")
                for run, said in content["runs"].items():
                    record = by_run.get(run, {}).get(said["seed"], {"digests": {}})
                    # An older record names no detections.
                    if record["digests"].get(kind, said[kind]) != said[kind]:
                        raise UserError(
                            f"was measured on other {kind} than the record of {run} seed "
                            f"{said['seed']} is of: measure it again"
                        )
                measured[name] = content
            except UserError as error:
                problems.append(Problem(*edge_records.left_out(path, root, error)))
    return Records(scale, by_run, problems, beside, measured)


def without_curve(record: dict[str, Any]) -> dict[str, Any]:
    """A record without its training curve, as the report keeps it."""
    return {**record, "train": {k: v for k, v in record["train"].items() if k != "curve"}}
