"""What each figure shows, in a sentence that is written from its data by rule.

None of them decides anything: the verdicts do, with intervals and seeds. A finding without data is
empty.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from mkd.experiment.labels import arch_name
from mkd.report import legend
from mkd.report.breakdown import KINDS
from mkd.report.frames import SIZES
from mkd.report.spectrum import MASKS
from mkd.results.formats import counted, half, number, signed
from mkd.results.statistics import Interval, interval


def overview(frame: pd.DataFrame, min_seeds: int) -> str:
    """How many methods were tested, how they came out, and where the largest gain is."""
    found = _deltas(frame)
    if not found:
        return ""
    tested = {key: delta for key, delta in found.items() if len(delta.points) >= min_seeds}
    signs = [delta.sign for delta in tested.values()]
    said = (
        f"Of {counted(len(found), 'row')}, {len(tested)} {_have(len(tested))} the {min_seeds} "
        f"seeds that a test asks for"
    )
    if not tested:
        return f"{said}."
    said += (
        f": {signs.count(1)} {_verb(signs.count(1), 'raise')} AP, {signs.count(-1)} "
        f"{_verb(signs.count(-1), 'lower')} it, {signs.count(0)} cannot be told from noise."
    )
    sure = {key: delta for key, delta in tested.items() if delta.sign == 1}
    if sure:
        (arch, label), best = max(sure.items(), key=lambda item: item[1].mean)
        said += f" The largest sure gain is that of {label} on {arch}, {_words(best)}."
    return said


def forest(frame: pd.DataFrame) -> str:
    """The lowest and the highest row of each detector."""
    return _joined(f"{arch}: {_ends(rows)}" for arch, rows in _by_arch(frame).items())


def around(frame: pd.DataFrame) -> str:
    """How many other readings, ablations or weights end above MKD at its defaults, by their mean.

    A detector without the method at its defaults is left out.
    """
    above, others, said = 0, 0, []
    if frame.empty:
        return ""
    for arch, rows in _by_arch(frame[frame["method"] == "mkd"]).items():
        if "MKD" not in rows:
            continue
        rest = [delta for label, delta in rows.items() if label != "MKD"]
        others += len(rest)
        above += sum(delta.mean > rows["MKD"].mean for delta in rest)
        said.append(f"{arch}, of MKD: {_ends(rows)}")
    if not others:
        return ""
    end = _verb(above, "end")
    return f"{above} of {others} {end} above MKD at its defaults, by their mean. {_joined(said)}"


def weights(frame: pd.DataFrame) -> str:
    """The weight with the highest mean, for each detector."""
    if frame.empty:
        return ""
    ours = frame[(frame["source"] == "measured") & frame["alpha"].notna()].dropna(subset="value")
    said = []
    for arch, rows in ours.groupby("arch", sort=False):
        means = rows.groupby("alpha")["value"].mean()
        best = signed(float(means.max()))
        said.append(f"{arch_name(str(arch))}: α = {means.idxmax():g} is highest ({best})")
    return _joined(said)


def by_size(frame: pd.DataFrame) -> str:
    """Whether MKD gains most on small objects, and more there than CWD."""
    if frame.empty:
        return ""
    sizes = list(SIZES.values())
    means = frame.groupby(["arch", "method", "run", "size"])["delta"].mean().unstack("size")
    means = means.reindex(columns=sizes).dropna(how="all").reset_index()
    students = means[means["method"] == "mkd"]
    if students.empty:
        return ""
    gains = students[sizes]
    most = int(((gains.idxmax(axis=1) == "small") & (gains["small"] > 0)).sum())
    none = int((~(gains > 0).any(axis=1)).sum())
    controls = means[means["method"] == "cwd"].dropna(subset="small")
    # Of several, with different teachers, none is the control.
    cwd = controls.drop_duplicates("arch", keep=False).set_index("arch")["small"]
    beside = students[students["arch"].isin(cwd.index)]
    both, more = len(beside), int((beside["small"] > beside["arch"].map(cwd)).sum())
    # Of one student several runs may be MKD's, on a page of one's own.
    what = "run" if students["arch"].duplicated().any() else "student"
    if none == len(students):
        said = f"MKD gains at no size of objects for any of {counted(len(students), what)}"
    else:
        said = f"MKD gains most on small objects for {most} of {counted(len(students), what)}"
        said += f", and at no size for {none}" * bool(none)
    if both:
        said += f"; on small ones it ends above CWD for {more} of {both}"
    return f"{said} (by the means)."


def curves(losses: pd.DataFrame) -> str:
    """How large the terms of distillation are at the end, against the detector's own losses.

    A run whose distillation stops before its end has none there.
    """
    ratios = {}
    for run, rows in losses.groupby("label", sort=False):
        last = _at_end(rows).groupby(["term", "distilled"])["value"].mean()
        sums = last.groupby("distilled").sum()
        if sums.get(False, 0) > 0 and True in sums:
            ratios[str(run)] = sums[True] / sums[False]
    if not ratios:
        return ""
    low, high = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
    ends = [f"{_ratio(ratios[low])} ({low})", f"{_ratio(ratios[high])} times ({high})"]
    between = f"between {' and '.join(ends)}" if len(ratios) > 1 else ends[1]
    return (
        f"At the end of training the terms of distillation are together {between} the detector’s "
        "own losses."
    )


def _at_end(rows: pd.DataFrame) -> pd.DataFrame:
    """The last twentieth of what each seed logged: of a kept record that is its last point."""
    kept = []
    for _, mine in rows.groupby("seed"):
        logged = sorted(mine["iteration"].unique())
        kept.append(mine[mine["iteration"] >= logged[-math.ceil(len(logged) / 20)]])
    return pd.concat(kept)


def precision_recall(frame: pd.DataFrame) -> str:
    """The mean precision over recalls at the lenient overlap."""
    if frame.empty:
        return ""
    means = frame[frame["iou"] == "50"].groupby(["arch", "run"], sort=False)["value"].mean()
    names = legend.run_names(frame)
    return _joined(
        f"{arch_name(str(arch))}, AP50 of boxes: "
        + ", ".join(
            f"{names[run]} {number(100 * value)}"
            for (_, run), value in zip(rows.index, rows, strict=True)
        )
        for arch, rows in means.groupby(level="arch", sort=False)
    )


def errors(frame: pd.DataFrame) -> str:
    """The kind of error that costs most without distillation, and what the methods change of it."""
    if frame.empty:
        return ""
    said = []
    names = legend.run_names(frame)
    for arch, rows in frame.groupby("arch", sort=False):
        means = rows.groupby(["method", "run", "kind"], sort=False)["value"].mean().unstack("kind")
        if "baseline" not in means.index:
            continue
        plain = means.loc["baseline"].iloc[0]
        kind = str(plain.idxmax())
        words = f"{arch_name(str(arch))}: {KINDS[kind]} costs most ({number(plain[kind])}"
        others = [
            f"{names[run]} {number(value)}"
            for (method, run), value in zip(means.index, means[kind], strict=True)
            if method in ("cwd", "mkd")
        ]
        said.append(f"{words}{'; ' if others else ''}{', '.join(others)})")
    return _joined(said)


def spectrum(frame: pd.DataFrame) -> str:
    """Loss of a perfect student and the best multiple of the teacher, at the middle mask ratio."""
    if frame.empty:
        return ""
    ratios = sorted(frame["mask_ratio"].unique())
    ratio = min(ratios, key=lambda value: abs(value - 0.5))
    here = frame[frame["mask_ratio"] == ratio].set_index(["mask", "metric"])["value"]
    return _joined(
        f"At ζ = {ratio:g} the loss with the {words} keeps {number(here[mask, 'residual'], 2)} of "
        "the teacher’s power where the student equals it, and is least where the student is "
        f"{number(here[mask, 'minimizer_scale'], 2)} times the teacher"
        for mask, (_, words) in MASKS.items()
        if (mask, "residual") in here.index
    )


def detections(data: Mapping[str, Any]) -> str:
    """What every detector finds, misses and reports falsely on the images shown."""
    counts: dict[str, dict[str, int]] = {}
    for image in data["images"]:
        for name, judged in image["found"].items():
            mine = counts.setdefault(name, dict.fromkeys(("hit", "miss", "false"), 0))
            for kind in mine:
                mine[kind] += len(judged[kind])
    return _joined(
        f"{name}: {found['hit']} found, {found['miss']} missed, {found['false']} false"
        for name, found in counts.items()
    )


def attention(data: Mapping[str, Any]) -> str:
    """How alike each student's map is to the teacher's, at the finest stride."""
    said = []
    for detector in data["detectors"][:-1]:
        level = detector["levels"][0]
        seeds = [value for value in level["agreement"] if value is not None]
        if seeds:
            made = interval(seeds)
            said.append(f"{detector['name']} {number(made.mean, 2)} {half(made, 2)}")
    if not said:
        return ""
    stride = data["detectors"][0]["levels"][0]["stride"]
    return f"Correlation with the teacher’s map at stride {stride}: {'; '.join(said)}."


def _ratio(value: float) -> str:
    return number(float(value), 0 if value >= 10 else 1 if value >= 1 else 2)


def _by_arch(frame: pd.DataFrame) -> dict[str, dict[str, Interval]]:
    made: dict[str, dict[str, Interval]] = {}
    for (arch, label), delta in _deltas(frame).items():
        made.setdefault(arch, {})[label] = delta
    return made


def _deltas(frame: pd.DataFrame) -> dict[tuple[str, str], Interval]:
    """Detector and row → its interval, of what was measured."""
    if frame.empty:
        return {}
    ours = frame[frame["source"] == "measured"].dropna(subset="value")
    made: dict[tuple[str, str], Interval] = {}
    for (arch, row), rows in ours.groupby(["arch", "row"], sort=False):
        key = (arch_name(str(arch)), str(rows["label"].iloc[0]))
        # Two rows share a label where they differ by their teacher alone.
        made[(key[0], f"{key[1]} ({row})") if key in made else key] = interval(rows["value"])
    return made


def _ends(rows: Mapping[str, Interval]) -> str:
    low, high = (end(rows, key=lambda label: rows[label].mean) for end in (min, max))
    if low == high:
        return f"{low} {_words(rows[low])}"
    return f"lowest {low} ({_words(rows[low])}), highest {high} ({_words(rows[high])})"


def _words(delta: Interval) -> str:
    return f"{signed(delta.mean)} {half(delta)}".replace("(n=1)", "from one seed")


def _joined(said: Iterable[str]) -> str:
    words: Sequence[str] = [part for part in said if part]
    return f"{'. '.join(words)}." if words else ""


def _verb(count: int, word: str) -> str:
    return word + "s" * (count == 1)


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
