"""A comparison of :mod:`mkd.edge.paired` as a table for the terminal."""

from pathlib import Path
from typing import Any

from mkd.edge.contents import shape_text
from mkd.edge.engines import ENGINES
from mkd.edge.feeds import image_shape
from mkd.edge.paired import TIE
from mkd.edge.spread import APART


def table(record: dict[str, Any]) -> str:
    """A comparison in lines for the terminal."""
    rows = record["rows"]
    names = _names(rows)
    against = {found["rows"][1]: found for found in record["pairs"] if found["rows"][0] == 0}
    lines: list[tuple[str, ...]] = [
        ("file", "engine", "precision", "input", "median ms", "95 %", "p95", "to the fastest")
    ]
    for place, (name, row) in enumerate(zip(names, rows, strict=True)):
        shape = shape_text(tuple(image_shape(row["shapes"]))) if row["shapes"] else "–"
        known = (name, _engine(row), row["precision"], shape)
        if "refused" in row:
            lines.append((*known, f"not timed: {row['refused']}"))
            continue
        low, high = row["interval_ms"]
        figures = _ms(row["median_ms"]), f"{_ms(low)} to {_ms(high)}", _ms(row["p95_ms"])
        lines.append((*known, *figures, _against(against.get(place))))
    widths = [max(len(line[at]) for line in lines if len(line) == 8) for at in range(8)]
    widths[:4] = [max(len(line[at]) for line in lines) for at in range(4)]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip()
        for line in lines
    ]
    return "\n".join([*text, *_remarks(record, names)])


def _remarks(record: dict[str, Any], names: list[str]) -> list[str]:
    """Lines under the table: how it was made, ties behind the first row, what is not steady."""
    rows, settings, load = record["rows"], record["settings"], record["load"]
    rounds = "+".join(map(str, record["rounds"]))
    said = [
        f"{settings['threads']} thread{'s' * (settings['threads'] > 1)}, {rounds} rounds in turns; "
        f"a tie is a difference under {TIE:.0%} or within its interval"
    ]
    ties = [found["rows"] for found in record["pairs"] if found["tie"] and found["rows"][0]]
    if ties:
        words = (f"{_where(names, rows, one)} and {_where(names, rows, two)}" for one, two in ties)
        said.append(f"also a tie: {'; '.join(words)}")
    apart = [
        f"{_where(names, rows, at)} {row['restart_spread']:.0%}"
        for at, row in enumerate(rows)
        if row.get("restart_spread", 0) > APART
    ]
    if apart:
        said.append(f"UNSTEADY: medians lie apart between processes, {', '.join(apart)}")
    busy = [
        f"{load[when]:.0%} {words}"
        for when, words in (("before", "before"), ("during", "meanwhile"))
        if (load[when] or 0) > settings["load"]
    ]
    if busy:
        said.append(
            f"UNSTEADY: other work took of the CPUs' time {' and '.join(busy)}; ratios are paired, "
            "but the milliseconds are not those of a quiet machine"
        )
    return said


def _ms(value: float) -> str:
    return f"{value:.2f}" if value >= 1 else f"{value:.4f}"


def _where(names: list[str], rows: list[dict[str, Any]], at: int) -> str:
    return f"{names[at]} ({_engine(rows[at])})"


def _engine(row: dict[str, Any]) -> str:
    title = ENGINES[row["engine"]].title
    return title if row["provider"] == "cpu" else f"{title} {row['provider'].upper()}"


def _against(found: dict[str, Any] | None) -> str:
    if found is None:
        return "1"
    low, high = found["interval"]
    words = f"{found['ratio']:.2f} ({low:.2f} to {high:.2f})"
    return f"{words}, a tie" if found["tie"] else words


def _names(rows: list[dict[str, Any]]) -> list[str]:
    """What to call each row's file: its name, its path where two files share the name."""
    paths = [Path(row["file"]) for row in rows]
    shared = {path.name for path in paths if len({p for p in paths if p.name == path.name}) > 1}
    return [str(path) if path.name in shared else path.name for path in paths]
