"""What a run's result depends on, as digests: its settings and its code."""

from mkd.experiment import methods
from mkd.experiment.code import code_digest
from mkd.experiment.plan import Plan, loss_module
from mkd.experiment.resolved import ResolvedRun
from mkd.experiment.suite import Suite
from mkd.provenance import digest


def train_code(suite: Suite, run: str) -> str:
    """Digest of the code a run's training uses: the trainer and the losses of its method."""
    row = suite.run(run)
    return _train_code(methods.plan(row.id, row.method, row.options))


def _train_code(plan: Plan) -> str:
    losses = [loss_module(module) for module in plan.modules.values()]
    return code_digest("mkd.training.trainer", *losses)


def training_digests(run: ResolvedRun) -> dict[str, str]:
    """What a training's result depends on beside the data: its resolved configuration, its code."""
    return {"config": run.decisive_digest(), "code": _train_code(run.distillation)}


def config_digest(suite: Suite, run: str, seed: int) -> str:
    """Digest of what of a run decides its weights.

    How it is scored, and how often it is saved on the way, does not.
    """
    return suite.resolve(run, seed).decisive_digest()


def evaluation_config(suite: Suite, run: str) -> str:
    """Digest of the settings a run is scored with."""
    return digest(suite.evaluate(run).model_dump())


def backbones(suite: Suite) -> dict[str, str]:
    """For each size of backbone the first run of the table that has it, a trained one if any."""
    found: dict[str, str] = {}
    for run in sorted(suite.runs, key=suite.taken):
        found.setdefault(suite.run(run).architecture.backbone, run)
    return found


def pretraining(suite: Suite, size: str) -> str:
    """Digest of what decides the pretrained backbone of one size."""
    settings = suite.settings.pretrain and suite.settings.pretrain.model_dump()
    run = backbones(suite)[size]
    own = suite.run(run).architecture.digest
    return digest([settings, size, suite.width(run), *([] if own is None else [own])])


def evaluation_code() -> str:
    """Digest of the code that finds a detector's detections and scores them."""
    return code_digest("mkd.evaluation.detection", "mkd.evaluation.scoring")
