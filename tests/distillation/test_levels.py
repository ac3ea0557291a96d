"""Pairs of detectors that the suite knows by their configurations alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mkd import distillation
from mkd.detectors import models, pipelines  # before mmdet
from mkd.distillation import levels

# isort: split
from mmdet.testing import demo_mm_inputs
from mmengine.dataset import Compose

from mkd.errors import UserError
from mkd.experiment import methods
from mkd.experiment.architectures import architecture
from mkd.experiment.plan import Plan

FPN = """_base_ = "mmdet::{base}.py"
model = dict(
    backbone=dict(depth={depth}, base_channels=8),
    neck=dict(in_channels={stages}, out_channels={channels}),
    bbox_head=dict(in_channels={channels}, feat_channels=64, stacked_convs=1),
)
"""
R18, R50 = [8, 16, 32, 64], [32, 64, 128, 256]
GFL = "gfl/gfl_r50_fpn_1x_coco"
FILES = {
    "gfl_r18": FPN.format(base=GFL, depth=18, stages=R18, channels=16),
    "gfl_r50": FPN.format(base=GFL, depth=50, stages=R50, channels=24),
    "retina": FPN.format(
        base="retinanet/retinanet_r18_fpn_1x_coco", depth=18, stages=R18, channels=16
    ),
    "yolox": """_base_ = "mmdet::yolox/yolox_tiny_8xb8-300e_coco.py"
model = dict(
    backbone=dict(widen_factor=0.125),
    neck=dict(in_channels=[32, 64, 128], out_channels=16),
    bbox_head=dict(in_channels=16, feat_channels=16),
)
""",
}
CLASSES = 3


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(f"{name}.py").write_text(text)


def side(name: str) -> tuple[Any, Any]:
    """An architecture, by the name of a file or the suite's, and its narrow configuration."""
    arch = architecture(f"config:{name}.py" if name in FILES else name)
    return arch, models.model_config(arch, CLASSES, 1.0 if arch.generic else 0.25)


@pytest.fixture
def step() -> Callable[..., dict[str, torch.Tensor]]:
    """One step of a pair: its losses by name. Every term must reach the student alone."""

    def take(student: str, teacher: str, plan: Plan) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        sides = side(student), side(teacher)
        model = distillation.FrozenTeacherDistill(
            distiller=distillation.distiller_config(plan, **levels.pair(plan, *sides)),
            architecture=models.build(sides[0][1]),
            teacher=models.build(sides[1][1]),
            module_inplace=True,
            teacher_module_inplace=True,
        )
        heads: list[str] = []
        model.teacher.bbox_head.register_forward_hook(lambda *_: heads.append("run"))
        model.train()
        model.distiller.measure = True
        batch = demo_mm_inputs(2, [[3, 256, 256]] * 2, num_classes=CLASSES, num_items=[2, 3])
        said = model(**model.data_preprocessor(batch, True), mode="loss")
        assert heads == ["run"] * bool(plan.outputs)
        sum(value for name, value in said.items() if name.startswith("distill.loss_")).backward()
        assert all(parameter.grad is None for parameter in model.teacher.parameters())
        distilled = {n: v for n, v in said.items() if n.startswith("distill.")}
        for name, value in distilled.items():
            assert value.isfinite(), name
            assert value > 0 or "loss" in name, name
        return distilled

    return take


@pytest.mark.parametrize("method", ["mkd", "fgd"])
def test_gfl_learns_from_a_gfl_of_other_channels(step, method: str) -> None:
    plan = methods.plan("test", method, {})
    found = step("gfl_r18", "gfl_r50", plan)
    assert {name for name in found if "loss" in name} == {
        f"distill.loss_{term}_{level}" for term in plan.losses for level in range(5)
    }


def test_heads_are_distilled_where_they_say_the_same_kind_of_thing(step) -> None:
    both = methods.plan("test", "ld", {"terms": "ld,kd"})
    assert len(step("gfl_r18", "gfl_r50", both)) == 2 * 2 * 5
    assert len(step("yolox", "rtmdet-tiny", methods.plan("test", "kd", {}))) == 2 * 3


def test_families_are_mixed_where_levels_have_equal_strides(step) -> None:
    plan = methods.plan("test", "cwd", {})
    assert len(step("yolox", "gfl_r50", plan)) == 2 * 3
    assert len(step("retina", "gfl_r18", plan)) == 2 * 5
    with pytest.raises(UserError, match=r"strides 8, 16, 32, 64, 128 and the teacher's 8, 16, 32:"):
        levels.pair(plan, side("retina"), side("yolox"))
    with pytest.raises(UserError, match="choose a teacher that has a level for each"):
        levels.pair(plan, side("mask-rcnn-r50"), side("rtmdet-s"))


def test_sources_are_named_apart_and_channels_are_measured() -> None:
    plan = methods.plan("test", "cwd", {})
    pair = levels.pair(plan, side("yolox"), side("gfl_r50"))
    assert pair["sources"] == [(f"neck.out_convs.{level}.conv", None) for level in range(3)]
    assert pair["teacher_sources"] == [("neck", level) for level in range(3)]
    assert (pair["student_channels"], pair["teacher_channels"]) == ([16] * 3, [24] * 3)
    stages = levels.levels(*side("gfl_r50"), "backbone")
    assert [(each.channels, each.stride) for each in stages] == [
        (32, 4), (64, 8), (128, 16), (256, 32)
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["rtmdet-tiny", "rtmdet-ins-s", "mask-rcnn-r50"])
@pytest.mark.parametrize("layers", ["neck", "neck_output", "backbone"])
def test_the_suites_own_families_are_as_a_dry_forward_measures(name: str, layers: str) -> None:
    arch, config = side(name)
    detector = models.build(config).eval()
    seen: dict[str, Any] = {}
    said = levels.levels(arch, config, layers)
    for module, _, _, _ in said:
        detector.get_submodule(module).register_forward_hook(
            lambda _, __, out, module=module: seen.update({module: out})
        )
    with torch.no_grad():
        detector.extract_feat(torch.zeros(1, 3, 128, 128))
    for level in said:
        found = seen[level.source] if level.index is None else seen[level.source][level.index]
        assert (found.shape[1], 128 // found.shape[3]) == (level.channels, level.stride)


def test_measuring_draws_nothing_from_the_generator_of_a_training() -> None:
    levels._measured.cache_clear()
    torch.manual_seed(0)
    levels.levels(*side("yolox"), "neck")
    drawn = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3), drawn)


def test_what_cannot_be_paired_is_one_sentence() -> None:
    kd = methods.plan("test", "kd", {})
    with pytest.raises(UserError, match="mask-rcnn-r50 has two stages, and its heads judge"):
        levels.pair(kd, side("rtmdet-tiny"), side("mask-rcnn-r50"))
    for text, sentence in {
        "model = dict(backbone=dict(type='Nope'))": r"cannot be built",
        "model = 3": "has no model with a backbone",
        "raise RuntimeError('oh')": "cannot be read as an mmdet config: RuntimeError: oh",
    }.items():
        # Another name each time: what is read once is known.
        name = f"bad{len(sentence)}"
        Path(f"{name}.py").write_text(text)
        arch = architecture(f"config:{name}.py")
        with pytest.raises(UserError, match=sentence):
            levels.levels(arch, models.model_config(arch, CLASSES), "neck")


def test_a_config_of_a_users_own_starts_from_nothing_and_has_the_scales_classes_and_size() -> None:
    for name in FILES:
        _, config = side(name)
        said = repr(config)
        assert "Pretrained" not in said
        assert "batch_augments" not in said
        assert config.bbox_head.num_classes == CLASSES
    _, config = side("gfl_r18")
    models.thaw(config)
    assert (config.backbone.frozen_stages, config.backbone.norm_eval) == (-1, False)


@pytest.mark.parametrize(("name", "side_px"), [("gfl_r18", 107), ("yolox", 64)])
def test_pipelines_of_a_config_fit_the_scales_input(
    tmp_path: Path, name: str, side_px: int
) -> None:
    cv2.imwrite("image.png", np.zeros((90, 120, 3), np.uint8))
    arch, _ = side(name)
    first, second = pipelines.train_pipelines(arch, 64, True, None, False)
    assert first == second
    instance = {"bbox": [5, 5, 80, 70], "bbox_label": 1, "ignore_flag": 0}
    image = {"img_path": "image.png", "img_id": 0, "height": 90, "width": 120}
    found = Compose(first)({**image, "instances": [instance]})
    assert found["inputs"].shape[2] == side_px
    assert len(found["data_samples"].gt_instances) == 1
