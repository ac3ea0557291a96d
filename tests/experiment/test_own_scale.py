"""A scale outside the suite: what it has of its base, what it says itself, what is wrong in it."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mkd import ROOT
from mkd.detectors import models
from mkd.edge import suite as edge
from mkd.errors import UserError
from mkd.experiment import architectures, config, paths
from mkd.experiment.datasets import Split
from mkd.experiment.runs import baseline_of
from mkd.experiment.suite import Suite
from mkd.files import write_json
from mkd.report import own_page
from mkd.workflow import pipeline

DATA = "data: {kind: coco, root: cells, train: [t.json, images], val: [v.json, other]}\n"


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Suite]:
    """The scale of a file with that text."""

    def loaded(text: str, name: str = "cells.yaml", **replace: Any) -> Suite:
        file = tmp_path / name
        file.write_text(text)
        return config.load({"scale": str(file), "results": str(tmp_path / "results"), **replace})

    return loaded


def test_the_guides_settings_for_detectors_from_nothing_are_overnights(
    load: Callable[..., Suite],
) -> None:
    guide = (ROOT / "docs/own-work.md").read_text()
    advice = re.search(r"as scale `overnight` does: `(train: {.*})`", guide)
    wider = re.search(r"wider than its students.*: `(width: {.*})`", guide)
    assert advice
    assert wider
    overnight = config.load({"scale": "overnight"})
    suite = load(f"base: desk\n{DATA}{advice[1]}\n{wider[1]}\n")
    assert suite.settings.train == overnight.settings.train
    students = {suite.width(run.id) for run in suite.runs.values() if run.teacher}
    assert students == {overnight.width("tiny-mkd")}
    assert suite.width("s-baseline") == overnight.width("s-teacher") > max(students)
    for run in suite.runs.values():
        arch = architectures.architecture(run.arch)
        models.model_config(arch, 3, suite.resolve(run.id, 0).width)


def test_it_stands_on_its_base_and_inherits_nothing_that_costs(
    load: Callable[..., Suite], tmp_path: Path
) -> None:
    suite, desk = load(f"base: desk\n{DATA}train: {{epochs: 9}}\n"), config.load({"scale": "desk"})
    ours, theirs = suite.settings, desk.settings
    assert (suite.scale, suite.own, desk.own) == ("cells", True, False)
    assert ours.train == theirs.train.model_copy(update={"epochs": 9})
    assert (ours.width, ours.seeds, ours.evaluate) == (theirs.width, theirs.seeds, theirs.evaluate)
    assert (ours.starts, ours.checks, ours.mask_rcnn, ours.estimate) == (None,) * 4
    assert list(suite.runs) == ["s-baseline", "tiny-baseline", "tiny-cwd", "tiny-mkd"]
    assert edge.zoo(suite) == edge.students(suite) == edge.table_records(suite) == []
    assert pipeline.first(suite) == []
    assert pipeline.counted(suite) == pipeline.resampled(suite) == pipeline.attended(suite) == {}
    assert list(pipeline.pictured(suite)) == ["tiny-baseline", "tiny-cwd", "tiny-mkd"]
    assert suite.results == tmp_path / "results/cells"
    assert suite.data_root == tmp_path / "cells"
    assert ours.data.splits == {"train": Split("t.json", "images"), "val": Split("v.json", "other")}


def test_where_the_data_lie_decides_nothing(load: Callable[..., Suite]) -> None:
    there = load(f"base: desk\n{DATA}").resolve("tiny-mkd", 0)
    moved = load("base: desk\n" + DATA.replace("root: cells", "root: /elsewhere"))
    assert moved.data_root == Path("/elsewhere")
    assert moved.resolve("tiny-mkd", 0).decisive_digest() == there.decisive_digest()
    fewer = load(f"base: desk\n{DATA}".replace("coco,", "coco, train_images: 9,"))
    assert fewer.resolve("tiny-mkd", 0).decisive_digest() != there.decisive_digest()


def test_a_table_beside_the_file_and_runs_that_are_timed(
    load: Callable[..., Suite], tmp_path: Path
) -> None:
    """Rows that say no table of the paper are compared all the same; a teacher alone is not."""
    head = "run\tarch\tteacher\tmethod\toptions\ttables\n"
    rows = ["big\trtmdet-m\t-\tbaseline\t-\t-", "small\trtmdet-s\t-\tbaseline\t-\t-"]
    rows += ["fgd\trtmdet-s\tbig\tfgd\t-\t-"]
    (tmp_path / "mine.tsv").write_text(head + "\n".join(rows) + "\n")
    suite = load(f"base: desk\n{DATA}seeds: [0, 1, 2]\nruns: mine.tsv\nlatency: [fgd]\n")
    assert {run: len(suite.seeds(run)) for run in suite.runs} == {"big": 1, "small": 3, "fgd": 3}
    assert edge.students(suite) == ["fgd"]
    assert edge.zoo(suite) == []
    assert list(pipeline.pictured(suite)) == ["small", "fgd"]


def test_networks_of_two_widths_are_not_compared(
    load: Callable[..., Suite], tmp_path: Path
) -> None:
    head = "run\tarch\tteacher\tmethod\toptions\ttables\n"
    rows = [f"{run}\trtmdet-tiny\t-\tbaseline\t-\t1" for run in ("plain", "wide")]
    rows += ["wide-cwd\trtmdet-tiny\twide\tcwd\t-\t1"]
    (tmp_path / "mine.tsv").write_text(head + "\n".join(rows) + "\n")
    text = f"base: desk\n{DATA}runs: mine.tsv\nwidth: {{default: 1/3, wide: 1/2, wide-cwd: %s}}\n"
    with pytest.raises(UserError, match="'wide-cwd' has width 0.5, to be compared with 'plain' of"):
        load(text % "1/2")
    assert load(text % "1/3").width("wide") == 0.5


def test_students_of_a_bundled_scale_stand_in_one_place(tmp_path: Path) -> None:
    suite = config.load({"scale": "desk", "results": str(tmp_path)})
    named = suite.settings.model_copy(update={"latency": ["tiny-cwd"]})
    with pytest.raises(UserError, match=r"config/latency\.yaml has a section for scale 'desk'"):
        edge.settings(replace(suite, settings=named))


def test_data_in_the_home_of_nobody_are_one_sentence(load: Callable[..., Suite]) -> None:
    suite = load("base: desk\ndata: {kind: coco, root: ~nobody-of-that-name/set}\n")
    with pytest.raises(UserError, match=r"data\.root: .* Write the folder in full"):
        suite.data_root  # noqa: B018


def test_a_table_of_checks_lies_beside_the_file_too(
    load: Callable[..., Suite], tmp_path: Path
) -> None:
    head = "run\tarch\tteacher\tmethod\toptions\ttables\n"
    (tmp_path / "known.tsv").write_text(f"{head}again\trtmdet-tiny\t-\tbaseline\torder=1\t-\n")
    suite = load(f"base: desk\n{DATA}checks: known.tsv\n")
    assert suite.runs["again"].order == 1


@pytest.mark.parametrize("arch", ["retinanet_r18_fpn_1x_coco", "rtmdet-ins-tiny"])
def test_what_is_not_exported_is_not_timed(
    load: Callable[..., Suite], tmp_path: Path, arch: str
) -> None:
    """Said before anything is trained."""
    head = "run\tarch\tteacher\tmethod\toptions\ttables\n"
    (tmp_path / "mine.tsv").write_text(f"{head}b\t{arch}\t-\tbaseline\t-\t-\n")
    with pytest.raises(UserError, match=f"latency: the run 'b' is {arch}, which has no exported"):
        load(f"base: desk\n{DATA}runs: mine.tsv\nlatency: [b]\n")


def test_a_bundled_scale_without_settings_for_latency_times_nothing() -> None:
    suite = config.load({"scale": "overnight"})
    assert edge.zoo(suite) == edge.students(suite) == []
    assert edge.zoo(config.load({"scale": "desk"}))


WRONG = {
    "data: {kind: badges, train_images: 8, val_images: 4}\n": "names no base: write `base: desk`",
    "base: dsk\n": "base: there is no scale 'dsk' in .*; did you mean 'desk'",
    "base: [desk]\n": "base: there is no scale",
    "base: desk\ntrain:\n  epochs: 3\n  epoch: 4\n": r"line 4: train: .*'epoch'.*mean 'epochs'",
    "base: desk\ntrain: {lr: 1e-3}\n": r"line 2: train\.lr: .*text: write 1\.0e-3$",
    "base: desk\ntrain: {batch_size: 1e1}\n": r"'1e1' is not of type 'integer'$",
    "base: desk\ntrain: {device: 1e0}\n": r"line 2: train\.device: '1e0' is not one of [^:]*$",
    "base: desk\ntrain: {lr: -1.5E3}\n": r"text: write -1\.5e\+3$",
    "base: desk\ntrain: 3\n": "line 2: train: 3 is not of type 'object'",
    "base: desk\n\ndata:\n  kind: coco\n  train: [a]\n": r"line 5: data\.train: .* is too short",
    "base: desk\ndata: {kind: coco, train: [a, b]}\n": "line 2: .*'val' is missing",
    "base: desk\ndata: {kind: voc}\n": "line 2: data.kind: 'voc' is not one of",
    "base: desk\nseeds: [0, a]\n": r"line 2: seeds\.1: 'a' is not",
    "base: desk\nlatency: [tiny]\n": "latency: there is no run 'tiny'.*did you mean 'tiny-",
    "base: desk\npretrained: {s-baselin: a}\n": "pretrained: .*'s-baselin'.*mean 's-baseline'",
    "base: desk\npretrained: {s-baseline: {teach: a}}\n": r"line 2: pretrained\.s-baseline: ",
    "base: desk\npretrained: {s-baseline: 3}\n": r"line 2: pretrained\.s-baseline: 3 is not a file",
    "base: desk\npretrained: {s-baseline: {teaches: a}}\nlatency: [s-baseline]\n": "only teaches",
    "base: desk\nruns: no.tsv\n": "no.tsv does not exist",
    "summary: alone\n": "'data' is a required property",
    "- desk\n": "is not of type 'object'",
    "": r"cells\.yaml is empty: write at least `base: desk`",
    f"base: smoke\n{DATA}train: {{resize_ratio: [0.01, 1]}}\n": "0.01 of 64 px is under 8 px",
    f"base: desk\n{DATA}starts: {{scale: desk, stems: {{}}}}\n": "'desk' takes weights of another",
    f"base: desk\n{DATA}longer: desk\n": "longer: scale 'desk' does not start from random weights",
    f"base: desk\n{DATA}longer: overnigt\n": "unknown scale 'overnigt'.*mean 'overnight'",
    "base: desk\nbase: lab\n": "the key 'base' stands twice",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_said_with_file_line_and_field(
    load: Callable[..., Suite], text: str
) -> None:
    with pytest.raises(UserError, match=WRONG[text]) as caught:
        load(text)
    assert ".yaml" in str(caught.value) or ".tsv" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("desk.yaml", "'desk' is a name of the suite's own: give the file another name"),
        ("reference.yaml", "'reference' is a name of the suite's own"),
        ("my cells.yaml", "use letters, digits, hyphens"),
        ("-x.yaml", "use letters, digits, hyphens"),
        ("cells.txt", "unknown scale .*named by the path of its .yaml file"),
    ],
)
def test_its_results_never_lie_among_others(
    load: Callable[..., Suite], name: str, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        load("base: desk\n", name)


def test_another_file_of_its_name_does_not_get_its_results(
    load: Callable[..., Suite], tmp_path: Path
) -> None:
    first = load(f"base: desk\n{DATA}")
    write_json(first.results / "data.json", {"digest": "d", config.OWNER: str(first.file)})
    assert load(f"base: desk\n{DATA}").file == first.file
    moved = tmp_path / "there" / first.file.name
    moved.parent.mkdir()
    moved.write_text(first.file.read_text())
    asked = {"scale": str(moved), "results": first.config["results"]}
    with pytest.raises(UserError, match=f"has the results of {first.file}, another scale of this"):
        config.load(asked)
    first.file.unlink()
    assert config.load(asked).file == moved


def test_results_below_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "file/below"):
        with pytest.raises(UserError, match=f"results: {tmp_path}/file is no folder"):
            config.load({"scale": "smoke", "results": str(tmp_path / name)})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.yaml does not exist"):
        config.load({"scale": str(tmp_path / "no.yaml")})


def test_the_first_page_waits_for_no_record_of_what_only_teaches() -> None:
    whole = config.load({"scale": "smoke"})
    taught = config.load({"scale": "smoke", "pretrained": {"s-baseline": {"teaches": "s.pth"}}})
    assert set(pipeline.first(whole)) - set(pipeline.first(taught)) == {"s-baseline"}


@pytest.mark.parametrize("run", ["tiny-baseline", "s-baseline", "tiny-cwd"])
def test_nothing_is_counted_resampled_or_exported_of_what_only_teaches(run: str) -> None:
    whole = config.load({"scale": "lab"})
    taught = config.load({"scale": "lab", "pretrained": {run: {"teaches": "s.pth"}}})
    assert set(edge.students(whole)) - set(edge.students(taught)) == {run} & set(
        edge.students(whole)
    )
    for made in (pipeline.counted, pipeline.resampled):
        assert made(whole)
        assert bool(made(taught)) == (run not in made(whole))


def test_stems_of_a_scale_of_ones_own_are_trained_by_its_file(
    load: Callable[..., Suite], tmp_path: Path
) -> None:
    head = "run\tarch\tteacher\tmethod\toptions\ttables\n"
    (tmp_path / "stems.tsv").write_text(f"{head}stem\trtmdet-tiny\t-\tbaseline\t-\t-\n")
    stems = tmp_path / "stems.yaml"
    stems.write_text(f"base: desk-starts\n{DATA}runs: stems.tsv\n")
    suite = load(
        f"base: desk\n{DATA}starts: {{scale: {stems}, stems: {{rtmdet-tiny: stem}}}}\n",
        starts="train",
    )
    assert f"scale={stems}" in pipeline.starts_arguments(suite)


def test_a_bundled_scale_by_its_path_is_that_scale() -> None:
    suite = config.load({"scale": str(config.ROOT / "config/scales/smoke.yaml")})
    assert (suite.scale, suite.own) == ("smoke", False)


def test_weights_at_the_command_line_go_before_those_of_the_file(
    load: Callable[..., Suite],
) -> None:
    text = f"base: desk\n{DATA}pretrained: {{s-baseline: a.pth, tiny-mkd: b.pth}}\n"
    suite = load(text, pretrained={"s-baseline": {"teaches": "c.pth"}})
    assert {run: named.file for run, named in suite.pretrained.items()} == {
        "s-baseline": "c.pth",
        "tiny-mkd": "b.pth",
    }
    assert (suite.scored("s-baseline"), suite.scored("tiny-mkd")) == (False, True)
    wanted = {path.split("/runs/")[1].split("/")[0] for path in pipeline.records(suite)}
    assert wanted == {"tiny-baseline", "tiny-cwd", "tiny-mkd"}


def test_weights_beside_the_file_go_before_those_of_the_suite(
    load: Callable[..., Suite], tmp_path: Path
) -> None:
    (tmp_path / "weights").mkdir()
    text = f"base: desk\n{DATA}pretrained: {{s-baseline: s.pth, tiny-mkd: tiny}}\n"
    suite = load(text, weights=str(tmp_path / "weights"))
    for folder in (tmp_path / "weights", tmp_path):
        for run, name in (("s-baseline", "s.pth"), ("tiny-mkd", "tiny_coco-1.pth")):
            (folder / name).touch()
            assert paths.taken_weights(suite, run, 0) == [str(folder / name)]


HEAD = "run\tarch\tteacher\tmethod\toptions\ttables\n"


def test_a_baseline_that_teaches_too_has_every_seed(
    load: Callable[..., Suite], tmp_path: Path
) -> None:
    """What is there to teach alone has one."""
    rows = [
        *("m-baseline\trtmdet-m\t-\tbaseline\t-\t-", "s-baseline\trtmdet-s\t-\tbaseline\t-\t-"),
        *(
            "tiny-baseline\trtmdet-tiny\t-\tbaseline\t-\t1",
            "s-cwd\trtmdet-s\tm-baseline\tcwd\t-\t1",
        ),
        "tiny-mkd\trtmdet-tiny\ts-baseline\tmkd\t-\t1",
    ]
    (tmp_path / "mine.tsv").write_text(HEAD + "\n".join(rows) + "\n")
    suite = load(f"base: smoke\n{DATA}runs: mine.tsv\nseeds: [0, 1, 2]\n")
    seeds = {run: suite.seeds(run) for run in ("m-baseline", "s-baseline", "s-cwd")}
    assert seeds == {"m-baseline": [0], "s-baseline": [0, 1, 2], "s-cwd": [0, 1, 2]}


def test_a_share_of_all_labels_is_no_share_of_the_first_images(
    load: Callable[..., Suite], tmp_path: Path
) -> None:
    row = "tiny-shuffled\trtmdet-tiny\t-\tbaseline\tshuffled_labels=0.1\t1\n"
    (tmp_path / "mine.tsv").write_text(HEAD + row)
    text = f"base: smoke\n{DATA}runs: mine.tsv\n"
    assert load(text).runs["tiny-shuffled"].shuffled_labels == 0.1
    with pytest.raises(
        UserError, match="run 'tiny-shuffled': shuffled_labels is a share of the wh"
    ):
        load(text.replace("other]}", "other], train_images: 20}"))


def test_weights_in_the_home_of_nobody_are_missing(load: Callable[..., Suite]) -> None:
    suite = load(f"base: smoke\n{DATA}pretrained: {{s-baseline: ~nobody-of-that-name/s.pth}}\n")
    assert list(paths.missing_pretrained(suite)) == ["s-baseline"]


def test_a_student_is_compared_with_a_baseline_that_teaches_nobody(
    load: Callable[..., Suite], tmp_path: Path
) -> None:
    """A teacher of its own size, first in the table, may have trained four times as long."""
    rows = [
        f"{name}\trtmdet-tiny\t{taught}\t{method}\t-\t-"
        for name, taught, method in (
            ("tiny-teacher", "-", "baseline"),
            ("tiny-baseline", "-", "baseline"),
            ("tiny-cwd", "tiny-teacher", "cwd"),
        )
    ]
    (tmp_path / "mine.tsv").write_text(HEAD + "\n".join(rows) + "\n")
    suite = load(f"base: smoke\n{DATA}runs: mine.tsv\nseeds: [0, 1]\n")
    assert baseline_of("tiny-cwd", suite.runs) == "tiny-baseline"
    assert (suite.seeds("tiny-teacher"), suite.seeds("tiny-baseline")) == ([0], [0, 1])
    assert own_page._several(suite.runs) == ["of RTMDet-tiny the run tiny-baseline"]
    without = {name: run for name, run in suite.runs.items() if name != "tiny-teacher"}
    assert own_page._several(without) == []
