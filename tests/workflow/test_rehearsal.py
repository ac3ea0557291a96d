"""Scale `rehearsal` is scale `paper` small: its settings, its jobs, and trainings on real COCO."""

import os
import re
import subprocess
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from mkd.training import trainer  # before mmdet

# isort: split
from mkd import ROOT, cli
from mkd.edge import models as edge_models
from mkd.evaluation import detection, scoring
from mkd.experiment import config, paths
from mkd.training import weights

OWN = {
    *("summary", "runs", "width", "input_px"),
    *("train.device", "train.devices", "train.workers", "train.epochs", "train.warmup_iters"),
    *("train.second_stage_epochs", "train.checkpoint_epochs"),
    *("mask_rcnn.runs", "mask_rcnn.train.epochs", "mask_rcnn.train.sgd.milestones"),
    *("mask_rcnn.train.warmup_iters", "mask_rcnn.train.checkpoint_epochs", "mask_rcnn.train.lr"),
}
"""Settings that are not scale paper's: device, width, images, epochs and what counts in these,
and Mask R-CNN's rate, for an eighth of its batch. It has no estimate, which is of full width."""


def flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    below = (flat(item, f"{name}.{key}".lstrip(".")) for key, item in value.items())
    return dict(chain.from_iterable(part.items() for part in below))


def test_it_has_the_papers_settings_but_for_those_that_make_it_small() -> None:
    paper, small = (
        flat(config.load({"scale": scale}).settings.model_dump(exclude_none=True))
        for scale in ("paper", "rehearsal")
    )
    differing = {key for key in paper.keys() | small.keys() if paper.get(key) != small.get(key)}
    assert {key for key in differing if not key.startswith("estimate.")} == OWN


def test_its_trainings_pass_every_change_that_the_papers_pass() -> None:
    for run in (suite := config.load({"scale": "rehearsal"})).runs:
        train = suite.train(run)
        assert train.epochs == 2
        assert (train.second_stage_epochs, train.last_milestone) in ((1, 0), (0, 1))


@pytest.mark.slow
@pytest.mark.usefixtures("snakemake_server")
def test_every_rule_of_the_papers_is_a_rule_of_it(tmp_path: Path) -> None:
    # Where a published checkpoint is there, both score it.
    released = Path(str(edge_models.MODELS["yolov5-n"])).name
    (tmp_path / f"{released}.pth").touch()
    rules = {}
    for scale in ("paper", "rehearsal"):
        done = subprocess.run(
            [
                *("snakemake", "reproduce", "-n", "--quiet", "rules"),
                *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(ROOT)),
                *("--config", f"scale={scale}", f"results={tmp_path}", f"weights={tmp_path}"),
            ],
            capture_output=True,
            text=True,
            env={**os.environ, "MKD_PROVIDERS": "cpu"},
        )
        assert done.returncode == 0, done.stderr[-2000:]
        listed = done.stdout.partition("Job stats:")[2].partition("total")[0]
        rules[scale] = set(re.findall(r"^(\w+) +\d+$", listed, re.MULTILINE))
    assert "published" in rules["paper"] or not edge_models.mmyolo_installed()
    assert {"train", "evaluate", "time_file", "report"} <= rules["paper"]
    assert rules["paper"] <= rules["rehearsal"]


@pytest.mark.slow(40)
def test_its_trainings_run_on_real_images(tiny_coco: Path, tmp_path: Path) -> None:
    """A teacher and a student of it, whose backbone's file is as the released ones are."""
    cli.main(["stand-ins", str(tmp_path)])
    suite = config.load({"scale": "rehearsal", "weights": str(tmp_path)})
    assert not paths.missing_weights(suite)
    for run in ("s-baseline", "tiny-mkd"):
        resolved = suite.resolve(run, 0)
        teacher = resolved.teacher and tmp_path / f"{resolved.teacher.run}.pth"
        start = paths.imagenet_weights(suite, run)
        model, summary = trainer.train(resolved, tiny_coco, tmp_path / run, start, teacher or None)
        weights.save(model, tmp_path / f"{run}.pth", {"run": run, "seed": 0})
        assert summary.epochs == 2
        assert {ceil(point["epoch"]) for point in summary.curve} == {1, 2}
    annotations = tiny_coco / "annotations/instances_val2017.json"
    found = detection.detect(model, resolved, tiny_coco)
    assert set(scoring.score(annotations, found)["metrics"]) == {"box"}
