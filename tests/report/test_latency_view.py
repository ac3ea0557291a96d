"""One graph has one latency, and a timing that its restarts do not agree on has none."""

from typing import Any

import pytest

from mkd.edge.records import EdgeRecords, conditions
from mkd.report import latency_view
from mkd.results import devices


def timed(
    model: str, milliseconds: float, spread: float = 0.01, passed: bool = True, cpu: str = "A"
) -> dict[str, Any]:
    return {
        "model": model, "arch": "rtmdet-tiny", "precision": "fp32", "provider": "cpu",
        "scale": "desk", "input_px": 96, "latency_ms": milliseconds,
        "graph": {"passed": passed, "restart_spread": spread},
        "host": {"cpu": cpu, "gpu": []}, "settings": {"threads": 2}, "versions": {},
        "digests": {"model": model},
    }  # fmt: skip


def latencies(*records: dict[str, Any], **graphs: str) -> dict[str, float | None]:
    edge = EdgeRecords(
        latency=list(records),
        exported={
            (run := name.replace("_", "-")): {"graph": graph, "files": {"fp32": {"digest": run}}}
            for name, graph in graphs.items()
        },
    )
    shared = devices.timings(edge)
    graph = {name: entry["graph"] for name, entry in edge.exported.items()}
    return {
        record["model"]: shared[graph.get(record["model"], record["model"]), *conditions(record)]
        for record in records
    }


def test_students_of_one_graph_share_one_timing() -> None:
    found = latencies(
        timed("tiny-baseline", 2.0), timed("tiny-mkd", 2.1), timed("s-mkd", 3.0),
        tiny_baseline="one", tiny_mkd="one", s_mkd="other",
    )  # fmt: skip
    assert found == {"tiny-baseline": 2.05, "tiny-mkd": 2.05, "s-mkd": 3.0}


def test_timings_of_one_graph_that_do_not_agree_are_not_steady() -> None:
    found = latencies(
        timed("tiny-baseline", 1.47), timed("tiny-mkd", 2.66), tiny_baseline="one", tiny_mkd="one"
    )
    assert found == {"tiny-baseline": None, "tiny-mkd": None}


def test_a_timing_of_an_earlier_file_is_none_of_the_graphs() -> None:
    found = latencies(
        timed("tiny-baseline", 2.0), {**timed("tiny-mkd", 9.0), "digests": {"model": "earlier"}},
        tiny_baseline="one", tiny_mkd="one",
    )  # fmt: skip
    assert found == {"tiny-baseline": 2.0, "tiny-mkd": 2.0}


def test_timings_of_one_graph_on_two_hosts_are_two() -> None:
    found = latencies(
        timed("tiny-baseline", 1.47), timed("tiny-mkd", 2.66, cpu="B"),
        tiny_baseline="one", tiny_mkd="one",
    )  # fmt: skip
    assert found == {"tiny-baseline": 1.47, "tiny-mkd": 2.66}


@pytest.mark.parametrize(("spread", "steady"), [(0.1, True), (0.101, False)])
def test_restarts_that_differ_by_more_than_a_tenth_are_not_steady(
    spread: float, steady: bool
) -> None:
    record = timed("rtmdet-tiny", 2.0, spread)
    assert latencies(record) == {"rtmdet-tiny": 2.0 if steady else None}
    edge = EdgeRecords(latency=[record])
    assert bool(edge.column()) is steady
    assert edge.unsteady() == (set() if steady else {"rtmdet-tiny"})


def test_what_a_board_timed_stands_before_why_this_hosts_engine_did_not() -> None:
    reason = "ncnn is not installed"
    row = {"run": "tiny-mkd", "place": "ncnn", "precision": "fp16", "reason": reason}
    cases = (
        ({"latency_ms": 45.0, "timed": True}, "45.00"),
        ({"latency_ms": None, "timed": True}, "unsteady"),
        ({"latency_ms": None, "timed": False}, reason),
    )
    for more, words in cases:
        (shown,) = latency_view._exported([row | more])
        assert shown["latency"] == words


def test_a_timing_from_another_host_is_none_of_this_scales() -> None:
    found = latencies(
        timed("tiny-baseline", 2.0), {**timed("tiny-mkd", 9.0), "scale": None},
        tiny_baseline="one", tiny_mkd="one",
    )  # fmt: skip
    assert found["tiny-baseline"] == 2.0


@pytest.mark.parametrize(
    ("load", "settings", "disturbed"),
    [
        ({"load": {"before": 0.4}}, {"load": 0.1}, True),
        ({"load": {"before": 0.1}}, {"load": 0.1}, False),
        ({"load": {"before": None}}, {"load": 0.1}, False),
        ({"load": {"before": 0.4}}, {}, False),
        ({"load": {"before": 0.4}}, {"load": None}, False),
        ({"load": None}, {"load": 0.1}, False),
        ({}, {}, False),
    ],
)
def test_a_record_that_does_not_say_was_not_disturbed(
    load: dict[str, Any], settings: dict[str, Any], disturbed: bool
) -> None:
    assert latency_view._disturbed({**load, "settings": settings}) is disturbed
