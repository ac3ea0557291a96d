"""Files against one another: what is a tie, how they take turns, what the table says."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from mkd import cli, host
from mkd.edge import measure, paired, paired_table, processes
from mkd.edge.opening import Settings
from mkd.edge.paired import Entry, pair
from mkd.edge.spread import median_interval
from mkd.errors import UserError
from mkd.files import read_json

QUICK = Settings(min_samples=1, min_seconds=0, max_seconds=0, restarts=1, load=1)


def repetitions(*factors: float, noise: float = 0.0, rounds: int = 20) -> list[np.ndarray]:
    """Medians of blocks on a machine that grows slower and slower, a repetition a factor."""
    random = np.random.default_rng(0)
    drift = np.linspace(10, 30, rounds)
    return [f * drift * np.exp(noise * random.standard_normal(rounds)) for f in factors]


@pytest.mark.parametrize(
    ("count", "rank"), [(1, 0), (5, 0), (6, 0), (9, 1), (12, 2), (20, 5), (100, 39)]
)
def test_the_interval_of_a_median_is_that_of_the_binomial_tables(count: int, rank: int) -> None:
    samples = np.random.default_rng(0).permutation(count)
    assert median_interval(samples) == (rank, count - 1 - rank)


@pytest.mark.parametrize("count", [1001, 1024, 2000, 2001, 5000])
def test_of_many_samples_no_more_are_left_out_than_the_binomial_allows(count: int) -> None:
    low, high = median_interval(range(count))
    assert low == count - 1 - high
    # So many may lie below the median with a chance of at most 2.5 %; one more or two may not.
    assert binom.cdf(low, count, 0.5) <= 0.025 < binom.cdf(low + 2, count, 0.5)


def test_the_interval_holds_the_median_95_times_in_100() -> None:
    random = np.random.default_rng(0)
    for count in (10, 30, 2000):
        intervals = [median_interval(random.exponential(size=count)) for _ in range(400)]
        held = np.mean([low <= np.log(2) <= high for low, high in intervals])
        assert 0.93 <= held <= 0.995, count


def test_a_drift_of_the_machine_favours_nobody() -> None:
    same = pair(repetitions(1, 1, noise=0.01), repetitions(1, 1))
    assert same.tie
    assert same.ratio == pytest.approx(1, abs=0.01)
    slower = pair(repetitions(1.2, 1.2, noise=0.01), repetitions(1, 1))
    assert not slower.tie
    assert slower.ratio == pytest.approx(1.2, abs=0.02)
    assert slower.interval[0] > 1.15


@pytest.mark.parametrize(
    ("factors", "noise", "tie"),
    [
        ((1.04, 1.04, 1.04), 0.0, True),  # well known, and small
        ((0.96, 0.96, 0.96), 0.0, True),
        ((1.06, 1.06, 1.06), 0.001, False),
        ((0.9, 0.9, 0.9), 0.001, False),
        ((1.2, 1.2, 0.95), 0.001, True),  # one process shows the opposite
        ((1.1, 1.1, 1.1), 0.6, True),  # large, and not known
    ],
)
def test_a_difference_is_large_enough_and_shown_by_every_repetition(
    factors: tuple[float, ...], noise: float, tie: bool
) -> None:
    assert pair(repetitions(*factors, noise=noise), repetitions(1, 1, 1)).tie is tie


def test_entries_take_turns_in_fresh_processes(
    conv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paired, "BLOCK_MS", 1.0)
    entries = [Entry(conv(f"{name}.onnx"), QUICK) for name in "ab"]
    record = paired.compare([entries[0], entries[0], entries[1]])
    assert record["rounds"] == [paired.ROUNDS]
    for row in record["rows"]:
        assert [len(blocks) for blocks in row["blocks_ms"]] == record["rounds"]
        assert row["samples"] == sum(len(b) for blocks in row["blocks_ms"] for b in blocks)
        low, high = row["interval_ms"]
        assert 0 < low <= row["median_ms"] <= high
    assert [found["rows"] for found in record["pairs"]] == [[0, 1], [0, 2], [1, 2]]
    medians = [row["median_ms"] for row in record["rows"]]
    assert medians == sorted(medians)


@pytest.fixture
def scripted(
    conv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[dict[str, Any], list[int]]]:
    """Compares two files whose runs take the given milliseconds, on a clock that only they move.

    A block is five runs of the first and three of the second. Returned are the record and the order
    of the blocks.
    """
    now = [0.0]
    turns: list[int] = []
    monkeypatch.setattr(paired, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(measure, "listen", lambda _: None)

    def compare(settings: Settings, *times: Sequence[float]) -> tuple[dict[str, Any], list[int]]:
        entries = [Entry(conv(f"{name}.onnx"), settings) for name in "ab"]

        def worker(entry: Entry, *_: Any) -> Any:
            at = entries.index(entry)
            runs, left = (5, 3)[at], iter(times[at])

            def block() -> list[float]:
                turns.append(at)
                samples = [next(left)] * runs
                now[0] += sum(samples) / 1e3
                return samples

            return nullcontext(SimpleNamespace(runs=runs, others=None, block=block))

        monkeypatch.setattr(paired, "_Worker", worker)
        return paired.compare(entries), turns

    return compare


def test_a_ratio_is_of_the_slower_to_the_faster(scripted: Any) -> None:
    record, _ = scripted(QUICK, [12.0] * 10, [10.0] * 10)
    assert [(Path(row["file"]).stem, row["median_ms"]) for row in record["rows"]] == [
        ("b", 10.0),
        ("a", 12.0),
    ]
    assert record["pairs"] == [{"rows": [0, 1], "ratio": 1.2, "interval": (1.2, 1.2), "tie": False}]


@pytest.mark.parametrize(
    ("settings", "rounds"),
    [
        ({}, 10),
        ({"min_samples": 45}, 15),  # 3 a round
        ({"max_seconds": 600}, 20),  # 15 of 20 rounds show one ratio
        ({"max_seconds": 0.5}, 12),  # 86 ms a round at last
    ],
)
def test_rounds_end_when_ratios_are_known_or_the_time_is_up(
    scripted: Any, settings: dict[str, Any], rounds: int
) -> None:
    record, _ = scripted(replace(QUICK, **settings), [10.0] * 30, [10.0, 12.0] * 5 + [12.0] * 20)
    assert record["rounds"] == [rounds]


def test_the_order_of_turns_is_drawn_anew_in_every_round(scripted: Any) -> None:
    _, turns = scripted(replace(QUICK, restarts=2), [10.0] * 10, [10.0] * 10)
    orders = list(zip(turns[::2], turns[1::2], strict=True))
    assert len(orders) == 20
    assert set(orders) == {(0, 1), (1, 0)}
    assert orders[:10] != orders[10:]


def test_the_table_says_ties_and_why_a_row_is_empty() -> None:
    one, two = "x/a.onnx", "y/a.onnx"
    record = made_up(one, two)
    said = paired_table.table(record).splitlines()
    assert said[0].split("  ")[0] == "file"
    assert said[1].startswith(f"{one}")
    assert said[1].endswith("1")
    assert "12.00" in said[2]
    assert said[2].endswith("1.20 (1.15 to 1.25)")
    assert said[3].endswith("1.22 (1.16 to 1.30)")
    assert said[4].endswith("not timed: ncnn is not installed")
    assert "3 rounds in turns" in said[5]
    assert said[6] == f"also a tie: {two} (ONNX Runtime) and b.onnx (OpenVINO)"
    assert said[7].endswith("medians lie apart between processes, b.onnx (OpenVINO) 30%")
    assert "other work took of the CPUs' time 40% meanwhile; ratios are paired" in said[8]
    assert len(said) == 9


def made_up(one: str, two: str) -> dict[str, Any]:
    """A comparison with a tie behind the fastest, a row without figures, and a busy machine."""

    def row(file: str, engine: str, median: float, spread: float = 0.0) -> dict[str, Any]:
        return {
            "file": file,
            "engine": engine,
            "provider": "cpu",
            "precision": "fp32",
            "shapes": {"image": [1, 3, 8, 16]},
            "median_ms": median,
            "interval_ms": [median - 1, median + 1],
            "p95_ms": median + 2,
            "restart_spread": spread,
        }

    empty = {**row("b.onnx", "ncnn", 0.0), "refused": "ncnn is not installed"}
    pairs = [([0, 1], 1.2, 1.15, 1.25), ([0, 2], 1.22, 1.16, 1.3), ([1, 2], 1.01, 0.98, 1.05)]
    return {
        "rows": [
            *(row(one, "onnxruntime", 10.0), row(two, "onnxruntime", 12.0)),
            *(row("b.onnx", "openvino", 12.2, spread=0.3), empty),
        ],
        "pairs": [
            {"rows": rows, "ratio": ratio, "interval": [low, high], "tie": low <= 1}
            for rows, ratio, low, high in pairs
        ],
        "rounds": [3],
        "load": {"before": None, "during": 0.4},
        "settings": {"threads": 1, "restarts": 1, "load": 0.1},
    }


def test_an_engine_that_does_not_take_a_file_leaves_the_others_timed(
    conv: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = conv("a.onnx"), tmp_path / "all.json"
    entries = [Entry(path, QUICK), Entry(path, replace(QUICK, half=True))]
    record = paired.compare(entries)
    assert [("refused" in row) for row in record["rows"]] == [False, True]
    assert record["pairs"] == []
    with pytest.raises(UserError, match="the file's own precision"):
        paired.compare(entries[1:])
    quick = ["--min-samples", "1", "--max-seconds", "0", "--min-seconds", "0", "--restarts", "1"]
    cli.main(["latency", str(path), "--compare", *quick, "--out", str(out)])
    assert "a.onnx  ONNX Runtime  fp32       1×3×16×16" in capsys.readouterr().out
    assert read_json(out)["rows"][0]["samples"] >= paired.ROUNDS


def test_a_process_that_dies_while_it_waits_is_one_sentence(
    conv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = [
        "/bin/sh",
        "-c",
        """exec <&-; echo '{"ms": 1.0}'; exec >&-; echo too hot >&2; exit 9""",
    ]
    monkeypatch.setattr(processes, "_command", lambda *_: shell)
    with pytest.raises(UserError, match="ended with 9 and no answer: too hot$"):
        paired.compare([Entry(conv("a.onnx"), QUICK)])


def test_a_process_that_dies_is_one_sentence(
    conv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = ["/bin/sh", "-c", "echo the board is too hot >&2; exit 9"]
    monkeypatch.setattr(processes, "_command", lambda *_: shell)
    with pytest.raises(UserError, match="ended with 9 and no answer: the board is too hot$"):
        paired.compare([Entry(conv("a.onnx"), QUICK)])


@pytest.mark.parametrize(("ms", "runs"), [(2.0, 25), (120.0, 1)])
def test_a_block_lasts_as_long_as_it_should_and_has_one_run_at_least(
    conv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, ms: float, runs: int
) -> None:
    answering = ["/bin/sh", "-c", f"""echo '{{"ms": {ms}}}'; exec cat >&2"""]
    monkeypatch.setattr(processes, "_command", lambda *_: answering)
    with paired._Worker(Entry(conv("a.onnx"), QUICK), host.usable_cpus()[:1], None) as worker:
        assert worker.runs == runs
