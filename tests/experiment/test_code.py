"""What a stage's code digest covers."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import forked_job
import pytest

from mkd import ROOT
from mkd.edge import engines
from mkd.edge import suite as edge
from mkd.experiment import code

STAGES = (
    "mkd.training.trainer",
    "mkd.training.pretraining",
    "mkd.evaluation.detection",
    "mkd.evaluation.scoring",
    "mkd.edge.measure",
    "mkd.results.tables",
)


LOADED = f"""
import importlib, json, os
for name in [name for name in sys.modules if name.partition(".")[0] == "mkd"]:
    del sys.modules[name]
sys.path.insert(0, {str(ROOT)!r})
found = {{}}
for stage in json.loads(sys.argv[1]):
    read, write = os.pipe()
    if os.fork() == 0:
        importlib.import_module(stage)
        os.write(write, " ".join(m for m in sys.modules if m.startswith("mkd.")).encode())
        os._exit(0)
    os.close(write)
    found[stage] = os.fdopen(read).read().split()
print(json.dumps(found))
"""
"""Of the suite itself it forks anew for each stage; the libraries the fork server has."""


@pytest.fixture(scope="module")
def loaded(forked: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Stage → modules of the package that Python has loaded once it has imported it alone."""
    done = subprocess.run(
        forked_job.command(json.dumps(STAGES)),
        cwd=forked_job.package(tmp_path_factory.mktemp("loaded"), LOADED),
        env=forked_job.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    # A package's own module is its __init__, which holds names and no code.
    return {
        stage: {m for m in loaded if ROOT.joinpath(*m.split(".")).with_suffix(".py").is_file()}
        for stage, loaded in found.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_all_that_a_stage_loads_is_in_its_closure(loaded: dict[str, set[str]], stage: str) -> None:
    assert stage in loaded[stage]
    missing = loaded[stage] - code.closure(stage)
    # The losses of other methods are registered beside a run's own, and not used.
    assert {m for m in missing if not m.startswith("mkd.losses.")} == set()


def test_a_module_that_is_named_counts_in_any_room() -> None:
    """What runs are called stands in the pictures' files; unnamed, neither of these counts."""
    assert code.code_digest("mkd.errors") != code.code_digest("mkd.experiment.section")
    assert not any(map(code._decides, code.closure("mkd.experiment.section")))


def test_a_latency_follows_from_what_times_it_and_from_its_engine() -> None:
    """Which are started and imported by name, so that its rule has to list them."""
    text = (ROOT / "workflow/rules/latency.smk").read_text()
    (listed,) = re.findall(r'code_digest\("mkd.edge.measure", (.*)\),', text)
    assert listed == '"mkd.edge.timing", *edge.ENGINE_MODULES'
    assert {module.rpartition(".")[2] for module in edge.ENGINE_MODULES} == engines.ENGINES.keys()
    found = code.closure("mkd.edge.measure", "mkd.edge.timing", *edge.ENGINE_MODULES)
    assert "mkd.edge.preprocessing" in found
    assert not {module for module in found if module.startswith("mkd.training")}


def test_a_training_needs_no_registry_of_methods() -> None:
    """So that an entry more reruns nothing."""
    found = code.closure("mkd.training.trainer")
    assert "mkd.distillation.balance" in found
    assert (
        not {
            "mkd.experiment.methods",
            "mkd.experiment.config",
            "mkd.losses.__init__",
            "mkd.results.records",
        }
        & found
    )


def test_settings_and_files_are_no_part_of_what_is_run() -> None:
    parts = {module.split(".")[1] for module in code.closure("mkd.training.trainer")}
    assert {"experiment", "errors", "files"} <= parts
    whole = code.code_digest("mkd.training.trainer", whole=True)
    assert code.code_digest("mkd.training.trainer") != whole


CODE = """
import a.b as c
from . import d
type_, (e, *f) = 1, (None, "x", b"y", 1j, ...)
@c(g=d)
async def h(i, /, j: int = 2, *k, l=None, **m) -> None:
    global n
    async with c as o, d:
        return [p async for p in o if p < 3 <= j if not p]
    raise ValueError from None
class Q(e, metaclass=f):
    r: int
    s = lambda: (yield)
match t:
    case {"u": [1, *_], **v} | Q(w=None) if x: del y[1:, ::2]
try: z = f"{a!r:>{b}}" "more"
except* OSError as error: pass
"""


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="newer Pythons dump otherwise")
def test_code_is_written_as_python_3_11_dumps_it() -> None:
    assert code.syntax(CODE.encode()) == ast.dump(ast.parse(CODE))


def test_docstrings_are_no_code() -> None:
    with_words = 'def f():\n    "It does."\n    x = 1\n    "An x."\n    return "x"\n'
    assert code.syntax(with_words.encode()) == code.syntax(b"def f():\n x = 1\n return 'x'\n")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def a():\n  if b: pass\n  else:\n    from mkd.files import said", True),
        ("try: pass\nexcept OSError: from mkd.files import said", True),
        ("try: pass\nfinally:\n  with a: import mkd.files", True),
        ("match a:\n  case 1: from mkd.files import said", True),
        ("class A:\n  async def a(self):\n    from mkd.files import said", True),
        ("if TYPE_CHECKING: from mkd.files import said", False),
    ],
)
def test_an_import_counts_wherever_it_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, found: bool
) -> None:
    (tmp_path / "mkd").mkdir()
    (tmp_path / "mkd/own.py").write_text(source)
    (tmp_path / "mkd/files.py").touch()
    monkeypatch.setattr(code, "ROOT", tmp_path)
    code.forget()
    assert ("mkd.files" in code.closure("mkd.own")) == found
    code.forget()
