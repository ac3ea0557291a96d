"""The configuration: every mistake is one sentence, and a digest covers what decides a run."""

import itertools
import re
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.cli import parse_config

from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment import code, config, methods, paths, scale_file
from mkd.experiment.run_digests import backbones, config_digest, pretraining
from mkd.experiment.runs import read_runs
from mkd.experiment.suite import Suite
from mkd.paper import claims

HEAD = "run\tarch\tteacher\tmethod\toptions\ttables\n"
BASE = "a\trtmdet-tiny\t-\tbaseline\t-\t1\nb\trtmdet-s\t-\tbaseline\t-\t1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config/readings.tsv").unlink()
    (tmp_path / "config/runs.tsv").write_text(HEAD + BASE + "c\trtmdet-tiny\tb\tmkd\t-\t1\n")
    return tmp_path / "config"


def load(folder: Path, **replace: object) -> Suite:
    return config.load(dict(replace), folder / "config.yaml")


@pytest.mark.parametrize("scale", scale_file.names(ROOT / "config/scales"))
def test_every_scale_loads_and_resolves_every_run(scale: str) -> None:
    suite = config.load({"scale": scale})
    for run in suite.runs:
        assert suite.resolve(run, suite.seeds(run)[0]).train.epochs == suite.epochs(run)


def test_a_reading_of_long_scales_is_left_out_of_short_ones() -> None:
    later = {"tiny-cwd-280", "s-cwd-280", "m-cwd-280", "l-cwd-280"}
    paper, smoke = (config.load({"scale": scale}) for scale in ("paper", "smoke"))
    assert later <= paper.runs.keys() - set(paper.planned)
    assert paper.resolve("s-cwd-280", 0).distillation.stop_epoch == 280
    assert not later & smoke.runs.keys()


def test_unknown_scale(folder: Path) -> None:
    with pytest.raises(UserError, match="unknown scale 'dekc'.*desk, .*smoke; did you mean 'desk'"):
        load(folder, scale="dekc")


def test_unknown_key_of_the_configuration(folder: Path) -> None:
    with pytest.raises(UserError, match=r"config\.yaml, with --config: .*'sede'.*mean 'seeds'"):
        load(folder, sede=[1])


def test_unknown_key_of_a_scale(folder: Path) -> None:
    path = folder / "scales/smoke.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["train"]["learning_rate"] = 1
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(UserError, match=r"yaml, line \d+: train: .*'learning_rate' was unexpected"):
        load(folder, scale="smoke")


def test_unknown_run(folder: Path) -> None:
    with pytest.raises(UserError, match="unknown run 'd': .* has a, b, c"):
        load(folder).run("d")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("d\trtmdet-xs\t-\tbaseline\t-\t1", "unknown arch 'rtmdet-xs'"),
        ("d\trtmdet-tiny\tb\tkdd\t-\t1", "unknown method 'kdd'"),
        ("d\trtmdet-tniy\t-\tbaseline\t-\t1", "did you mean 'rtmdet-tiny'"),
        ("d\trtmdet-tiny\tb\tmdk\t-\t1", "did you mean 'mkd'"),
        ("d\trtmdet-tiny\tb\tmkd\tterms=fdam\t1", r"no term 'fdam'.*did you mean 'f(dmd|ad)'"),
        ("d\trtmdet-tiny\tb\tmkd\tfdmd.mask_raito=0\t1", "did you mean 'mask_ratio'"),
        ("d\trtmdet-tiny\tb\tmkd\talpha\t1", "option 'alpha' is not written key=value"),
        ("d\trtmdet-tiny\tb\tmkd\talpha=much\t1", "alpha=much is not a number"),
        ("d\trtmdet-tiny\tb\tmkd\tfad.a=[1,2\t1", r"value of option 'fad.a=\[1,2' is not valid"),
        ("d\trtmdet-tiny\tb\tmkd\tstop_epoch=foo\t1", "stop_epoch=foo is not a positive whole"),
        ("d\trtmdet-tiny\tb\tmkd\tfad.type=CWD\t1", "option 'fad.type' is not 'alpha'"),
        ("d\tmask-rcnn-r50\tb\tmkd\t-\t1", "is mask-rcnn-r50 and its teacher rtmdet-"),
        ("d\trtmdet-tiny\tb\tmkd\tbeta=1\t1", "option 'beta' is not 'alpha'"),
        ("d\trtmdet-tiny\tb\tmkd\tterms=fad,fda\t1", "has no term 'fda'"),
        ("d\trtmdet-tiny\tb\tmkd\talpha=true\t1", "alpha=True is not a number"),
        ("d\trtmdet-tiny\tb\tmkd\talpha=-1\t1", "alpha=-1.0 is not a number of at least 0"),
        ("d\trtmdet-tiny\tb\tmkd\tfdmd.maskratio=0.5\t1", "no argument of Freq.*mask_ratio"),
        ("d\trtmdet-tiny\tb\tmkd\tfdmd.mask_ratio=half\t1", "mask_ratio=half is not a number"),
        ("d\trtmdet-tiny\tb\tmkd\tmultiscale.scales=2\t1", "scales=2 is not a list"),
        ("d\trtmdet-tiny\tb\tmkd\tfdmd.mask=1\t1", "fdmd.mask=1 is not a word"),
        ("d\trtmdet-tiny\tb\tmkd\tfad.temperature_inside=1\t1", "is not true or false"),
        ("d\trtmdet-tiny\tb\tfgd\tfgd.student_channels=8\t1", "is no argument of FGD"),
        ("d\trtmdet-tiny\tb\tfkd\tfkd.reduction=2.5\t1", "reduction=2.5 is not a whole number"),
        ("d\trtmdet-tiny\tb\tfkd\tfkd.channel_attention=1\t1", "is not true or false"),
        ("d\trtmdet-tiny\tb\tcwd\tcwd.loss_weight=-1\t1", "is not a number of at least 0"),
        ("d\trtmdet-tiny\tb\tfgd\tfgd.channel_weight=inf\t1", "no finite number"),
        ("d\trtmdet-tiny\tb\tcwd\tcwd.temperature=nan\t1", "no finite number"),
        ("d\trtmdet-tiny\tb\tmkd\tmultiscale.scales=[1,.nan]\t1", "not a list of finite values"),
        ("d\trtmdet-tiny\tb\tmkd\tfdmd.generator_channels=.inf\t1", "inf is not finite"),
        ("d\trtmdet-tiny\tb\tmkd\tterms=\t1", "option 'terms' has no value"),
        ("d\trtmdet-tiny\tb\tmkd\talpha=null\t1", "option 'alpha' has no value"),
        ("d\trtmdet-tiny\tb\tmkd\tstop_epoch=~\t1", "option 'stop_epoch' has no value"),
        ("d\trtmdet-tiny\tb\tmkd\tterms=fad,\t1", "has no term ''"),
        ("d\trtmdet-tiny\tb\tmkd\tterms=fad,fad\t1", "terms=fad,fad names 'fad' twice"),
        ("d\trtmdet-tiny\tb\tmkd\tterms=[fad]\t1", r"has no term '\['fad'\]'"),
        ("d\trtmdet-tiny\tb\tmkd\tadapter=conv,alpha=2\t1", "looks like several options"),
        ("d\trtmdet-tiny\tb\tmkd\talpha=1 alpha=2\t1", "option 'alpha' is given twice"),
        ("d\trtmdet-tiny\tb\tmkd\tstop_epoch=true\t1", "stop_epoch=True is not a positive"),
        ("d\trtmdet-tiny\tb\tmkd\tstop_epoch=3\t1", "stop_epoch=3 stops nothing at scale"),
        ("d\trtmdet-tiny\tb\tmkd\tstop_epoch=280\t1", "stops nothing at scale"),
        ("d\trtmdet-tiny\tb\tmkd\tlayers=[neck]\t1", "is not one of neck, neck_output"),
        ("d\trtmdet-tiny\tb\tmkd-balanced\tterms=fdmd\t1", "as strong as 'fad': keep that"),
        ("d\trtmdet-tiny\tb\tmkd-balanced\tfdmd.loss_weight=2\t1", "sets the weight of 'fdmd'"),
        ("d\trtmdet-tiny\tb\tmkd\tterms=fad fdmd.mask_ratio=0\t1", "of a term that is on"),
        ("d\trtmdet-tiny\tc\tmkd\t-\t1", "the teacher 'c' of run 'd' is not a baseline"),
        ("d\trtmdet-tiny\te\tmkd\t-\t1", "the teacher 'e' of run 'd' is not a baseline"),
        ("d\trtmdet-tiny\t-\tmkd\t-\t1", "every other method has one"),
        ("d\trtmdet-tiny\tb\tbaseline\t-\t1", "a baseline has no teacher"),
        ("a\trtmdet-tiny\t-\tbaseline\t-\t1", "run 'a' stands there twice"),
        ("d\trtmdet-tiny\t-\tbaseline\t-\t6", "tables: '6' is not a list of table numbers"),
    ],
)
def test_a_wrong_row_is_named(folder: Path, row: str, sentence: str) -> None:
    with open(folder / "runs.tsv", "a") as handle:
        handle.write(row + "\n")
    with pytest.raises(UserError, match=sentence):
        load(folder)


def test_a_table_that_cannot_be_read_is_one_sentence(folder: Path) -> None:
    (folder / "runs.tsv").write_bytes("größe".encode("latin-1"))
    with pytest.raises(UserError, match="runs.tsv cannot be read"):
        load(folder)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "first line of a table of runs has the names run, arch,"),
        (HEAD.encode(), "has no run: add a row"),
        (f"# mine\n{HEAD}".encode(), "line 1: a table of runs has no comments"),
        (HEAD.replace("\ttables", "").encode() + b"a\n", "first line of a table of runs"),
        ((HEAD + "a\trtmdet-tiny\t-\tbaseline\t-\n").encode(), "line 2: 5 fields and not 6"),
        ((HEAD + "a\trtmdet-tiny\t-\tbaseline\t-\t1\t\n").encode(), "line 2: 7 fields"),
        ((HEAD + 'a\t"rtmdet-tiny\n').encode(), "line 2: unexpected end of data"),
        ((HEAD + '"a\n"\trtmdet-tiny\t-\tbaseline\t-\t1\n').encode(), "is not a name of small"),
        ((HEAD + BASE + "c\trtmdet-tiny\tb\tmkd\talpha=nan\t1\n").encode(), "no finite number"),
        ((HEAD + BASE + "c\trtmdet-tiny\tb\tmkd\talpha=1e999\t1\n").encode(), "no finite number"),
        ((HEAD + BASE + "c\trtmdet-tiny\tb\tmkd\talpha=1 alpha=2\t1\n").encode(), "given twice"),
        ((HEAD + BASE).encode("utf-16"), "byte 0 is not UTF-8"),
        (HEAD.encode() + b"\xff", "is not UTF-8"),
    ],
)
def test_a_malformed_table_of_runs_is_one_sentence(
    folder: Path, content: bytes, sentence: str
) -> None:
    (folder / "runs.tsv").write_bytes(content)
    with pytest.raises(UserError, match=sentence) as error:
        load(folder)
    assert "\n" not in str(error.value)


def test_a_table_of_runs_of_another_editor_is_read(folder: Path) -> None:
    before = load(folder).runs
    text = (folder / "runs.tsv").read_text().replace("rtmdet-s", '"rtmdet-s"')
    (folder / "runs.tsv").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert load(folder).runs == before


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seeds": [2**32]}, "4294967296 is greater than the maximum"),
        ({"seeds": ["9" * 5000]}, "9 … 9.* is not of type 'integer'"),
        ({"seeds": [-1]}, "-1 is less than the minimum"),
        ({"seeds": [True]}, "True is not of type 'integer'"),
        ({"seeds": [1.0]}, "1.0 is not of type 'integer'"),
        ({"seeds": ["²"]}, "is not of type 'integer'"),
        ({"seeds": []}, "should be non-empty"),
        (
            {"seeds": "all"},
            r"seeds: 'all' is not a list of whole numbers such as \[0, 1\], or null",
        ),
        ({"seeds": -1}, "seeds: -1 is not a list of whole numbers"),
        ({"seeds": list(range(2000))}, "is too long"),
        ({"results": "a{b"}, "results: 'a{b' is not a path without braces"),
        ({"results": ""}, "results: '' is not a path"),
        ({"results": "-r"}, "results: '-r' is not a path"),
        ({"results": "a\nb"}, "results: 'a.nb' is not a path"),
        ({"results": "\udcff"}, "is not a path without"),
        ({"results": None}, "None is not of type 'string'"),
        ({"data": None}, "data: None is not of type 'object'"),
        ({"data": {"badges": None, "coco": "c"}}, "data.badges: None is not of type"),
        ({"data": {"badges": "b", "cocoa": "c"}}, "data: 'cocoa' is no kind of data set: they are"),
        ({"data": {"coco": "c"}}, "uses the kind 'badges' and no folder is named for it"),
        ({"scale": "../x"}, "unknown scale '../x'"),
        ({"scale": None}, "scale: None is not of type"),
        ({"runs": "config"}, "is no file: name a file"),
        ({"runs": "/dev/zero"}, "is no file: name a file"),
        ({"runs": "nowhere.tsv"}, "does not exist"),
    ],
)
def test_a_wrong_value_of_the_configuration_is_one_sentence(
    folder: Path, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        load(folder, **changes)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


BOMB = "seeds: &a [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "\n".join(
    f"x{i}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]" for i in range(9)
)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "has no settings"),
        (b"[]", "has no settings"),
        (b"scale: smoke", "is a required property"),
        (b"- a: [", "is not valid YAML"),
        (BOMB.encode(), "more than 20000 values"),
        (b"seeds: &a [*a]", "stands within its own value"),
        (b"seeds: [" + b"0," * 10**5 + b"]", "more than 20000 values"),
        (b"[" * 10**5, "too deep"),
        (b"a: 1\na: 2", "the key 'a' stands twice"),
        (b"1: 2", "the key 1 is no word"),
        (b"scale: !!python/object:os.system {}", "could not determine a constructor"),
        (b"scale: !!bool maybe", "is not valid YAML"),
        (b"scale: !!timestamp never", "is not valid YAML"),
        (b"seeds: [" + b"9" * 5000 + b"]", "is not valid YAML"),
        ("scale: größe".encode("latin-1"), "is not UTF-8"),
        (b"x" * (2**20 + 1), "is longer than 1 MiB"),
    ],
)
def test_a_malformed_configuration_is_refused_at_once(
    folder: Path, content: bytes, sentence: str
) -> None:
    (folder / "config.yaml").write_bytes(content)
    steps = itertools.count()
    sys.setprofile(lambda *_: next(steps))
    try:
        with pytest.raises(UserError, match=sentence) as error:
            load(folder)
    finally:
        sys.setprofile(None)
    assert next(steps) < 500_000
    assert "\n" not in str(error.value)
    (folder / "config.yaml").unlink()
    with pytest.raises(UserError, match="does not exist"):
        load(folder)


@pytest.mark.parametrize(
    "value", [".nan", ".inf", "-.inf", "0", "-1", "1.0e+9", "'x'", "null", "[]"]
)
@pytest.mark.parametrize("key", ["width", "lr", "input_px", "epochs", "weight_decay"])
def test_a_setting_that_is_no_sound_number_is_one_sentence(
    folder: Path, key: str, value: str
) -> None:
    if (key, value) == ("weight_decay", "0"):
        pytest.skip("none at all is a choice")
    path = folder / "scales/smoke.yaml"
    text, count = re.subn(rf"(?m)^( *{key}): .*$", rf"\g<1>: {value}", path.read_text())
    assert count
    path.write_text(text)
    with pytest.raises(UserError, match=rf"smoke\.yaml(, line \d+)?: .*{key}"):
        load(folder, scale="smoke")


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("width", "'0/1'", "width: '0/1' is not a fraction such as 1/3"),
        ("width", "null", "width: None is not a number, or a fraction"),
        ("seeds", "-1", "seeds: -1 is not a list of whole numbers"),
        ("data", "{kind: other}", "data.kind: 'other' is not one of"),
        ("data", "{kind: badges, train_images: 8}", "'val_images' is a required property"),
        ("data", "{kind: coco, val_images: 8}", "'val_images' was unexpected"),
        ("flat_epochs", "1.0", "flat_epochs: 1.0 is greater than or equal"),
        ("resize_ratio", "[2, 0.5]", "the least ratio 2 is above the largest 0.5"),
        ("second_stage_epochs", "3", "second_stage_epochs=3 is more than the 2 epochs of run"),
        ("max_per_image", "true", "True is not a whole number of detections"),
    ],
)
def test_a_setting_that_fits_no_training_is_one_sentence(
    folder: Path, key: str, value: str, sentence: str
) -> None:
    path = folder / "scales/smoke.yaml"
    end = "}" if key == "max_per_image" else ""
    text, count = re.subn(rf"\b{key}: .*", f"{key}: {value}{end}", path.read_text())
    assert count == 1
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        load(folder, scale="smoke")


def test_a_run_of_the_name_of_a_longer_trained_teacher_is_not_replaced(folder: Path) -> None:
    table = (ROOT / "config/runs.tsv").read_text()
    (folder / "own.tsv").write_text(table + "s-teacher\trtmdet-s\t-\tbaseline\t-\t-\n")
    with pytest.raises(UserError, match="has a run 's-teacher'.*give it another name"):
        config.load({"scale": "desk", "runs": str(folder / "own.tsv")})


def test_alpha_multiplies_every_terms_own_weight(folder: Path) -> None:
    with open(folder / "runs.tsv", "a") as handle:
        handle.write("d\trtmdet-tiny\tb\tmkd\talpha=5e-1 fad.loss_weight=3\t1\n")
    losses = load(folder).resolve("d", 0).distillation.losses
    assert {name: loss["loss_weight"] for name, loss in losses.items()} == {
        "multiscale": 0.5,
        "fdmd": 0.5,
        "fad": 1.5,
    }


def test_the_digest_covers_seed_and_teacher_but_not_other_runs(folder: Path) -> None:
    suite = load(folder)
    before = config_digest(suite, "c", 0)
    assert before != config_digest(suite, "c", 1)
    with open(folder / "runs.tsv", "a") as handle:
        handle.write("d\trtmdet-m\t-\tbaseline\t-\t1\n")
    assert config_digest(load(folder), "c", 0) == before
    text = (folder / "runs.tsv").read_text().replace("b\trtmdet-s", "b\trtmdet-m")
    (folder / "runs.tsv").write_text(text)
    assert config_digest(load(folder), "c", 0) != before


def test_a_method_entry_is_part_of_the_digest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = load(folder)
    before = config_digest(suite, "c", 0)
    entry = methods.METHODS["mkd"]
    for change in ({"features": "raw"}, {"balanced": True}, {"layers": "backbone"}):
        monkeypatch.setitem(methods.METHODS, "mkd", replace(entry, **change))
        assert config_digest(suite, "c", 0) != before


def test_another_table_is_another_table_also_where_the_file_names_it(folder: Path) -> None:
    shutil.copy(folder / "runs.tsv", folder / "mine.tsv")
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("runs: config/runs.tsv", "runs: config/mine.tsv"))
    for scale in ("smoke", "paper"):
        assert list(load(folder, scale=scale).runs) == ["a", "b", "c"]


def test_a_loss_within_a_loss_counts_as_code() -> None:
    plan = methods.plan("c", "mkd", {"terms": "fea", "fea.kind": "pkd"})
    assert plan.modules == {"fea": "feature"}
    files = {f"mkd.losses.{name}" for name in ("feature", "pkd", "common")}
    assert code.closure("mkd.losses.feature") == files


def test_scoring_and_checkpoints_retrain_nothing(folder: Path) -> None:
    before = config_digest(load(folder), "c", 0)
    path = folder / "scales/desk.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["evaluate"]["max_per_image"] += 1
    settings["train"]["checkpoint_epochs"] += 1
    path.write_text(yaml.safe_dump(settings))
    assert config_digest(load(folder), "c", 0) == before
    settings["train"]["lr"] *= 2
    path.write_text(yaml.safe_dump(settings))
    assert config_digest(load(folder), "c", 0) != before


def test_a_backbone_is_the_same_for_every_table_of_runs(folder: Path) -> None:
    before = pretraining(load(folder), "tiny")
    table = folder / "runs.tsv"
    table.write_text(table.read_text().replace("a\trtmdet-tiny", "a\trtmdet-ins-tiny"))
    assert pretraining(load(folder), "tiny") == before


def test_seeds_of_the_command_line_replace_the_scales(folder: Path) -> None:
    suite = load(folder, scale="lab", seeds=[7, 8])
    assert suite.seeds("a") == [7, 8]
    assert suite.teacher_seed("c", 8) == 7


def test_the_table_has_every_claims_runs() -> None:
    named = {run for claim in claims.load() for run in (*claim.left, *claim.right)}
    assert named <= config.load().runs.keys()


def test_a_scale_whose_teachers_train_longer_keeps_them_apart_from_the_baselines() -> None:
    suite = config.load({"scale": "desk"})
    assert suite.run("tiny-mkd").teacher == "s-teacher"
    assert suite.epochs("s-teacher") > suite.epochs("s-baseline") == suite.epochs("s-mkd")
    # It stands in no table: nothing else needs it.
    assert suite.run("l-mkd").teacher == "x-baseline"
    assert suite.epochs("x-baseline") > suite.epochs("l-mkd")
    assert config.load({"scale": "paper"}).run("tiny-mkd").teacher == "s-baseline"


def test_a_scales_own_table_gives_way_to_one_that_is_named(folder: Path) -> None:
    own = {run.id for run in load(folder, scale="smoke").runs.values()}
    assert own == set(read_runs(folder / "smoke.tsv"))
    assert set(load(folder, scale="smoke", runs="config/mask-rcnn.tsv").runs) == set(
        read_runs(folder / "mask-rcnn.tsv")
    )


@pytest.fixture
def taking(folder: Path) -> Path:
    """A configuration whose scale smoke starts from another scale's weights, with known answers."""
    (folder / "starts.tsv").write_text(
        HEAD + "tiny-stem\trtmdet-tiny\t-\tbaseline\t-\t-\nb-teacher\trtmdet-s\t-\tbaseline\t-\t-\n"
    )
    (folder / "checks.tsv").write_text(
        HEAD
        + "one-stem\trtmdet-tiny\t-\tbaseline\tstart=0\t-\n"
        + "other-order\trtmdet-tiny\t-\tbaseline\torder=100\t-\n"
        + "shuffled\trtmdet-tiny\t-\tbaseline\tshuffled_labels=0.1\t-\n"
        + "own-stem\trtmdet-tiny\ttiny-stem\tcwd\t-\t-\n"
    )
    settings = yaml.safe_load((folder / "scales/smoke.yaml").read_text())
    seeds = {"default": [0], "tiny-stem": [0, 1, 2]}
    made = {
        "made": {**settings, "runs": "config/starts.tsv", "seeds": seeds},
        "taking": {
            **settings,
            "runs": "config/runs.tsv",
            "starts": {"scale": "made", "stems": {"rtmdet-tiny": "tiny-stem"}},
            "checks": "config/checks.tsv",
        },
    }
    for name, content in made.items():
        (folder / f"scales/{name}.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_a_setting_of_a_run_that_there_is_not_is_refused(taking: Path) -> None:
    def wrong(**changes: Any) -> str:
        path = taking / "scales/taking.yaml"
        before = path.read_text()
        settings = yaml.safe_load(before)
        settings["train"] |= changes.pop("train", {})
        path.write_text(yaml.safe_dump(settings | changes))
        try:
            with pytest.raises(UserError) as caught:
                load(taking, scale="taking")
        finally:
            path.write_text(before)
        return str(caught.value)

    assert "train.by_run: 'a-' is no run" in wrong(train={"by_run": {"a-": {"lr": 0.1}}})
    assert "seeds: 'rtmdet_s'" in wrong(seeds={"default": [0], "rtmdet_s": [1]})
    assert "did you mean 'rtmdet-s'?" in wrong(width={"default": 0.25, "rtmdet_s": 0.5})
    # A teacher that another scale trains is a run, and who names a table means its rows.
    load(taking, scale="taking", runs="config/mask-rcnn.tsv")


def test_a_stems_seed_without_a_stem_is_refused(taking: Path) -> None:
    (taking / "runs.tsv").write_text(HEAD + "b\trtmdet-s\t-\tbaseline\tstart=0\t1\n")
    for scale in ("taking", "lab"):
        with pytest.raises(UserError, match="run 'b': start=0 is the seed of a stem, and scale"):
            load(taking, scale=scale)


def test_classes_are_not_compared_with_those_of_a_teacher_that_knows_others(folder: Path) -> None:
    (folder / "runs.tsv").write_text(HEAD + BASE + "c\trtmdet-tiny\tb\tkd\t-\t1\n")
    load(folder, scale="lab", pretrained={"b": "any.pth"})
    with pytest.raises(UserError, match="'b' only teaches, as it knows other classes"):
        load(folder, scale="lab", pretrained={"b": {"teaches": "any.pth"}})


def test_a_frozen_backbone_is_a_pretrained_one(folder: Path) -> None:
    load(folder, scale="smoke", runs="config/mask-rcnn.tsv")
    with pytest.raises(UserError, match="scale 'overnight' pretrains none: set train.pretrained"):
        load(folder, scale="overnight", runs="config/mask-rcnn.tsv")


def test_weights_of_a_students_own_are_no_matter_of_the_scale_it_starts_from(taking: Path) -> None:
    suite = load(taking, scale="taking", pretrained={"c": "any.pth"})
    assert suite.taken("c")
    assert suite.starts is not None
    assert not suite.starts.pretrained


@pytest.mark.parametrize(("seed", "order"), [(-1, 0), (2**32, 0), (0, 2**32)])
def test_a_seed_that_numpy_does_not_take_is_refused(folder: Path, seed: int, order: int) -> None:
    (folder / "runs.tsv").write_text(HEAD + f"b\trtmdet-s\t-\tbaseline\torder={order}\t1\n")
    with pytest.raises(UserError, match=f"run 'b': seed {seed} is none"):
        load(folder, scale="lab").resolve("b", seed)


def test_a_number_that_begins_with_0_is_no_octal_one(folder: Path) -> None:
    (folder / "runs.tsv").write_text(HEAD + "b\trtmdet-s\t-\tbaseline\torder=0100\t1\n")
    assert load(folder, scale="lab").runs["b"].order == 100


def test_one_backbone_is_not_pretrained_for_two_widths(folder: Path) -> None:
    rows = ("b-teacher\trtmdet-s\t-\tbaseline\t-\t-", *BASE.splitlines())
    (folder / "mine.tsv").write_text("\n".join([HEAD.rstrip(), *rows, ""]))
    path = folder / "scales/smoke.yaml"
    settings = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**settings, "width": {"default": 0.25, "b-teacher": 0.5}}))
    with pytest.raises(UserError, match="runs 'b-teacher' and 'b' have one backbone"):
        load(folder, scale="smoke", runs="config/mine.tsv")
    taken = {"b-teacher": "any.pth"}
    suite = load(folder, scale="smoke", runs="config/mine.tsv", pretrained=taken)
    # Nor is it pretrained for the one that is not trained.
    assert backbones(suite)["s"] == "b"


def test_the_first_missing_file_of_a_run_is_named_whatever_its_seed(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "own-1.pth").touch()
    suite = load(
        folder, scale="lab", seeds=[0, 1], weights=str(tmp_path), pretrained={"b": "own-{seed}.pth"}
    )
    assert paths.missing_pretrained(suite) == {"b": tmp_path / "own-0.pth"}
    (tmp_path / "own-1.pth").unlink()
    assert paths.missing_pretrained(suite) == {"b": tmp_path / "own-0.pth"}


def test_an_order_beyond_every_seed_is_refused_when_the_table_is_read(folder: Path) -> None:
    (folder / "runs.tsv").write_text(HEAD + f"b\trtmdet-s\t-\tbaseline\torder={2**32}\t1\n")
    with pytest.raises(UserError, match="run 'b': seed 0 is none"):
        load(folder, scale="lab")


def test_paths_may_begin_with_the_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "home"))
    data = {"badges": "~/badges", "coco": "coco"}
    suite = load(folder, results="~/out", weights="~/weights", data=data)
    assert suite.results.is_relative_to(folder / "home/out")
    assert suite.config["weights"] == str(folder / "home/weights")
    assert suite.config["data"] == {"badges": str(folder / "home/badges"), "coco": "coco"}


def test_the_home_of_nobody_is_a_sentence(folder: Path) -> None:
    with pytest.raises(UserError, match="scale's file ~nobody-of-that-name/x.yaml does not exist"):
        load(folder, scale="~nobody-of-that-name/x.yaml")


def test_a_seed_begins_with_the_stem_of_its_own(taking: Path) -> None:
    suite = load(taking, scale="taking")
    found = [suite.start("c", seed) for seed in range(5)]
    assert found == [("tiny-stem", seed) for seed in range(5)]
    assert {suite.start("one-stem", seed) for seed in range(3)} == {("tiny-stem", 0)}
    assert suite.start("b", 0) is None


def test_a_teacher_comes_from_the_scale_that_trains_it(taking: Path) -> None:
    suite = load(taking, scale="taking")
    assert suite.starts is not None
    assert (suite.run("c").teacher, suite.taken("b-teacher"), suite.taken("b")) == (
        "b-teacher",
        True,
        False,
    )
    assert suite.resolve("b-teacher", 0) == suite.starts.resolve("b-teacher", 0)
    # One that is the student's own start has that start's seed.
    assert [suite.teacher_seed("own-stem", seed) for seed in range(3)] == [0, 1, 2]
    assert [suite.teacher_seed("c", seed) for seed in range(3)] == [0, 0, 0]


def test_a_runs_own_options_are_in_its_digest_and_not_in_its_method(taking: Path) -> None:
    suite = load(taking, scale="taking")
    runs = ("a", "one-stem", "other-order", "shuffled")
    # Seed 1, as the first seed's start is the same.
    resolved = [suite.resolve(run, 1).model_copy(update={"run": "x"}) for run in runs]
    assert len({run.decisive_digest() for run in resolved}) == len(runs)
    assert len({repr(run.distillation) for run in resolved}) == 1
    assert [suite.run(run).said for run in runs] == [
        {},
        {"start": 0},
        {"order": 100},
        {"shuffled_labels": 0.1},
    ]
    same = [suite.resolve(run, 0).model_copy(update={"run": "x"}) for run in runs[:2]]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("start=-1", "start is -1.0: write a whole number"),
        ("order=0.5", "order is 0.5: write a whole number"),
        ("shuffled_labels=2", "shuffled_labels is 2: write a share from 0 to 1"),
        ("start=true", "start is True: write a whole number"),
    ],
)
def test_a_runs_own_option_that_is_no_such_number(folder: Path, option: str, words: str) -> None:
    (folder / "runs.tsv").write_text(HEAD + f"a\trtmdet-tiny\t-\tbaseline\t{option}\t1\n")
    with pytest.raises(UserError, match=words):
        load(folder, scale="lab")


def test_a_stem_of_another_architecture_is_named(taking: Path) -> None:
    path = taking / "scales/taking.yaml"
    path.write_text(path.read_text().replace("tiny-stem", "b-teacher"))
    with pytest.raises(UserError, match=r"starts\.stems\.rtmdet-tiny: scale 'made' has no run"):
        load(taking, scale="taking")


def test_what_was_replaced_is_read_by_snakemake_as_it_was() -> None:
    values = {
        "scale": "lab",
        "results": "/my results",
        "runs": "config/runs.tsv",
        "starts": "yes",
        "data": {"coco": "a b", "badges": "c"},
    }
    option, *words = shlex.split(config.arguments(values))
    assert (option, parse_config(words)) == ("--config", values)
    assert (
        config.arguments({"scale": "lab", "seeds": [0, 1]}) == "--config scale=lab 'seeds=[0, 1]'"
    )
    assert config.arguments({}) == ""
