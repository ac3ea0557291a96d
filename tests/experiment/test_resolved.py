"""A run in full: kept in a file, read again, and told apart by its digest."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment import config, scale_file
from mkd.experiment.resolved import ResolvedRun

ODD = [
    None,
    [],
    {},
    "x",
    "1",
    0,
    -1,
    7,
    1.5,
    True,
    float("nan"),
    float("inf"),
    "\n",
    [1],
    {"a\nb": 1},
]


@pytest.fixture(scope="module")
def run() -> ResolvedRun:
    return config.load({"scale": "paper"}).resolve("mask-r50-mkd", 0)


@pytest.mark.parametrize("scale", scale_file.names(ROOT / "config/scales"))
def test_a_run_is_read_as_it_was_written(scale: str) -> None:
    suite = config.load({"scale": scale})
    for name in suite.runs:
        made = suite.resolve(name, 3)
        again = ResolvedRun.from_json(json.loads(json.dumps(made.as_json())))
        assert again == made
        assert again.decisive_digest() == made.decisive_digest()


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*at, key))


def test_a_changed_run_is_refused_or_has_another_digest(run: ResolvedRun) -> None:
    indecisive = {"evaluate", "checkpoint_epochs", "family", "label", "imagenet"}
    # The data have a digest of their own.
    places_of_data = {("data", "root"), ("data", "train"), ("data", "val")}
    written, digest = run.as_json(), run.decisive_digest()
    for at in places(written):
        for odd in ODD:
            changed = {"": copy.deepcopy(written)}
            *above, last = ("", *at)
            part: Any = changed
            for key in above:
                part = part[key]
            if part[last] == odd or indecisive & set(at) or places_of_data & set(pairwise(at)):
                continue
            part[last] = odd
            try:
                read = ResolvedRun.from_json(changed[""])
            except UserError:
                continue
            # An empty plan is that of a run that distils nothing.
            assert read.decisive_digest() != digest or at[-1] == "distillation", (at, odd)


def test_the_digest_is_of_what_decides_the_weights(run: ResolvedRun) -> None:
    def digest(**changes: Any) -> str:
        return run.model_copy(update=changes).decisive_digest()

    def of_teacher(**changes: Any) -> str:
        return digest(teacher=run.teacher and run.teacher.model_copy(update=changes))

    architecture, train = run.architecture, run.train
    for change in ({"label": "New name"}, {"imagenet": None}):
        assert digest(architecture=replace(architecture, **change)) == digest()
    for change in ({"config": "other.py"}, {"has_masks": False}, {"two_stage": False}):
        assert digest(architecture=replace(architecture, **change)) != digest()
    rarely, longer = (train.model_copy(update={key: 99}) for key in ("checkpoint_epochs", "epochs"))
    assert digest(train=rarely) == of_teacher(train=rarely) == digest()
    assert digest(evaluate=None) == of_teacher(evaluate=None) == digest()
    assert len({digest(), digest(train=longer), of_teacher(train=longer), of_teacher(seed=1)}) == 4
