"""``mkd compare A B``: what differs between two results folders of one scale."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mkd import ROOT
from mkd.edge import compare as edge_compare
from mkd.errors import UserError
from mkd.paper import claims
from mkd.results import statistics, verdicts
from mkd.results.formats import half, number, signed
from mkd.results.records import Records, load_folder, machine
from mkd.schemas import read_record

PARTS = {
    "config": "configuration",
    "data": "data",
    "code": "training code",
    "evaluation_code": "scoring code",
    "evaluation_config": "scoring settings",
}
"""Digest → what it is of."""
COSTS = {"params_m": "millions of parameters", "macs_g": "GMACs"}
"""What a record counts → its unit."""


def compare(a: Path, b: Path) -> list[str]:
    """What changed from ``a`` to ``b``, one line a fact.

    Args:
        a: A scale's results folder, such as ``results/reference/desk``.
        b: Another, from another machine or commit.

    Raises:
        UserError: A folder has no record, or the two are of different scales.
    """
    before, after = _read(a), _read(b)
    if before.scale != after.scale:
        raise UserError(
            f"{a} is of {before.scale} scale and {b} of {after.scale} scale: "
            "figures of different scales do not compare"
        )
    return [
        *(f"{name} {path}: {origin(r)}" for name, path, r in (("A", a, before), ("B", b, after))),
        *(
            f"{name} {problem.where}: {problem.what}"
            for name, records in (("A", before), ("B", after))
            for problem in records.problems
        ),
        *_coverage(before, after),
        *_runs(before, after),
        *edge_compare.compare(before.edge, after.edge),
        *_verdicts(before, after),
    ]


def _read(root: Path) -> Records:
    broken = None
    for path in sorted(root.glob("runs/*/seed*/record.json")):
        try:
            return load_folder(root, str(read_record(path, "record")["scale"]))
        except UserError as error:
            broken = broken or error
    if broken:
        raise UserError(f"{root} has no sound record: {broken}")
    raise UserError(f"{root} has no record: name a scale's results folder, such as results/desk")


def _all(records: Records) -> dict[tuple[str, int], dict[str, Any]]:
    return {(run, seed): record for run, seed, record in records.each()}


def origin(records: Records) -> str:
    """Number of records, commits, hosts and torch versions, in one line."""
    found = list(_all(records).values())
    hosts = [f"{machine(r)}, {r['host']['os']}" for r in found]
    facts = [
        f"{len(found)} records of {records.scale} scale",
        "commit " + _names([(r["commit"] or "none")[:10] + "+" * r["dirty"] for r in found]),
        _names(hosts),
        "torch " + _names([str(r["versions"].get("torch")) for r in found]),
    ]
    return "; ".join(facts)


def _names(values: Sequence[str]) -> str:
    return " / ".join(Counter(values))


def _coverage(before: Records, after: Records) -> Iterator[str]:
    one, two = _all(before), _all(after)
    for name, keys in (("A", one.keys() - two.keys()), ("B", two.keys() - one.keys())):
        if keys:
            words = ", ".join(f"{run} seed {seed}" for run, seed in sorted(keys))
            yield f"only in {name}: {words}"
    shared = sorted(one.keys() & two.keys())
    for part, words in PARTS.items():
        pairs = {k: (one[k]["digests"].get(part), two[k]["digests"].get(part)) for k in shared}
        # A record of an earlier version may not say.
        changed = [k for k, (a, b) in pairs.items() if None not in (a, b) and a != b]
        if changed:
            runs = ", ".join(dict.fromkeys(run for run, _ in changed))
            yield f"{words} differs in {len(changed)} of {len(shared)} shared records: {runs}"
    libraries = {
        name
        for key in shared
        for name in one[key]["versions"].keys() | two[key]["versions"].keys()
        if one[key]["versions"].get(name) != two[key]["versions"].get(name)
    }
    for name in sorted(libraries):
        sides = [_names([str(r[k]["versions"].get(name)) for k in shared]) for r in (one, two)]
        yield f"{name}: {sides[0]} → {sides[1]}"


def _runs(before: Records, after: Records) -> Iterator[str]:
    """A line a run both have, what changed of it: AP paired by seed, costs; then what did not."""
    same = []
    for run, seeds in before.by_run.items():
        pairs = {s: (r, after.by_run.get(run, {}).get(s)) for s, r in seeds.items()}
        both = {seed: (r, other) for seed, (r, other) in pairs.items() if other}
        if not both:
            continue
        if all(_figures(r) == _figures(other) for r, other in both.values()):
            same.append(run)
            continue
        kind = "mask" if "mask" in next(iter(both.values()))[0]["metrics"] else "box"
        said = [
            f"{words} {_names([str(r[key]) for r, _ in both.values()])} → "
            f"{_names([str(other[key]) for _, other in both.values()])}"
            for key, words in COSTS.items()
            if any(r[key] != other[key] for r, other in both.values())
        ]
        if any(r["metrics"] != other["metrics"] for r, other in both.values()):
            said.insert(0, _change(before, after, run, f"{kind}.AP"))
        yield f"{run}: {'; '.join(said)}"
    if same:
        yield f"the same to the last digit in both: {', '.join(same)}"


def _figures(record: Mapping[str, Any]) -> list[Any]:
    return [record[key] for key in ("metrics", *COSTS)]


def _change(before: Records, after: Records, run: str, metric: str) -> str:
    old, new = before.points(run, metric), after.points(run, metric)
    delta = statistics.paired_delta(new, old)
    if delta is None:
        return f"no {metric.replace('.', ' ')} in common"
    seeds = sorted(old.keys() & new.keys())
    means = [number(statistics.interval([side[s] for s in seeds]).mean, 2) for side in (old, new)]
    return (
        f"{metric.replace('.', ' ')} {means[0]} → {means[1]}, "
        f"Δ {signed(delta.mean, 2)} {half(delta, 2)} over seed {', '.join(map(str, seeds))}"
    )


def _verdicts(before: Records, after: Records) -> Iterator[str]:
    """Claims that are judged otherwise; of a scale of a user's own there are none."""
    if not (ROOT / f"config/scales/{before.scale}.yaml").is_file():
        return
    listed = claims.load()
    sides = [verdicts.judge(listed, r.points, r.scale) for r in (before, after)]
    for old, new in zip(*sides, strict=True):
        if old.word != new.word:
            yield f"verdict on {old.claim.id}: {old.word} → {new.word}"
