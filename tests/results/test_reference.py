"""The reference: what is kept, what docs/results.md shows of it, and that the two agree."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment import config
from mkd.experiment.suite import Suite
from mkd.paper import claims
from mkd.provenance import seal
from mkd.results import agreement, formats, reference, statistics, tables, tallies, verdicts
from mkd.results.compare import compare
from mkd.results.records import Records, load_folder


def test_what_is_kept_is_small_and_says_the_same(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> None:
    fill("tiny-baseline", "tiny-mkd")
    (suite.results / "runs/tiny-mkd/seed0/weights.pth").write_bytes(b"weights")
    out = tmp_path / "reference" / "desk"
    reference.keep(suite, suite.results, out)
    assert not list(out.rglob("*.pth"))
    assert compare(suite.results, out)[2:] == [
        "the same to the last digit in both: tiny-baseline, tiny-mkd"
    ]
    sizes = [
        sum(path.stat().st_size for path in root.rglob("record.json"))
        for root in (suite.results, out)
    ]
    assert sizes[1] < sizes[0] / 2
    again = load_folder(out, "desk")
    rows = formats.frame(tables.build(again, suite.runs, 4)).to_csv(index=False)
    assert (out / "tables/table4.csv").read_text() == rows


def test_the_configuration_that_is_kept_is_that_of_the_record(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> None:
    """Not that of a training which has not been scored yet."""
    fill("tiny-baseline", "tiny-cwd", "tiny-mkd", seeds=(0,))
    kept = tmp_path / "reference"
    for run, changed in (("tiny-baseline", {}), ("tiny-cwd", {"config": "0" * 64})):
        folder = suite.results / f"runs/{run}/seed0"
        digests = json.loads((folder / "record.json").read_text())["digests"]
        said = {"config": {"run": run}, "digests": digests | changed}
        (folder / "train.json").write_text(json.dumps(said))
    (suite.results / "runs/tiny-mkd/seed0/train.json").write_text("[]")
    reference.keep(suite, suite.results, kept)
    (found,) = kept.glob("runs/*/config.json")
    assert (found.parent.name, json.loads(found.read_text())) == (
        "tiny-baseline",
        {"run": "tiny-baseline"},
    )


def test_keeping_the_kept_changes_nothing(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> None:
    fill("tiny-baseline", "tiny-mkd")
    out = tmp_path / "reference" / "desk"

    def content() -> dict[Path, str]:
        return {path: path.read_text() for path in out.rglob("*") if path.is_file()}

    reference.keep(suite, suite.results, out)
    before = content()
    reference.keep(suite, out, out)
    assert content() == before


def test_what_was_measured_beside_the_records_is_kept_with_them(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> None:
    fill("tiny-baseline")
    figure = {"AP": 1.0, "sd": 0.5}
    runs = {run: {**figure, "seed": 9, "detections": "x"} for run in ("tiny-baseline", "tiny-cwd")}
    noise = {"scale": "desk", "images": 1, "resamples": 2, "runs": runs, "difference": figure}
    noise |= {"commit": None, "dirty": False}
    (suite.results / "noise.json").write_text(json.dumps(noise))
    out = tmp_path / "reference/desk"
    reference.keep(suite, suite.results, out)
    assert load_folder(out, "desk").measured == {"noise": noise}
    assert json.loads((out / "tables/noise-budget.json").read_text())["val_set"] == noise
    (suite.results / "noise.json").unlink()
    reference.keep(suite, suite.results, out)
    assert not (out / "noise.json").exists()


def test_the_pictures_of_a_reference_are_kept_with_it(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> None:
    fill("tiny-baseline")
    figures = suite.results / "figures"
    figures.mkdir()
    (figures / "qualitative.json").write_text('{"images": []}')
    (figures / "spectrum.json").write_text("[]")
    (figures / "curves.pdf").write_bytes(b"drawn anew at any time")
    out = tmp_path / "reference/desk"
    reference.keep(suite, suite.results, out)
    kept = {path.name for path in (out / "figures").iterdir()}
    assert kept == {"qualitative.json", "spectrum.json"}
    (figures / "spectrum.json").unlink()
    reference.keep(suite, suite.results, out)
    assert not (out / "figures/spectrum.json").exists()


def test_what_is_no_longer_there_is_not_kept(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> None:
    fill("tiny-baseline")
    stale = tmp_path / "reference/desk/runs/tiny-cwd/seed0/record.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    reference.keep(suite, suite.results, tmp_path / "reference/desk")
    assert not stale.exists()


def test_a_curve_is_thinned_to_means() -> None:
    curve = [{"iter": i, "epoch": i / 100, "loss": float(i)} for i in range(1, 101)]
    thin = reference.thin(curve)
    assert len(thin) == reference.MOST
    assert thin[0] == {"iter": 5, "epoch": 0.05, "loss": 3.0}
    assert thin[-1]["iter"] == 100
    assert reference.thin(thin) == thin
    assert reference.thin([]) == []
    # A term may end within a stretch, whose mean is of what it has there.
    curve[0]["loss_ends"] = 4.0
    thin = reference.thin(curve)
    assert thin[0]["loss_ends"] == 4.0
    assert "loss_ends" not in thin[1]


def test_a_broken_or_empty_folder_is_no_reference(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "reference/desk"
    with pytest.raises(UserError, match="has no record"):
        reference.keep(suite, suite.results, out)
    fill("tiny-baseline")
    path = suite.results / "runs/tiny-baseline/seed1/record.json"
    path.write_text("{")
    with pytest.raises(UserError, match="is no reference: runs/tiny-baseline/seed1/record.json"):
        reference.keep(suite, suite.results, out)
    assert not out.exists()


def test_the_section_shows_what_the_tables_say(suite: Suite, fill: Callable[..., Path]) -> None:
    fill("tiny-baseline", "tiny-mkd")
    records = load_folder(suite.results, "desk")
    text = reference.section(suite, records)
    ours = next(row for row in tables.build(records, suite.runs, 1).rows if row.run == "tiny-mkd")
    cell = ours.measured["AP"]
    assert cell.delta is not None
    shown = (
        f"| RTMDet-tiny+Ours | 41.8 | +0.7 | {cell.value.mean:.1f} ± {cell.value.half_width:.1f} "
        f"| {formats.signed(cell.delta.mean)} ± {cell.delta.half_width:.1f} |"
    )
    assert shown in [" ".join(line.split()) for line in text.splitlines()]
    assert "not run" in text
    assert "YOLO" not in text
    assert text.count("desk scale") >= 6


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    text = "a\n<!-- reference desk -->\nold\n<!-- end of reference desk -->\nb\n"
    once = reference.insert(text, "desk", "new")
    assert once == text.replace("old", "new")
    assert reference.insert(once, "desk", "new") == once
    with pytest.raises(UserError, match="needs the lines"):
        reference.insert("a", "desk", "new")


def test_update_keeps_and_shows_or_writes_nothing(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> None:
    fill("tiny-baseline", "tiny-mkd")
    page = tmp_path / reference.PAGE
    page.parent.mkdir()
    page.write_text("no marker")
    with pytest.raises(UserError, match="needs the lines"):
        reference.update(suite, suite.results, tmp_path)
    assert not reference.folder("desk", tmp_path).exists()
    page.write_text("<!-- reference desk -->\n<!-- end of reference desk -->\n")
    reference.update(suite, suite.results, tmp_path)
    records = load_folder(reference.folder("desk", tmp_path), "desk")
    assert reference.section(suite, records) in page.read_text()


KEPT = sorted(path.name for path in (ROOT / "results/reference").glob("*"))


@pytest.mark.parametrize("scale", KEPT or ["desk"])
def test_page_tables_and_reference_agree(scale: str) -> None:
    root = reference.folder(scale)
    if not root.is_dir():
        pytest.skip(f"no reference of {scale} scale is kept yet: python -m mkd reference")
    suite = config.load({"scale": scale})
    records = load_folder(root, scale)
    assert [(p.where, p.what) for p in records.problems] == records.edge.shaky
    text = (ROOT / reference.PAGE).read_text()
    assert reference.insert(text, scale, reference.section(suite, records)) == text
    for table in tables.build_all(records, suite.runs):
        stem = root / f"tables/table{table.number}"
        assert stem.with_suffix(".csv").read_text() == formats.frame(table).to_csv(index=False)
        summary = suite.settings.summary
        assert stem.with_suffix(".md").read_text() == formats.markdown(table, summary)
        assert stem.with_suffix(".tex").read_text() == formats.latex(table, summary)


@pytest.mark.parametrize("scale", KEPT or ["desk"])
def test_the_reference_fits_in_a_repository(scale: str) -> None:
    files = [path for path in reference.folder(scale).rglob("*") if path.is_file()]
    if not files:
        pytest.skip(f"no reference of {scale} scale is kept yet: python -m mkd reference")
    assert sum(path.stat().st_size for path in files) < 5_000_000
    assert {path.suffix for path in files} == {".json", ".csv", ".md", ".tex"}
    for path in files:
        if path.suffix == ".json":
            content = json.loads(path.read_text())
            said = content.get("log", "") if isinstance(content, dict) else ""
            assert not Path(said).is_absolute()


def test_where_a_record_was_made_names_its_gpus_first(
    suite: Suite, fill: Callable[..., Path]
) -> None:
    fill("tiny-baseline")
    for path in suite.results.glob("runs/tiny-baseline/*/record.json"):
        record = json.loads(path.read_text())
        record["host"] |= {"gpu": ["NVIDIA H100"], "cpu": "Xeon", "cores": 64}
        path.write_text(json.dumps({**record, "sha256": seal(record)}))
    records = load_folder(suite.results, "desk")
    said = reference.section(suite, records)
    assert re.search(r"; NVIDIA H100, Xeon, 64 cores; \d+\.\d hours of training, summed", said)
    assert "NVIDIA H100" in compare(suite.results, suite.results)[0]


def test_the_configuration_is_that_of_the_first_seed_and_is_kept_again(
    suite: Suite, fill: Callable[..., Path], tmp_path: Path
) -> None:
    fill("tiny-baseline", seeds=(1, 2))
    fill("tiny-cwd", seeds=(0,))
    (suite.results / "runs/tiny-cwd/seed0/train.json").write_text("{}")
    for seed in (1, 2):
        folder = suite.results / f"runs/tiny-baseline/seed{seed}"
        digests = json.loads((folder / "record.json").read_text())["digests"]
        said = {"config": {"seed": seed}, "digests": digests}
        (folder / "train.json").write_text(json.dumps(said))
    once, again = tmp_path / "once", tmp_path / "again"
    reference.keep(suite, suite.results, once)
    reference.keep(suite, once, again)
    for kept in (once, again):
        (found,) = kept.glob("runs/*/config.json")
        assert json.loads(found.read_text()) == {"seed": 1}


@pytest.mark.parametrize(
    ("head", "scale", "size"),
    [
        ("`overnight`", "overnight", "tiny"),
        ("`desk`, from", "desk", "tiny"),
        ("RTMDet-s ", "desk", "s"),
        ("RTMDet-m ", "desk", "m"),
        ("RTMDet-l ", "desk", "l"),
        ("RTMDet-Ins-tiny", "desk", "ins-tiny"),
    ],
)
def test_the_readmes_findings_are_the_references(head: str, scale: str, size: str) -> None:
    records = load_folder(reference.folder(scale), scale)
    metric = "mask.AP" if size.startswith("ins") else "box.AP"
    text = (ROOT / "README.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith(f"| {head}"))
    cells = [cell.strip() for cell in line.strip("| ").split("|")]
    pairs = [("cwd", "baseline"), ("mkd", "baseline"), ("mkd-balanced", "baseline"), ("mkd", "cwd")]
    deltas = [
        statistics.paired_delta(*(records.points(f"{size}-{name}", metric) for name in pair))
        for pair in pairs
    ]
    assert int(cells[1]) == len(records.by_run[f"{size}-mkd"])
    assert cells[2:] == [f"{formats.signed(d.mean, 1)} {formats.half(d, 1)}" for d in deltas]


def test_the_readme_names_what_both_scales_agree_on() -> None:
    desk, overnight = (load_folder(reference.folder(s), s) for s in ("desk", "overnight"))
    found = agreement.compare(desk, overnight, config.load({"scale": "desk"}).runs, 3)
    alike = [e for e in (*found.gains, *found.order) if e.word == agreement.SAME]
    assert {agreement._short(effect, "over") for effect in alike} == {
        f"RTMDet-tiny + MGD over {name}" for name in ("MKD", "MKD, balanced", "PKD")
    }
    text = " ".join((ROOT / "README.md").read_text().split())
    assert "MGD is ahead of MKD (the paper says the opposite), balanced MKD and PKD." in text


def test_what_is_said_of_the_seeds_that_were_added_last_is_so() -> None:
    """On the page's first screen, by config/deviations.yaml."""
    kept = load_folder(reference.folder("overnight"), "overnight")
    question = ("tiny-baseline", "tiny-cwd", "tiny-mkd", "tiny-mkd-balanced")
    last = {run: {s: r for s, r in kept.by_run[run].items() if s >= 5} for run in question}
    records = Records("overnight", last, [])
    assert {len(seeds) for seeds in last.values()} == {5}
    cwd, mkd = (
        statistics.paired_delta(*(records.points(run, "box.AP") for run in (name, question[0])))
        for name in question[1:3]
    )
    assert cwd.mean > mkd.mean
    left = tallies.corrected(verdicts.judge(claims.load(), records.points, "overnight"))
    assert left.tests > 0
    assert left.left == ()
