"""Figures show the records' numbers where the axes say they are."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mkd.experiment.labels import run_name
from mkd.experiment.runs import Run
from mkd.experiment.suite import Suite
from mkd.report import breakdown, curves, figures, frames, spectrum, style
from mkd.results import tables
from mkd.results.records import Records, load_folder


@pytest.fixture
def records(suite: Suite, fill: Callable[..., Path]) -> Records:
    return load_folder(fill() / "desk", "desk")


@pytest.fixture
def found(suite: Suite, records: Records) -> pd.DataFrame:
    return frames.metrics(records, suite.runs)


def forest(suite: Suite, records: Records, number: int, scale: str = "desk") -> Figure:
    table = tables.build(records, suite.runs, number)
    found = frames.metrics(records, suite.runs)
    return figures.forest(frames.differences(table, found), scale)


def axes(figure: Figure, title: str) -> list[Axes]:
    """The axes of a facet, from left to right."""
    titles = [ax.get_title("left") for ax in figure.axes]
    at = titles.index(title)
    following = next((i for i in range(at + 1, len(titles)) if titles[i]), len(titles))
    return figure.axes[at:following]


def marks(ax: Axes, words: str = "") -> list[tuple[float, float]]:
    """Where the marks stand that say words which begin so."""
    return [
        tuple(map(float, line.get_xydata()[0]))  # type: ignore[misc]
        for line in ax.lines
        if line.get_linestyle() == "None" and str(line.get_label()).startswith(words)
    ]


def told(figure: Figure) -> list[str]:
    return [str(line.get_label()) for ax in figure.axes for line in ax.lines]


def test_a_metric_is_paired_with_the_same_seed_of_its_baseline(
    suite: Suite, records: Records, found: pd.DataFrame
) -> None:
    ap = found[found["metric"] == "box.AP"].set_index(["run", "seed"])
    plain, mkd = (records.points(f"tiny-{name}", "box.AP") for name in ("baseline", "mkd"))
    for seed in mkd:
        assert ap.loc[("tiny-mkd", seed), "value"] == mkd[seed]
        assert ap.loc[("tiny-mkd", seed), "delta"] == mkd[seed] - plain[seed]
    assert ap.loc["tiny-baseline", "delta"].isna().all()
    # Of three seeds the larger baseline has one.
    assert ap.loc["s-mkd", "delta"].notna().tolist() == [True, False, False]
    assert len(found) == sum(
        len(named)
        for seeds in records.by_run.values()
        for record in seeds.values()
        for named in record["metrics"].values()
    )


def test_forest_places_measured_and_paper_differences(suite: Suite, records: Records) -> None:
    table = tables.build(records, suite.runs, 1)
    ours, theirs = axes(forest(suite, records, 1), "RTMDet-tiny")
    cells = {row.run: row.measured["AP"].delta for row in table.rows if "AP" in row.measured}
    rows = [label.get_text() for label in ours.get_yticklabels()]
    assert rows == ["FGD", "MGD", "MKD", "CWD"]
    for name in ("FGD", "CWD", "MKD"):
        delta = cells[f"tiny-{name.lower()}"]
        assert delta is not None
        assert marks(ours, f"{name}, measured") == [pytest.approx((delta.mean, rows.index(name)))]
        (line,) = (
            line for line in ours.lines
            if line.get_linestyle() == "-" and str(line.get_label()).startswith(f"{name}, ")
        )  # fmt: skip
        assert line.get_xdata() == pytest.approx([delta.low, delta.high])
    assert marks(theirs, "MKD, paper") == [(0.7, rows.index("MKD"))]
    (text,) = (text for text in ours.texts if "not run" in text.get_text())
    assert text.get_position()[1] == rows.index("MGD")


@pytest.mark.parametrize("columns", [4, 1])
def test_the_overview_has_every_method_and_the_papers_figures_in_words(
    suite: Suite, fill: Callable[..., Path], columns: int
) -> None:
    fill("tiny-baseline", "tiny-mkd", "tiny-cwd", "s-baseline", "s-mkd")
    records = load_folder(suite.results, "desk")
    table = tables.build(records, suite.runs, 1)
    frame = frames.differences(table, frames.metrics(records, suite.runs))
    figure = figures.overview(frame, "desk", columns=columns)
    (ax,) = axes(figure, "RTMDet-tiny")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["CWD", "MKD", "MGD", "FGD"]
    delta = next(row for row in table.rows if row.run == "tiny-mkd").measured["AP"].delta
    assert delta is not None
    assert marks(ax, "MKD, measured") == [pytest.approx((delta.mean, 1))]
    written = [text.get_text() for text in ax.texts]
    assert {"+0.7", "+0.3", "+0.1"} < set(written)
    # No mark of the paper's widens the axis.
    assert marks(ax, "MKD, paper") == []
    (small,) = axes(figure, "RTMDet-s")
    assert small.get_xlim() == ax.get_xlim()
    lone = next(label for label in small.get_yticklabels() if label.get_text() == "MKD")
    assert lone.get_color() == style.palette()["quiet"]
    faint, full = (
        next(m.get_alpha() for m in plot.lines if str(m.get_label()).startswith("MKD, measured"))
        for plot in (small, ax)
    )
    assert faint < 0.5
    assert full in (None, 1.0)


def test_an_interval_of_unusual_width_does_not_widen_the_overview() -> None:
    rows = {"cwd": (0.9, 1.0, 1.1), "mgd": (-2.1, -2.0, -1.9), "fgd": (-50.0, -30.0, -10.0)}
    frame = pd.DataFrame(
        [
            {"arch": "rtmdet-tiny", "row": name, "label": name.upper(), "method": name}
            | {"source": "measured", "seed": seed, "value": value}
            for name, values in rows.items()
            for seed, value in enumerate(values)
        ]
    )
    (ax,) = axes(figures.overview(frame, "desk", columns=1), "RTMDet-tiny")
    low, high = ax.get_xlim()
    assert -3 < low < -2
    assert 1 < high < 2
    assert "← −30.0 ± 49.7" in [text.get_text() for text in ax.texts]
    # Its words stay the measured ones.
    assert marks(ax, "FGD, measured at desk scale: ΔAP −30.00")


def test_a_term_of_a_method_is_drawn_as_that_method() -> None:
    for term, (method, *_) in curves.TERMS.items():
        if (named := term.removeprefix("loss_")) in style.METHODS:
            assert method == named


def test_a_mark_is_the_same_path_wherever_it_is_drawn() -> None:
    paths = {method: style.mark_path(method, 10, 8, 6) for method in style.METHODS}
    assert len(set(paths.values())) == len(paths)
    assert paths["cwd"] == "M7.0,11.0L13.0,11.0L13.0,5.0L7.0,5.0L7.0,11.0Z"


def test_an_undistilled_run_has_no_difference(suite: Suite, fill: Callable[..., Path]) -> None:
    teacher = replace(suite.runs["s-baseline"], id="s-teacher", tables=())
    runs = {**suite.runs, teacher.id: teacher}
    records = load_folder(fill("s-baseline") / "desk", "desk")
    records.by_run[teacher.id] = records.by_run["s-baseline"]
    found = frames.metrics(records, runs)
    assert found[found["run"] == "s-teacher"]["delta"].isna().all()
    cell = tables.measure(records, runs, "s-teacher", tables.TABLES[3][1])["AP"]
    assert cell.delta is None


def test_the_papers_differences_keep_a_range_of_their_own(suite: Suite, records: Records) -> None:
    for title in ("RTMDet-tiny", "RTMDet-s"):
        ours, theirs = axes(forest(suite, records, 1), title)
        assert np.ptp(ours.get_xlim()) > 8
        assert np.ptp(theirs.get_xlim()) < 2
        assert ours.get_xlim() == axes(forest(suite, records, 1), "RTMDet-s")[0].get_xlim()
    (both,) = axes(forest(suite, records, 1, scale="paper"), "RTMDet-tiny")
    measured, printed = marks(both, "MKD, measured")[0], marks(both, "MKD, paper")[0]
    assert measured[1] < printed[1]


def test_two_rows_of_one_label_stay_two(suite: Suite, fill: Callable[..., Path]) -> None:
    twin = Run("tiny-mkd-teacher-m", "rtmdet-tiny", "m-baseline", "mkd", {}, (3,))
    third = replace(twin, id="tiny-mkd-teacher-x", teacher="x-baseline")
    runs = {**suite.runs, twin.id: twin, third.id: third}
    records = load_folder(fill() / "desk", "desk")
    for shift, run in enumerate((twin, third)):
        records.by_run[run.id] = {0: {"metrics": {"box": {"AP": 30.0 + shift}}}}
    table = tables.build(records, runs, 3)
    frame = frames.differences(table, frames.metrics(records, runs))
    (ours, _) = axes(figures.forest(frame, "desk"), "RTMDet-tiny")
    labels = [label.get_text() for label in ours.get_yticklabels()]
    assert labels.count("MKD") == 2
    places = dict.fromkeys(marks(ours, "MKD, measured"))
    assert len({y for _, y in places}) == 2
    assert len({x for x, _ in places}) == 2


def test_forest_has_no_facet_where_nothing_was_measured(suite: Suite, records: Records) -> None:
    titles = [ax.get_title("left") for ax in forest(suite, records, 1).axes]
    assert list(filter(None, titles)) == ["RTMDet-tiny", "RTMDet-s"]
    nothing = Records("desk", {}, [])
    found = frames.metrics(nothing, suite.runs)
    for number in tables.TABLES:
        table = tables.build(nothing, suite.runs, number)
        assert frames.differences(table, found).empty
    assert frames.weights(tables.build(nothing, suite.runs, 5), found, suite.runs).empty
    assert frames.readings(found, suite.runs).empty
    assert frames.by_size(found, plain(suite.runs, "rtmdet-tiny")).empty
    assert frames.losses(nothing, suite.runs).empty


def test_sizes_show_every_distilled_method_in_three_columns(
    suite: Suite, records: Records, found: pd.DataFrame
) -> None:
    frame = frames.by_size(found, plain(suite.runs, "rtmdet-tiny", "rtmdet-m"))
    figure = figures.by_size(frame)
    (ax,) = figure.axes
    assert ax.get_title("left") == "RTMDet-tiny"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["CWD", "MKD", "FGD"]
    cells = tables.measure(records, suite.runs, "tiny-mkd", tables.TABLES[3][1])
    for at, key in enumerate(("AP_S", "AP_M", "AP_L")):
        ((x, y),) = marks(ax, f"MKD, {key}: ")
        delta = cells[key].delta
        assert delta is not None
        assert y == pytest.approx(delta.mean)
        assert round(x) == at
        assert ax.get_xticklabels()[at].get_text() == ("small", "medium", "large")[at]


def test_a_run_with_another_teacher_or_option_is_no_method_of_its_own(suite: Suite) -> None:
    odd = Run("tiny-mkd-teacher-l", "rtmdet-tiny", "l-baseline", "mkd", {}, (3,))
    runs = {odd.id: odd, **suite.runs}
    found = [run.id for run in frames.at_defaults(runs, "rtmdet-tiny")]
    assert found == ["tiny-baseline", "tiny-cwd", "tiny-mkd", "tiny-fgd"]


def test_readings_show_what_stands_in_no_table(suite: Suite, fill: Callable[..., Path]) -> None:
    zeta = Run("tiny-mkd-zeta0", "rtmdet-tiny", "s-baseline", "mkd", {"fdmd.mask_ratio": 0}, ())
    runs = {**suite.runs, zeta.id: zeta}
    records = load_folder(fill() / "desk", "desk")
    assert frames.readings(frames.metrics(records, runs), runs).empty
    records.by_run[zeta.id] = {seed: {"metrics": {"box": {"AP": 30.0 + seed}}} for seed in (0, 1)}
    figure = figures.forest(frames.readings(frames.metrics(records, runs), runs), "desk")
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["MKD", "ζ = 0"]
    plain = records.points("tiny-baseline", "box.AP")
    ((x, _),) = marks(ax, "ζ = 0, measured at desk scale: ")
    assert x == pytest.approx(np.mean([30.0 - plain[0], 31.0 - plain[1]]))
    assert len(marks(ax, "MKD, measured at desk scale: ")) == 1


def test_weights_are_placed_by_alpha_with_the_full_run_at_one(
    suite: Suite, records: Records, found: pd.DataFrame
) -> None:
    table = tables.build(records, suite.runs, 5)
    figure = figures.weights(frames.weights(table, found, suite.runs), "desk")
    ours, theirs = figure.axes
    for alpha in (0.1, 1.0, 5.0):
        assert [x for x, _ in marks(ours, f"α = {alpha:g}: ")] == [alpha]
        assert [x for x, _ in marks(theirs, f"α = {alpha:g}, paper: ")] == [alpha]
    assert ours.get_xlim()[0] < 0.1 < 5 < ours.get_xlim()[1]
    delta = next(row for row in table.rows if row.role == "control").measured["AP"].delta
    (level,) = (line for line in ours.lines if str(line.get_label()).startswith("CWD control"))
    assert delta is not None
    assert list(level.get_ydata()) == pytest.approx([delta.mean] * 2)
    assert "CWD" in [text.get_text() for text in ours.texts]


def test_weights_leave_zero_out_and_show_two_runs_of_one_alpha(
    suite: Suite, records: Records
) -> None:
    names = {"tiny-mkd-alpha0.1": {"alpha": 0}, "tiny-mkd-alpha5": {"alpha": 1.0}}
    runs = suite.runs | {n: replace(suite.runs[n], options=given) for n, given in names.items()}
    table = tables.build(records, runs, 5)
    figure = figures.weights(frames.weights(table, frames.metrics(records, runs), runs), "desk")
    assert len(marks(figure.axes[0], "α = 1: ")) == 2
    assert not any("α = 0" in words for words in told(figure))


def test_curves_are_means_over_seeds_of_every_term(suite: Suite, records: Records) -> None:
    losses = frames.losses(records, suite.runs)
    found = curves.mean_curve(losses[losses["run"] == "tiny-mkd"])
    names = ["loss_cls", "loss_bbox", "loss_multiscale", "loss_fdmd", "loss_fad"]
    assert list(found["term"].unique()) == names
    first = [r["train"]["curve"][0]["loss_fad"] for r in records.by_run["tiny-mkd"].values()]
    start = found[found["term"] == "loss_fad"].iloc[0]
    assert (start["iteration"], start["value"]) == pytest.approx((10, sum(first) / 3))
    figure = curves.curves(losses)
    (ax,) = axes(figure, "RTMDet-tiny + MKD")
    assert [str(line.get_label()).partition(":")[0] for line in ax.lines] == names
    names = [run_name(run, suite.runs) for run in suite.runs.values()]
    assert [ax.get_title("left") for ax in figure.axes] == names
    # A stroke stands for one term alone.
    entries = figure.legends[0].get_lines()
    assert len({(line.get_color(), str(line._dash_pattern)) for line in entries}) == len(entries)


def test_long_curves_are_thinned_without_losing_their_level() -> None:
    curve = [{"iter": i, "epoch": 1, "loss": 2.0, "loss_cls": 2.0} for i in range(5000)]
    one = Records("desk", {"a": {0: {"train": {"curve": curve}}}}, [])
    thin = curves.mean_curve(frames.losses(one, {}))
    assert len(thin) <= curves.MOST
    assert set(thin["value"]) == {2.0}
    assert thin["iteration"].is_monotonic_increasing


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.5], [1e-9, 1e9], [0.0, 3.0]])
def test_a_curve_of_any_range_is_drawn(values: list[float], tmp_path: Path) -> None:
    curve = [{"iter": 10 * i, "loss_cls": v, "loss_new": v} for i, v in enumerate(values)]
    one = Records("desk", {"a": {0: {"train": {"curve": curve}}}}, [])
    figure = curves.curves(frames.losses(one, {}))
    figure.savefig(tmp_path / "a.svg")
    assert len(figure.axes[0].lines) == 2
    assert figure.legends[0].get_texts()[-1].get_text() == "another term"


def plain(runs: Mapping[str, Run], *archs: str) -> dict[str, list[Run]]:
    return {arch: frames.at_defaults(runs, arch) for arch in archs}


def carrying(*seeds: dict[str, Any]) -> Records:
    runs = ("tiny-baseline", "tiny-mkd")
    return Records("desk", {run: dict(enumerate(seeds)) for run in runs}, [])


def test_precision_recall_needs_two_methods_that_carry_it(suite: Suite) -> None:
    curve = [1.0] * 50 + [0.0] * 51
    chosen = plain(suite.runs, "rtmdet-tiny")
    given = carrying({"pr": {"50": curve, "75": curve}}, {"pr": {"50": [0.0] * 101, "75": curve}})
    figure = breakdown.precision_recall(frames.precision_recall(given, chosen))
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == ["RTMDet-tiny, IoU 0.50", "RTMDet-tiny, IoU 0.75"]
    (line,) = (
        line for line in figure.axes[0].lines if line.get_label() == "MKD, IoU 0.50: AP 24.8"
    )
    assert line.get_xdata() == pytest.approx(np.linspace(0, 1, 101))
    assert list(line.get_ydata()) == [value / 2 for value in curve]
    other = Run("tiny-mkd-other", "rtmdet-tiny", "m-baseline", "mkd", {}, (1,))
    given.by_run[other.id] = {0: {"pr": {"50": [0.5] * 101, "75": curve}}}
    frame = frames.precision_recall(given, plain({**suite.runs, other.id: other}, "rtmdet-tiny"))
    figure = breakdown.precision_recall(frame)
    looks = {line.get_label(): line.get_linestyle() for line in figure.axes[0].lines}
    assert looks == {
        "no distillation, IoU 0.50: AP 24.8": "-",
        "MKD (tiny-mkd), IoU 0.50: AP 24.8": "-",
        "MKD (tiny-mkd-other), IoU 0.50: AP 50.0": "--",
    }
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["no distillation", "MKD", "MKD (tiny-mkd-other)"]
    some = {"metrics": {"box": {"AP50": 0.1}}}
    assert frames.precision_recall(carrying(some), chosen).empty
    # Of a seed that found nothing there is no curve, and its AP50 counts as 0.
    nothing = {"metrics": {"box": {"AP50": 0.0}}}
    frame = frames.precision_recall(carrying({"pr": {"50": [1.0] * 101}}, nothing), chosen)
    assert frame[frame["iou"] == "50"].groupby("seed")["value"].mean().to_dict() == {0: 1, 1: 0}
    del given.by_run["tiny-mkd"]
    assert frames.precision_recall(given, chosen).empty


def test_errors_show_every_kind_for_both(suite: Suite) -> None:
    chosen = plain(suite.runs, "rtmdet-tiny")
    given = carrying(*({"errors": dict.fromkeys(breakdown.KINDS, cost)} for cost in (0.5, 2.5)))
    figure = breakdown.errors(frames.errors(given, chosen))
    (ax,) = figure.axes
    for at, words in enumerate(breakdown.KINDS.values()):
        assert ax.get_yticklabels()[at].get_text() == words
        ((x, y),) = marks(ax, f"MKD, {words}: 1.50 AP50")
        assert (x, round(y)) == (1.5, at)
    assert frames.errors(carrying({}), chosen).empty


def test_the_masks_marks_lie_on_their_closed_forms() -> None:
    measured = [
        {"mask": mask, "mask_ratio": ratio, "residual": value, "residual_expected": value,
         "minimizer_scale": 1.0 + value, "minimizer_scale_expected": 1.0}
        for mask, ratio, value in (
            ("literal", 0.0, 0.0), ("literal", 0.5, 0.375), ("hermitian", 0.0, 0.0),
            ("hermitian", 0.5, 0.5),
        )
    ]  # fmt: skip
    left, right = spectrum.draw(spectrum.tidy(measured)).axes
    for mask, (_, words) in spectrum.MASKS.items():
        (form,) = (line for line in left.lines if line.get_label() == f"{words}, closed form")
        assert marks(left, f"{words}, ζ = 0.5: ") == [tuple(form.get_xydata()[-1])], mask
    assert marks(right, "literal mask, ζ = 0.5: ") == [(0.5, 1.375)]
    assert marks(right, "literal mask, ζ = 0: ") == [(0.0, 1.0)]


def test_a_method_has_one_color_and_one_mark_in_every_figure(
    suite: Suite, records: Records, found: pd.DataFrame
) -> None:
    losses = frames.losses(records, suite.runs)
    table = tables.build(records, suite.runs, 1)
    drawn = [
        figures.forest(frames.differences(table, found), "desk"),
        figures.overview(frames.differences(table, found), "desk", columns=4),
        figures.by_size(frames.by_size(found, plain(suite.runs, "rtmdet-tiny"))),
        curves.curves(losses),
    ]
    for method in ("cwd", "fgd"):
        name = style.name(method)
        lines = [
            line for figure in drawn for ax in figure.axes for line in ax.lines
            if str(line.get_label()).startswith((f"{name}, ", f"loss_{method}"))
        ]  # fmt: skip
        assert len(lines) > 6
        own = {line.get_color() for line in lines if line.get_marker() in ("", "None")}
        assert own == {style.color(method)}
        points = [line for line in lines if line.get_marker() not in ("", "None")]
        assert {line.get_marker() for line in points} == {style.marker(method)}
        inks = {
            color for line in points
            for color in (line.get_markerfacecolor(), line.get_markeredgecolor())
        }  # fmt: skip
        assert inks == {style.color(method), style.palette()["paper"]}
    looks = [(style.color(method), style.marker(method)) for method in (*style.METHODS, "new")]
    assert len({color for color, _ in looks}) == len({mark for _, mark in looks}) == len(looks)


def test_a_detector_that_found_nothing_has_a_curve_of_zeros() -> None:
    zeros, own = [0.0] * 101, {"50": [0.5] * 101}
    nothing = {"metrics": {"box": {"AP50": 0.0}}}
    assert frames._curves(nothing) == {"50": zeros, "75": zeros}
    assert frames._curves({**nothing, "pr": own}) == own


@pytest.mark.parametrize(("level", "side"), [(-1.0, "top"), (1.0, "bottom")])
def test_the_controls_name_is_not_struck_through_by_zero(level: float, side: str) -> None:
    control = {"alpha": float("nan"), "run": "tiny-cwd", "method": "cwd"}
    ax = Figure().subplots()
    rows = [{**control, "value": level + step} for step in (-0.1, 0.0, 0.1)]
    figures._weighed(ax, pd.DataFrame(rows))
    (name,) = ax.texts
    assert (name.get_text(), name.get_va()) == ("CWD", side)
