"""Records as tidy frames, one row a value: what every figure is drawn from.

All have the columns ``run``, ``method``, ``seed`` and ``value``, and a few of their own. A frame of
what was not run is empty, and a figure is drawn only from one that is not.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

import pandas as pd

from mkd.experiment.architectures import has_masks
from mkd.experiment.labels import arch_name, method_name, row_name, run_name
from mkd.experiment.methods import METHODS
from mkd.experiment.runs import Run, baseline_of
from mkd.report.style import method_order
from mkd.results.records import Records
from mkd.results.tables import Table

SIZES = {"AP_S": "small", "AP_M": "medium", "AP_L": "large"}


def metrics(records: Records, runs: Mapping[str, Run]) -> pd.DataFrame:
    """Every metric of every seed, and its difference to the undistilled baseline.

    Returns:
        Columns ``run``, ``arch``, ``method``, ``seed``, ``metric`` (``box.AP``, …), ``value``
        (percent; no row where the val set has no such object) and ``delta``: to the same seed of
        the architecture's baseline, NaN where that has none and for what is not distilled.
    """
    found = _frame(
        (
            {
                "run": run,
                "arch": runs[run].arch,
                "method": runs[run].method,
                "seed": seed,
                "metric": f"{kind}.{name}",
                "value": value,
                "baseline": baseline_of(run, runs),
            }
            for run in runs
            for seed, record in sorted(records.by_run.get(run, {}).items())
            for kind, named in record["metrics"].items()
            for name, value in named.items()
            if value is not None
        ),
        ("run", "arch", "method", "seed", "metric", "value", "baseline"),
    )
    known = found[["run", "seed", "metric", "value"]]
    known = known.rename(columns={"run": "baseline", "value": "plain"})
    found = found.merge(known, how="left", on=["baseline", "seed", "metric"])
    found["delta"] = (found["value"] - found["plain"]).where(found["method"] != "baseline")
    return found.drop(columns=["baseline", "plain"])


def differences(table: Table, found: pd.DataFrame) -> pd.DataFrame:
    """ΔAP of a table's rows to their baseline, for every architecture with a measured one.

    Args:
        table: Of the paper, beside what was measured.
        found: From :func:`metrics`.

    Returns:
        Columns ``arch``, ``row`` (its id), ``label`` (two rows may share one), ``method``,
        ``run``, ``source`` (``measured`` or ``paper``), ``seed`` and ``value``. A row of the paper
        that was not run has one measured value, NaN.
    """
    metric = next(column.record for column in table.columns if column.key == "AP")
    deltas = found[found["metric"] == metric].dropna(subset="delta")
    rows = []
    for row in table.rows:
        ours = deltas[deltas["run"] == row.run]
        printed = row.paper_delta.get("AP")
        if ours.empty and printed is None:
            continue
        label = row_name(row.label.removeprefix(f"{arch_name(row.arch)}+"))
        shared = {
            "arch": row.arch,
            "row": row.id,
            "label": label,
            "method": row.method,
            "run": row.run,
        }
        pairs = list(zip(ours["seed"], ours["delta"], strict=True)) or [(None, float("nan"))]
        rows += [{**shared, "source": "measured", "seed": s, "value": value} for s, value in pairs]
        if printed is not None:
            rows.append({**shared, "source": "paper", "seed": None, "value": float(printed)})
    made = _frame(rows, ("arch", "row", "label", "method", "run", "source", "seed", "value"))
    ran = made.loc[(made["source"] == "measured") & made["value"].notna(), "arch"]
    return made[made["arch"].isin(ran)]


def readings(found: pd.DataFrame, runs: Mapping[str, Run]) -> pd.DataFrame:
    """ΔAP of MKD at its defaults, then of each other row of MKD that stands in no table.

    As :func:`differences`. Architectures without such a reading are left out.
    """
    deltas = found[found["metric"] == "box.AP"].dropna(subset="delta")
    parts = []
    for arch in dict.fromkeys(run.arch for run in runs.values()):
        default = [run.id for run in at_defaults(runs, arch) if run.method == "mkd"][:1]
        others = [
            run.id
            for run in runs.values()
            if (run.arch, run.method) == (arch, "mkd") and run.options and not run.tables
        ]
        if not default or not deltas["run"].isin(others).any():
            continue
        labels = {run: method_name(runs[run]).removeprefix("MKD, ") for run in (*default, *others)}
        for run, label in labels.items():
            ours = deltas[deltas["run"] == run]
            lone = [{"seed": None, "delta": float("nan")}]
            part = ours if len(ours) else _frame(lone, ("seed", "delta"))
            part = part[["seed", "delta"]].rename(columns={"delta": "value"})
            parts.append(
                part.assign(
                    arch=arch, row=run, label=label, method="mkd", run=run, source="measured"
                )
            )
    return _joined(parts)


def weights(table: Table, found: pd.DataFrame, runs: Mapping[str, Run]) -> pd.DataFrame:
    """ΔAP of MKD by its weight α alone, and of the CWD control.

    Of each architecture that was run with two weights or more.

    Returns:
        As :func:`differences`, with ``alpha``: NaN for the control, whose weight is not varied.
    """
    made = differences(table, found)
    alphas = {
        row.run: float(runs[row.run].options.get("alpha", 1.0))
        for row in table.rows
        if row.run and row.method == "mkd" and row.run in runs
        if set(runs[row.run].options) <= {"alpha"}
    }
    made = made.assign(alpha=made["run"].map(alphas).astype(float))
    # Zero has no place on an axis of powers.
    kept = made[(made["alpha"] > 0) | ((made["method"] == "cwd") & made["value"].notna())]
    kept = kept.drop_duplicates(["arch", "run", "source", "seed"]).sort_values(
        "alpha", kind="stable"
    )
    varied = kept[(kept["source"] == "measured") & kept["alpha"].notna()].dropna(subset="value")
    runs_of = varied.groupby("arch")["run"].nunique()
    return kept[kept["arch"].map(runs_of).fillna(0) >= 2]


def by_size(found: pd.DataFrame, chosen: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """AP and ΔAP of small, medium and large objects of the runs that are compared.

    Args:
        found: From :func:`metrics`.
        chosen: The runs, by architecture.

    Returns:
        Columns of :func:`metrics`, with ``kind`` (``box`` or ``mask``) and ``size``.
    """
    parts = []
    for arch, runs in chosen.items():
        kind = "mask" if has_masks(arch) else "box"
        for run in runs:
            for key, size in SIZES.items():
                ours = found[(found["run"] == run.id) & (found["metric"] == f"{kind}.{key}")]
                parts.append(ours.assign(kind=kind, size=size))
    joined = _joined(parts)
    if joined.empty:
        return joined
    kept = joined.groupby("run")["delta"].transform(lambda delta: delta.notna().any())
    return joined[kept]


def losses(records: Records, runs: Mapping[str, Run]) -> pd.DataFrame:
    """Every loss term of every run and seed, planned runs first.

    Returns:
        Columns ``run``, ``label``, ``method``, ``seed``, ``term`` (``loss_cls``, …), ``distilled``
        (a term of the run's method, none of its detector's), ``iteration`` and ``value``.
    """
    order = [
        *(r for r in runs if r in records.by_run),
        *sorted(records.by_run.keys() - runs.keys()),
    ]
    return _frame(
        (
            {
                "run": run,
                "label": run_name(runs[run], runs) if run in runs else run,
                "method": runs[run].method if run in runs else "",
                "seed": seed,
                "term": term,
                "distilled": run in runs and _is_term(term, runs[run].method),
                "iteration": int(point["iter"]),
                "value": float(value),
            }
            for run in order
            for seed, record in sorted(records.by_run[run].items())
            for point in record["train"]["curve"]
            for term, value in point.items()
            if term.startswith("loss_") and isinstance(value, int | float) and isfinite(value)
        ),
        ("run", "label", "method", "seed", "term", "distilled", "iteration", "value"),
    )


def _is_term(logged: str, method: str) -> bool:
    return method in METHODS and logged.removeprefix("loss_") in METHODS[method].terms


def precision_recall(records: Records, chosen: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """Precision at each of COCO's recall levels, of the runs that are compared.

    A record's ``pr`` maps ``"50"`` and ``"75"`` to the precision at 101 recall levels, mean over
    categories, at most 100 detections an image.

    Returns:
        Columns ``arch``, ``run``, ``method``, ``seed``, ``iou``, ``recall`` and ``value``, of
        architectures of which two runs or more carry it.
    """
    return _compared(
        {**shared, "iou": iou, "recall": level / (len(curve) - 1), "value": value}
        for shared, record in _each(records, chosen)
        for iou, curve in _curves(record).items()
        for level, value in enumerate(curve)
    )


def _curves(record: Mapping[str, Any]) -> Mapping[str, Sequence[float]]:
    """Precision by recall; of a detector that found nothing, which has no curve, it is 0."""
    found: Mapping[str, Sequence[float]] = record.get("pr") or {}
    if not found and record["metrics"]["box"]["AP50"] == 0:
        return {"50": [0.0] * 101, "75": [0.0] * 101}
    return found


def errors(records: Records, chosen: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """AP50 lost to each kind of error, of the runs that are compared.

    A record's ``errors`` maps each kind to the AP50, in percent, that would be gained if errors of
    that kind alone were mended (TIDE, Bolya et al. 2020, §3).

    Returns:
        Columns ``arch``, ``run``, ``method``, ``seed``, ``kind`` and ``value``, of architectures of
        which two runs or more carry it.
    """
    return _compared(
        {**shared, "kind": kind, "value": value}
        for shared, record in _each(records, chosen)
        for kind, value in (record.get("errors") or {}).items()
    )


def at_defaults(runs: Mapping[str, Run], arch: str) -> list[Run]:
    """One architecture's runs that compare methods, all else equal, in the legend's order.

    That is its baseline and what stands in Table 1 or 2: each method at its defaults, with the
    teacher of its size.
    """
    kept = [
        run
        for run in runs.values()
        if run.arch == arch
        and not run.options
        and (run.id == baseline_of(run.id, runs) or {1, 2} & set(run.tables))
    ]
    return sorted(kept, key=lambda run: method_order(run.method))


def _each(
    records: Records, chosen: Mapping[str, Sequence[Run]]
) -> Iterable[tuple[dict[str, Any], dict[str, Any]]]:
    """What a row says of its run, and the record, of every seed of the runs compared."""
    for arch, runs in chosen.items():
        for run in runs:
            for seed, record in sorted(records.by_run.get(run.id, {}).items()):
                yield {"arch": arch, "run": run.id, "method": run.method, "seed": seed}, record


def _compared(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    made = _frame(rows, ("arch", "run", "method", "seed", "value"))
    return made[made["arch"].map(made.groupby("arch")["run"].nunique()) >= 2]


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _frame(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    listed = list(rows)
    return pd.DataFrame(listed) if listed else pd.DataFrame(columns=list(columns))
