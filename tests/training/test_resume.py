"""Checkpoints on the way: whole, of their own run and seed, and data only."""

import random
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from mkd.errors import UserError
from mkd.training import checkpoints, resume

OWNER = resume.Owner("a", 0, "k")


@dataclass(frozen=True)
class Longer(resume.Owner):
    more: int = 1


def put(folder: Path, epoch: int, owner: resume.Owner = OWNER, **changes: Any) -> Path:
    """A checkpoint as mmengine and the hook write it."""
    folder.mkdir(exist_ok=True)
    hub = MessageHub(f"of {owner}")
    for value in (3.5, 1.25):
        hub.update_scalar("train/loss", value)
    hub.update_info("eta", np.float64(7.5))
    content = {
        "meta": {"epoch": epoch, "iter": 6 * epoch, "seed": owner.seed, "cfg": "a = 1"},
        "state_dict": {"w": torch.arange(6.0).view(2, 3), "n": torch.tensor(epoch)},
        "message_hub": hub.state_dict(),
        "optimizer": {"state": {0: {"step": torch.tensor(6.0)}}, "param_groups": [{"lr": 0.1}]},
        "param_schedulers": [{"last_step": 6, "base_values": [0.1]}],
        **changes,
    }
    resume.OwnerHook(owner).before_save_checkpoint(SimpleNamespace(), content)
    path = folder / f"epoch_{epoch}.pth"
    torch.save(content, path)
    return path


def test_the_newest_checkpoint_with_its_log(tmp_path: Path) -> None:
    for epoch in (2, 10, 9):
        put(tmp_path, epoch)
    (tmp_path / "epoch_last.pth").touch()
    path = resume.last_checkpoint(tmp_path, OWNER)
    assert path == tmp_path / "epoch_10.pth"
    content = resume.load_from_run(f"{resume.SCHEME}{path}")
    log = content["message_hub"]["log_scalars"]["train/loss"]
    assert type(log) is HistoryBuffer
    assert log.data[0].tolist() == [3.5, 1.25]
    assert log.data[0].dtype == np.float64
    assert log.data[1].tolist() == [1, 1]
    assert content["message_hub"]["runtime_info"]["eta"] == 7.5
    assert resume.last_checkpoint(tmp_path / "none", OWNER) is None


def test_a_run_may_have_logged_nothing_yet(tmp_path: Path) -> None:
    hub = MessageHub("empty").state_dict()
    path = put(tmp_path, 1, message_hub=hub)
    assert resume.load_from_run(f"{resume.SCHEME}{path}")["message_hub"]["log_scalars"] == {}


@pytest.mark.parametrize(
    "other",
    [
        replace(OWNER, run="b"),
        replace(OWNER, seed=1),
        replace(OWNER, key="l"),
        replace(OWNER, run=None),
        Longer(*astuple(OWNER)),
    ],
)
def test_another_runs_checkpoint_is_refused_and_left(tmp_path: Path, other: resume.Owner) -> None:
    put(tmp_path, 1)
    path = put(tmp_path, 2, other)
    content = path.read_bytes()
    with pytest.raises(UserError, match=r"epoch_2.pth is a checkpoint of .* move it out of"):
        resume.last_checkpoint(tmp_path, OWNER)
    assert path.read_bytes() == content


def test_a_checkpoint_of_another_epoch_than_its_name_says(tmp_path: Path) -> None:
    put(tmp_path, 1).rename(tmp_path / "epoch_7.pth")
    with pytest.raises(UserError, match=r"epoch_7.pth is a checkpoint of a, seed 0 \(k\), epoch 1"):
        resume.last_checkpoint(tmp_path, OWNER)


@pytest.mark.parametrize("kind", ["unsealed", "weights", "words", "list"])
def test_a_file_that_is_no_checkpoint_of_the_suite_is_refused_and_left(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "epoch_1.pth"
    if kind == "words":
        path.write_text("my notes")
    elif kind == "list":
        torch.save([1], path)
    else:
        content: dict[str, Any] = {"meta": {"epoch": 1, "run": "a"}, "state_dict": {}}
        if kind == "weights":
            checkpoints.seal(content)
        torch.save(content, path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=rf"epoch_1.pth.*move it out of {tmp_path}") as caught:
        resume.last_checkpoint(tmp_path, OWNER)
    assert "delete" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong with it: it is never resumed as something else than it was."""
    before, last = put(tmp_path, 1), put(tmp_path, 2)
    whole, aside = last.read_bytes(), last.with_name("epoch_2.pth.damaged")
    written = checkpoints.read(last)
    chance, tried = random.Random(0), {True: 0, False: 0}
    contents = [whole[: chance.randrange(len(whole))] for _ in range(40)]
    for _ in range(120):
        changed = bytearray(whole)
        for _ in range(chance.choice((1, 1, 3, 30))):
            changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        contents.append(bytes(changed))
    for change in (
        {"state_dict": {"w": torch.full((2, 3), float("nan")), "n": torch.tensor(2)}},
        {"state_dict": {"w": torch.arange(6.0).view(3, 2), "n": torch.tensor(2)}},
        {"state_dict": {"w": torch.arange(6.0).view(2, 3)}},
        {"meta": {**written["meta"], "iter": 13}},
        {"meta": {**written["meta"], "made_by": asdict(replace(OWNER, seed=1))}},
        {"optimizer": {}},
        {"param_schedulers": [{"last_step": 7, "base_values": [0.1]}]},
        {"message_hub": HistoryBuffer()},
    ):
        torch.save({**torch.load(last, weights_only=True), **change}, tmp_path / "changed")
        contents.append((tmp_path / "changed").read_bytes())
    for content in contents:
        last.write_bytes(content)
        caplog.clear()
        found, refused = None, ""
        try:
            found = resume.last_checkpoint(tmp_path, OWNER)
        except UserError as error:
            refused = str(error)
        if refused:
            # Changed in torch's archive and sound as that: it could be anybody's.
            assert "\n" not in refused
            assert last.read_bytes() == content
        elif found == last:
            assert checkpoints._digest(checkpoints.read(last)) == checkpoints._digest(written)
        else:
            assert found == before
            assert aside.read_bytes() == content
            (said,) = caplog.messages
            assert "is damaged" in said
            assert "epoch_2.pth.damaged" in said
        tried[found == before] += 1
    assert tried[True] > 100
    assert sum(tried.values()) == len(contents) == 168
