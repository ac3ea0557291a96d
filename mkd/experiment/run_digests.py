"""What a run's result depends on, as digests: its settings and its code."""

from typing import Any

from mkd.experiment import methods
from mkd.experiment.code import code_digest
from mkd.experiment.config import Suite
from mkd.provenance import digest


def train_code(suite: Suite, run: str) -> str:
    """Digest of the code a run's training uses: the trainer and the losses of its method."""
    row = suite.run(run)
    plan = methods.plan(row.id, row.method, row.options)
    losses = [f"mkd.losses.{module}" for module in plan.modules.values()]
    return code_digest("mkd.training.trainer", *losses)


def training_digests(suite: Suite, run: str, seed: int) -> dict[str, str]:
    """What a training's result depends on beside the data: its resolved configuration, its code."""
    return {"config": config_digest(suite, run, seed), "code": train_code(suite, run)}


def config_digest(suite: Suite, run: str, seed: int) -> str:
    """Digest of what of a resolved run decides its weights: not how it is scored, nor how often it
    is kept on the way."""
    return decisive_digest(suite.resolve(run, seed))


def decisive_digest(resolved: dict[str, Any]) -> str:
    """:func:`config_digest` of a run that is resolved already."""
    return digest(_decisive(resolved))


def _decisive(resolved: dict[str, Any]) -> dict[str, Any]:
    decisive = {key: value for key, value in resolved.items() if key != "evaluate"}
    decisive["train"] = {k: v for k, v in resolved["train"].items() if k != "checkpoint_epochs"}
    if resolved["teacher"] is not None:
        decisive["teacher"] = _decisive(resolved["teacher"])
    return decisive


def evaluation_config(suite: Suite, run: str) -> str:
    """Digest of the settings a run is scored with."""
    return digest(suite.section("evaluate", run))


def backbones(suite: Suite) -> dict[str, str]:
    """For each size of backbone the first run of the table that has it."""
    return {suite.backbone(run): run for run in reversed(suite.runs)}


def pretraining(suite: Suite, size: str) -> str:
    """Digest of what decides the pretrained backbone of one size."""
    return digest([suite.settings.get("pretrain"), size, suite.width(backbones(suite)[size])])


def evaluation_code() -> str:
    """Digest of the code that finds a detector's detections and scores them."""
    return code_digest("mkd.evaluation.detection", "mkd.evaluation.scoring")
