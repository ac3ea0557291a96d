"""Weights are exchanged as tensors only, and every misfit is one sentence."""

import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from torch import Tensor, nn

from mkd.errors import UserError
from mkd.files import sha256_file
from mkd.training import weights


def test_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    saved, loaded = nn.Linear(3, 2), nn.Linear(3, 2)
    weights.save(saved, tmp_path / "w.pth", {"seed": 3})
    assert weights.load(loaded, tmp_path / "w.pth") == {"seed": 3}
    assert torch.equal(saved.weight, loaded.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"w\.pth does not exist: make or fetch"):
        weights.load(nn.Linear(3, 2), tmp_path / "w.pth")


def test_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    weights.save(nn.Linear(30, 20), path, {})
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(UserError, match=r"w\.pth is damaged, it is cut short"):
        weights.load(nn.Linear(30, 20), path)


def test_another_architecture(tmp_path: Path) -> None:
    weights.save(nn.Linear(3, 2), tmp_path / "w.pth", {})
    with pytest.raises(UserError, match=r"'weight' wants \(2, 4\) and the file has the shape"):
        weights.load(nn.Linear(4, 2), tmp_path / "w.pth")


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


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


def of_mmengine(model: nn.Module, prefix: str = "") -> dict[str, Any]:
    """A checkpoint as mmengine's runner writes it, with averaged weights and a log."""
    hub = MessageHub("mine")
    hub.update_scalar("train/loss", np.float64(1.5))
    hub.update_info("eta", np.float64(3.5))
    state = {f"{prefix}{name}": value.clone() for name, value in model.state_dict().items()}
    return {
        "meta": {"epoch": 3, "seed": 0, "experiment_name": "mine", "cfg": "model = dict()"},
        "state_dict": state,
        "ema_state_dict": {f"module.{name}": value + 1 for name, value in state.items()},
        "message_hub": hub.state_dict(),
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
        "param_schedulers": [{"last_step": 3}],
    }


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_users_own_checkpoint_of_mmengine(tmp_path: Path, prefix: str, zipped: bool) -> None:
    model, path = small(), tmp_path / "epoch_3.pth"
    torch.save(of_mmengine(model, prefix), path, _use_new_zipfile_serialization=zipped)
    wanted = {name: value.clone() for name, value in model.state_dict().items()}
    nn.init.zeros_(model[2].weight)
    assert weights.load(model, path)["experiment_name"] == "mine"
    assert same(model.state_dict(), wanted)


def test_mmengines_hook_puts_the_averages_into_state_dict() -> None:
    """Why ``ema_state_dict``, which has the weights of the last step then, is left alone."""
    from types import SimpleNamespace

    from mmengine.hooks import EMAHook

    model, hook = small(), EMAHook()
    hook.before_run(SimpleNamespace(model=model))
    average = hook.ema_model.module[2].weight.detach().fill_(7.0)
    checkpoint = {"state_dict": model.state_dict()}
    hook.before_save_checkpoint(SimpleNamespace(), checkpoint)
    assert torch.equal(checkpoint["state_dict"]["2.weight"], average)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_read(tmp_path: Path, kind: torch.dtype) -> None:
    model = small()
    state = model.state_dict()
    halves = {k: v.to(kind) if v.is_floating_point() else v for k, v in state.items()}
    torch.save(halves, tmp_path / "w.pth")
    for value in state.values():
        value.fill_(7)
    weights.load(model, tmp_path / "w.pth")
    assert same(state, {k: v.to(state[k].dtype) for k, v in halves.items()})


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    model = small()
    nn.init.constant_(model[2].bias, float("inf"))
    with pytest.raises(UserError, match=r"'2.bias' of the trained weights is not finite"):
        weights.save(model, tmp_path / "w.pth", {})
    assert list(tmp_path.iterdir()) == []


def test_only_a_release_or_a_larger_model_may_hold_more(tmp_path: Path) -> None:
    model = small()
    torch.save({**model.state_dict(), "head": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="the model has no 'head'"):
        weights.load(model, tmp_path / "w.pth")
    weights.load(model, tmp_path / "w.pth", more=True)
    weights.load(model, tmp_path / "w.pth", "backbone.")


def test_weights_say_whose_they_are(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    said = {"run": "a", "seed": 1, "code": "x"}
    weights.expect(said, path, said)
    for wanted, words in (
        ({"run": "b", "seed": 1}, "is of a, seed 1, not of b, seed 1"),
        ({"run": "a", "seed": 0}, "is of a, seed 1, not of a, seed 0"),
        ({"run": "a", "seed": 1, "code": "y"}, "is of another code"),
    ):
        with pytest.raises(UserError, match=words):
            weights.expect(said, path, wanted)
    with pytest.raises(UserError, match="does not say which run"):
        weights.expect({"seed": 1}, path, said)


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def wrong_states(state: dict[str, Tensor]) -> Iterator[tuple[str, Any]]:
    """State dicts that do not fit, each by one tensor or by its kind."""
    first, *_ = state
    tensor = state[first]
    for number in (float("nan"), float("inf"), -float("inf")):
        for name in (first, "2.bias", "1.running_var"):
            yield f"{number} in {name}", {**state, name: torch.full_like(state[name], number)}
    others: dict[str, Any] = {
        "shape": tensor.transpose(0, 1),
        "one more dimension": tensor[None],
        "a number": 1.0,
        "nothing": None,
        "a list": tensor.tolist(),
        "a string": "weights",
        "sparse": tensor.to_sparse(),
        "compressed": tensor.flatten(1).to_sparse_csr(),
        "quantized": torch.quantize_per_tensor(tensor.detach(), 0.1, 0, torch.qint8),
        "without values": tensor.to("meta"),
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "double": tensor.double(),
        "whole": tensor.long(),
        "complex": tensor.to(torch.complex64),
        "boolean": tensor.bool(),
        "eight bits": tensor.to(torch.float8_e4m3fn),
    }
    yield from ((name, {**state, first: value}) for name, value in others.items())
    yield "a counter of floats", {**state, "1.num_batches_tracked": torch.tensor(0.5)}
    yield "one less", {name: value for name, value in state.items() if name != first}
    yield "one more", {**state, "more": tensor}
    yield "a key that is no string", {**state, 7: tensor}
    yield from ((f"state_dict is {kind}", kind) for kind in ([], [state], "x", None, 1, tensor, {}))


@pytest.mark.filterwarnings("ignore")
def test_wrong_files_are_refused_and_never_half_loaded(tmp_path: Path) -> None:
    """Broken, changed and unfit: one sentence each, the model as it was, or the very tensors."""
    path, model = tmp_path / "w.pth", small()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    weights.save(model, path, {"run": "a", "seed": 0})
    whole = path.read_bytes()
    chance, tried = random.Random(0), {"refused": 0, "read": 0}

    def attempt(what: str) -> None:
        fresh = small()
        nn.init.zeros_(fresh[2].weight)
        before = {name: value.clone() for name, value in fresh.state_dict().items()}
        said = ""
        try:
            weights.load(fresh, path)
        except UserError as error:
            said = str(error)
        assert same(fresh.state_dict(), before if said else state), what
        assert "\n" not in said, what
        assert "delete" not in said, what
        tried["refused" if said else "read"] += 1

    for name, wrong in wrong_states(state):
        torch.save({"state_dict": wrong, "meta": {}}, path)
        read = tried["read"]
        attempt(name)
        assert tried["read"] == read, name
    for _ in range(60):
        path.write_bytes(whole[: chance.randrange(len(whole))])
        attempt("cut")
    for _ in range(120):
        changed = bytearray(whole)
        for _ in range(chance.choice((1, 1, 3, 30))):
            changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        attempt("flipped")
    for change in changes(whole, tmp_path):
        path.write_bytes(change)
        attempt("another part")
    assert tried["refused"] > 100
    assert sum(tried.values()) > 200


def changes(whole: bytes, folder: Path) -> Iterator[bytes]:
    """The archive packed anew, checksums right: parts exchanged, left out, doubled, emptied."""
    (folder / "whole").write_bytes(whole)
    with zipfile.ZipFile(folder / "whole") as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]

    def pack(parts: list[tuple[str, bytes]]) -> bytes:
        with zipfile.ZipFile(folder / "packed", "w") as archive:
            for name, content in parts:
                archive.writestr(name, content)
        return (folder / "packed").read_bytes()

    for at, (name, content) in enumerate(parts):
        for other, (_, instead) in enumerate(parts):
            if len(content) == len(instead) and at < other:
                swapped = list(parts)
                swapped[at], swapped[other] = (name, instead), (parts[other][0], content)
                yield pack(swapped)
        yield pack(parts[:at] + parts[at + 1 :])
        yield pack([*parts[:at], (name, b""), *parts[at + 1 :]])
        yield pack([*parts[:at], (name, content[: len(content) // 2]), *parts[at + 1 :]])
        yield pack([*parts[:at], (name, content[::-1]), *parts[at + 1 :]])
