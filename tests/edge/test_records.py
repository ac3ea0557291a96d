"""Edge records read back: into Table 1, claims and reference, and what is wrong with them."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mkd.edge import compare as edge_compare
from mkd.edge import measure
from mkd.edge import suite as edge
from mkd.edge.opening import Settings
from mkd.edge.records import EdgeRecords
from mkd.errors import UserError
from mkd.experiment import config
from mkd.experiment.suite import Suite
from mkd.provenance import seal
from mkd.report import latency_figure, latency_view, style
from mkd.report.render import render
from mkd.results import formats, reference, tables
from mkd.results.check import check
from mkd.results.compare import compare
from mkd.results.records import load_folder


@pytest.fixture(scope="module")
def timed(
    write_conv: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """A real record, to be told as others'."""
    settings = Settings(min_samples=3, min_seconds=0, max_seconds=0, restarts=1, gate=1e6, load=1)
    path = write_conv(tmp_path_factory.mktemp("timed") / "a.onnx")
    return measure.measure(path, settings, scale="desk")


pytestmark = pytest.mark.usefixtures("quick_fonts")
COMPLEXITY = {
    "kind": "complexity",
    "schema": 1,
    "model": "yolov7",
    "params_m": 36.93,
    "macs_g": 52.42,
    "input_px": 640,
    "convention": "one MAC is one multiply-accumulate",
    "paper": {"params_m": 36.9, "macs_g": 52.4},
    "deviation": {"params_m": 0.001, "macs_g": 0.0},
    "onnx": {"opset": 18, "tolerance": 0.001, "relative_difference": {"cls_0": 1e-5}},
    "commit": None,
    "dirty": False,
    "versions": {},
}
FIGURES = {"AP": 40.0, "AP50": 60.0}
EXPORTED = {"digests": {"model": "0" * 64}}
"""Of the file that :func:`exported_record` speaks of."""
HOST = {"cpu": "A", "cores": 1, "memory_gb": 1, "gpu": [], "os": "Linux", "python": "3.11"}


def put(root: Path, name: str, record: dict[str, Any], **changes: Any) -> None:
    changed = copy.deepcopy(record)
    for key, value in changes.items():
        head, _, tail = key.partition("__")
        if tail:
            changed[head][tail] = value
        else:
            changed[head] = value
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**changed, "sha256": seal(changed)}))


def told(timed: dict[str, Any], model: str, **changes: Any) -> dict[str, Any]:
    told = {**timed, "model": model, "arch": model, "latency_ms": 7.5, **changes}
    return {**told, "graph": {**told["graph"], "latency_ms": told["latency_ms"]}}


def exported_record(run_id: str, graph: str) -> dict[str, Any]:
    file = {"metrics": FIGURES, "bytes": 10, "digest": "0" * 64}
    return {
        "kind": "exported",
        "schema": 1,
        "run": run_id,
        "seed": 0,
        "scale": "desk",
        "arch": "rtmdet-tiny",
        "width": 0.5,
        "input_px": 128,
        "torch": FIGURES,
        "graph": graph * 64,
        "files": {"fp32": file, "int8": {**file, "metrics": {**FIGURES, "AP": 39.5}}},
        "onnx": {"opset": 18, "tolerance": 0.001, "relative_difference": {}},
        "calibration_images": 8,
        "digests": {},
        "commit": None,
        "dirty": False,
        "versions": {},
        "started": "2026-01-01T00:00:00+00:00",
        "wall_s": 1.0,
    }


def cell(root: Path, row: str, key: str) -> float | None:
    table = tables.build(load_folder(root, "desk"), config.load({"scale": "desk"}).runs, 1)
    found = next(r for r in table.rows if r.arch == row).measured.get(key)
    return found.value.mean if found else None


def test_table_1_shows_costs_of_detectors_that_were_never_trained(
    tmp_path: Path, timed: dict[str, Any]
) -> None:
    put(tmp_path, "complexity/yolov7.json", COMPLEXITY)
    put(tmp_path, "latency/yolov7-fp32-cpu.json", told(timed, "yolov7"))
    assert cell(tmp_path, "yolov7", "params_m") == 36.93
    assert cell(tmp_path, "yolov7", "flops_g") == 52.42
    assert cell(tmp_path, "yolov7", "latency_ms") == 7.5
    assert cell(tmp_path, "yolov7", "AP") is None
    assert cell(tmp_path, "yolov5-n", "latency_ms") is None
    records = load_folder(tmp_path, "desk")
    table = tables.build(records, config.load({"scale": "desk"}).runs, 1)
    assert "full-width detectors of 80 classes at 640 px" in formats.markdown(table, "s")
    assert "FP32 graph without NMS" in table.note
    assert tables.build(records, config.load({"scale": "desk"}).runs, 3).note == ""


def test_the_column_is_one_provider_at_one_precision_of_this_scale_on_a_quiet_machine(
    tmp_path: Path, timed: dict[str, Any]
) -> None:
    unsteady = {**timed["graph"], "passed": False}
    for name, record in {
        "a": told(timed, "yolov7", latency_ms=1.0, precision="int8"),
        "b": told(timed, "yolov7", latency_ms=2.0, scale=None),
        "c": told(timed, "yolov5-n", latency_ms=3.0, graph=unsteady, passed=False),
        "d": told(timed, "yolov7", latency_ms=4.0),
        "e": told(timed, "yolov6-s", latency_ms=5.0, provider="cuda", precision="fp32"),
    }.items():
        put(tmp_path, f"latency/{name}.json", record)
    assert cell(tmp_path, "yolov7", "latency_ms") == 4.0
    assert cell(tmp_path, "yolov6-s", "latency_ms") is None
    assert cell(tmp_path, "yolov5-n", "latency_ms") is None
    (problem,) = load_folder(tmp_path, "desk").problems
    assert problem.where == "latency/c.json"
    assert "not quiet" in problem.what
    put(tmp_path, "latency/f.json", told(timed, "yolov7", provider="cuda", precision="fp16"))
    assert cell(tmp_path, "yolov7", "latency_ms") == 7.5


def test_a_latency_of_this_scale_that_was_copied_does_not_count_twice(
    tmp_path: Path, timed: dict[str, Any]
) -> None:
    for name in ("yolov7-fp32-cpu", "zz"):
        put(tmp_path, f"latency/{name}.json", told(timed, "yolov7"))
    records = load_folder(tmp_path, "desk")
    assert len(records.edge.column()) == 1
    (problem,) = records.problems
    assert problem.where == "latency/zz.json"
    assert "is of what yolov7-fp32-cpu.json is of: remove one of them" in problem.what


def test_a_record_under_another_models_name_is_named_and_left_out(tmp_path: Path) -> None:
    put(tmp_path, "complexity/yolov5-n.json", COMPLEXITY)
    put(tmp_path, "exported/old/tiny-mkd.json", exported_record("tiny-mkd", "a"))
    records = load_folder(tmp_path, "desk")
    assert (records.edge.complexity, records.edge.exported) == ({}, {})
    assert [(problem.where, problem.what) for problem in records.problems] == [
        ("complexity/yolov5-n.json", "speaks of yolov7: it does not belong in this file"),
        ("exported/old/tiny-mkd.json", "speaks of tiny-mkd: it does not belong in this file"),
    ]


def test_a_detector_that_was_not_tried_at_the_columns_setting_is_not_unsteady(
    tmp_path: Path, timed: dict[str, Any]
) -> None:
    gpu = {"provider": "cuda", "precision": "fp16"}
    for name, record in {
        "yolov7-fp16-cuda": told(timed, "yolov7", **gpu),
        "yolov5-n-fp16-cuda": told(timed, "yolov5-n", **gpu),
        "yolov6-s-fp32-cpu": told(timed, "yolov6-s"),
    }.items():
        put(tmp_path, f"latency/{name}.json", record)
    assert load_folder(tmp_path, "desk").edge.unsteady() == set()


def test_a_detector_whose_column_is_not_steady_was_run(
    tmp_path: Path, timed: dict[str, Any]
) -> None:
    """Also where it was timed steadily at another precision, or restarts alone lie apart."""
    apart = {**timed["graph"], "restart_spread": 0.3}
    put(tmp_path, "complexity/yolov5-n.json", COMPLEXITY, model="yolov5-n")
    put(tmp_path, "latency/1.json", told(timed, "yolov5-n", precision="int8"))
    put(tmp_path, "latency/2.json", told(timed, "yolov5-n", graph=apart))
    records = load_folder(tmp_path, "desk")
    assert records.edge.unsteady() == {"yolov5-n"}
    (problem,) = records.problems
    assert problem.where == "latency/2.json"
    assert "not quiet (medians of restarts lie 30% apart): time it again" in problem.what
    table = tables.build(records, config.load({"scale": "desk"}).runs, 1)
    assert "latency has no steady figure" in table.note
    # At INT8 alone it was not timed for the column.
    put(tmp_path, "latency/3.json", told(timed, "yolov7", precision="int8", graph=apart))
    assert load_folder(tmp_path, "desk").edge.unsteady() == {"yolov5-n"}


def test_a_students_latency_is_not_that_of_its_architecture(
    tmp_path: Path, timed: dict[str, Any]
) -> None:
    put(tmp_path, "latency/x.json", told(timed, "tiny-mkd", arch="rtmdet-tiny"))
    assert cell(tmp_path, "rtmdet-tiny", "latency_ms") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"latency_ms": -1}, "latency_ms"),
        ({"precision": "int4"}, "int4"),
        ({"scale": "paper"}, "is of scale paper"),
    ],
)
def test_a_record_that_cannot_be_used_is_named_and_left_out(
    tmp_path: Path, timed: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    put(tmp_path, "latency/bad.json", {**told(timed, "yolov7"), **change})
    put(tmp_path, "latency/host/good.json", told(timed, "yolov6-s"))
    records = load_folder(tmp_path, "desk")
    assert [record["model"] for record in records.edge.latency] == ["yolov6-s"]
    (problem,) = records.problems
    assert problem.where == "latency/bad.json"
    assert words in problem.what


def test_the_claim_on_the_graph_reads_the_exported_records(tmp_path: Path) -> None:
    put(tmp_path, "exported/tiny-mkd.json", exported_record("tiny-mkd", "a"))
    records = load_folder(tmp_path, "desk")
    assert records.points("tiny-mkd", "graph") == {0: "a" * 64}
    assert records.points("tiny-baseline", "graph") == {}


def test_speeds_are_compared_on_one_provider(tmp_path: Path, timed: dict[str, Any]) -> None:
    exported = exported_record("tiny-mkd", "a")
    exported["files"]["fp16"] = exported["files"]["fp32"]
    put(tmp_path, "exported/tiny-mkd.json", exported)
    for name, provider, precision, milliseconds in (
        ("1", "cpu", "fp32", 80.0),
        ("2", "cuda", "fp32", 8.0),
        ("3", "cuda", "fp16", 4.0),
    ):
        changes = {"provider": provider, "precision": precision, "latency_ms": milliseconds}
        put(tmp_path, f"latency/{name}.json", told(timed, "tiny-mkd", **changes, **EXPORTED))
    shaky = {**timed["graph"], "passed": False}
    record = told(timed, "tiny-mkd", precision="int8", graph=shaky, **EXPORTED)
    put(tmp_path, "latency/4.json", record)
    records = load_folder(tmp_path, "desk")
    table = tables.build(records, config.load({"scale": "desk"}).runs, 1)
    rows = latency_view.view(records, table)["exported"]
    assert [(r["precision"], r["provider"], r["latency"], r["speedup"]) for r in rows] == [
        ("FP32", "CPU", "80.00", 1.0),
        ("FP32", "CUDA", "8.00", 1.0),
        ("INT8", "CPU", "unsteady", None),
        ("FP16", "CUDA", "4.00", 2.0),
    ]


def test_the_page_tells_carried_records_from_its_own(tmp_path: Path, timed: dict[str, Any]) -> None:
    board = {**timed["host"], "cpu": "Board"}
    put(tmp_path, "complexity/yolov7.json", COMPLEXITY)
    put(tmp_path, "exported/tiny-mkd.json", exported_record("tiny-mkd", "a"))
    many = {**timed["graph"], "samples": 100, "p99_ms": 9.0}
    put(tmp_path, "latency/own.json", told(timed, "yolov7", graph=many))
    for name, ms, precision in (("1", 8.0, "fp32"), ("2", 4.0, "int8")):
        record = told(timed, "tiny-mkd", arch="rtmdet-tiny", latency_ms=ms, precision=precision)
        put(tmp_path, f"latency/{name}.json", record | EXPORTED)
    put(tmp_path, "latency/carried.json", told(timed, "tiny-mkd", scale=None, host=board))
    records = load_folder(tmp_path, "desk")
    table = tables.build(records, config.load({"scale": "desk"}).runs, 1)
    shown = latency_view.view(records, table)
    assert [(host["carried"], len(host["rows"])) for host in shown["hosts"]] == [
        (False, 3),
        (True, 1),
    ]
    assert shown["hosts"][1]["title"].startswith("Board")
    assert {row["model"]: row["p99_ms"] for row in shown["hosts"][0]["rows"]} == {
        "yolov7": 9.0,
        "tiny-mkd": None,
    }
    int8 = next(row for row in shown["exported"] if row["precision"] == "INT8")
    assert (int8["delta"], int8["latency"], int8["speedup"]) == (-0.5, "4.00", 2.0)
    points = latency_view.points(records, table)
    assert list(points["facet"].unique()) == ["paper", "measured"]
    figure = latency_figure.scatter(points, "desk")
    assert [ax.get_title("left") for ax in figure.axes] == [
        "Paper: AP against latency",
        "Measured, desk scale: AP against latency",
    ]
    measured = {line.get_label(): line for line in figure.axes[1].lines}
    assert measured.pop("_frontier").get_xydata().tolist() == [[4, 39.5], [8, 40]]
    assert set(measured) == {
        "tiny-mkd, FP32, CPU, desk scale at 128 px: AP 40.0 at 8.00 ms",
        "tiny-mkd, INT8, CPU, desk scale at 128 px: AP 39.5 at 4.00 ms",
    }
    whole, small = sorted(measured.values(), key=lambda line: -line.get_xdata()[0])
    assert (whole.get_xydata().tolist(), small.get_xydata().tolist()) == ([[8, 40]], [[4, 39.5]])
    assert whole.get_markerfacecolor() == small.get_markeredgecolor() == style.color("baseline")
    assert "hollow: not FP32" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_host_has_a_panel_and_a_frontier_of_its_own() -> None:
    point = {"facet": "measured", "run": "r", "label": "r", "method": "baseline", "input_px": 64}
    points = [("desk", "cpu", 8, 40), ("desk", "openvino", 4, 40), ("board", "ncnn", 90, 39)]
    rows = [
        {**point, "host": host, "provider": where, "precision": "fp32", "x": ms, "y": ap}
        for host, where, ms, ap in points
    ]
    figure = latency_figure.scatter(
        pd.DataFrame([{**row, "frontier": row["x"] != 8} for row in rows]), "desk"
    )
    assert [ax.get_title("left") for ax in figure.axes] == [
        "desk, desk scale",
        "board, desk scale",
    ]
    assert [line.get_label() for line in figure.axes[1].lines] == [
        "r, FP32, ncnn, desk scale at 64 px: AP 39.0 at 90.00 ms"
    ]
    assert "r, FP32, OpenVINO, " in figure.axes[0].lines[1].get_label()


def test_what_an_engine_does_not_take_stands_on_the_page_with_the_reason(
    tmp_path: Path, timed: dict[str, Any]
) -> None:
    kept = ("kind", "schema", "scale", "arch", "precision", "provider", "digests")
    refused = {key: timed[key] for key in (*kept, "versions", "host", "started")}
    reason = "ncnn has no layer for a part of this graph"
    more = {"model": "yolov7", "engine": "ncnn", "refused": reason, "versions": {"ncnn": "1"}}
    put(tmp_path, "latency/yolov7-fp32-ncnn.json", {**refused, **more})
    records = load_folder(tmp_path, "desk")
    assert (records.problems, records.edge.latency, records.edge.unsteady()) == ([], [], set())
    table = tables.build(records, config.load({"scale": "desk"}).runs, 1)
    assert latency_view.view(records, table)["refused"] == [
        {"name": "YOLOv7", "engine": "ncnn 1", "precision": "FP32", "reason": reason}
    ]


def test_each_engine_is_set_against_the_papers_latencies(
    tmp_path: Path, timed: dict[str, Any]
) -> None:
    models = ("yolov5-n", "yolov5-s", "yolov7")
    for at, model in enumerate(models):
        put(tmp_path, f"latency/{at}.json", told(timed, model, latency_ms=9.0 - at))
        vino = told(timed, model, engine="openvino", latency_ms=1.0 + at)
        put(tmp_path, f"latency/{at}-openvino.json", vino)
    put(tmp_path, "latency/ncnn.json", told(timed, "yolov7", engine="ncnn"))
    records = load_folder(tmp_path, "desk")
    table = tables.build(records, config.load({"scale": "desk"}).runs, 1)
    assert latency_view.rank(records, table) == (
        "The rank correlation (Spearman) of measured and printed latency is "
        "−1.00 over 3 detectors (CPU, FP32), 1.00 over 3 detectors (OpenVINO, FP32)."
    )


def test_each_host_is_set_against_the_papers_latencies(
    tmp_path: Path, timed: dict[str, Any]
) -> None:
    models = ("yolov5-n", "yolov5-s", "yolov5-m", "yolov6-s", "yolov7", "yolox-m")
    for at, model in enumerate(models):
        host = {**timed["host"], "cpu": f"chip {at % 2}"}
        put(tmp_path, f"latency/{at}.json", told(timed, model, latency_ms=9.0 - at, host=host))
    records = load_folder(tmp_path, "desk")
    said = latency_view.rank(records, tables.build(records, config.load().runs, 1))
    assert [f"over 3 detectors (CPU, FP32, chip {at})" in said for at in (0, 1)] == [True, True]


def test_the_column_of_table_1_is_the_place_that_has_most_of_it(
    tmp_path: Path, timed: dict[str, Any]
) -> None:
    gpu = told(timed, "yolov7", provider="tensorrt", precision="fp16", latency_ms=1.0)
    put(tmp_path, "latency/gpu.json", gpu)
    edge = load_folder(tmp_path, "desk").edge
    assert [record["latency_ms"] for record in edge.column()] == [1.0]
    for model in ("yolov7", "yolov5-n"):
        put(tmp_path, f"latency/{model}.json", told(timed, model, latency_ms=9.0))
    edge = load_folder(tmp_path, "desk").edge
    assert [record["latency_ms"] for record in edge.column()] == [9.0, 9.0]
    assert edge.unsteady() == set()


def test_the_column_of_table_1_is_of_one_host(tmp_path: Path, timed: dict[str, Any]) -> None:
    for at, model in enumerate(("yolov7", "yolov5-n", "yolov6-s", "yolov6-l")):
        host = {**timed["host"], "cpu": "AB"[at == 1]}
        put(tmp_path, f"latency/{model}.json", told(timed, model, host=host))
    edge = load_folder(tmp_path, "desk").edge
    assert {record["model"] for record in edge.column()} == {"yolov7", "yolov6-s", "yolov6-l"}
    # Timed, and steadily, but elsewhere.
    assert edge.unsteady() == set()


def test_the_column_of_table_1_is_of_one_size(tmp_path: Path, timed: dict[str, Any]) -> None:
    """Half of the detectors may not have been timed since config/latency.yaml was changed."""
    for at, model in enumerate(("yolov7", "yolov5-n", "yolov6-s")):
        record = told(timed, model, input_px=(320, 640)[at == 1])
        put(tmp_path, f"latency/{model}.json", record)
    edge = load_folder(tmp_path, "desk").edge
    assert {record["model"] for record in edge.column()} == {"yolov7", "yolov6-s"}
    assert edge_compare._where([(record, {**record, "input_px": 640})]) == (
        "; input size 320 → 640"
    )


def test_an_engine_is_no_column_of_table_1(tmp_path: Path, timed: dict[str, Any]) -> None:
    put(tmp_path, "latency/a.json", told(timed, "yolov7", engine="openvino"))
    records = load_folder(tmp_path, "desk")
    assert (records.edge.column(), records.edge.unsteady()) == ([], set())
    assert cell(tmp_path, "yolov7", "latency_ms") is None


def test_an_engines_ap_that_drifts_is_named(planned: Suite) -> None:
    record = exported_record("tiny-mkd", "a")
    path = planned.results / "exported/tiny-mkd.json"
    weights = json.loads(path.read_text())["digests"]
    far = {"metrics": {**FIGURES, "AP": 39.4}, "difference": 0.01}
    near = {"metrics": {**FIGURES, "AP": 39.6}, "difference": 0.01}
    engines = {"openvino": {"fp32": near, "int8": far}, "ncnn": {"fp32": {"refused": "absent"}}}
    own = record["files"]["fp32"]
    files = {"fp32": own, "int8": {**own, "metrics": {**FIGURES, "AP": 39.3}}}
    more = {"digests": weights, "engines": engines, "files": files}
    put(planned.results, "exported/tiny-mkd.json", record, **more)
    assert said(planned) == [
        ("exported/tiny-mkd.json", "onnxruntime int8 has an AP of 39.3 and torch 40.0"),
        ("exported/tiny-mkd.json", "openvino int8 has an AP of 39.4 and torch 40.0"),
    ]


def test_a_detector_that_is_not_taken_says_so_beside_its_graphs_figure(
    suite: Suite, timed: dict[str, Any]
) -> None:
    why = "it has no <NMS>"
    record = told(timed, "yolov7", latency_ms=9.0) | {"end_to_end": None, "end_to_end_refused": why}
    # A rectangle has no one side.
    record |= {"input_px": None, "shapes": {"images": [1, 3, 288, 512]}}
    put(suite.results, "latency/yolov7-fp32-cpu.json", record)
    render(suite, suite.results / "report")
    page = (suite.results / "report/index.html").read_text()
    assert '<td class="n">not taken</td>' in page
    assert "<p>Where no end-to-end time was taken: it has no &lt;NMS&gt;.</p>" in page
    assert '<td class="n">1×3×288×512</td>' in page


def test_nothing_timed_has_no_figure(tmp_path: Path) -> None:
    put(tmp_path, "complexity/yolov7.json", COMPLEXITY)
    records = load_folder(tmp_path, "desk")
    table = tables.build(records, config.load({"scale": "desk"}).runs, 1)
    assert latency_view.points(records, table).empty


@pytest.fixture
def planned(suite: Suite, fill: Callable[..., Path], timed: dict[str, Any]) -> Suite:
    """Every edge record desk plans for two students and the detectors that can be built here."""
    small = replace(
        suite,
        runs={name: suite.runs[name] for name in ("s-baseline", "tiny-mkd")},
        config={**suite.config, "seeds": [0]},
    )
    fill("s-baseline", "tiny-mkd", seeds=(0,))
    root = small.results
    for name in edge.students(small):
        record = json.loads((root / f"runs/{name}/seed0/record.json").read_text())
        weights = {"weights": record["digests"]["weights"]}
        put(root, f"exported/{name}.json", exported_record(name, "a"), digests=weights)
    for name in edge.zoo(small):
        put(root, f"complexity/{name}.json", COMPLEXITY, model=name)
    for name in [*edge.zoo(small), *edge.students(small)]:
        for precision in ("fp32", "int8"):
            record = told(timed, name, precision=precision, **EXPORTED)
            put(root, f"latency/{name}-{precision}-cpu.json", record)
    return small


def said(suite: Suite) -> list[tuple[str, str]]:
    """What `check-results` says of the edge suite's records."""
    return [
        (problem.where, problem.what)
        for problem in check(suite, suite.results)[1]
        if problem.where.startswith(("complexity", "exported", "latency"))
    ]


def test_a_missing_a_mixed_and_an_outdated_edge_record_are_found(
    planned: Suite, timed: dict[str, Any]
) -> None:
    root = planned.results
    assert said(planned) == []
    (root / "latency/rtmdet-s-int8-cpu.json").unlink()
    (root / "complexity/rtmdet-l.json").unlink()
    put(root, "complexity/rtmdet-m.json", COMPLEXITY, model="rtmdet-m", input_px=320)
    put(root, "latency/rtmdet-m-fp32-cpu.json", told(timed, "rtmdet-m", host={**HOST, "cpu": "B"}))
    worse = exported_record("tiny-mkd", "a")
    put(root, "exported/tiny-mkd.json", worse, torch={"AP": 40.2, "AP50": 60.0})
    found = dict(said(planned))
    assert found.keys() == {
        *("complexity", "complexity/rtmdet-l.json"),
        *("exported/tiny-mkd.json", "latency", "latency/rtmdet-s-int8-cpu.json"),
    }
    assert found["complexity/rtmdet-l.json"] == "was not made"
    assert found["complexity"] == "counted at 320, 640 px: Table 1 wants one size"
    assert "B, 1, " in found["latency"]
    assert ("exported/tiny-mkd.json", "is of other weights than the run's record") in said(planned)
    assert found["exported/tiny-mkd.json"] == "the FP32 file has an AP of 40.0 and torch 40.2"
    put(root, "latency/tiny-mkd-int8-cpu.json", told(timed, "tiny-mkd", precision="int8"))
    words = "is of another file than the one that is exported now: time it again"
    assert dict(said(planned))["latency of tiny-mkd int8 on cpu"] == words


def test_a_provider_that_timed_one_file_is_to_time_them_all(
    planned: Suite, timed: dict[str, Any]
) -> None:
    record = told(timed, "rtmdet-s", provider="cuda")
    put(planned.results, "latency/rtmdet-s-fp32-cuda.json", record)
    missing = {where for where, what in said(planned) if what == "was not made"}
    assert missing | {"latency/rtmdet-s-fp32-cuda.json"} == {
        f"latency/{name}-{precision}-cuda.json"
        for name in (*edge.zoo(planned), *edge.students(planned))
        for precision in ("fp32", "fp16")
    }
    assert len(missing) > 1


def test_the_reference_keeps_edge_records_with_fewer_samples(
    planned: Suite, timed: dict[str, Any], tmp_path: Path
) -> None:
    many = copy.deepcopy(told(timed, "rtmdet-s"))
    many["processes"][0]["graph"]["attempts"][0]["samples_ms"] = [float(i) for i in range(1000)]
    put(planned.results, "latency/rtmdet-s-fp32-cpu.json", many)
    out = tmp_path / "kept"
    stale = out / "latency/stale.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    kept = reference.keep(planned, planned.results, out)
    assert not stale.exists()
    again = load_folder(out, "desk")
    assert again.problems == []
    assert again.edge.complexity == kept.edge.complexity
    assert again.edge.exported == kept.edge.exported
    assert [r["graph"] for r in again.edge.latency] == [r["graph"] for r in kept.edge.latency]
    thin = json.loads((out / "latency/rtmdet-s-fp32-cpu.json").read_text())
    samples = thin["processes"][0]["graph"]["attempts"][0]["samples_ms"]
    assert samples == [float(i) for i in range(0, 1000, 20)]
    shaky = told(timed, "rtmdet-l", passed=False, unsteady=["other work took 40%"])
    shaky["graph"]["passed"] = False
    put(planned.results, "latency/rtmdet-l-fp32-cpu.json", shaky)
    (problem,) = reference.keep(planned, planned.results, out).problems
    assert "not quiet (other work took 40%): time it again" in problem.what
    put(planned.results, "latency/rtmdet-l-fp32-cpu.json", told(timed, "rtmdet-l"))
    reference.keep(planned, planned.results, out)
    before = {path: path.read_text() for path in out.rglob("*.*")}
    reference.keep(planned, out, out)
    assert {path: path.read_text() for path in out.rglob("*.*")} == before
    (planned.results / "latency/rtmdet-s-fp32-cpu.json").write_text("{")
    with pytest.raises(UserError, match=r"is no reference: latency/rtmdet-s-fp32-cpu.json"):
        reference.keep(planned, planned.results, out)


def test_compare_says_what_the_edge_suite_found_otherwise(planned: Suite, tmp_path: Path) -> None:
    one, two = planned.results, tmp_path / "other"
    shutil.copytree(one, two)
    assert not [line for line in compare(one, two) if "latency" in line or "exported" in line]
    for path in two.glob("latency/rtmdet-*-fp32-cpu.json"):
        put(two, f"latency/{path.name}", json.loads(path.read_text()), latency_ms=15.0)
    (two / "latency/tiny-mkd-int8-cpu.json").unlink()
    put(two, "complexity/rtmdet-s.json", COMPLEXITY, model="rtmdet-s", macs_g=50.0)
    changed = json.loads((two / "exported/tiny-mkd.json").read_text())
    vino = {"openvino": {"int8": {"metrics": FIGURES, "difference": 0.1}}}
    put(one, "exported/tiny-mkd.json", changed, engines=vino)
    vino["openvino"]["int8"]["metrics"] = {**FIGURES, "AP": 39.0}
    changed["engines"] = vino
    changed["files"]["int8"]["metrics"]["AP"] = 38.0
    put(two, "exported/tiny-mkd.json", changed, graph="b" * 64)
    lines = compare(one, two)
    assert "complexity of rtmdet-s: macs_g 52.42 → 50.0" in lines
    assert "exported tiny-mkd: another graph" in lines
    assert "exported tiny-mkd, int8: AP 39.5 → 38.0" in lines
    assert "exported tiny-mkd, openvino int8: AP 40.0 → 39.0" in lines
    assert "latency only in A: tiny-mkd int8 cpu" in lines
    (moved,) = [line for line in lines if line.startswith("latency, cpu fp32: ")]
    assert f"over {len(edge.zoo(planned)) + 2} files (1.00 " in moved
    assert "to 2.00 rtmdet-" in moved
    # What was not steady is there, and is no ratio.
    file = two / "latency/rtmdet-s-fp32-cpu.json"
    record = json.loads(file.read_text())
    record["graph"]["restart_spread"] = 0.4
    put(two, f"latency/{file.name}", record)
    lines = compare(one, two)
    assert "latency only in A: tiny-mkd int8 cpu" in lines
    (moved,) = [line for line in lines if line.startswith("latency, cpu fp32: ")]
    assert f"over {len(edge.zoo(planned)) + 1} files (1.00 " in moved
    assert moved.endswith(")")
    for path in two.glob("latency/*.json"):
        content = json.loads(path.read_text())
        put(two, f"latency/{path.name}", content, settings__threads=8, host__cpu="B 9")
    (moved,) = [line for line in compare(one, two) if line.startswith("latency, cpu fp32: ")]
    assert moved.endswith(f"; chip {record['host']['cpu']} → B 9, threads 1 → 8")
    assert not [line for line in compare(one, one) if line.startswith("latency, ")]


@pytest.mark.parametrize(("before", "steady"), [(None, True), (0.1, True), (0.4, False)])
def test_the_way_end_to_end_is_not_steady_behind_other_work(
    timed: dict[str, Any], before: float | None, steady: bool
) -> None:
    whole = {**timed["graph"], "prepare_ms": 1.0, "passed": True, "restart_spread": 0.0}
    settings, load = {**timed["settings"], "load": 0.1}, {"before": before, "during": 0.0}
    record = told(timed, "rtmdet-s", end_to_end=whole, settings=settings, load=load)
    (host,) = latency_view._hosts(EdgeRecords(latency=[record]), [])
    assert host["rows"][0]["steady_end"] is steady


def test_conditions_that_changed_are_named(timed: dict[str, Any]) -> None:
    one = {**timed, "versions": {"onnxruntime": "1"}, "host": {**HOST, "cpu": "A"}}
    newer = {**one, "versions": {"onnxruntime": "2"}}
    other = {**one, "host": {**HOST, "cpu": "B"}}
    assert edge_compare._where([(one, one)]) == ""
    assert edge_compare._where([(one, newer)]) == "; engine ONNX Runtime 1 → ONNX Runtime 2"
    assert edge_compare._where([(one, one), (one, other)]) == "; chip A → A and B"
    assert edge_compare._where([(other, one), (one, one)]) == "; chip A and B → A"


def test_a_carried_record_may_be_of_an_earlier_file(planned: Suite, timed: dict[str, Any]) -> None:
    put(planned.results, "latency/board.json", told(timed, "tiny-mkd", scale=None))
    assert said(planned) == []
