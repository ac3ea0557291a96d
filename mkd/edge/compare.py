"""What differs between the edge suite's records of two results folders, a line a fact."""

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from mkd.edge.engines import place
from mkd.edge.records import EdgeRecords, conditions, steady

Timed = dict[tuple[str, str, str], dict[str, Any]]


def compare(before: EdgeRecords, after: EdgeRecords) -> Iterator[str]:
    """Coverage, counted figures and graphs that changed, AP of files, and how latency moved.

    Args:
        before: Of ``A``.
        after: Of ``B``; latency is compared over records of the scale itself, steady in both.
    """
    one, two = _timed(before), _timed(after)
    yield from _only("complexity", before.complexity, after.complexity)
    yield from _only("exported", before.exported, after.exported)
    yield from _only("published", before.published, after.published)
    yield from _only("latency", _words(one), _words(two))
    for model in sorted(before.complexity.keys() & after.complexity.keys()):
        old, new = before.complexity[model], after.complexity[model]
        for key in ("input_px", "params_m", "macs_g"):
            if old[key] != new[key]:
                yield f"complexity of {model}: {key} {old[key]} → {new[key]}"
    for run in sorted(before.exported.keys() & after.exported.keys()):
        old, new = before.exported[run], after.exported[run]
        if old["graph"] != new["graph"]:
            yield f"exported {run}: another graph"
        for precision in sorted(old["files"].keys() & new["files"].keys()):
            yield from _ap(
                f"exported {run}, {precision}", old["files"][precision], new["files"][precision]
            )
        ours, theirs = ((side.get("engines") or {}) for side in (old, new))
        for engine in sorted(ours.keys() & theirs.keys()):
            for precision in sorted(ours[engine].keys() & theirs[engine].keys()):
                pair = ours[engine][precision], theirs[engine][precision]
                if all("metrics" in side for side in pair):
                    yield from _ap(f"exported {run}, {engine} {precision}", *pair)
    for model in sorted(before.published.keys() & after.published.keys()):
        yield from _ap(f"published {model}", before.published[model], after.published[model])
    yield from _latency(one, two)


def _latency(before: Timed, after: Timed) -> Iterator[str]:
    """How latencies that are steady in both moved, a line a setting."""
    one, two = ({k: r for k, r in side.items() if steady(r["graph"])} for side in (before, after))
    for setting in dict.fromkeys((provider, precision) for _, precision, provider in one):
        shared = [key for key in one.keys() & two.keys() if (key[2], key[1]) == setting]
        ratios = {key[0]: two[key]["latency_ms"] / one[key]["latency_ms"] for key in shared}
        if set(ratios.values()) - {1.0}:
            low, high = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
            yield (
                f"latency, {setting[0]} {setting[1]}: B takes {median(ratios.values()):.2f} times "
                f"A's over {len(ratios)} files ({ratios[low]:.2f} {low} to {ratios[high]:.2f} "
                f"{high}){_where([(one[key], two[key]) for key in shared])}"
            )


def _where(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Chips, threads and versions of the engine, where A's are not B's; empty where all are."""
    changed = []
    for field in ("chip", "threads", "engine", "input_px"):
        old, new = ({str(getattr(conditions(p[side]), field)) for p in pairs} for side in (0, 1))
        if old != new:
            what = field.replace("_px", " size")
            changed.append(f"{what} {' and '.join(sorted(old))} → {' and '.join(sorted(new))}")
    return f"; {', '.join(changed)}" if changed else ""


def _timed(records: EdgeRecords) -> Timed:
    return {
        (record["model"], record["precision"], place(record)): record
        for record in records.latency
        if record["scale"] is not None
    }


def _words(timed: Timed) -> dict[str, Any]:
    return {" ".join(key): record for key, record in timed.items()}


def _only(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name, keys in (("A", before.keys() - after.keys()), ("B", after.keys() - before.keys())):
        if keys:
            yield f"{kind} only in {name}: {', '.join(sorted(keys))}"


def _ap(what: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    before, after = (side["metrics"]["AP"] for side in (old, new))
    if before != after:
        yield f"{what}: AP {before} → {after}"
