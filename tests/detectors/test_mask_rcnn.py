"""Mask R-CNN, the second track of Table 2: its rows, its recipe, and a few steps of it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from mkd.detectors import models  # before mmdet
from mkd.training import trainer

# isort: split
from mkd import ROOT, distillation
from mkd.errors import UserError
from mkd.evaluation import detection, scoring
from mkd.experiment import config, paths
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.datasets import Coco
from mkd.experiment.resolved import ResolvedRun
from mkd.experiment.runs import read_runs
from mkd.experiment.scale import Sgd
from mkd.experiment.suite import Suite
from mkd.paper import facts
from mkd.results import tables
from mkd.results.records import load_folder
from mkd.training import pretraining
from mkd.training import weights as weight_files

TABLE = "config/mask-rcnn.tsv"
WIDTH = 0.125


@pytest.fixture(scope="module")
def suite() -> Suite:
    return config.load({"scale": "smoke", "runs": TABLE})


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "weights.pth"
    torch.manual_seed(0)
    model = models.build(models.model_config(ARCHITECTURES["mask-rcnn-r101"], 6, WIDTH))
    models.init_weights(model)
    weight_files.save(model, path, {})
    return path


def shortened(suite: Suite, run: str, **changes: Any) -> ResolvedRun:
    """A run of one epoch of smoke, narrower still."""
    resolved = suite.resolve(run, 0)
    above = resolved.teacher and resolved.teacher.model_copy(update={"width": WIDTH})
    train = resolved.train.model_copy(update={"epochs": 1, **changes})
    return resolved.model_copy(update={"train": train, "width": WIDTH, "teacher": above})


def test_the_track_runs_at_paper_scale_alone_by_mmdets_recipe() -> None:
    own = read_runs(ROOT / TABLE)
    for scale in ("smoke", "desk", "lab"):
        assert not own.keys() & config.load({"scale": scale}).runs.keys()
    whole = config.load({"scale": "paper"})
    assert own.items() <= whole.runs.items()
    resolved = whole.resolve("mask-r50-mkd", 0)
    official = models.official_config(ARCHITECTURES["mask-rcnn-r50"])
    train = resolved.train
    assert train == resolved.teacher.train
    assert train.epochs == official.train_cfg.max_epochs
    assert train.batch_size * train.devices == official.auto_scale_lr.base_batch_size
    made = trainer.recipe.optimizer(train)["optimizer"]
    assert made == official.optim_wrapper.optimizer
    warmup, steps = trainer.recipe.schedule(train)
    for mine, theirs in zip((warmup, steps), official.param_scheduler, strict=True):
        assert mine == {**theirs, **{key: mine[key] for key in mine.keys() - theirs.keys()}}
    # The rest of the scale stays as it is.
    own = {**dict(whole.settings.train), "sgd": None}
    del own["teacher_epochs"], own["by_run"]
    assert dict(whole.resolve("tiny-mkd", 0).train) == own


def test_a_row_of_the_users_own_table_wins(tmp_path: Path) -> None:
    table = tmp_path / "runs.tsv"
    table.write_text(
        "run\tarch\tteacher\tmethod\toptions\ttables\n"
        "mask-r50-baseline\tmask-rcnn-r50\t-\tbaseline\t-\t-\n"
    )
    runs = config.load({"scale": "paper", "runs": str(table)}).runs
    assert next(iter(runs)) == "mask-r50-baseline"
    assert runs["mask-r50-baseline"].tables == ()


def test_both_backbones_start_from_torchvisions_weights_at_paper_scale(tmp_path: Path) -> None:
    whole = config.load({"scale": "paper", "weights": str(tmp_path)})
    needed = {path.stem for path in paths.missing_weights(whole)}
    assert {"resnet50-0676ba61", "resnet101-63fe2227"} <= needed


def test_a_backbone_takes_torchvisions_file(tmp_path: Path) -> None:
    from torchvision.models import resnet50

    torch.manual_seed(0)
    released = {
        name: value
        for name, value in resnet50().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save(released, tmp_path / "resnet50.pth")
    backbone = models.build(models.model_config(ARCHITECTURES["mask-rcnn-r50"], 6)).backbone
    weight_files.load(backbone, tmp_path / "resnet50.pth", "backbone.")
    state = backbone.state_dict()
    assert all(torch.equal(state[name], released[name]) for name in released if name in state)
    assert len(released.keys() - state.keys()) == 2  # fc
    narrow = models.build(models.model_config(ARCHITECTURES["mask-rcnn-r50"], 6, 0.5)).backbone
    with pytest.raises(UserError, match="use weights of this architecture and width"):
        weight_files.load(narrow, tmp_path / "resnet50.pth", "backbone.")


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize(
    "run", [f"mask-r50-{m}" for m in ("baseline", "cwd", "fkd", "fgd", "mgd", "mkd")]
)
def test_a_few_steps_on_data_with_masks(
    suite: Suite, smoke_data: Path, tmp_path: Path, teacher: Path, run: str
) -> None:
    """The baseline by mmdet's SGD, the students by the scale's own AdamW."""
    changes = {"sgd": Sgd(momentum=0.9, milestones=[1])} if run.endswith("baseline") else {}
    resolved = shortened(suite, run, warmup_iters=1, batch_size=2, **changes)
    above = teacher if resolved.teacher else None
    torch.manual_seed(0)
    start = models.build(models.model_config(ARCHITECTURES["mask-rcnn-r50"], 6, WIDTH))
    models.init_weights(start)
    model, summary = trainer.train(resolved, smoke_data, tmp_path, None, above)
    assert summary.iterations == 2
    point = summary.curve[-1]
    assert {"loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox", "loss_mask"} <= point.keys()
    assert {f"loss_{term}" for term in resolved.distillation.losses} <= point.keys()
    assert bool(resolved.distillation.losses) == bool(above)
    for part in ("neck.fpn_convs.0.conv", "rpn_head.rpn_cls", "roi_head.mask_head.convs.0.conv"):
        name = f"{part}.weight"
        assert not torch.equal(model.state_dict()[name], start.state_dict()[name])

    if not run.endswith(("baseline", "-mkd")):
        # Once it is trained, every student is the same detector.
        return
    found = detection.detect(model, resolved, smoke_data)
    boxes = [item for item in found["bbox"] if item["image_id"] == found["bbox"][0]["image_id"]]
    assert 0 < len(boxes) <= resolved.evaluate.max_per_image
    scored = scoring.score(smoke_data / "annotations/instances_val.json", found)
    assert set(scored["metrics"]["mask"]) == set(scoring.STATS)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.slow
def test_a_step_of_r50_from_r101_at_full_width_on_real_coco(
    tiny_coco: Path, tmp_path: Path
) -> None:
    """The paper scale's own run on polygons, less its GPUs and most of its input."""
    resolved = config.load({"scale": "paper"}).resolve("mask-r50-mkd", 0)
    changes = {"device": "cpu", "epochs": 1, "warmup_iters": 1, "workers": 0}
    train = resolved.train.model_copy(update=changes)
    data = Coco(kind="coco", train_images=2)
    resolved = resolved.model_copy(update={"train": train, "data": data, "input_px": 160})
    torch.manual_seed(0)
    above = models.build(models.model_config(ARCHITECTURES["mask-rcnn-r101"], 80))
    models.init_weights(above)
    weight_files.save(above, tmp_path / "teacher.pth", {})
    _, summary = trainer.train(
        resolved, tiny_coco, tmp_path / "work", None, tmp_path / "teacher.pth"
    )
    assert summary.iterations == 1
    last = summary.curve[-1]
    assert {"loss_mask", "loss_multiscale", "loss_fdmd", "loss_fad"} <= last.keys()


@pytest.mark.parametrize("method", ["cwd", "fkd", "fgd", "mgd", "mkd", "mkd-balanced"])
def test_every_method_distils_all_five_levels(suite: Suite, method: str) -> None:
    plan = suite.resolve(f"mask-r50-{method}", 0).distillation
    configs = [
        models.model_config(ARCHITECTURES[f"mask-rcnn-{size}"], 6, 0.25) for size in ("r50", "r101")
    ]
    made = distillation.distiller_config(
        plan,
        *(models.feature_channels(c, plan.layers) for c in configs),
        models.feature_sources(configs[0], plan.layers),
    )
    assert len(made.distill_losses) == 5 * len(plan.losses)
    pooled = [loss.get("pool_stride") for loss in made.distill_losses.values()]
    assert pooled == ([8, 4, None, None, None] if method == "fkd" else [None] * len(pooled))


def test_two_stage_detectors_are_distilled_with_their_authors_weights() -> None:
    paper_scale = config.load({"scale": "paper"})
    losses = paper_scale.resolve("mask-r50-mgd", 0).distillation.losses["mgd"]
    assert losses == {"type": "MGD", "mask_ratio": 0.45, "distance_weight": 5e-7}
    ours = paper_scale.resolve("tiny-mgd", 0)
    assert ours.distillation.losses["mgd"] == {"type": "MGD"}


@pytest.mark.slow
def test_its_backbone_is_pretrained_on_crops_where_the_scale_does_so(
    suite: Suite, smoke_data: Path, tmp_path: Path
) -> None:
    settings = suite.settings.pretrain.model_copy(update={"epochs": 6})
    backbone, accuracy = pretraining.pretrain(
        ARCHITECTURES["mask-rcnn-r50"],
        WIDTH,
        settings,
        smoke_data,
        suite.settings.data,
        tmp_path,
    )
    # Better than to name the most frequent class.
    labels = pretraining.CropDataset(smoke_data, suite.settings.data, settings.crop_px).labels
    assert max(Counter(labels).values()) / len(labels) < accuracy < 1
    # The first stage learns too: there is nothing pretrained to freeze.
    assert backbone.bn1.running_mean.abs().sum() > 0


def test_table_2_has_the_track_as_rows_of_its_own(tmp_path: Path) -> None:
    records = load_folder(tmp_path / "paper", "paper")
    made = tables.build(records, config.load({"scale": "paper"}).runs, 2)
    printed = len(facts.load().table(2))
    rows = [row for row in made.rows if row.arch == "mask-rcnn-r50"]
    assert [row.label for row in rows][:2] == ["Mask R-CNN R50", "Mask R-CNN R50+CWD"]
    assert made.rows[-7:] == rows
    assert len(made.rows) > 7 + printed
    assert rows[0].first
    assert not rows[0].paper
    assert str(rows[0].published) == "35.4"
    assert not made.note
    desk = tables.build(records, config.load({"scale": "desk"}).runs, 2)
    assert "mask-rcnn-r50" not in {row.arch for row in desk.rows}
    assert "Mask R-CNN R50" in desk.note
