"""Claims and gates of runs that no table has are refused."""

import shutil
from pathlib import Path

import pytest

from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment import config
from mkd.workflow import checks


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copied: Path = shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.setattr(checks, "FOLDER", copied)
    return copied


def test_the_suites_own_are_of_runs_of_any_of_its_tables(folder: Path) -> None:
    """Smoke's table has few of them."""
    checks.check_runs(config.load({"scale": "smoke"}))


def test_a_run_may_stand_in_a_table_that_cannot_be_read(folder: Path) -> None:
    """Whoever runs that table is told; others are not told of a claim that is sound."""
    text = (folder / "claims.yaml").read_text()
    (folder / "claims.yaml").write_text(text.replace("left: tiny-mkd,", "left: tiny-cosine,", 1))
    (folder / "mine.tsv").write_text("run\n")
    checks.check_runs(config.load({"scale": "smoke"}))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "said"),
    [
        ("claims.yaml", "left: tiny-mkd,", "left: tiny-mdk,", "claim 'mkd-over-baseline' names"),
        ("gates.yaml", "students: [tiny-b", "students: [tinny-b", "the list of students names"),
        ("gates.yaml", "runs: [tiny-b", "runs: [tinny-b", "gate 'sizes' names the run"),
        ("latency.yaml", "students: [tiny-mkd]", "students: [tinny-mkd]", "smoke: students names"),
        ("gates.yaml", "right: tiny-b", "right: tinny-b", "gate 'cwd-helps' names the run"),
    ],
)
def test_a_misspelt_run_is_told_which_one_was_meant(
    folder: Path, file: str, right: str, wrong: str, said: str
) -> None:
    """Its verdict would read *not run*, whatever is run."""
    text = (folder / file).read_text()
    assert right in text
    (folder / file).write_text(text.replace(right, wrong, 1))
    with pytest.raises(UserError, match="no table of runs there has; did you mean 'tiny-") as seen:
        checks.check_runs(config.load({"scale": "smoke"}))
    assert f"{folder / file}: {said}" in str(seen.value)
