"""The sentence of each figure follows from what the figure shows."""

from typing import Any

import pandas as pd

from mkd.experiment import config
from mkd.report import findings, frames
from mkd.results import reference
from mkd.results.records import Records

SUITE = config.load({"scale": "desk"})


def rows(**deltas: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"arch": "rtmdet-tiny", "row": label, "label": label, "method": method, "run": label,
             "source": "measured", "seed": seed, "value": value}
            for name, values in deltas.items()
            for method, label in [name.split("__")]
            for seed, value in enumerate(values)
        ]
    )  # fmt: skip


def test_the_overview_counts_tests_and_names_the_largest_sure_gain() -> None:
    frame = rows(
        cwd__CWD=[3.0, 3.1, 3.2], mkd__MKD=[-2.0, -2.1, -2.2], fgd__FGD=[9.0, -9.0, 9.0],
        mgd__MGD=[20.0],
    )  # fmt: skip
    said = findings.overview(frame, 3)
    assert said == (
        "Of 4 rows, 3 have the 3 seeds that a test asks for: 1 raises AP, 1 lowers it, 1 cannot be "
        "told from noise. The largest sure gain is that of CWD on RTMDet-tiny, +3.1 ± 0.2."
    )
    assert findings.overview(rows(mkd__MKD=[1.0]), 3).endswith(
        "0 have the 3 seeds that a test asks for."
    )
    assert findings.overview(pd.DataFrame(), 3) == ""


def test_what_ends_above_the_method_at_its_defaults_is_counted() -> None:
    frame = rows(mkd__MKD=[1.0], mkd__less=[0.5], mkd__more=[2.0], cwd__CWD=[9.0])
    assert findings.around(frame) == (
        "1 of 2 ends above MKD at its defaults, by their mean. RTMDet-tiny, of MKD: lowest less "
        "(+0.5 from one seed), highest more (+2.0 from one seed)."
    )
    assert findings.around(rows(mkd__other=[1.0], mkd__another=[2.0])) == ""


def test_rows_that_share_a_label_are_all_counted() -> None:
    frame = rows(mkd__one=[1.0, 1.1, 0.9], mkd__other=[3.0, 3.1, 2.9])
    frame["label"] = "MKD"
    assert findings.overview(frame, 3).startswith("Of 2 rows, 2 have the 3 seeds")


def test_the_weight_with_the_highest_measured_mean_is_named() -> None:
    frame = rows(mkd__a=[1.0, 2.0], mkd__b=[2.5, 3.5], mkd__c=[-6.0, 4.0], cwd__CWD=[9.0])
    frame["alpha"] = frame["label"].map({"a": 0.1, "b": 0.5, "c": 5.0})
    printed = frame[frame["label"] == "a"].assign(source="paper", value=20.0)
    assert findings.weights(pd.concat([frame, printed])) == (
        "RTMDet-tiny: α = 0.5 is highest (+3.0)."
    )
    assert findings.weights(pd.DataFrame()) == ""


def test_small_objects_and_the_control() -> None:
    def size(method: str, run: str = "", **deltas: float) -> list[dict[str, Any]]:
        own = {"arch": "rtmdet-s", "method": method, "run": run or method}
        return [{**own, "size": size, "delta": delta} for size, delta in deltas.items()]

    frame = pd.DataFrame(
        size("mkd", small=3.0, medium=1.0, large=2.0)
        + size("cwd", small=4.0, medium=0.0, large=0.0)
    )
    assert findings.by_size(frame) == (
        "MKD gains most on small objects for 1 of 1 student; on small ones it ends above CWD for "
        "0 of 1 (by the means)."
    )
    harmed = pd.DataFrame(size("mkd", small=-1.0, medium=-2.0, large=-3.0))
    assert findings.by_size(harmed) == (
        "MKD gains at no size of objects for any of 1 student (by the means)."
    )

    # Two runs of one student's method are two, and of two controls none is the control.
    twice = frame.to_dict("records") + size("cwd", "other", small=0.0, medium=1.0, large=1.0)
    twice += size("mkd", "mkd-by-m", small=1.0, medium=3.0, large=1.0)
    assert findings.by_size(pd.DataFrame(twice)) == (
        "MKD gains most on small objects for 1 of 2 runs (by the means)."
    )


def test_runs_of_one_method_are_never_averaged() -> None:
    runs = {"plain": "baseline", "by-s": "cwd", "by-m": "cwd", "ours": "mkd"}
    values = {"plain": 0.5, "by-s": 0.7, "by-m": 0.6, "ours": 0.4}
    own = [{"arch": "rtmdet-s", "run": run, "method": runs[run]} for run in runs]
    recalls = pd.DataFrame(
        [
            {**row, "iou": "50", "value": values[row["run"]] + at / 100}
            for row in own
            for at in (0, 2)
        ]
    )
    assert findings.precision_recall(recalls) == (
        "RTMDet-s, AP50 of boxes: no distillation 51.0, CWD (by-s) 71.0, CWD (by-m) 61.0, MKD 41.0."
    )
    lost = pd.DataFrame(
        [
            {**row, "kind": kind, "value": 10 * values[row["run"]] + (kind == "classification")}
            for row in own
            for kind in ("classification", "missed")
        ]
    )
    assert findings.errors(lost) == (
        "RTMDet-s: wrong class costs most (6.0; CWD (by-s) 8.0, CWD (by-m) 7.0, MKD 5.0)."
    )


def test_the_terms_at_the_last_iteration_against_the_detectors_own() -> None:
    frame = pd.DataFrame(
        [
            {"run": run, "label": run, "method": "", "seed": seed, "term": term,
             "distilled": term == "loss_cwd", "iteration": iteration, "value": value / iteration}
            for run, other in (("a", 4.0), ("b", 60.0), ("plain", None), ("stops", 400.0))
            for seed in (0, 1)
            for term, value in (("loss_cls", 1.0), ("loss_dfl", 3.0), ("loss_cwd", other))
            for iteration in (1, 10)
            if value is not None and (run, term, iteration) != ("stops", "loss_cwd", 10)
        ]
    )  # fmt: skip
    assert "between 1.0 (a) and 15 times (b) the detector’s own" in findings.curves(frame)


def test_the_terms_at_the_end_are_those_of_the_run_in_the_record_that_is_kept() -> None:
    logged = [
        {"iter": at, "epoch": 0, "loss_cls": 1.0 + at % 3, "loss_cwd": 900.0 - 4 * at}
        for at in range(1, 201)
    ]

    def said(curve: list[dict[str, Any]]) -> str:
        by_run = {"tiny-cwd": {0: {"train": {"curve": curve}}}}
        return findings.curves(frames.losses(Records("desk", by_run, []), SUITE.runs))

    assert said(logged) == said(reference.thin(logged))
    # The mean of the last ten is 118 and 2.1, that of one step 100 and 3.
    assert "are together 56 times (RTMDet-tiny + CWD) the detector’s own losses." in said(logged)
    assert findings.curves(frames.losses(Records("desk", {}, []), SUITE.runs)) == ""


def test_detections_are_counted_over_the_images_shown() -> None:
    image = {"found": {"a": {"hit": [1, 2], "miss": [], "false": [3]}}}
    said = findings.detections({"images": [image, image]})
    assert said == "a: 4 found, 0 missed, 2 false."


def test_the_masks_are_compared_at_the_middle_ratio() -> None:
    values = {0.0: (0.0, 1.0), 0.4: (0.25, 0.8), 0.9: (0.75, 0.3)}
    frame = pd.DataFrame(
        [
            {"mask": mask, "mask_ratio": ratio, "metric": metric, "value": value + shift}
            for mask, shift in (("literal", 0.0), ("hermitian", 0.1))
            for ratio, pair in values.items()
            for metric, value in zip(("residual", "minimizer_scale"), pair, strict=True)
        ]
    )
    said = (
        "the loss with the {} mask keeps {} of the teacher’s power where the student equals it, "
        "and is least where the student is {} times the teacher."
    )
    assert findings.spectrum(frame) == (
        f"At ζ = 0.4 {said.format('literal', '0.25', '0.80')} "
        f"At ζ = 0.4 {said.format('Hermitian', '0.35', '0.90')}"
    )
    assert findings.spectrum(pd.DataFrame()) == ""


def test_a_students_maps_are_compared_at_the_finest_stride() -> None:
    def looks(name: str, fine: list[float | None], coarse: list[float | None]) -> dict[str, Any]:
        levels = [{"stride": 8, "agreement": fine}, {"stride": 32, "agreement": coarse}]
        return {"name": name, "levels": levels}

    students = [looks("plain", [0.5, None], [0.9, 0.9]), looks("MKD", [0.7, 0.9], [0.1, 0.1])]
    teacher = looks("teacher", [1.0], [1.0])
    assert findings.attention({"detectors": [*students, teacher]}) == (
        "Correlation with the teacher’s map at stride 8: plain 0.50 (n=1); MKD 0.80 ± 1.27."
    )
    assert findings.attention({"detectors": [looks("plain", [None], [0.9]), teacher]}) == ""


def test_sizes_of_objects_at_which_some_students_gain() -> None:
    up, down = (3.0, 1.0, 2.0), (-1.0, -2.0, -3.0)

    def said(*students: tuple[float, ...]) -> str:
        rows = [
            {"arch": str(at), "method": "mkd", "run": str(at), "size": size, "delta": delta}
            for at, deltas in enumerate(students)
            for size, delta in zip(("small", "medium", "large"), deltas, strict=True)
        ]
        return findings.by_size(pd.DataFrame(rows))

    most = "MKD gains most on small objects for"
    assert said(up, down) == f"{most} 1 of 2 students, and at no size for 1 (by the means)."
    assert said(up, up) == f"{most} 2 of 2 students (by the means)."
    assert said(down, down) == (
        "MKD gains at no size of objects for any of 2 students (by the means)."
    )
