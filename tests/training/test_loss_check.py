"""A loss of one's own, and any loss with its options, before anything is trained."""

import inspect
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mkd.training import loss_check

# isort: split
import torch
from mmrazor.registry import MODELS

import mkd.losses
from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment import code, config, loss_arguments, methods
from mkd.jobs.runs import rehearsed

HEAD = """
import torch
import torch.nn.functional as F
from dataclasses import dataclass
from mmrazor.registry import MODELS
from torch import nn
"""
PLAIN = """
@MODELS.register_module()
class New(nn.Module):
    def forward(self, preds_S, preds_T):
        return F.mse_loss(preds_S, preds_T)
"""


def made(signature: str, more: str = "", above: str = "@MODELS.register_module()") -> str:
    """A loss with a constructor; ``more`` follows the class."""
    return f"""
STRENGTH = 2.0
{above}
class New(nn.Module):
    def __init__({signature}):
        super().__init__()
        self.strength = strength
    def forward(self, preds_S, preds_T):
        return self.strength * F.mse_loss(preds_S, preds_T)
{more}"""


BASE = made("self, strength=1.0", above="").replace("New", "Base")
INHERITS = BASE + "@MODELS.register_module()\nclass New(Base):\n    pass\n"
DATACLASS = """
@MODELS.register_module()
@dataclass(eq=False)
class New(nn.Module):
    strength: float = 1.0
    def __new__(cls, *given, **named):
        new = super().__new__(cls)
        nn.Module.__init__(new)
        return new
    def forward(self, preds_S, preds_T):
        return self.strength * F.mse_loss(preds_S, preds_T)
"""


@pytest.fixture
def new_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes ``mkd/losses/new.py`` in a copy of the losses, which ``__init__.py`` knows nothing
    of, with an entry that names it."""
    folder = tmp_path / "mkd" / "losses"
    shutil.copytree(ROOT / "mkd" / "losses", folder)
    shutil.copytree(ROOT / "mkd" / "compat", tmp_path / "mkd" / "compat")
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.setattr(mkd.losses, "__path__", [*mkd.losses.__path__, str(folder)])
    monkeypatch.setitem(methods.METHODS, "new", methods.Method({"new": methods.Term("New", "new")}))

    def forget() -> None:
        code.forget()
        loss_arguments.defaults.cache_clear()
        sys.modules.pop("mkd.losses.new", None)
        sys.path_importer_cache.pop(str(folder), None)
        MODELS._module_dict.pop("New", None)

    forget()
    yield lambda text: (folder / "new.py").write_text(HEAD + text)
    forget()


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (PLAIN, {}),
        (made("self, *, strength=1.0"), {"new.strength": 3}),
        (made("self, *, strength"), {"new.strength": 3}),
        (made("self, strength"), {"new.strength": 3.0}),
        (made("self, strength=STRENGTH"), {"new.strength": 3.0}),
        (made("self, strength=-1.0"), {"new.strength": 3.0}),
        # A whole default of what is said to be any number, and flags whose names end in weight.
        (made("self, strength: float = 1"), {"new.strength": 2.5}),
        (made("self, strength=1.0, use_weight=True"), {"new.use_weight": False}),
        (made("self, strength=1.0, class_weight=(1.0, 2.0)"), {"new.class_weight": [1, 2]}),
        (made("self, strength=1.0, /"), {}),
        (made("self, **options").replace("= strength", '= options["strength"]'),
         {"new.strength": 3.0}),
        (INHERITS, {"new.strength": 3.0}),
        (DATACLASS, {"new.strength": 3.0}),
        ("NAME = 'New'\n" + PLAIN.replace("module()", "module(NAME)"), {}),
    ],
)  # fmt: skip
def test_a_loss_of_ones_own_works(
    new_loss: Callable[[str], None], distiller: Any, text: str, options: dict[str, Any]
) -> None:
    new_loss(text)
    plan = methods.plan("mine", "new", options)
    loss_check.check("mine", plan, [8, 8], [16, 16])
    model = distiller("new", **options)
    assert len(model.distiller.distill_losses) == 3
    strength = getattr(model.distiller.distill_losses["loss_new_0"], "strength", 3)
    assert strength == options.get("new.strength", strength)


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        (None, {}, r"mkd/losses/new\.py does not exist"),
        ("class New(", {}, r"mkd/losses/new\.py is not Python"),
        ("\0", {}, r"mkd/losses/new\.py is not Python"),
        ("x = " + "-" * 100_000 + "1", {}, r"mkd/losses/new\.py is not Python: \S"),
        (PLAIN.replace("New", "Other"), {}, r"new\.py defines no class 'New'"),
        (PLAIN, {"new.strength": 1}, "no argument of New, which has none"),
        (PLAIN, {"alpha": 2}, "alpha is for losses with a loss_weight, which New has not"),
        (made("self, strength=1.0"), {"new.weight": 1}, "no argument of New, which has strength"),
        (made("self, strength=1.0"), {"new.strength": "much"}, "strength=much is not a number"),
        (made("self, strength=STRENGTH"), {"new.strength": float("nan")}, "nan is not finite"),
    ],
)
def test_a_loss_that_cannot_be_used_is_one_sentence_when_the_table_is_read(
    new_loss: Callable[[str], None], text: str | None, options: dict[str, Any], sentence: str
) -> None:
    if text is not None:
        new_loss(text)
    with pytest.raises(UserError, match=sentence):
        methods.plan("mine", "new", options)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"features": "rawish"}, "features of method 'new' is 'rawish' and not one of normalized"),
        ({"layers": "nek"}, "layers of method 'new' is 'nek' and not one of neck"),
        *(({"terms": {name: methods.Term("New", "new")}}, f"is called '{name}': take small")
          for name in ("", "a.b", "a_b", "cls", "loss")),
        *(({"terms": {"new": methods.Term("New", "new", growth={name: (1, 0)})}},
           f"growth names '{name}', for which New has no default that is a plain number")
          for name in ("missing", "strength", "weight")),
    ],
)  # fmt: skip
def test_an_entry_that_names_what_does_not_exist_is_one_sentence(
    new_loss: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, entry: Any, sentence: str
) -> None:
    new_loss(made("self, strength, weight=None"))
    terms = {"terms": {"new": methods.Term("New", "new")}}
    monkeypatch.setitem(methods.METHODS, "new", methods.Method(**(terms | entry)))
    with pytest.raises(UserError, match=sentence):
        methods.plan("mine", "new", {}, width=0.5)


def test_a_folder_in_the_place_of_a_loss_is_one_sentence(
    new_loss: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "mkd/losses/new.py").mkdir()
    with pytest.raises(UserError, match="new.py cannot be read: Is a directory"):
        methods.plan("mine", "new", {})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("raise RuntimeError('no')\n" + PLAIN, "new.py, which run 'mine' needs, cannot be import"),
        ("exit()\n" + PLAIN, "new.py, which run 'mine' needs, cannot be imported: SystemExit"),
        (PLAIN.replace("return", "preds_T.mul_(0)\n        return"), "over the teacher's map"),
        (PLAIN.replace("return", "preds_S.data.mul_(0)\n        return"), "over the student's map"),
        (PLAIN.replace("return", "assert False\n        return"), "do not fit: AssertionError"),
        (PLAIN.replace("@MODELS.register_module()", ""), "does not register 'New'.*decorate"),
        (made("self, strength"), "term 'new' do not fit: .*strength"),
        (PLAIN.replace("F.mse_loss(preds_S, preds_T)", "preds_S - preds_T"), "no scalar but"),
        (PLAIN.replace("F.mse_loss(preds_S, preds_T)", "1.0"), "no tensor but of type float"),
        (PLAIN.replace("F.mse_loss(preds_S, preds_T)", "1 + 0 * preds_S.sum()"), "no gradient"),
        (PLAIN.replace("preds_T)\n", "preds_T).sqrt() * torch.inf\n"), "no finite scalar"),
        (PLAIN.replace("(preds_S, preds_T)\n", "(preds_S.detach(), preds_T)\n"), "no finite gradi"),
        (PLAIN.replace("(preds_S, preds_T)\n", "(preds_S * 0, preds_T * 0) ** 0.5\n"),
         "no finite gradient"),
        (PLAIN.replace("preds_S, preds_T)", "student, teacher)"), "term 'new' do not fit"),
        (PLAIN.replace("preds_T)\n", "preds_T[:, :4])\n"), "term 'new' do not fit"),
    ],
)  # fmt: skip
def test_a_loss_that_does_not_work_is_one_sentence_before_the_first_training(
    new_loss: Callable[[str], None], text: str, sentence: str
) -> None:
    new_loss(text)
    with pytest.raises(UserError, match=sentence):
        loss_check.check("mine", methods.plan("mine", "new", {}), [8], [16])


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        ("mkd", {"fdmd.mask_ratio": 1.5}, "run 'mine': the options of term 'fdmd'.*mask_ratio"),
        ("mkd", {"fdmd.mask": "gaussian"}, "term 'fdmd' do not fit: .*gaussian"),
        ("mkd", {"fdmd.generator_channels": 8}, "term 'fdmd' do not fit: .*channels"),
        ("mkd", {"fdmd.generator_channels": "many"}, "term 'fdmd' do not fit"),
        ("mkd", {"multiscale.scales": ["a"]}, "term 'multiscale' do not fit"),
        ("mkd", {"multiscale.scales": [[1]]}, "term 'multiscale' do not fit"),
        ("mkd", {"multiscale.scales": [1.5]}, "term 'multiscale' do not fit"),
        ("mkd", {"adapter": "identity"}, "run 'mine': adapter=identity needs equal channels"),
        ("mkd", {"alpha": 1e39}, "no finite scalar"),
        ("cwd", {"cwd.temperature": 0}, "temperature=0 must be positive"),
        ("fgd", {"fgd.temperature": -0.5}, "temperature=-0.5 must be positive"),
        ("fkd", {"fkd.temperature": 0.0}, "temperature=0.0 must be positive"),
        ("fkd", {"fkd.reduction": 0}, "reduction=0 must be positive"),
        ("mgd", {"mgd.mask_ratio": 1}, "mask_ratio=1 must lie in"),
    ],
)
def test_an_option_a_loss_does_not_take_is_one_sentence_before_the_first_training(
    method: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        loss_check.check("mine", methods.plan("mine", method, options), [8, 8], [16, 16])


def test_the_first_training_of_a_table_tries_every_row_and_a_students_its_own(
    tmp_path: Path,
) -> None:
    rows = ["run\tarch\tteacher\tmethod\toptions\ttables", "b\trtmdet-s\t-\tbaseline\t-\t1"]
    rows += [
        "good\trtmdet-tiny\tb\tcwd\t-\t1",
        "bad\trtmdet-tiny\tb\tcwd\tcwd.temperature=0\t1",
        "",
    ]
    (tmp_path / "runs.tsv").write_text("\n".join(rows))
    suite = config.load({"scale": "smoke", "runs": str(tmp_path / "runs.tsv")})
    loss_check.rehearse(rehearsed(suite, suite.resolve("good", 0)))
    for run in ("b", "bad"):
        with pytest.raises(UserError, match="run 'bad': .*temperature"):
            loss_check.rehearse(rehearsed(suite, suite.resolve(run, 0)))


@pytest.mark.parametrize("scale", ["smoke", "desk", "paper"])
def test_every_row_of_the_suites_own_tables_passes(scale: str) -> None:
    suite = config.load({"scale": scale})
    loss_check.rehearse(suite.resolve(run, suite.seeds(run)[0]) for run in suite.runs)


def test_what_is_read_of_a_loss_is_what_it_takes() -> None:
    terms = {term.type: term for entry in methods.METHODS.values() for term in entry.terms.values()}
    for name, term in terms.items():
        parameters = inspect.signature(getattr(mkd.losses, name)).parameters.values()
        taken = {p.name: p.default for p in parameters if p.name not in loss_arguments.CHANNELS}
        assert loss_arguments.defaults(term.module, name) == taken
        parts = {*term.growth, *term.two_stage, *(key for each in term.levels for key in each)}
        assert parts <= taken.keys()


def test_a_losss_code_is_its_file_and_what_that_imports(new_loss: Callable[[str], None]) -> None:
    def files(text: str) -> frozenset[str]:
        code.forget()
        loss_arguments.defaults.cache_clear()
        new_loss(PLAIN + text)
        plan = methods.plan("mine", "new", {})
        return code.closure(*(f"mkd.losses.{module}" for module in plan.modules.values()))

    pkd = {"mkd.losses.new", "mkd.losses.pkd", "mkd.losses.common"}
    assert files("") == {"mkd.losses.new"}
    for line in ("from mkd.losses.pkd import PKD", "import mkd.losses.pkd", "from .pkd import PKD",
                 "def late():\n    from mkd.losses.pkd import PKD"):  # fmt: skip
        assert files(line) == pkd, line
    for line in ("from mkd.losses import PKD", "from . import PKD", "import mkd.losses"):
        assert files(line) > {"mkd.losses.__init__", "mkd.losses.fgd", *pkd}, line


@pytest.mark.parametrize("channels", [4, 8])
def test_maps_have_the_channels_of_the_run(channels: int) -> None:
    options = {"fdmd.generator_channels": channels}
    plan = methods.plan("mine", "mkd", options)
    loss_check.check("mine", plan, [2], [channels])


@pytest.mark.parametrize("ratio", [0.9, 0.99])
def test_a_mask_that_hides_a_whole_small_map_is_no_fault(ratio: float) -> None:
    """All of 32 frequencies are masked at 0.9 in one draw of thirty, at 0.99 in most."""
    plan = methods.plan("mine", "mkd", {"fdmd.mask_ratio": ratio})
    loss_check.check("mine", plan, [8], [16])


def test_a_loss_is_tried_on_the_same_maps_every_time(new_loss: Callable[[str], None]) -> None:
    new_loss(
        PLAIN.replace("return", "raise ValueError(preds_S.sum() + preds_T.sum())\n        return")
    )
    said = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        with pytest.raises(UserError, match="do not fit: tensor") as raised:
            loss_check.check("mine", methods.plan("mine", "new", {}), [8], [16])
        said.add(str(raised.value))
        assert torch.equal(torch.get_rng_state(), before)
    assert len(said) == 1


VALUES = [0, 1, 2, 3, -1, 0.5, 1e-9, 1e38, -0.0, float("nan"), float("inf"), True, None]
VALUES += ["a", "", "mse", "fad", "neck", "norm", [], [1], [2, 2], [0], ["a"], [[1]], {}, {"a": 1}]


HEADS = ("baseline", "kd", "ld")
"""What has no features to try an option on."""


def test_any_option_works_or_is_one_sentence() -> None:
    """Nothing else is raised, whatever the values of whichever options."""
    random, worked, said = Random(0), 0, []
    for number in range(400):
        method = random.choice([name for name in methods.METHODS if name not in HEADS])
        names = ["alpha", "terms", "layers", "adapter", "stop_epoch", "fad.x"]
        for name, term in methods.METHODS[method].terms.items():
            known = loss_arguments.defaults(term.module, term.type)
            names += [f"{name}.{argument}" for argument in known] * 2
        options = {random.choice(names): random.choice(VALUES) for _ in range(1 + number % 2)}
        try:
            loss_check.check(
                f"run{number}", methods.plan(f"run{number}", method, options), [8], [16]
            )
            worked += 1
        except UserError as error:
            said.append((number, str(error)))
    assert all(f"run{number}" in sentence for number, sentence in said)
    assert worked > 20
    assert len(said) > 200
