"""The page of a scale of one's own, from made-up records."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mkd import ROOT
from mkd.experiment import config
from mkd.experiment.suite import Suite
from mkd.provenance import seal
from mkd.report import own_page
from mkd.results import own_tables
from mkd.results.check import check
from mkd.results.records import Records, load_folder


def text(suite: Suite) -> str:
    """The page's words, without style, script and drawings."""
    own_page.render(suite, suite.results / "report")
    page = (suite.results / "report/index.html").read_text()
    return re.sub(r"<(style|script|svg)\b.*?</\1>", "", page, flags=re.DOTALL)


def test_methods_stand_against_their_baseline_and_nothing_of_the_paper_is_there(
    own: Suite, fill_own: Callable[..., Path]
) -> None:
    fill_own()
    page = text(own)
    assert not re.search(r"\bpaper\b|\bclaim|verdict|Table 1", page, re.IGNORECASE)
    assert re.search(r"<p>RTMDet-tiny\+CWD: \+\d\.\d ± \d\.\d box AP, 3 seeds; it raises AP", page)
    for words in ("AP by class", "Difference by object size", "Errors by kind", "Training curves"):
        assert words in page
    assert '<tr><th scope="row">cat</th>' in page
    assert '<tr><th scope="row">cow</th>' not in page
    assert 'id="latency"' not in page
    rows = re.findall(r'<th scope="row" id="row-([\w-]+)"', page)
    assert rows == ["tiny-baseline", "tiny-cwd", "tiny-mkd", "s-baseline"]
    kept = json.loads((own.results / "report/data.json").read_text())
    assert [row["run"] for row in kept["table"]] == rows
    names = {path.name for path in (own.results / "report").iterdir()}
    assert names == {"index.html", "data.json", "summary.csv", "summary.md", "summary.tex"}
    head = (own.results / "report/summary.md").read_text().splitlines()[2]
    assert "paper" not in head
    assert "published" not in head
    assert (own.results / "report/summary.tex").read_text().count(r"\cmidrule(lr){2-9}") == 1
    assert not [
        p for p in check(own, own.results)[1] if "report" in p.where or "summary" in p.where
    ]


def test_nothing_run_yet_and_one_seed(own: Suite, fill_own: Callable[..., Path]) -> None:
    assert "No run has a record with its baseline&#39;s yet." in text(own).replace("'", "&#39;")
    fill_own(seeds=(0,))
    assert "from one seed, which tells nothing of noise" in text(own)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((0.9, 1.0, 1.1), "+1.0 ± 0.2 box AP, 3 seeds; it raises AP: its interval lies above zero"),
        ((-0.9, -1.0, -1.1), "−1.0 ± 0.2 box AP, 3 seeds; it lowers AP: its interval lies below"),
        ((1.0, 1.05), "+1.0 ± 0.3 box AP, 2 seeds, too few to say more: give it 3."),
        ((2.0, 1.0, 0.0), "+1.0 ± 2.5 box AP, 3 seeds; it cannot be told from the baseline"),
    ],
)
def test_the_conclusion_goes_by_where_the_interval_lies(
    own: Suite, steps: tuple[float, ...], said: str
) -> None:
    def seeds(*aps: float) -> dict[int, Any]:
        return {
            seed: {"metrics": {"box": {"AP": ap}}, "params_m": 1.0, "macs_g": 1.0}
            for seed, ap in enumerate(aps)
        }

    by_run = {"tiny-baseline": seeds(40, 41, 42)}
    by_run["tiny-cwd"] = seeds(*(40 + seed + step for seed, step in enumerate(steps)))
    table = own_tables.of_own(Records("cells", by_run, []), own.runs)
    (sentence,) = own_page._conclusion(table)
    assert sentence.startswith(f"RTMDet-tiny+CWD: {said}")


def test_published_weights_are_marked_with_their_digest(
    own: Suite, fill_own: Callable[..., Path]
) -> None:
    fill_own()
    path = own.results / "runs/tiny-baseline/seed0/record.json"
    record = json.loads(path.read_text())
    none = {"iterations": 0, "epochs": 0, "images_per_s": 0.0, "wall_s": 0.0, "step_s": 0.0}
    record |= {"taken": "mine.pth", "train": none | {"curve": []}}
    record["digests"]["published"] = "9" * 64
    path.write_text(json.dumps({**record, "sha256": seal(record)}))
    page = text(own)
    assert "RTMDet-tiny (published weights)" in page
    copied = f'<code class="copy" data-copy="{"9" * 64}">'
    assert f"published weights, mine.pth, SHA-256 {copied}" in page
    table = own_tables.of_own(load_folder(own.results, own.scale), own.runs)
    assert [row.label for row in table.rows if "published" in row.label] == [
        "RTMDet-tiny (published weights)"
    ]


def test_rows_that_differ_by_their_teacher_alone_are_named(
    own: Suite, fill_own: Callable[..., Path]
) -> None:
    fill_own()
    more = replace(own.runs["tiny-cwd"], id="cwd-by-m", teacher="m-baseline")
    records = load_folder(own.results, own.scale)
    table = own_tables.of_own(records, {**own.runs, more.id: more})
    assert [row.label for row in table.rows if row.method in ("cwd", "mkd")] == [
        "RTMDet-tiny+CWD (tiny-cwd)",
        "RTMDet-tiny+MKD",
        "RTMDet-tiny+CWD (cwd-by-m)",
    ]


def test_figures_show_every_run_of_the_table(own: Suite, fill_own: Callable[..., Path]) -> None:
    """Runs with options, and a second run of a method, are what a user's own table is for."""
    taught = own.runs["tiny-cwd"]
    for run in (
        replace(own.runs["s-baseline"], id="m-baseline", arch="rtmdet-m"),
        replace(taught, id="weak", method="mkd", options={"alpha": 0.5}),
        replace(taught, id="cwd-by-m", teacher="m-baseline", tables=()),
    ):
        own.runs[run.id] = run
    fill_own()
    own_page.render(own, own.results / "report")
    for name in ("sizes", "pr", "errors"):
        drawn = (own.results / f"figures/{name}.svg").read_text()
        for run in ("CWD (tiny-cwd)", "CWD (cwd-by-m)", "MKD (tiny-mkd)", "MKD (weak)"):
            assert f"{run}, " in drawn, (name, run)


def test_ap_by_class_is_paired_by_seed(own: Suite, fill_own: Callable[..., Path]) -> None:
    fill_own()
    records = load_folder(own.results, own.scale)
    found = own_tables.by_class(records, own.runs, "rtmdet-tiny")
    assert list(found) == ["cat", "dog"]
    cells = found["dog"]
    assert cells["tiny-baseline"].delta is None
    baseline, distilled = (cells[run].points for run in ("tiny-baseline", "tiny-cwd"))
    delta = cells["tiny-cwd"].delta
    assert delta is not None
    # A teacher, and another undistilled run, are compared with none.
    other = replace(own.runs["tiny-baseline"], id="tiny-cwd")
    again = own_tables.by_class(records, {**own.runs, "tiny-cwd": other}, "rtmdet-tiny")
    assert again["dog"]["tiny-cwd"].delta is None
    assert delta.points == tuple(distilled[seed] - baseline[seed] for seed in (0, 1, 2))


def test_ap_by_class_is_of_the_tables_own_kind() -> None:
    """Of boxes, where a detector without masks stands beside one that has them."""
    table = config.load({"scale": "desk"}).runs
    scored = {"classes": {"box": {"dog": 1.0}, "mask": {"dog": 2.0}}}
    records = Records("cells", {"ins-tiny-baseline": {0: scored}}, [])
    for names, kind, ap in (
        (["tiny-baseline", "ins-tiny-baseline"], "box", 1.0),
        (["ins-tiny-baseline"], "mask", 2.0),
    ):
        runs = {name: table[name] for name in names}
        title = own_tables.of_own(Records("cells", {}, []), runs).title
        assert title.endswith(f"({kind} AP)")
        found = own_tables.by_class(records, runs, "rtmdet-ins-tiny")
        assert found["dog"]["ins-tiny-baseline"].points == {0: ap}


def test_what_was_counted_elsewhere_stops_no_page(
    own: Suite, fill_own: Callable[..., Path]
) -> None:
    fill_own()
    (own.results / "complexity").mkdir()
    shutil.copy(
        ROOT / "results/reference/desk/complexity/rtmdet-tiny.json", own.results / "complexity"
    )
    assert "RTMDet-tiny" in text(own)


def test_names_of_classes_are_text(own: Suite, fill_own: Callable[..., Path]) -> None:
    fill_own()
    path = own.results / "runs/tiny-baseline/seed0/record.json"
    record = json.loads(path.read_text())
    record["classes"]["box"]["<b>{{ 7*7 }} &"] = 1.0
    path.write_text(json.dumps({**record, "sha256": seal(record)}))
    assert "&lt;b&gt;{{ 7*7 }} &amp;</th>" in text(own)
