"""Weights are exchanged as tensors only, and every misfit is one sentence."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mkd import weights
from mkd.errors import UserError
from mkd.files import sha256_file


def test_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    saved, loaded = nn.Linear(3, 2), nn.Linear(3, 2)
    weights.save(saved, tmp_path / "w.pth", {"seed": 3})
    assert weights.load(loaded, tmp_path / "w.pth") == {"seed": 3}
    assert torch.equal(saved.weight, loaded.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"w\.pth does not exist: train its run first"):
        weights.load(nn.Linear(3, 2), tmp_path / "w.pth")


def test_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    weights.save(nn.Linear(30, 20), path, {})
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(UserError, match=r"w\.pth is not a sound checkpoint: delete it"):
        weights.load(nn.Linear(30, 20), path)


def test_another_architecture(tmp_path: Path) -> None:
    weights.save(nn.Linear(3, 2), tmp_path / "w.pth", {})
    with pytest.raises(UserError, match=r"'weight' wants \(2, 4\) and the file has the shape"):
        weights.load(nn.Linear(4, 2), tmp_path / "w.pth")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, ("raise SystemExit('ran')",)

    torch.save({"state_dict": Evil()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="not a sound checkpoint"):
        weights.load(nn.Linear(3, 2), tmp_path / "w.pth")


def test_a_backbone_out_of_a_classifiers_file(tmp_path: Path) -> None:
    whole = nn.ModuleDict({"backbone": nn.Linear(3, 2), "head": nn.Linear(2, 2)})
    weights.save(whole, tmp_path / "w.pth", {})
    backbone = nn.Linear(3, 2)
    weights.load(backbone, tmp_path / "w.pth", "backbone.")
    assert torch.equal(backbone.weight, whole["backbone"].weight)


def test_a_release_is_checked_against_the_digest_in_its_name(tmp_path: Path) -> None:
    weights.save(nn.Linear(3, 2), tmp_path / "w.pth", {})
    right = tmp_path / f"net-{sha256_file(tmp_path / 'w.pth')[:8]}.pth"
    wrong = tmp_path / "net-00000000.pth"
    for copy in (right, wrong):
        copy.write_bytes((tmp_path / "w.pth").read_bytes())
    weights.load(nn.Linear(3, 2), right)
    with pytest.raises(UserError, match=r"SHA-256 its name promises \(00000000"):
        weights.load(nn.Linear(3, 2), wrong)


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    weights.save(model, tmp_path / "a.pth", {"seed": 0})
    weights.save(model, tmp_path / "b/other.pth", {"seed": 0})
    assert sha256_file(tmp_path / "a.pth") == sha256_file(tmp_path / "b/other.pth")
