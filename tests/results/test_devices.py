"""AP and latency of one file on each host and engine, from the edge suite's records."""

from typing import Any

import pytest

from mkd.edge.records import EdgeRecords
from mkd.results import devices

DIGEST = {"fp32": "a" * 64, "int8": "b" * 64}


def exported(**engines: Any) -> dict[str, Any]:
    """A student's record: torch's AP is 40, its FP32 file's too, its INT8 file's 39.4."""
    return {
        "run": "tiny-mkd",
        "input_px": 128,
        "torch": {"AP": 40.0},
        "files": {
            precision: {"metrics": {"AP": ap}, "bytes": size, "digest": DIGEST[precision]}
            for precision, ap, size in (("fp32", 40.0, 4_000_000), ("int8", 39.4, 1_000_000))
        },
        "engines": engines,
    }


def timed(
    precision: str, ms: float, engine: str | None = None, host: str = "desk", **changes: Any
) -> dict[str, Any]:
    """A latency record; one without an engine is older than that field."""
    file = "int8" if precision == "int8" else "fp32"
    return {
        "model": "tiny-mkd",
        "precision": precision,
        "input_px": 128,
        "provider": "cpu",
        "scale": "desk" if host == "desk" else None,
        "latency_ms": ms,
        "graph": {"passed": True},
        "host": {"cpu": host, "gpu": []},
        "settings": {"threads": 1},
        "versions": {},
        "digests": {"model": DIGEST[file]},
        **({"engine": engine} if engine else {}),
        **changes,
    }


def rows(latency: list[dict[str, Any]], refused: Any = (), **engines: Any) -> list[dict[str, Any]]:
    return devices.rows(
        EdgeRecords(
            exported={"tiny-mkd": exported(**engines)}, latency=latency, refused=list(refused)
        )
    )


def told(found: list[dict[str, Any]], *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(row[key] for key in keys) for row in found]


def test_each_engine_has_the_ap_of_its_own_outputs_and_a_large_drift_is_marked() -> None:
    vino = {"fp32": {"metrics": {"AP": 40.1}}, "int8": {"metrics": {"AP": 39.6}}}
    found = rows(
        [
            *(timed("fp32", 8.0), timed("int8", 4.0, "onnxruntime")),
            *(timed("fp32", 6.0, "openvino"), timed("int8", 3.0, "openvino")),
        ],
        openvino=vino,
    )
    assert told(found, "place", "precision", "AP", "latency_ms", "speedup", "drifts") == [
        ("cpu", "fp32", 40.0, 8.0, 1.0, False),
        ("cpu", "int8", 39.4, 4.0, 2.0, True),
        ("openvino", "fp32", 40.1, 6.0, 1.0, False),
        ("openvino", "int8", 39.6, 3.0, 2.0, False),
    ]
    # OpenVINO is faster and better at both precisions.
    assert [row["frontier"] for row in found] == [False, False, True, True]


def test_a_cell_without_a_figure_says_why() -> None:
    absent = "ncnn is not installed"
    vino = {"fp32": {"metrics": {"AP": 40.0}}, "fp16": {"refused": "no FP16 kernels"}}
    found = rows(
        [timed("fp32", 8.0, graph={"passed": False})],
        [timed("fp32", 1.0, "openvino", refused="it does not take this graph")],
        openvino=vino,
        ncnn={"fp32": {"refused": absent}},
    )
    assert told(found, "place", "precision", "timed", "latency_ms", "reason") == [
        ("cpu", "fp32", True, None, ""),
        ("", "int8", False, None, ""),
        ("openvino", "fp32", False, None, "it does not take this graph"),
        ("openvino", "fp16", False, None, "no FP16 kernels"),
        ("ncnn", "fp32", False, None, absent),
    ]
    assert not any(row["frontier"] for row in found)


def test_a_file_that_onnx_runtime_refused_has_its_reason() -> None:
    refused = timed("int8", 1.0, refused="it does not fit into memory")
    found = rows([timed("fp32", 8.0)], [refused])
    assert told(found, "place", "precision", "reason") == [
        ("cpu", "fp32", ""),
        ("", "int8", "it does not fit into memory"),
    ]


def test_another_hosts_record_counts_where_it_is_of_the_file_that_was_scored() -> None:
    other = {"digests": {"model": "c" * 64}}
    found = rows(
        [
            timed("fp32", 8.0),
            timed("fp32", 50.0, host="board"),
            timed("fp32", 1.0, host="x", **other),
        ]
    )
    assert told(found, "host", "carried", "precision", "latency_ms", "frontier") == [
        ("desk, 1 thread", False, "fp32", 8.0, True),
        ("", False, "int8", None, False),
        # A slow board has a frontier of its own.
        ("board, 1 thread", True, "fp32", 50.0, True),
    ]


def test_a_board_may_have_timed_another_of_the_runs_files_at_that_precision() -> None:
    """A file of FP16, where what was scored is the FP32 file, computed in half precision."""
    halved = {"fp16": {"metrics": {"AP": 39.9}}}
    own, other = (timed("fp16", ms, "openvino", host="board") for ms in (6.0, 5.0))
    other["digests"] = {"model": DIGEST["int8"]}
    found = rows([own, other], openvino=halved)
    assert [row["latency_ms"] for row in found if row["host"] == "board, 1 thread"] == [6.0]


def test_a_boards_unsteady_time_is_no_figure() -> None:
    shaky = timed("fp32", 50.0, host="board", graph={"passed": True, "restart_spread": 0.3})
    (row,) = (row for row in rows([shaky]) if row["carried"])
    assert (row["timed"], row["latency_ms"], row["frontier"]) == (True, None, False)


def test_an_ap_above_torchs_drifts_too() -> None:
    record = exported()
    record["files"]["fp32"]["metrics"]["AP"] = 40.6
    assert devices.rows(EdgeRecords(exported={"tiny-mkd": record}))[0]["drifts"]


def test_the_scales_own_time_of_an_earlier_file_stands_beside_no_later_ap() -> None:
    found = rows([timed("fp32", 8.0, digests={"model": "c" * 64})])
    assert told(found, "precision", "latency_ms", "timed") == [
        ("fp32", None, False),
        ("int8", None, False),
    ]


def test_a_speedup_is_over_as_many_threads_and_the_same_engine() -> None:
    four = {"host": "board", "settings": {"threads": 4}}
    newer = {"host": "new", "versions": {"onnxruntime": "2"}}
    older = {"host": "new", "versions": {"onnxruntime": "1"}}
    found = rows(
        [
            *(timed("fp32", 8.0, host="board"), timed("int8", 5.0, host="board")),
            *(timed("fp32", 3.0, **four), timed("int8", 2.0, **four)),
            *(
                timed("fp32", 6.0, **older),
                timed("int8", 2.0, **older),
                timed("int8", 1.0, **newer),
            ),
        ]
    )
    carried = [row for row in found if row["carried"]]
    assert told(carried, "host", "precision", "latency_ms", "speedup") == [
        ("board, 1 thread", "fp32", 8.0, 1.0),
        ("board, 4 threads", "fp32", 3.0, 1.0),
        ("new, 1 thread", "fp32", 6.0, 1.0),
        ("board, 1 thread", "int8", 5.0, 1.6),
        ("board, 4 threads", "int8", 2.0, 1.5),
        ("new, 1 thread", "int8", 2.0, 3.0),
        ("new, 1 thread", "int8", 1.0, None),
    ]


def test_a_speedup_is_over_the_students_own_fp32() -> None:
    other = {"model": "s-mkd"}
    found = devices.rows(
        EdgeRecords(
            exported={"tiny-mkd": exported(), "s-mkd": {**exported(), "run": "s-mkd"}},
            latency=[
                *(timed("fp32", 8.0), timed("int8", 4.0)),
                *(timed("fp32", 20.0, **other), timed("int8", 5.0, **other)),
            ],
        )
    )
    assert told(found, "run", "precision", "speedup") == [
        ("tiny-mkd", "fp32", 1.0),
        ("tiny-mkd", "int8", 2.0),
        ("s-mkd", "fp32", 1.0),
        ("s-mkd", "int8", 4.0),
    ]


def test_an_engine_that_halves_a_file_itself_is_of_the_fp32_file() -> None:
    ncnn = {"fp16": {"metrics": {"AP": 39.9}}}
    found = rows([timed("fp16", 20.0, "ncnn", host="board")], ncnn=ncnn)
    (row,) = [row for row in found if row["place"] == "ncnn" and row["timed"]]
    assert (row["megabytes"], row["AP"], row["carried"]) == (4.0, 39.9, True)


@pytest.mark.parametrize("ap", [None, 41.0])
def test_a_val_set_without_an_ap_has_no_drift(ap: float | None) -> None:
    record = exported()
    record["torch"] = {"AP": None}
    record["files"]["fp32"]["metrics"]["AP"] = ap
    (first, _) = devices.rows(EdgeRecords(exported={"tiny-mkd": record}))
    assert (first["delta"], first["drifts"]) == (None, False)


def test_a_record_that_lost_a_file_has_no_size_of_it() -> None:
    record = exported(openvino={"int8": {"metrics": {"AP": 39.0}}})
    del record["files"]["int8"]
    found = devices.rows(EdgeRecords(exported={"tiny-mkd": record}))
    assert told(found, "place", "megabytes") == [("", 4.0), ("openvino", None)]
