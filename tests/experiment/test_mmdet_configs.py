"""mmdet's configurations, and a user's own, as architectures."""

import re
from pathlib import Path

import pytest

from mkd.errors import UserError
from mkd.experiment import config, labels
from mkd.experiment.architectures import ARCHITECTURES, architecture, has_masks
from mkd.experiment.run_digests import config_digest, pretraining

OWN = """
_base_ = "base.py"
model = dict(backbone=dict(depth=18))
"""
BASE = """
_base_ = "mmdet::gfl/gfl_r50_fpn_1x_coco.py"
imagenet = "resnet18-f37072fd"
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("base.py").write_text(BASE)
    Path("own.py").write_text(OWN)
    return tmp_path


def test_a_config_of_mmdet_is_known_by_its_name() -> None:
    found = architecture("gfl_r50_fpn_1x_coco")
    assert (found.config, found.digest) == ("gfl/gfl_r50_fpn_1x_coco.py", None)
    assert (found.generic, found.has_masks, found.two_stage) == (True, False, False)
    faster, masks = map(architecture, ("faster-rcnn_r50_fpn_1x_coco", "mask-rcnn_r101_fpn_2x_coco"))
    assert (faster.two_stage, faster.has_masks) == (True, False)
    assert (masks.two_stage, masks.has_masks) == (True, True)
    assert architecture("rtmdet-s") is ARCHITECTURES["rtmdet-s"]


def test_a_users_own_file_is_an_architecture(own: Path) -> None:
    found = architecture("config:own.py")
    assert (found.config, found.imagenet) == ("own.py", "resnet18-f37072fd")
    assert found.generic
    assert not found.two_stage
    assert (labels.arch_name("config:my/gfl_r18.py"), has_masks("config:gone.py")) == (
        "gfl_r18",
        False,
    )


def test_what_its_files_say_is_in_the_digests_of_its_runs(own: Path) -> None:
    rows = "run\tarch\tteacher\tmethod\toptions\ttables\na\tconfig:own.py\t-\tbaseline\t-\t1\n"
    Path("runs.tsv").write_text(f"{rows}b\trtmdet-tiny\t-\tbaseline\t-\t1\n")

    def digests() -> list[str]:
        suite = config.load({"scale": "smoke", "runs": str(own / "runs.tsv")})
        assert suite.width("a") == 1
        return [
            config_digest(suite, "a", 0),
            pretraining(suite, suite.run("a").architecture.backbone),
            config_digest(suite, "b", 0),
        ]

    first = digests()
    Path("base.py").write_text(f"# more words\n{BASE}")
    assert digests() == first
    Path("base.py").write_text(f"{BASE}\nmodel = dict(neck=dict(out_channels=64))\n")
    changed = digests()
    assert [a != b for a, b in zip(first, changed, strict=True)] == [True, True, False]


def test_two_files_whose_names_are_written_alike_share_no_backbone(own: Path) -> None:
    names = ("my_det.py", "my-det.py")
    for at, name in enumerate(names):
        Path(name).write_text(f"{BASE}\nmodel = dict(neck=dict(out_channels={64 + at}))\n")
    backbones = {architecture(f"config:{name}").backbone for name in names}
    assert len(backbones) == 2
    assert all(re.fullmatch("config-[0-9a-f]{8}-my-det-py", backbone) for backbone in backbones)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("rtmdet-tinny", "", "unknown arch 'rtmdet-tinny'; .*did you mean 'rtmdet-tiny'"),
        ("gfl_r50_fpn_1x_cocoo", "", "did you mean 'gfl_r50_fpn_1x_coco'"),
        ("config:gone.py", "", "gone.py cannot be read: No such file"),
        ("config:.", "", "cannot be read: Is a directory"),
        ("config:new.py", "model = dict(", "new.py is not Python"),
        ("config:new.py", "_base_ = 'gone.py'", "gone.py cannot be read: No such file"),
        ("config:new.py", "_base_ = ['mmdet::gone.py']", "gone.py cannot be read: No such file"),
        ("config:new.py", "_base_ = 'new.py'", "new.py is its own base"),
        ("config:new.py", "_base_ = name", "line 1: _base_ is no path or list of paths"),
        ("config:new.py", "_base_ = [3]", "line 1: _base_ is no path or list of paths"),
        ("config:new.py", "with read_base():\n    from .x import *", "write them as _base_"),
    ],
)
def test_a_config_that_does_not_do_is_one_sentence(
    own: Path, name: str, text: str, sentence: str
) -> None:
    Path("new.py").write_text(text)
    with pytest.raises(UserError, match=sentence):
        architecture(name)
    rows = f"run\tarch\tteacher\tmethod\toptions\ttables\na\t{name}\t-\tbaseline\t-\t1\n"
    Path("runs.tsv").write_text(rows)
    with pytest.raises(UserError, match=f"runs.tsv: run 'a': .*{sentence}"):
        config.load({"scale": "smoke", "runs": str(own / "runs.tsv")})


def test_code_that_a_file_has_imported_is_in_its_digest(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(own))
    Path("my_head.py").write_text("import numpy\nfrom my_parts import width\n")
    Path("my_parts").mkdir()
    Path("my_parts/__init__.py").write_text("from .size import width\n")
    Path("my_parts/size.py").write_text("width = 1\n")
    without = architecture("config:own.py").digest
    Path("own.py").write_text(OWN + "custom_imports = dict(imports=['my_head', 'torchvision'])\n")
    found = [architecture("config:own.py").digest]
    for file, text in (
        ("my_parts/size.py", "width = 2\n"),
        ("my_head.py", "from my_parts import width\nwidth += 1\n"),
    ):
        Path(file).write_text(text)
        found.append(architecture("config:own.py").digest)
    assert len({without, *found}) == 4
    Path("my_parts/size.py").write_text("# a comment\nwidth = 2\n")
    assert architecture("config:own.py").digest == found[-1]


def test_code_beside_a_module_in_a_folder_without_an_init_counts_too(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(own))
    Path("mine").mkdir()
    Path("mine/head.py").write_text("from .size import width\n")
    Path("own.py").write_text(OWN + "custom_imports = dict(imports='mine.head')\n")
    found = []
    for width in (1, 2):
        Path("mine/size.py").write_text(f"width = {width}\n")
        found.append(architecture("config:own.py").digest)
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("custom_imports = dict(imports=NAMES)", r"own\.py, line 4: custom_imports is not written"),
        ("custom_imports = 3", "custom_imports is not written"),
        ("custom_imports = dict(imports=[3])", "custom_imports is not written"),
        ("custom_imports = {'imports': ['broken']}", r"broken\.py is not Python"),
        ("custom_imports = dict(imports='broken')", r"broken\.py is not Python"),
    ],
)
def test_what_is_imported_and_cannot_be_read_is_a_sentence(
    own: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.syspath_prepend(str(own))
    Path("broken.py").write_text("def")
    Path("own.py").write_text(f"{OWN}{text}\n")
    with pytest.raises(UserError, match=words):
        architecture("config:own.py")
