"""Figures show the records' numbers where the axes say they are."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mkd import tables
from mkd.config import Suite
from mkd.records import Records, load_records
from mkd.report import breakdown, curves, figures, spectrum
from mkd.report.svg import Axis, Plot, tag, ticks
from mkd.runs import Run


@pytest.fixture
def records(suite: Suite, fill: Callable[..., Path]) -> Records:
    return load_records(fill(), "desk")


def places(svg: str, title: str) -> list[tuple[float, float]]:
    """Pixel positions of the marks whose title begins so."""
    found = re.findall(
        rf"<title>{re.escape(title)}[^<]*</title><path[^>]*transform=\"([^\"]*)", svg
    )
    return [tuple(map(float, re.findall(r"[-\d.]+", place)[:2])) for place in found]  # type: ignore[misc]


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(-0.13, 0.31) == [-0.1, 0.0, 0.1, 0.2, 0.3]
    assert ticks(3, 3) == [3]


def test_a_plot_places_linear_and_logarithmic_values() -> None:
    plot = Plot(Axis(0.01, 100, log=True), Axis(-10, 30), width=256, height=150)
    assert plot.px(1.0) == pytest.approx((plot.left + plot.width - plot.right) / 2)
    assert plot.py(30) == plot.top
    assert plot.py(-10) == plot.height - plot.bottom


def test_svg_escapes_attributes_and_content() -> None:
    assert tag("text", "<&", data_x='"<') == '<text data-x="&#34;&lt;">&lt;&amp;</text>'


def test_forest_places_measured_and_paper_differences(suite: Suite, records: Records) -> None:
    table = tables.build(records, suite.runs, 1)
    panel = next(p for p in figures.forest(table) if p["title"] == "RTMDet-tiny")
    svg = str(panel["body"])
    cells = {row.run: row.measured["AP"].delta for row in table.rows if "AP" in row.measured}
    at = {name: places(svg, f"{name}, measured")[0][0] for name in ("FGD", "CWD", "MKD")}
    fgd, cwd, mkd = (cells[f"tiny-{name}"].mean for name in ("fgd", "cwd", "mkd"))
    scale = (at["MKD"] - at["FGD"]) / (mkd - fgd)
    assert at["CWD"] == pytest.approx(at["FGD"] + scale * (cwd - fgd), abs=0.2)
    printed = places(svg, "MKD, paper")[0][0]
    assert printed == pytest.approx(at["MKD"] + scale * (0.7 - mkd), abs=0.2)
    assert "not run" in svg


def test_forest_has_no_panel_where_nothing_was_measured(suite: Suite, records: Records) -> None:
    titles = [p["title"] for p in figures.forest(tables.build(records, suite.runs, 1))]
    assert titles == ["RTMDet-tiny", "RTMDet-s"]
    nothing = Records("desk", {}, [])
    for number in tables.TABLES:
        assert figures.forest(tables.build(nothing, suite.runs, number)) == []


def test_sizes_show_every_distilled_method_in_three_columns(suite: Suite, records: Records) -> None:
    panels = figures.by_size(records, suite.runs, ["rtmdet-tiny", "rtmdet-m"])
    assert [p["title"] for p in panels] == ["RTMDet-tiny"]
    assert panels[0]["methods"] == {"cwd", "fgd", "mkd"}
    for size in ("small", "medium", "large"):
        assert len(places(str(panels[0]["body"]), f"MKD, {size}")) == 1


def test_a_run_with_another_teacher_or_option_is_no_method_of_its_own(suite: Suite) -> None:
    odd = Run("tiny-mkd-teacher-l", "rtmdet-tiny", "l-baseline", "mkd", {}, (3,))
    runs = {odd.id: odd, **suite.runs}
    found = [run.id for run in figures.plain(runs, "rtmdet-tiny")]
    assert found == ["tiny-baseline", "tiny-cwd", "tiny-mkd", "tiny-fgd"]


def test_readings_show_what_stands_in_no_table(suite: Suite, fill: Callable[..., Path]) -> None:
    zeta = Run("tiny-mkd-zeta0", "rtmdet-tiny", "s-baseline", "mkd", {"fdmd.mask_ratio": 0}, ())
    wider = replace(suite, runs={**suite.runs, zeta.id: zeta})
    assert figures.readings(load_records(fill(), "desk"), wider.runs) == []
    found = load_records(suite.results.parent, "desk")
    found.by_run[zeta.id] = {seed: {"metrics": {"box": {"AP": 30.0 + seed}}} for seed in (0, 1)}
    (panel,) = figures.readings(found, wider.runs)
    assert "zeta0, measured at desk scale" in panel["body"]
    assert "MKD, measured at desk scale" in panel["body"]
    assert "no-fad" not in panel["body"]


def test_weights_are_placed_by_alpha_with_the_full_run_at_one(
    suite: Suite, records: Records
) -> None:
    table = tables.build(records, suite.runs, 5)
    (panel,) = figures.weights(table, suite.runs)
    x = {a: places(str(panel["body"]), f"α = {a}: ")[0][0] for a in ("0.1", "1", "5")}
    assert x["0.1"] < x["1"] < x["5"]
    assert "CWD control" in str(panel["body"])


def test_weights_leave_zero_out_and_show_two_runs_of_one_alpha(
    suite: Suite, records: Records
) -> None:
    names = {"tiny-mkd-alpha0.1": {"alpha": 0}, "tiny-mkd-alpha5": {"alpha": 1.0}}
    runs = suite.runs | {n: replace(suite.runs[n], options=given) for n, given in names.items()}
    (panel,) = figures.weights(tables.build(records, runs, 5), runs)
    assert len(places(str(panel["body"]), "α = 1: ")) == 2
    assert "α = 0: " not in panel["body"]


def test_curves_are_means_over_seeds_of_every_term(suite: Suite, records: Records) -> None:
    found = curves.mean_curve(records, "tiny-mkd")
    assert list(found) == ["loss_cls", "loss_bbox", "loss_multiscale", "loss_fdmd", "loss_fad"]
    first = [r["train"]["curve"][0]["loss_fad"] for r in records.by_run["tiny-mkd"].values()]
    assert found["loss_fad"][0] == pytest.approx((10, sum(first) / 3))
    panel = next(p for p in curves.panels(records, suite.runs) if p["run"] == "tiny-mkd")
    assert panel["body"].count('class="line"') == 2 * 5


def test_long_curves_are_thinned_without_losing_their_level() -> None:
    curve = [{"iter": i, "epoch": 1, "loss": 2.0, "loss_cls": 2.0} for i in range(5000)]
    one = Records("desk", {"a": {0: {"train": {"curve": curve}}}}, [])
    thin = curves.mean_curve(one, "a")["loss_cls"]
    assert len(thin) <= curves.MOST
    assert {value for _, value in thin} == {2.0}


def carrying(**more: Any) -> Records:
    return Records("desk", {run: {0: dict(more)} for run in ("tiny-baseline", "tiny-mkd")}, [])


def test_precision_recall_needs_two_methods_that_carry_it(suite: Suite) -> None:
    curve = [1.0] * 50 + [0.0] * 51
    given = carrying(pr={"50": curve, "75": curve})
    panels = breakdown.precision_recall(given, suite.runs, ["rtmdet-tiny"])
    assert [p["title"] for p in panels] == ["RTMDet-tiny, IoU 0.50", "RTMDet-tiny, IoU 0.75"]
    assert "MKD, IoU 0.50: AP 49.5" in panels[0]["body"]
    assert breakdown.precision_recall(carrying(), suite.runs, ["rtmdet-tiny"]) == []


def test_errors_show_every_kind_for_both(suite: Suite) -> None:
    given = carrying(errors=dict.fromkeys(breakdown.KINDS, 1.5))
    (panel,) = breakdown.errors(given, suite.runs, ["rtmdet-tiny"])
    for words in breakdown.KINDS.values():
        assert f"MKD, {words}: 1.50 AP50" in panel["body"]
    assert breakdown.errors(carrying(), suite.runs, ["rtmdet-tiny"]) == []


def test_the_masks_marks_lie_on_their_closed_forms() -> None:
    measured = [
        {"mask": mask, "mask_ratio": ratio, "residual": value, "residual_expected": value,
         "minimizer_scale": 1.0 + value, "minimizer_scale_expected": 1.0}
        for mask, ratio, value in (
            ("literal", 0.0, 0.0), ("literal", 0.5, 0.375), ("hermitian", 0.0, 0.0),
            ("hermitian", 0.5, 0.5),
        )
    ]  # fmt: skip
    left, right = (str(panel["body"]) for panel in spectrum.panels(measured))
    lines = re.findall(r'class="line" d="M([^"]*)', left)
    for (mask, _, words), line in zip(spectrum.MASKS.values(), lines, strict=True):
        end = tuple(map(float, line.rsplit("L", 1)[1].split(",")))
        assert places(left, f"{words}, ζ = 0.5: ") == [pytest.approx(end, abs=0.1)], mask
    off = places(right, "literal mask, ζ = 0.5: ")[0]
    assert off[1] < places(right, "literal mask, ζ = 0: ")[0][1]
