"""The one registry of distillation methods; importing it costs nothing (no torch).

A method is a set of loss terms applied at each of the three levels of the neck. A new
method is one file in ``mkd/losses/`` and one entry in :data:`METHODS`.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from mkd.errors import UserError


@dataclass(frozen=True)
class Term:
    """One loss term of a method.

    Attributes:
        type: Registered name of the loss class in mmrazor's ``MODELS``.
        module: The file ``mkd/losses/<module>.py`` that defines it; a change of its code
            reruns the runs that use the term, and no other.
    """

    type: str
    module: str


@dataclass(frozen=True)
class Method:
    """A distillation method.

    Attributes:
        terms: Terms by their short name; each is logged as ``loss_<name>``.
        features: ``normalized`` for the RTMDet recipe's connectors (1×1 convolution and
            affine-free batch norm; batch norm alone for the teacher), shared by all terms of a
            level; ``raw`` where the method's own code takes features as they are recorded.
        default: Names of the terms that are on unless a run says otherwise.
        balanced: Term weights are set from gradient norms over the first steps
            (:mod:`mkd.balancing`).
    """

    terms: dict[str, Term]
    features: Literal["normalized", "raw"] = "normalized"
    default: tuple[str, ...] = field(default=())
    balanced: bool = False

    def __post_init__(self) -> None:
        if not self.default:
            object.__setattr__(self, "default", tuple(self.terms))


_MKD_TERMS = {
    "fea": Term("FeatureLoss", "feature"),
    "multiscale": Term("MultiscaleLoss", "multiscale"),
    "fdmd": Term("FrequencyMaskLoss", "frequency_mask"),
    "fad": Term("FeatureAlignmentLoss", "feature_alignment"),
}
_MKD_DEFAULT = ("multiscale", "fdmd", "fad")  # audit item 1: L_fea has no formula

METHODS: dict[str, Method] = {
    "baseline": Method({}),
    "cwd": Method({"cwd": Term("CWD", "cwd")}),
    "mkd": Method(_MKD_TERMS, default=_MKD_DEFAULT),
}


@dataclass(frozen=True)
class Plan:
    """What a run distils: its terms with their constructor arguments.

    Attributes:
        method: The method's entry.
        losses: For each term that is on, the configuration of its loss: the registered type
            and keyword arguments; ``loss_weight`` already holds α times the term's own weight
            where α is given.
    """

    method: Method
    losses: dict[str, dict[str, Any]]


def plan(run: str, method: str, options: dict[str, Any]) -> Plan:
    """Resolve a run's method and options.

    Args:
        run: The run's id, for the messages.
        method: A key of :data:`METHODS`.
        options: ``alpha`` (paper Eq. 6), ``terms`` (comma-separated names) and
            ``<term>.<argument>`` for a loss class's own arguments.

    Raises:
        UserError: Unknown method, term or option.
    """
    if method not in METHODS:
        raise UserError(
            f"run '{run}': unknown method '{method}'; the methods are {', '.join(METHODS)}"
        )
    entry = METHODS[method]
    options = dict(options)
    alpha = options.pop("alpha", None)
    names = options.pop("terms", None)
    on = tuple(str(names).split(",")) if names is not None else entry.default
    losses: dict[str, dict[str, Any]] = {}
    for name in on:
        if name not in entry.terms:
            raise UserError(
                f"run '{run}': method '{method}' has no term '{name}'; "
                f"its terms are {', '.join(entry.terms) or 'none'}"
            )
        losses[name] = {"type": entry.terms[name].type}
    if alpha is not None and not losses:
        raise UserError(f"run '{run}': alpha weighs distillation terms, but '{method}' has none")
    for key, value in options.items():
        name, dot, argument = key.partition(".")
        if not dot or name not in losses:
            raise UserError(
                f"run '{run}': option '{key}' is not 'alpha', 'terms' or '<term>.<argument>' "
                f"of a term that is on ({', '.join(losses) or 'none'})"
            )
        losses[name][argument] = value
    if alpha is not None:
        for arguments in losses.values():
            arguments["loss_weight"] = alpha * arguments.get("loss_weight", 1.0)
    return Plan(entry, losses)


def loss_modules(plan: Plan) -> list[str]:
    """Paths below ``mkd/`` of the files that define a plan's losses."""
    used = {f"losses/{plan.method.terms[name].module}" for name in plan.losses}
    return sorted({*used, "losses/common"}) if used else []
