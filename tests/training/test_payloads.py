"""Files that would run code, tried at every place where weights or checkpoints are read.

What they would do is touch a marker file, no more.
"""

import contextlib
import io
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mkd.training import trainer  # before mmdet

# isort: split
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mkd import jobs
from mkd.edge import jobs as edge_jobs
from mkd.errors import UserError
from mkd.evaluation.attention import Watcher
from mkd.experiment import config, paths
from mkd.experiment.suite import Suite
from mkd.training import checkpoints, resume


class Call:
    """Unpickled, it is what a function returns, and keeps the state it is given."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments, self.state


def call(function: Call, argument: str, alike: Any) -> Call:
    """A call of what only the file has: a function of torch's own calls whatever it is given.

    Args:
        function: What is called.
        argument: With what.
        alike: Something of the type of the result.
    """
    kind = Call(getattr, alike, "__class__")
    return Call(torch._tensor._rebuild_from_type_v2, function, kind, (argument,), {})


def touched(marker: Path) -> dict[str, Any]:
    """Objects that touch ``marker`` when a careless reader meets them, by the trick they use."""
    code = f"open({str(marker)!r}, 'w')"
    # From a method of the log to its module's globals, from there to the builtins.
    names = Call(getattr, Call(getattr, HistoryBuffer, "mean"), "__globals__")
    builtins = call(Call(getattr, names, "__getitem__"), "__builtins__", {})
    get = Call(getattr, {}, "get")
    evaluate = call(Call(getattr, builtins, "__getitem__"), "eval", get)
    return {
        "a system command": Call(os.system, f"touch {marker}"),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "getattr to the builtins": call(evaluate, code, get),
        "an array of objects": np.array([Call(eval, code)], dtype=object),
        "a scalar of objects": Call(np._core.multiarray.scalar, np.dtype("O"), Call(eval, code)),
        "a log with a method": Call(
            HistoryBuffer, state={"statistics_methods": {"mean": call(evaluate, code, get)}}
        ),
        "a path": Call(Path.touch, marker),
    }


PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "state_dict": lambda evil: {"state_dict": evil},
    "a tensor": lambda evil: {"state_dict": {"weight": evil}},
    "meta": lambda evil: {"meta": {"run": evil}, "state_dict": {}},
    "optimizer": lambda evil: {"optimizer": {"state": {0: [evil]}}, "state_dict": {}},
    "message_hub": lambda evil: {"message_hub": {"log_scalars": {"a": evil}}, "state_dict": {}},
    "the file": lambda evil: evil,
}


def written(content: Any, how: str) -> bytes:
    """A file of a content, as torch writes it today or did before 1.6, or as pickle does."""
    handle = io.BytesIO()
    if how == "pickle":
        return pickle.dumps(content, protocol=2)
    torch.save(content, handle, _use_new_zipfile_serialization=how == "zip")
    return handle.getvalue()


def test_nothing_in_a_file_is_run_wherever_it_stands(tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "w.pth"
    for trick, evil in touched(marker).items():
        for place, put in PLACES.items():
            for how in ("zip", "old", "pickle"):
                path.write_bytes(written(put(evil), how))
                with pytest.raises(UserError) as caught:
                    checkpoints.read(path)
                assert "\n" not in str(caught.value)
                assert not marker.exists(), (trick, place, how)


def test_the_payloads_do_run_in_a_careless_reader(tmp_path: Path) -> None:
    """So that the test above is worth something."""
    marker = tmp_path / "marker"
    for evil in touched(marker).values():
        path = tmp_path / "w.pth"
        path.write_bytes(written({"meta": evil}, "zip"))
        # What the calls return fits nowhere.
        with contextlib.suppress(AttributeError, TypeError):
            torch.load(path, weights_only=False)
        assert marker.exists()
        marker.unlink()


def test_a_log_in_a_file_changes_no_log_of_this_process(tmp_path: Path) -> None:
    other = Call(getattr, HistoryBuffer, "max")
    log = Call(HistoryBuffer, state={"statistics_methods": {"mean": other}})
    torch.save({"message_hub": log}, tmp_path / "w.pth")
    assert isinstance(checkpoints.read(tmp_path / "w.pth")["message_hub"], checkpoints.Inert)
    assert HistoryBuffer([1.0, 2.0], [1, 1]).statistics("mean") == 1.5


RUN = "tiny-mkd"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory, smoke_data: Path) -> Suite:
    folder = tmp_path_factory.mktemp("suite")
    data = {"badges": str(folder), "coco": str(folder)}
    loaded = config.load({"scale": "smoke", "results": str(folder), "data": data})
    loaded.data_root.symlink_to(smoke_data)
    return loaded


@pytest.mark.parametrize("trick", ["a system command", "getattr to the builtins"])
def test_a_payload_is_one_sentence_at_every_place(
    suite: Suite,
    smoke_data: Path,
    tmp_path: Path,
    trained_as: Callable[..., Path],
    checked: Callable[[Suite, Path], None],
    trick: str,
) -> None:
    marker = tmp_path / "marker"
    evil = {"state_dict": {"w": touched(marker)[trick]}}
    content = written(evil, "zip")
    path, work, data = (tmp_path / name for name in ("evil.pth", "work", "data.json"))
    path.write_bytes(content)
    work.mkdir()
    (work / "epoch_1.pth").write_bytes(content)
    checked(suite, data)
    checked(suite, suite.results / "data.json")
    student, plain = suite.resolve(RUN, 0), suite.resolve("tiny-baseline", 0)
    known = json.loads(data.read_text())["digest"]
    folder = Path(paths.run_path(suite, RUN, 0, ""))
    weights = trained_as(folder, student, content, known)
    places: list[Callable[[], Any]] = [
        lambda: trainer.train(student, smoke_data, tmp_path, None, path),
        lambda: trainer.train(plain, smoke_data, tmp_path, path),
        lambda: trainer.train(plain, smoke_data, work),
        lambda: jobs.evaluate(suite, RUN, 0, data, ""),
        lambda: edge_jobs.export_run(suite, RUN, 0, tmp_path / "a.onnx", ["fp32"], None),
        lambda: Watcher(weights, 6),
    ]
    for place in places:
        with pytest.raises(UserError) as caught:
            place()
        assert "\n" not in str(caught.value)
        assert "delete" not in str(caught.value)
        assert "data" not in str(caught.value).replace(str(tmp_path), "")
        assert not marker.exists()
    assert {file.read_bytes() for file in (path, work / "epoch_1.pth")} == {content}


def test_mmengine_runs_no_text_of_a_checkpoint(tmp_path: Path) -> None:
    """It would run ``config``, as the Python file it was, of whatever it resumes."""
    owner = resume.Owner("a", 0)
    content = {"meta": {"made_by": asdict(owner), "epoch": 1, "config": "open('marker', 'w')"}}
    checkpoints.seal(content)
    torch.save(content, tmp_path / "epoch_1.pth")
    with pytest.raises(UserError, match="no checkpoint of this suite"):
        resume.last_checkpoint(tmp_path, owner)
