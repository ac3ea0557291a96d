"""Methods of a user's own files: known, part of their runs' digests, and of no other's."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment import config, loss_arguments, methods, plugins
from mkd.experiment.run_digests import config_digest, train_code
from mkd.experiment.suite import Suite

LOSS = """
from mkd.experiment.methods import METHODS, Method, Term
from mmrazor.registry import MODELS
from torch import nn

METHODS["mine"] = Method({"mine": Term("Mine", __name__)})


@MODELS.register_module()
class Mine(nn.Module):
    def __init__(self, strength: float = 2.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.weight = strength * loss_weight

    def forward(self, preds_S, preds_T):
        return self.weight * (preds_S - preds_T).square().mean()
"""
RUNS = """run\tarch\tteacher\tmethod\toptions\ttables
a\trtmdet-tiny\t-\tbaseline\t-\t1
b\trtmdet-s\t-\tbaseline\t-\t1
c\trtmdet-tiny\tb\tcwd\t-\t1
"""
MINE = "d\trtmdet-tiny\tb\tmine\tmine.strength=3\t1\n"


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    yield
    plugins.use([])


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Suite]:
    """The suite at scale smoke with a table of runs and plugins, by file name and text."""

    def make(rows: str = MINE, **files: str) -> Suite:
        (tmp_path / "runs.tsv").write_text(RUNS + rows)
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        named = [str(tmp_path / f"{name}.py") for name in files]
        return config.load({"scale": "smoke", "runs": str(tmp_path / "runs.tsv"), "plugins": named})

    return make


def digests(suite: Suite) -> dict[str, tuple[str, str]]:
    return {run: (config_digest(suite, run, 0), train_code(suite, run)) for run in suite.runs}


def test_a_method_of_a_file_is_one_of_the_suites_until_another_configuration_is_read(load) -> None:
    suite = load(own=LOSS)
    assert suite.resolve("d", 0).distillation.losses == {"mine": {"type": "Mine", "strength": 3.0}}
    assert loss_arguments.defaults("mkd_plugins.own", "Mine") == {
        "strength": 2.0,
        "loss_weight": 1.0,
    }
    load("", second="from torch import nn\n")
    assert "mine" not in methods.METHODS
    with pytest.raises(UserError, match="unknown method 'mine'"):
        load()


def test_its_code_is_in_the_digest_of_its_runs_alone(load) -> None:
    without, first = digests(load("")), digests(load(own=LOSS))
    assert {run: first[run] for run in without} == without
    assert digests(load(own=f"# a comment\n{LOSS}")) == first
    changed = digests(load(own=LOSS.replace("square()", "abs()")))
    assert [run for run in first if first[run] != changed[run]] == ["d"]
    assert changed["d"][0] == first["d"][0]


def test_where_a_file_lies_is_of_no_account(load, tmp_path: Path) -> None:
    first = digests(load(own=LOSS))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "own.py").write_text(LOSS)
    moved = config.load(
        {
            "scale": "smoke",
            "runs": str(tmp_path / "runs.tsv"),
            "plugins": [str(folder / "own.py")],
        }
    )
    assert digests(moved) == first


def test_code_of_another_plugin_counts_where_it_is_imported(load) -> None:
    both = {"own": f"from .helper import scale\n{LOSS}", "helper": "def scale(x):\n    return x\n"}
    first = digests(load(**both))
    both["helper"] = both["helper"].replace("return x", "return 2 * x")
    second = digests(load(**both))
    assert [run for run in first if first[run] != second[run]] == ["d"]


def test_an_option_of_it_is_checked_as_any_other(load) -> None:
    with pytest.raises(UserError, match=r"'mine.strenght' is no argument.*mean 'strength'"):
        load(MINE.replace("strength", "strenght"), own=LOSS)
    with pytest.raises(UserError, match="mine.strength=a is not a number"):
        load(MINE.replace("=3", "=a"), own=LOSS)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("METHODS['mine'] = Method({", r"own\.py is not Python"),
        ("METHODS['cwd'] = Method({})", r"own\.py, line 1: there is a method 'cwd' already"),
        ("METHODS['x'] = Method({}, 'raw', 'nek')", "unknown method 'mine'"),
        ("METHODS['mine'] = Method({'mine': Term('Mine', __name__)}, 'rare')",
         r"own\.py: features of method 'mine' is 'rare' and not one of"),
        ("METHODS['mine'] = Method({'mine': Term('Mine', __name__, output='box')})",
         r"own\.py: the output of term 'mine' of method 'mine' is 'box' and not one of cls, bbox"),
        ("METHODS['mine'] = Method({'Mine': Term('Mine', __name__)})", "is called 'Mine'"),
        ("METHODS['mine'] = Method({'mine': Term('Mine', __name__)})",
         r"own\.py defines no class 'Mine'"),
        ("METHODS['mine'] = Method({'mine': Term('Mine', 'own')})",
         "line 1: a term's module is 'own', which is no file of mkd/losses: write __name__"),
        ("import os\nMETHODS['mine'] = Method(os.environ)", "line 2: the entry cannot be read"),
        ("METHODS[3] = Method({})", "line 1: the entry is no Method with a name"),
        ("METHODS['mine'] = 3", "line 1: the entry is no Method with a name"),
        ("METHODS['mine'] = Method({'a': 3})", r"terms of method 'mine' are not {name: Term\(…\)}"),
        ("METHODS['mine'] = Method([Term('Mine', __name__)])", "terms of method 'mine' are not"),
        ("METHODS['mine'] = Method({'a': Term('Mine', __name__, growth={'x': 1})})",
         r"line 1: growth of term 'a' is {'x': 1}: the class Term"),
        ("METHODS['mine'] = Method({'a': Term('Mine', __name__, growth={'x': (1,)})})",
         r"line 1: growth of term 'a' is {'x': \(1,\)}: the class Term"),
        ("METHODS['mine'] = Method({'mine': Term('Mine', __name__)}, default=('mine'))",
         "line 1: default of method 'mine' is 'mine': write a tuple of names"),
        ("for n in 'ab':\n    METHODS[n] = Method({})", "line 2: entries are read and not run"),
        ("METHODS.update(mine=Method({}))", "line 1: entries are read and not run: write"),
        ("METHODS['mine']: Method = Method({})", "line 1: entries are read and not run: write"),
        ("import helpers", r"imports 'helpers', which is .*lib/helpers\.py and would be in no"),
        ("METHODS['mine'] = Method({'a': Term(['Mine'], __name__)})", "type of term 'a' is"),
        ("METHODS['mine'] = Method({'a': Term('Mine', __name__, levels=3)})", "levels of term 'a'"),
        ("import beside", "imports 'beside', which lies beside it and would be in no digest"),
        ("from .other import x", "imports 'other', which is no plugin"),
        ("from mkd_plugins import other", "imports 'other', which is no plugin"),
        ("from mkd_plugins.other import x", "imports 'other', which is no plugin"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_do_is_one_sentence(
    load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, sentence: str
) -> None:
    (tmp_path / "beside.py").write_text("")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/helpers.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    with pytest.raises(UserError, match=sentence):
        load(own=text)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (["missing.py"], "the file missing.py does not exist"),
        (["a.txt"], r"a.txt is no module's name"),
        (["my-loss.py"], r"my-loss.py is no module's name"),
        (["."], "is no module's name"),
        (["x/own.py", "y/own.py"], r"two files are called own\.py"),
        ("own.py", "plugins: 'own.py' is not"),
        ([3], "plugins"),
    ],
)
def test_a_name_that_does_not_do_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: object, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x/own.py", "y/own.py"):
        Path(name).parent.mkdir()
        Path(name).write_text(LOSS)
    with pytest.raises(UserError, match=sentence):
        config.load({"scale": "smoke", "plugins": files})


def test_nothing_heavy_is_imported_to_read_one(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(LOSS)
    text = (
        "import sys; from mkd.experiment import config, methods\n"
        f"config.load({{'scale': 'smoke', 'plugins': [{str(tmp_path / 'own.py')!r}]}})\n"
        "assert 'mine' in methods.METHODS and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", text], cwd=ROOT, check=True)
