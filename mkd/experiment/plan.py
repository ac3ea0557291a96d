"""What a run distils, in plain values: all that a training is told of its method.

The registry that plans are made from (:mod:`mkd.experiment.methods`) is another module, so that
a training's code does not depend on the entries of methods it does not use.
"""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Plan:
    """A run's terms, where they are recorded and what stands between student and teacher.

    Attributes:
        losses: For each term that is on, the configuration of its loss: the registered type
            and keyword arguments; ``loss_weight`` already holds α times the term's own weight
            where α is given.
        modules: For each term the file ``mkd/losses/<module>.py`` that defines its loss; a name
            with a dot is a module of that name (:mod:`mkd.plugins`).
        levels: For each term, arguments that its authors set apart at the finest levels, the
            finest first; an argument in ``losses`` wins.
        layers: Where features are recorded (audit item 4): ``neck`` for the convolution of each
            neck output, ``neck_output`` behind its norm and activation, ``backbone`` for the
            stages the neck takes in.
        features: ``normalized`` for the RTMDet recipe's connectors (1×1 convolution and
            affine-free batch norm; batch norm alone for the teacher), shared by all terms of a
            level; ``raw`` where the method's own code takes features as they are recorded.
        adapter: What the connectors are (audit item 5): ``norm`` for the recipe's; ``conv`` for
            the convolution alone; ``identity`` for nothing.
        stop_epoch: Epoch after which nothing is distilled (audit item 24), or None.
        balanced: The terms' weights come from gradient norms
            (:class:`mkd.distillation.balance.BalanceHook`).
        outputs: For each term that reads what the heads say and no features, ``cls`` for the
            logits of classes or ``bbox`` for what is said of boxes; None where no term does.
    """

    losses: dict[str, dict[str, Any]] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    levels: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    layers: Literal["neck", "neck_output", "backbone"] = "neck"
    features: Literal["normalized", "raw"] = "normalized"
    adapter: Literal["norm", "conv", "identity"] = "norm"
    stop_epoch: int | None = None
    balanced: bool = False
    outputs: dict[str, Literal["cls", "bbox"]] | None = None


def loss_module(module: str) -> str:
    """The full name of a loss's module, as :attr:`Plan.modules` names it."""
    return module if "." in module else f"mkd.losses.{module}"
