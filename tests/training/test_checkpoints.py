"""The one reader of torch's files: data come out of a file, code never does, and one sentence."""

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mkd import ROOT
from mkd.errors import UserError
from mkd.training import checkpoints


def said(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        checkpoints.read(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert "delete" not in sentence
    return sentence


def test_what_libraries_allow_stands_before_and_after_but_not_meanwhile(tmp_path: Path) -> None:
    torch.save({"a": Path("x"), "b": nn.Linear(1, 1)}, tmp_path / "w.pth")
    with torch.serialization.safe_globals([nn.Linear, set]):
        before = set(torch.serialization.get_safe_globals())
        said(tmp_path / "w.pth")
        assert set(torch.serialization.get_safe_globals()) == before


def test_only_one_module_reads_torchs_files() -> None:
    readers = re.compile(r"torch\.load\(|load_checkpoint\(|pickle\.loads?\(|np\.load\(|jit\.load\(")
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("mkd", "benchmarks", "docs", "workflow")
        for path in (ROOT / folder).rglob("*.py")
        if readers.search(path.read_text())
    }
    assert found == {"mkd/training/checkpoints.py"}


def files(folder: Path) -> dict[str, Path]:
    """Files of other kinds than a checkpoint, by what they are."""
    made = {name: folder / name for name in ("text", "list", "module", "script", "safetensors")}
    made["text"].write_text("weights\n")
    torch.save([torch.ones(1)], made["list"])
    torch.save(nn.Linear(1, 1), made["module"])
    torch.jit.save(torch.jit.trace(nn.Linear(1, 1), torch.ones(1, 1)), str(made["script"]))
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    made["safetensors"].write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    made["a zip of something else"] = folder / "other.zip"
    with zipfile.ZipFile(made["a zip of something else"], "w") as archive:
        archive.writestr("readme", "words")
    made["numbered"] = folder / "numbered"
    torch.save({0: torch.ones(1)}, made["numbered"])
    made["folder"], made["nothing"] = folder / "folder", folder / "nothing"
    made["folder"].mkdir()
    return made


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_file_of_another_kind_is_one_sentence(tmp_path: Path) -> None:
    sentences = {kind: said(path) for kind, path in files(tmp_path).items()}
    assert "does not exist" in sentences["nothing"]
    assert "is not a file" in sentences["folder"]
    assert "holds a list" in sentences["list"]
    assert "torch.nn.modules.linear.Linear" in sentences["module"]
    assert "TorchScript" in sentences["script"]
    assert "no checkpoint that torch can read" in sentences["safetensors"]


def test_an_archive_that_is_cut_or_changed_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": {"w": torch.arange(1000.0)}}, path)
    whole = path.read_bytes()
    at = whole.find(torch.arange(1000.0).numpy().tobytes())
    flipped = bytearray(whole)
    flipped[at + 9] ^= 1  # torch itself does not mind
    for broken in (b"", bytes(64), whole[:100], whole[:-1], whole[: len(whole) // 2], flipped):
        path.write_bytes(broken)
        with pytest.raises(checkpoints.Damaged, match="is damaged"):
            checkpoints.read(path)


def sealed(path: Path, **content: Any) -> None:
    checkpoints.seal(content)
    torch.save(content, path)


def test_a_sealed_file_is_what_was_sealed(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    plain = {"a": [1, 2.5, None, True, "é"], "b": (torch.ones(2, 3, dtype=torch.bfloat16), "x")}
    sealed(path, **plain, c=torch.zeros(()), d=torch.empty(0), e={1: torch.tensor([True])})
    content = checkpoints.read(path, own=True)
    assert content["a"] == plain["a"]
    for name, value in (
        ("a", [1, 2.5, None, 1, "é"]),
        ("b", (torch.ones(2, 3, dtype=torch.float16), "x")),
        ("b", (torch.ones(3, 2, dtype=torch.bfloat16), "x")),
        ("c", -torch.zeros(())),
        ("e", {2: torch.tensor([True])}),
        ("f", 0),
        (checkpoints.SEAL, None),
        (checkpoints.SEAL, "0" * 64),
        (checkpoints.SEAL, torch.ones(3)),
        ("d", torch.empty(0).to_sparse()),
    ):
        changed = torch.load(path, weights_only=True)
        torch.save({**changed, name: value}, tmp_path / "other.pth")
        with pytest.raises(checkpoints.Damaged, match="is not what was written"):
            checkpoints.read(tmp_path / "other.pth")


def test_only_a_sealed_file_is_the_suites_own(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "w.pth")
    checkpoints.read(tmp_path / "w.pth")
    with pytest.raises(UserError, match="was not written by this suite"):
        checkpoints.read(tmp_path / "w.pth", own=True)
    with pytest.raises(TypeError, match="a PosixPath is neither a tensor nor a plain value"):
        checkpoints.seal({"path": tmp_path})
