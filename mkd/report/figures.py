"""The figures that compare runs by their difference to the undistilled baseline."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from markupsafe import Markup

from mkd.architectures import has_masks
from mkd.names import arch_name, method_name
from mkd.records import Records
from mkd.report.formats import bounds, number, points, signed
from mkd.report.svg import Axis, Plot, legend
from mkd.runs import Run, baseline_of
from mkd.stats import Interval
from mkd.tables import Column, Row, Table, measure

SHAPES = {
    "baseline": "circle",
    "cwd": "square",
    "mkd": "diamond",
    "mgd": "up",
    "fgd": "down",
    "fkd": "cross",
    "pkd": "hourglass",
    "mkd-balanced": "pentagon",
}
"""Method → mark, in the one order of every legend. The method is also the style class."""
NAMES = {"baseline": "no distillation", "mkd": "MKD", "mkd-balanced": "MKD, balanced"}
SIZES = (("AP_S", "small"), ("AP_M", "medium"), ("AP_L", "large"))

Panel = dict[str, Any]


def method_legend(methods: Sequence[str]) -> Markup:
    """Marks and names of those methods."""
    ordered = [*(m for m in SHAPES if m in methods), *sorted(set(methods) - SHAPES.keys())]
    return legend([(*style(m), NAMES.get(m, m.upper())) for m in ordered])


def style(method: str) -> tuple[str, str]:
    """Style class and mark of a method."""
    return (method, SHAPES[method]) if method in SHAPES else ("other", "circle")


def plain(runs: Mapping[str, Run], arch: str) -> list[Run]:
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
    known = list(SHAPES)
    return sorted(kept, key=lambda run: (*known, run.method).index(run.method))


def forest(table: Table) -> list[Panel]:
    """ΔAP of every distilled row of a table, one panel an architecture, one range for all.

    Measured means with their interval; the paper's own difference, at its own scale, is a hollow
    mark below. Architectures without any measured difference have no panel.
    """
    rows = [row for row in table.rows if _delta(row) or "AP" in row.paper_delta]
    rows = list({(row.arch, row.run or row.id): row for row in reversed(rows)}.values())[::-1]
    archs = [
        a
        for a in dict.fromkeys(r.arch for r in rows)
        if any(_delta(r) for r in rows if r.arch == a)
    ]
    shown = [row for row in rows if row.arch in archs]
    ends = [0.0, *(float(r.paper_delta["AP"]) for r in shown if "AP" in r.paper_delta)]
    ends += [
        end
        for row in shown
        if (d := _delta(row))
        for end in (d.mean, d.low, d.high)
        if end is not None
    ]
    x = Axis.around(ends, f"ΔAP, {table.scale} scale (hollow: paper)")
    return [
        {
            "title": arch_name(a),
            "body": _forest([r for r in shown if r.arch == a], x, table.scale),
            "methods": {r.method for r in shown if r.arch == a},
        }
        for a in archs
    ]


def readings(records: Records, runs: Mapping[str, Run]) -> list[Panel]:
    """ΔAP of MKD under each reading that stands in none of the paper's tables."""
    column = Column("AP", "AP", "box.AP")
    panels = []
    for arch in dict.fromkeys(run.arch for run in runs.values()):
        default = [run for run in plain(runs, arch) if run.method == "mkd"]
        others = [
            run
            for run in runs.values()
            if (run.arch, run.method) == (arch, "mkd") and run.options and not run.tables
        ]
        rows = [
            Row(
                run.id,
                run.id.removeprefix(f"{default[0].id}-") if run.options else "MKD",
                arch,
                "mkd",
                run.id,
                "suite",
                measure(records, runs, run.id, [column]),
            )
            for run in (default and [*default, *others])
        ]
        deltas = [delta for row in rows[1:] if (delta := _delta(row))]
        if deltas:
            ends = [end for row in rows if (d := _delta(row)) for end in (d.mean, d.low, d.high)]
            x = Axis.around(
                [e for e in ends if e is not None], f"ΔAP, {records.scale} scale", include=0.0
            )
            panels.append({"title": arch_name(arch), "body": _forest(rows, x, records.scale)})
    return panels


def _delta(row: Row) -> Interval | None:
    cell = row.measured.get("AP")
    return cell.delta if cell else None


def _forest(rows: Sequence[Row], x: Axis, scale: str) -> Markup:
    plot = Plot(
        x,
        Axis(len(rows) - 0.5, -0.5, show=False),
        width=372,
        height=54 + 34 * len(rows),
        left=124,
        grid="x",
    )
    plot.rule(x=0.0)
    said = []
    for at, row in enumerate(rows):
        series, shape = style(row.method)
        label = (
            row.label.removeprefix(f"{arch_name(row.arch)}+")
            .replace("Ours", "MKD")
            .replace("L_", "")
        )
        plot.text(x.low, at, label, anchor="end", dx=-8, kind="strong")
        delta = _delta(row)
        if delta:
            words = f"{label}, measured at {scale} scale: {spoken(delta)}"
            said.append(words)
            if delta.low is not None and delta.high is not None:
                plot.span((delta.low, at - 0.14), (delta.high, at - 0.14), series, title=words)
            plot.mark(delta.mean, at - 0.14, series, shape=shape, title=words)
        else:
            plot.text(0.0, at - 0.14, "not run", dx=6)
        if "AP" in row.paper_delta:
            printed = row.paper_delta["AP"]
            words = f"{label}, paper: ΔAP {signed(printed)} (COCO, 640 px)"
            said.append(words)
            plot.mark(float(printed), at + 0.24, series, shape=shape, title=words, hollow=True)
    return plot.render("; ".join(said))


def spoken(delta: Interval) -> str:
    """A difference in words for a title."""
    seeds = len(delta.points)
    spread = f", 95 % interval {bounds(delta, 2)}" if bounds(delta) else ""
    return f"ΔAP {signed(delta.mean, 2)}{spread}, {seeds} paired seed{'s' * (seeds > 1)}"


def by_size(records: Records, runs: Mapping[str, Run], archs: Sequence[str]) -> list[Panel]:
    """ΔAP of small, medium and large objects, one panel an architecture, one mark a method."""
    panels = []
    for arch in archs:
        kind = "mask" if has_masks(arch) else "box"
        columns = [Column(key, name, f"{kind}.{key}") for key, name in SIZES]
        cells = {r: measure(records, runs, r.id, columns) for r in plain(runs, arch)}
        drawn = {r: c for r, c in cells.items() if any(cell.delta for cell in c.values())}
        if not drawn:
            continue
        ends = [
            v
            for c in drawn.values()
            for cell in c.values()
            if (d := cell.delta)
            for v in (d.mean, d.low, d.high)
            if v is not None
        ]
        x = Axis(-0.5, 2.5, "object size", at=range(3), names=[name for _, name in SIZES])
        plot = Plot(
            x, Axis.around(ends, f"Δ {kind} AP to the baseline", include=0.0), width=360, height=240
        )
        plot.rule(y=0.0)
        said = []
        for i, (run, found) in enumerate(drawn.items()):
            series, shape = style(run.method)
            for at, column in enumerate(columns):
                cell = found.get(column.key)
                if cell is None or cell.delta is None:
                    continue
                spot = at + (i - (len(drawn) - 1) / 2) * min(0.22, 0.7 / len(drawn))
                words = (
                    f"{method_name(run)}, {column.label}: {spoken(cell.delta)}; "
                    f"AP {number(cell.value.mean)} ({points(cell)})"
                )
                said.append(words)
                low, high = cell.delta.low, cell.delta.high
                if low is not None and high is not None:
                    plot.span((spot, low), (spot, high), series, title=words)
                plot.mark(spot, cell.delta.mean, series, shape=shape, title=words)
        panels.append(
            {
                "title": arch_name(arch),
                "body": plot.render("; ".join(said)),
                "methods": {run.method for run in drawn},
            }
        )
    return panels


def weights(table: Table, runs: Mapping[str, Run]) -> list[Panel]:
    """ΔAP against the weight α of the distillation loss, one panel an architecture.

    Measured with interval; the paper's differences at the same weights are hollow. The CWD
    control is a level line: its weight is not varied.
    """
    panels = []
    for arch in dict.fromkeys(row.arch for row in table.rows):
        rows = {row.run: row for row in table.rows if (row.arch, row.method) == (arch, "mkd")}
        alphas = {
            run: float(runs[run].options.get("alpha", 1.0))
            for run in rows
            if run and run in runs and set(runs[run].options) <= {"alpha"}
        }
        # Zero has no place on an axis of powers.
        placed = sorted(((a, rows[r]) for r, a in alphas.items() if a > 0), key=itemgetter(0))
        if sum(_delta(row) is not None for _, row in placed) < 2:
            continue
        control = next(
            (d for r in table.rows if (r.arch, r.role) == (arch, "control") if (d := _delta(r))),
            None,
        )
        panels.append(
            {
                "title": arch_name(arch),
                "methods": {"mkd"} | ({"cwd"} if control else set()),
                "body": _weights(placed, control, table.scale),
            }
        )
    return panels


def _weights(placed: Sequence[tuple[float, Row]], control: Interval | None, scale: str) -> Markup:
    deltas = [d for _, row in placed if (d := _delta(row))]
    ends = [v for d in deltas for v in (d.mean, d.low, d.high) if v is not None]
    ends += [float(row.paper_delta["AP"]) for _, row in placed if "AP" in row.paper_delta]
    ends += [control.mean] if control else []
    alphas = [alpha for alpha, _ in placed]
    x = Axis(min(alphas) / 2, max(alphas) * 2, "α", log=True, at=alphas)
    plot = Plot(
        x,
        Axis.around(ends, f"ΔAP, {scale} scale (hollow: paper)", include=0.0),
        width=360,
        height=240,
    )
    plot.rule(y=0.0)
    said = []
    if control:
        words = f"CWD control: {spoken(control)}"
        said.append(words)
        plot.line([(x.low, control.mean), (x.high, control.mean)], "cwd", words)
        plot.text(x.high, control.mean, "CWD", anchor="end", dy=-5)
    plot.line([(alpha, d.mean) for alpha, row in placed if (d := _delta(row))], "mkd")
    for alpha, row in placed:
        if delta := _delta(row):
            words = f"α = {alpha:g}: {spoken(delta)}"
            said.append(words)
            if delta.low is not None and delta.high is not None:
                plot.span((alpha, delta.low), (alpha, delta.high), "mkd", title=words)
            plot.mark(alpha, delta.mean, "mkd", shape="diamond", title=words)
        if "AP" in row.paper_delta:
            words = f"α = {alpha:g}, paper: ΔAP {signed(row.paper_delta['AP'])} (COCO, 640 px)"
            said.append(words)
            plot.mark(
                alpha,
                float(row.paper_delta["AP"]),
                "mkd",
                shape="diamond",
                title=words,
                hollow=True,
            )
    return plot.render("; ".join(said))
