"""One step of a method on made-up images: what is found, and what is refused."""

import re
from pathlib import Path

import pytest

from mkd.errors import UserError
from mkd.experiment import plugins
from mkd.training import method_check

LOSS = """
import torch
from mkd.experiment.methods import METHODS, Method, Term
from mmrazor.registry import MODELS
from torch import nn

METHODS["tried"] = Method({{"tried": Term("{name}", __name__{more})}})


@MODELS.register_module()
class {name}(nn.Module):
    def forward(self, preds_S, preds_T):
        return {value}
"""


def check(folder: Path, name: str, value: str, more: str = "") -> list[str]:
    """One step of a method whose loss is a line of Python; every class has its own name."""
    path = folder / f"{name.lower()}.py"
    path.write_text(LOSS.format(name=name, value=value, more=more))
    plugins.use([str(path)])
    try:
        return method_check.check("tried", "rtmdet-tiny", "rtmdet-s")
    finally:
        plugins.use([])


def test_each_level_of_each_term_is_shown_with_its_gradient() -> None:
    head, *rows, last = method_check.check("mkd", "rtmdet-tiny", "rtmdet-s")
    assert head.split() == ["term,", "level", "loss", "gradient"]
    assert {row.split()[0] for row in rows} == {"multiscale", "fdmd", "fad"}
    assert len(rows) == 3 * 3
    assert all(float(number) > 0 for row in rows for number in row.split()[2:])
    assert re.search(r"mkd, rtmdet-tiny taught by rtmdet-s: .* finite gradient \(\d+\.\d s\)", last)


def test_a_loss_on_the_heads_is_tried_too(tmp_path: Path) -> None:
    more = ', output="cls"'
    lines = check(tmp_path, "OnClasses", "(preds_S - preds_T).abs().mean()", more)
    assert len(lines) == 3 + 2


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("Detached", "(preds_S.detach() - preds_T).abs().mean()", "gives the student no finite"),
        ("NoNumber", "(preds_S - preds_T).mean() / 0", "the loss is no finite scalar"),
        ("Rounded", "preds_S.mul(0).sum()", "level 0 of term 'tried' gives the student no"),
        ("Whole", "(preds_S - preds_T).abs()", "the loss is no scalar but of shape"),
        ("Odd", "torch.log(1 - 99 * (preds_S.shape[-1] == 2) + 0 * preds_S).sum()",
         r"level 2 of term 'tried' is nan"),
        ("Broken", "nothing", "name 'nothing' is not defined"),
    ],
)  # fmt: skip
def test_what_does_not_work_is_one_sentence(
    tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        check(tmp_path, name, value)


@pytest.mark.parametrize(
    ("method", "student", "teacher", "sentence"),
    [
        ("mkdd", "rtmdet-tiny", "rtmdet-s", "unknown method 'mkdd'.*did you mean 'mkd'"),
        ("baseline", "rtmdet-tiny", "rtmdet-s", "'baseline' distils nothing"),
        ("mkd", "rtmdet-tinny", "rtmdet-s", "unknown arch 'rtmdet-tinny'"),
        ("mkd", "mask-rcnn-r50", "rtmdet-s", "strides 4, 8, 16, 32, 64 and the teacher's 8"),
        ("ld", "rtmdet-tiny", "rtmdet-s", "LD needs a head with a distribution over edges"),
        ("kd", "mask-rcnn-r50", "mask-rcnn-r50", "has two stages"),
    ],
)
def test_a_pair_that_does_not_do_is_one_sentence(
    method: str, student: str, teacher: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        method_check.check(method, student, teacher)


@pytest.mark.parametrize(
    ("student", "words"),
    [
        ("ssd300_coco", "the levels of ssd300_coco and ssd300_coco cannot be measured"),
        ("panoptic-fpn_r50_fpn_1x_coco", "a step of panoptic-fpn_r50_fpn_1x_coco on boxes and"),
    ],
)
def test_a_detector_that_cannot_be_tried_is_one_sentence(student: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        method_check.check("mkd", student, student)
