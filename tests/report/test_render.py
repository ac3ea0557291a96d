"""The page from full, partial, empty and broken results."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mkd import jobs
from mkd.experiment import config
from mkd.experiment.runs import Run
from mkd.experiment.suite import Suite
from mkd.provenance import seal
from mkd.report import conclusion, noise_view
from mkd.report.render import render, typeset
from mkd.results import formats, gates, reference, statistics
from mkd.results.records import load_folder


class Page(HTMLParser):
    """Ids, links, tables' cells and texts of a page; a wrongly nested tag is an error."""

    VOID = frozenset({"meta", "link", "br", "col"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: dict[str, str] = {}
        self.tags: list[str] = []
        self._open: list[tuple[str, str | None]] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given["href"] or ""] if tag == "a" else []
        if tag not in self.VOID:
            self._open.append((tag, given.get("id")))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, name in self._open:
            if name:
                self.text[name] = self.text.get(name, "") + data


def page(suite: Suite) -> Page:
    render(suite, suite.results / "report")
    return Page((suite.results / "report" / "index.html").read_text())


@pytest.fixture(scope="module")
def full_page(filled: Suite) -> Page:
    return page(filled)


@pytest.fixture(scope="module")
def half_page(half_filled: Suite) -> Page:
    return page(half_filled)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_empty_results_render_and_say_not_run(suite: Suite) -> None:
    made = page(suite)
    for number in range(1, 6):
        assert "not run" in made.text[f"table{number}"]
    for figure in ("detections", "attention"):
        assert "Not run" in made.text[figure]
    assert "0 of 13 planned runs" in made.text["summary"]
    assert "reproduced" not in made.text["verdicts"].replace("not reproduced", "")
    assert "problems" not in made.ids


def test_a_missing_cell_says_not_run_beside_one_that_ran(half_page: Page) -> None:
    assert half_page.text["t1-rtmdet-tiny-fgd-measured"] == "not run"
    assert half_page.text["t1-rtmdet-tiny-cwd-measured"] == "not run"
    assert half_page.text["t1-rtmdet-tiny-ours-c-latency_ms"] == "not run"
    assert re.match(r"\d+\.\d ± \d", half_page.text["t1-rtmdet-tiny-ours-m-ap"])


def test_a_cell_shows_what_stats_says_and_links_to_its_run(
    half_filled: Suite, half_page: Page
) -> None:
    made = half_page
    records = load_folder(half_filled.results, "desk")
    mkd, base = (records.points(run, "box.AP") for run in ("tiny-mkd", "tiny-baseline"))
    value, delta = statistics.interval(mkd.values()), statistics.paired_delta(mkd, base)
    assert delta is not None
    for cell in (
        "t1-rtmdet-tiny-ours",
        "t3-rtmdet-tiny-rtmdet-s",
        "t5-rtmdet-tiny-kd-loss-weight-1-0",
    ):
        assert squeezed(made.text[f"{cell}-m-ap"]) == f"{value.mean:.1f} ± {value.half_width:.1f}"
        shown = f"{delta.mean:+.1f} ± {delta.half_width:.1f}"
        assert squeezed(made.text[f"{cell}-m-delta"]) == shown
        start = made.html.index(f'id="{cell}-interval"')
        ends = formats.bounds(delta, 2)
        assert f"95 % interval {ends}" in made.html[start : made.html.index("</td>", start)]
    start = made.html.index('id="t1-rtmdet-tiny-ours-m-ap"')
    cell = made.html[start : made.html.index("</td>", start)]
    assert 'href="#run-tiny-mkd"' in cell
    assert formats.number(mkd[2], 2) in cell
    for seed in mkd:
        assert f"run-tiny-mkd-seed{seed}" in made.ids


def test_a_row_of_one_seed_is_grey_and_beside_the_baseline_of_that_very_seed(
    suite: Suite, fill: Callable[..., Path]
) -> None:
    fill("tiny-baseline", "tiny-cwd")
    fill("tiny-mkd", seeds=(1,))
    made = page(suite)
    records = load_folder(suite.results, "desk")
    plain, mkd = (records.points(f"tiny-{name}", "box.AP") for name in ("baseline", "mkd"))
    row = "t1-rtmdet-tiny-ours"
    assert squeezed(made.text[f"{row}-interval"]) == f"seed 1: {plain[1]:.1f} → {mkd[1]:.1f}"
    assert made.text[f"{row}-m-delta"] == formats.signed(mkd[1] - plain[1])
    assert "±" not in made.text[f"{row}-m-ap"]
    grey = re.findall(r'<tr class="[^"]*lone">\s*<th scope="row" id="(t1-[^"]*)"', made.html)
    assert grey == [row]


def test_no_code_stands_where_a_name_belongs(full_page: Page) -> None:
    heads = re.findall(r'<th scope="row"[^>]*>(.*?)</th>', full_page.html, re.S)
    chips = re.findall(r'<ul class="chips".*?</ul>', full_page.html, re.S)
    assert heads
    assert chips
    for shown in (re.sub("<[^>]*>", "", part) for part in (*heads, *chips)):
        assert not re.search(r"(terms|alpha)=|-over-|tiny-(mkd|cwd|5|fad)", shown)
    assert "MKD without feature alignment" in full_page.text["run-tiny-mkd-no-fad"]


def test_no_heading_names_one_input_size_over_figures_of_another(full_page: Page) -> None:
    heads = re.findall(r"<thead>(.*?)</thead>", full_page.html, re.S)
    papers = [head for head in heads if 'scope="colgroup"' in head and "Measured" in head]
    assert len(papers) == 5
    for head in papers:
        groups = re.findall(r'<th[^>]*scope="colgroup"[^>]*>(.*?)</th>', head, re.S)
        assert [group for group in groups if "px" in group and "Measured" in group] == []
    assert "640 px" in next(g for g in papers[0].split("<th") if "Cost" in g)


def test_the_first_screen_has_conclusion_one_figure_and_tallies_in_that_order(
    full_page: Page,
) -> None:
    header = full_page.html[: full_page.html.index("</header>")]
    marks = ['class="answer"', 'id="overview"', 'class="tallies"', "@software{"]
    places = [header.index(mark) for mark in marks]
    assert places == sorted(places)
    assert header.count("<figure") == 1
    assert "Not tested" in header[places[2] :]
    assert "Questions the paper leaves open" in header[places[2] :]


def test_every_figure_has_its_number_a_finding_and_how_to_read_it(full_page: Page) -> None:
    figures = re.findall(r'<figure id="([^"]*)"(.*?)</figure>', full_page.html, re.S)
    shown = [(name, body) for name, body in figures if name != "schematic"]
    numbers = [int(re.search(r"Figure (\d+)\.", body)[1]) for _, body in shown]  # type: ignore[index]
    assert numbers == list(range(1, len(shown) + 1))
    for name, body in shown:
        if "Not run" not in body:
            assert re.search(r"</strong> \S", body), name
            assert 'class="how"' in body


def test_what_is_long_is_folded(full_page: Page) -> None:
    for name in ("curves", "pr"):
        start = full_page.html.index(f'<figure id="{name}"')
        assert full_page.html[start:].split("<svg", 1)[0].count("<details>") == 1
    assert " open" not in "".join(re.findall(r"<details[^>]*>", full_page.html))


def test_a_run_says_how_it_is_made_again_and_where_its_files_are(
    suite: Suite, fill: Callable[..., Path]
) -> None:
    fill("tiny-baseline")
    (suite.results / "runs/tiny-baseline/seed0/train.json").write_text("{}")
    out = suite.results / "report"
    render(suite, out, arguments="--config scale=desk")
    made = Page((out / "index.html").read_text())
    text = squeezed(made.text["run-tiny-baseline"])
    files = " ".join(
        f"{suite.results.as_posix()}/runs/tiny-baseline/seed{seed}/record.json"
        for seed in suite.seeds("tiny-baseline")
    )
    assert f"Made again by snakemake {files} --config scale=desk" in text
    links = [link for link in made.links if "runs/tiny-baseline" in link]
    assert [link.rpartition("/")[2] for link in links].count("record.json") == 3
    assert "../runs/tiny-baseline/seed0/train.json" in links
    assert 'data-copy="0123456789abcdef0123' in made.html
    assert 'data-copy="' + "d" * 64 in made.html
    assert "d" * 64 not in made.text["run-tiny-baseline"]


def test_every_anchor_is_unique_and_every_link_lands(filled: Suite, full_page: Page) -> None:
    assert len(full_page.ids) == len(set(full_page.ids))
    figures = set()
    for link in full_page.links:
        if link.startswith("https://"):
            continue
        if link.startswith("#"):
            assert link.removeprefix("#") in full_page.ids
        else:
            assert (filled.results / "report" / link).is_file()
            figures |= {link} if link.startswith("../figures/") else set()
    # Readings, masks and latency have no record here.
    plots = ("overview", "sizes", "instances", "teachers", "components", "weights", "curves", "pr",
             "errors")  # fmt: skip
    assert figures == {f"../figures/{plot}.{kind}" for plot in plots for kind in ("svg", "pdf")}
    assert {path.stem for path in (filled.results / "figures").iterdir()} == set(plots)


def test_a_figure_that_has_nothing_to_show_any_more_leaves_no_file(
    suite: Suite, fill: Callable[..., Path]
) -> None:
    fill("s-baseline", "s-mkd", seeds=(0,))
    page(suite)
    assert (suite.results / "figures/overview.pdf").is_file()
    shutil.rmtree(suite.results / "runs/s-baseline")
    made = page(suite)
    assert "Not run" in made.text["overview"]
    assert not list((suite.results / "figures").glob("overview.*"))
    assert (suite.results / "figures/curves.pdf").is_file()


def test_the_scale_stands_in_every_measured_heading_and_verdict(full_page: Page) -> None:
    html = full_page.html
    measured = re.findall(r'<th[^>]*data-col="m-[^>]*>(.*?)</th>', html, re.S)
    assert len(measured) == 3 + 5 + 3 * 7
    assert all("desk" in heading for heading in measured)
    groups = re.findall(r'<th class="m m-first[^>]*colspan[^>]*>(.*?)</th>', html, re.S)
    assert len(groups) == 10
    assert all("desk scale" in group for group in groups)
    chips = re.findall(r'<ul class="chips".*?</ul>', html, re.S)
    verdicts = re.findall(r'<span class="verdict[^>]*>(.*?)</span>', "".join(chips), re.S)
    assert verdicts
    assert all("desk" in verdict for verdict in verdicts)


def test_the_kept_reference_is_rendered_beside_the_docs_and_every_link_lands(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> None:
    fill("tiny-baseline", "tiny-mkd")
    config = {"run": "tiny-mkd", "input_px": 128}
    trained = suite.results / "runs/tiny-mkd/seed0/train.json"
    digests = json.loads(trained.with_name("record.json").read_text())["digests"]
    trained.write_text(json.dumps({"config": config, "digests": digests}))
    root = tmp_path / "checkout"
    (root / "docs").mkdir(parents=True)
    (root / reference.PAGE).write_text("<!-- reference desk -->\n<!-- end of reference desk -->\n")
    jobs.reference(suite, suite.results, root)
    out = root / "docs/report"
    made = Page((out / "index.html").read_text())
    files = {link for link in made.links if not link.startswith(("#", "https://"))}
    assert all((out / link).is_file() for link in files)
    kept = root / "results/reference/desk/runs/tiny-mkd"
    assert json.loads((kept / "config.json").read_text()) == config
    assert "../../results/reference/desk/runs/tiny-mkd/config.json" in files
    assert "figures/overview.svg" in files
    assert {path.name for path in out.iterdir()} == {"index.html", "figures"}
    before = (out / "index.html").read_bytes()
    jobs.reference(suite, reference.folder("desk", root), root)
    assert (out / "index.html").read_bytes() == before


def test_the_kept_page_has_the_longer_scales_answer_once_that_is_kept_too(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> None:
    """And never that of a run beside it which nobody kept."""
    suite = replace(suite, settings=suite.settings.model_copy(update={"longer": "overnight"}))
    fill("tiny-baseline", "tiny-cwd")
    record = suite.results / "runs/tiny-baseline/seed0/record.json"
    loose = suite.results.parent / "overnight/runs/tiny-baseline/seed0/record.json"
    loose.parent.mkdir(parents=True)
    changed = json.loads(record.read_text()) | {"scale": "overnight"}
    loose.write_text(json.dumps({**changed, "sha256": seal(changed)}))
    root = tmp_path / "checkout"
    (root / "docs").mkdir(parents=True)
    marks = [
        f"<!-- reference {s} -->\n<!-- end of reference {s} -->" for s in ("desk", "overnight")
    ]
    (root / reference.PAGE).write_text("\n".join(marks) + "\n")
    page = root / "docs/report/index.html"
    jobs.reference(suite, suite.results, root)
    assert "Not run: overnight scale has no record." in page.read_text()
    jobs.reference(config.load({"scale": "overnight"}), loose.parents[3], root)
    assert "Not run: overnight scale has no gain that this scale has" in page.read_text()


def test_who_only_teaches_is_no_student_that_was_not_tested(
    suite: Suite, fill: Callable[..., Path]
) -> None:
    fill("tiny-baseline", "tiny-cwd", "tiny-mkd")
    teacher = replace(suite.runs["s-baseline"], tables=())
    students = {name: run for name, run in suite.runs.items() if run.arch == "rtmdet-tiny"}
    render(replace(suite, runs={**students, teacher.id: teacher}), suite.results / "report")
    page = (suite.results / "report/index.html").read_text()
    assert "as this suite reads the paper" in page
    assert "is not tested on" not in page
    assert "What is not tested lacks seeds or runs." not in page
    # At the top stand how far it can be trusted, and what the students are.
    top = page.partition("</header>")[0]
    assert "Holm’s correction for many tests leaves " in top
    assert " validity gates " in top
    assert "Each student starts from a <em>stem</em>" in top
    assert "trains 3 epochs more" in " ".join(top.split())


CORRUPT = {
    "tiny-mkd": "{broken",
    "tiny-cwd": "[]",
    "tiny-fgd": "{}",
    "tiny-mkd-alpha5": '{"kind": "detection"}',
    "tiny-mkd-no-fad": "\x00",
    "tiny-mkd-no-fdmd": '{"kind": NaN}',
}


def test_corrupt_records_are_named_and_the_rest_rendered(
    suite: Suite, fill: Callable[..., Path]
) -> None:
    results = fill("tiny-baseline", *CORRUPT)
    for run, content in CORRUPT.items():
        (results / f"desk/runs/{run}/seed1/record.json").write_text(content)
    made = page(suite)
    assert made.text["problems"].count("record.json") == len(CORRUPT)
    for run in CORRUPT:
        assert f"runs/{run}/seed1/record.json" in made.text["problems"]
        assert f"2 of {len(suite.seeds(run))} seed" in made.text[f"run-{run}"]
    assert "±" in made.text["t1-rtmdet-tiny-ours-m-ap"]


def test_a_record_in_the_wrong_folder_is_named_and_left_out(
    suite: Suite, fill: Callable[..., Path]
) -> None:
    results = fill("tiny-baseline", seeds=(0, 1))
    folder = results / "desk/runs/tiny-baseline"
    (folder / "seed1").rename(folder / "seed7")
    records = load_folder(results / "desk", "desk")
    assert list(records.by_run["tiny-baseline"]) == [0]
    assert [p.where for p in records.problems] == ["runs/tiny-baseline/seed7/record.json"]
    assert "seed1" in records.problems[0].what


def test_seeds_on_different_data_are_flagged_and_shown(
    suite: Suite, fill: Callable[..., Path]
) -> None:
    results = fill("tiny-baseline")
    path = results / "desk/runs/tiny-baseline/seed2/record.json"
    record = json.loads(path.read_text())
    record["digests"]["data"] = "f" * 64
    path.write_text(json.dumps({**record, "sha256": seal(record)}))
    made = page(suite)
    assert "tiny-baseline: its seeds differ in their data digest" in squeezed(made.text["problems"])
    assert "3 of 3 seeds" in made.text["run-tiny-baseline"]


def test_broken_figures_are_named(suite: Suite, fill: Callable[..., Path]) -> None:
    fill("tiny-baseline")
    (suite.results / "figures").mkdir()
    (suite.results / "figures/qualitative.json").write_text('{"images": [{}], "rule": "x"}')
    (suite.results / "figures/spectrum.json").write_text('[{"mask": "literal"}]')
    (suite.results / "figures/attention.json").write_text('{"images": [], "detectors": []}')
    made = page(suite)
    shown = {"qualitative": "detections", "spectrum": "spectrum", "attention": "attention"}
    for name, figure in shown.items():
        assert f"figures/{name}.json" in made.text["problems"]
        assert "Not run" in made.text[figure]


EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def test_every_string_of_a_record_is_escaped(
    suite: Suite, fill: Callable[..., Path], full_page: Page
) -> None:
    results = fill()
    scripts = full_page.html.count("<script")

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: poison(inner) for key, inner in value.items()}
        return EVIL if isinstance(value, str) else value

    for path in results.glob("desk/runs/*/seed*/record.json"):
        record = json.loads(path.read_text())
        kept = {key: record[key] for key in ("kind", "run", "scale", "digests")}
        record = poison(record) | kept
        record["options"] = {EVIL: EVIL}
        record["host"][EVIL] = EVIL
        record["train"]["curve"] = [{**p, f"loss_{EVIL}": 1.0} for p in record["train"]["curve"]]
        path.write_text(json.dumps({**record, "sha256": seal(record)}))
    evil = Run("tiny-evil", "rtmdet-tiny", "s-baseline", "mkd", {"x": EVIL}, (1,))
    made = page(replace(suite, runs={**suite.runs, evil.id: evil}))
    assert load_folder(results / "desk", "desk").problems == []
    assert made.html.count("<script") == scripts
    assert "<img" not in made.html
    assert "alert(1)" in made.text["run-tiny-mkd"]


def test_a_record_of_an_unknown_run_is_shown(suite: Suite, fill: Callable[..., Path]) -> None:
    fill("tiny-cwd")
    made = page(replace(suite, runs={k: v for k, v in suite.runs.items() if k != "tiny-cwd"}))
    assert "not in the table of runs" in made.text["run-tiny-cwd"]
    assert made.text["t1-rtmdet-tiny-cwd-measured"] == "not run"


@pytest.mark.usefixtures("half_page")
def test_data_json_holds_tables_verdicts_and_records(half_filled: Suite) -> None:
    data = json.loads((half_filled.results / "report/data.json").read_text())
    assert data["scale"] == "desk"
    assert len(data["records"]) == 6
    assert "curve" not in data["records"][0]["train"]
    assert list(data["tables"]) == ["1", "2", "3", "4", "5"]
    assert {v["verdict"] for v in data["verdicts"]} >= {"not run"}


def test_the_page_asks_for_nothing_outside(full_page: Page) -> None:
    html = full_page.html
    # A link asks for nothing until it is followed.
    assert re.findall(r'<(?!a )[^>]*(?:src|href|action)="(?:[a-z]+:)?//', html) == []
    assert "url(http" not in html
    assert len(html) < 5_000_000


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("no L_FAD", "no L<sub>FAD</sub>"),
        ("AP_S and AP50", "AP<sub>S</sub> and AP<sub>50</sub>"),
        ("MAP_S RTMDet-L", "MAP_S RTMDet-L"),
        ("row 'no L_FAD' <b>", "row ‘no L<sub>FAD</sub>’ &lt;b&gt;"),
        ("the paper's", "the paper’s"),
        (
            "+2.6 ± 3.2 at 95 %",
            "+2.6\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}3.2 at 95\N{NO-BREAK SPACE}%",
        ),
    ],
)
def test_typeset(text: str, html: str) -> None:
    assert typeset(text) == html


def test_every_gate_stands_on_the_page_with_its_word_and_figure(
    filled: Suite, full_page: Page
) -> None:
    data = json.loads((filled.results / "report/data.json").read_text())
    assert len(data["gates"]) == len(gates.load()["gates"])
    for gate in data["gates"]:
        row = squeezed(full_page.text[f"gate-{gate['id']}"])
        assert row.startswith(f"{gate['id'].replace('-', ' ')}{gate['word']} desk")
        figure = gate["figure"][-12:].replace("_", "").replace("'", "’")
        assert row.endswith(" ".join(filter(None, [f"{figure}.", gate["otherwise"]])))
        assert bool(gate["otherwise"]) == (gate["word"] == gates.FAIL)
    assert "MKD takes no part" in full_page.text["gates"]


def html(suite: Suite) -> str:
    render(suite, suite.results / "report")
    return squeezed((suite.results / "report/index.html").read_text())


def test_what_is_found_stands_on_the_page(
    suite: Suite, fill: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def says(name: str) -> Callable[..., str]:
        return lambda records, *_: f"What {name} says of {records.scale}."

    fill("tiny-baseline", "tiny-cwd", "tiny-mkd")
    for name in ("gains", "weaker"):
        monkeypatch.setattr(conclusion, name, says(name))
    power = lambda _, printed: f"What power says of {printed['tiny-mkd']:.1f}."  # noqa: E731
    monkeypatch.setattr(noise_view, "power", power)
    failed = gates.Gate("levels", "A rule.", gates.FAIL, "It is 3", "So read nothing.")
    monkeypatch.setattr(gates, "judge", lambda *_: [failed])
    made = html(suite)
    for words in (
        "What gains says of desk.",
        "What weaker says of desk.",
        "What power says of 0.7.",
        "It is 3. <strong>So read nothing.</strong>",
    ):
        assert words in made


def test_the_longer_scale_speaks_beside_this_one_and_sizes_of_gains_are_left_out(
    filled: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        conclusion, "of_longer", lambda there, ours: [f"{there.scale} beside {ours.scale}."]
    )
    made = html(filled)
    assert "overnight beside desk." in made
    assert ", size:" not in made.partition('id="verdicts"')[2]
