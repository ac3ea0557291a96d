"""The one registry of distillation methods; importing it costs nothing (no torch).

A method is a set of loss terms applied at each level of the neck. A new
method is one file in ``mkd/losses/`` and one entry in :data:`METHODS`.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mkd import arguments
from mkd.errors import UserError


@dataclass(frozen=True)
class Term:
    """One loss term of a method.

    Attributes:
        type: Registered name of the loss class in mmrazor's ``MODELS``.
        module: The file ``mkd/losses/<module>.py`` that defines it; a change of its code
            reruns the runs that use the term, and no other.
        uses: Other such files that it takes a loss from.
    """

    type: str
    module: str
    uses: tuple[str, ...] = ()
    strides: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Arguments of the loss that its authors set apart at a level, by the level's stride."""
    two_stage: dict[str, Any] = field(default_factory=dict)
    """Arguments that its authors set apart for detectors of two stages."""
    growth: tuple[float, float] = (0.0, 0.0)
    """Powers of a map's channels and of its positions that the loss grows with, where its
    authors coded a sum and not a mean: a published weight holds for maps of full size."""
    argument_growth: dict[str, tuple[float, float]] = field(default_factory=dict)
    """The same powers of a part of the loss beside :attr:`growth`, by the argument that weighs it:
    parts may sum over other axes than the whole is said to."""


@dataclass(frozen=True)
class Method:
    """A distillation method.

    Attributes:
        terms: Terms by their short name; each is logged as ``loss_<name>``.
        features: ``normalized`` for the RTMDet recipe's connectors (1×1 convolution and
            affine-free batch norm; batch norm alone for the teacher), shared by all terms of a
            level; ``raw`` where the method's own code takes features as they are recorded.
        default: Names of the terms that are on unless a run says otherwise.
        balanced: The terms' weights come from gradient norms
            (:class:`mkd.distillation.BalanceHook`).
    """

    terms: dict[str, Term]
    features: Literal["normalized", "raw"] = "normalized"
    default: tuple[str, ...] = ()
    balanced: bool = False

    def __post_init__(self) -> None:
        if not self.default:
            object.__setattr__(self, "default", tuple(self.terms))


_MKD_TERMS = {
    "fea": Term("FeatureLoss", "feature", uses=("pkd",)),
    "multiscale": Term("MultiscaleLoss", "multiscale"),
    "fdmd": Term("FrequencyMaskLoss", "frequency_mask"),
    "fad": Term("FeatureAlignmentLoss", "feature_alignment"),
}
_MKD_DEFAULT = ("multiscale", "fdmd", "fad")  # audit item 1: L_fea has no formula

METHODS: dict[str, Method] = {
    "baseline": Method({}),
    "cwd": Method({"cwd": Term("CWD", "cwd")}),
    # A sum over channels and positions.
    "mgd": Method(
        {
            "mgd": Term(
                "MGD",
                "mgd",
                two_stage={"mask_ratio": 0.45, "distance_weight": 5e-7},
                growth=(1, 1),
            )
        },
        "raw",
    ),
    # Feature terms sum over channels, as their masks are normalized over positions; the spatial
    # attention, which is nearly all of its term, over positions; the relation over both.
    "fgd": Method(
        {
            "fgd": Term(
                "FGD",
                "fgd",
                two_stage={
                    "foreground_weight": 5e-5,
                    "background_weight": 2.5e-5,
                    "attention_weight": 5e-5,
                    "relation_weight": 5e-7,
                },
                growth=(1, 0),
                argument_growth={"attention_weight": (-1, 1), "relation_weight": (0, 1)},
            )
        },
        "raw",
    ),
    # Unsquared norms over both; of channel means over channels, of the spatial mean over positions.
    "fkd": Method(
        {
            "fkd": Term(
                "FKD",
                "fkd",
                strides={
                    4: {"reduction": 4, "pool_stride": 8},
                    8: {"reduction": 4, "pool_stride": 4},
                },
                growth=(0.5, 0.5),
                argument_growth={"channel_weight": (0, -0.5), "spatial_weight": (-0.5, 0)},
            )
        },
        "raw",
    ),
    "pkd": Method({"pkd": Term("PKD", "pkd", two_stage={"distance_weight": 6.0})}),
    "mkd": Method(_MKD_TERMS, default=_MKD_DEFAULT),
    "mkd-balanced": Method(_MKD_TERMS, default=_MKD_DEFAULT, balanced=True),
}

BALANCED_ON = "fad"
"""The term whose gradient a balanced method's other terms are made as strong as."""

CHOICES = {
    "layers": ("neck", "neck_output", "backbone"),
    "adapter": ("norm", "conv", "identity"),
}


@dataclass(frozen=True)
class Plan:
    """What a run distils: its terms with their constructor arguments.

    Attributes:
        method: The method's entry.
        losses: For each term that is on, the configuration of its loss: the registered type
            and keyword arguments; ``loss_weight`` already holds α times the term's own weight
            where α is given.
        layers: Where features are recorded (audit item 4): ``neck`` for the convolution of each
            neck output, ``neck_output`` behind its norm and activation, ``backbone`` for the
            stages the neck takes in.
        adapter: What stands between (audit item 5): ``norm`` for a 1×1 convolution and an
            affine-free batch norm, batch norm alone for the teacher; ``conv`` for the
            convolution alone; ``identity`` for nothing.
        stop_epoch: Epoch after which nothing is distilled (audit item 24), or None.
        term_weights: Factors on terms beside their own weight; 1 where none is given.
    """

    method: Method
    losses: dict[str, dict[str, Any]]
    layers: str = "neck"
    adapter: str = "norm"
    stop_epoch: int | None = None
    term_weights: dict[str, float] = field(default_factory=dict)


def plan(run: str, method: str, options: dict[str, Any], two_stage: bool = False) -> Plan:
    """Resolve a run's method and options.

    Args:
        run: The run's id, for the messages.
        method: A key of :data:`METHODS`.
        options: ``alpha`` (paper Eq. 6), ``terms`` (comma-separated names), ``layers``,
            ``adapter`` and ``stop_epoch`` (:class:`Plan`), and ``<term>.<argument>`` for a loss
            class's own arguments.
        two_stage: Whether the detectors have two stages (Mask R-CNN).

    Raises:
        UserError: Unknown method, term or option, or an option's value of the wrong kind. Whether
            a loss takes a value of the right kind is for the loss to say.
    """
    if method not in METHODS:
        raise UserError(
            f"run '{run}': unknown method '{method}'; the methods are {', '.join(METHODS)}"
        )
    entry = METHODS[method]
    options = dict(options)
    alpha = options.pop("alpha", None)
    names = options.pop("terms", None)
    where = {key: options.pop(key) for key in ("layers", "adapter", "stop_epoch") if key in options}
    on = tuple(str(names).split(",")) if names is not None else entry.default
    losses: dict[str, dict[str, Any]] = {}
    for name in on:
        if name not in entry.terms:
            raise UserError(
                f"run '{run}': method '{method}' has no term '{name}'; "
                f"its terms are {', '.join(entry.terms) or 'none'}"
            )
        term = entry.terms[name]
        losses[name] = {"type": term.type, **(term.two_stage if two_stage else {})}
    if alpha is not None and not (arguments.is_number(alpha) and alpha >= 0):
        raise UserError(f"run '{run}': alpha={alpha} is not a number of at least 0")
    if entry.balanced and BALANCED_ON not in losses:
        raise UserError(
            f"run '{run}': '{method}' makes its terms as strong as '{BALANCED_ON}': keep that term"
        )
    given = [*(["alpha"] if alpha is not None else []), *where]
    if given and not losses:
        raise UserError(f"run '{run}': option '{given[0]}' is for distillation, which it has not")
    for key, choices in CHOICES.items():
        if key in where and where[key] not in choices:
            raise UserError(f"run '{run}': {key}={where[key]} is not one of {', '.join(choices)}")
    stop = where.get("stop_epoch")
    if stop is not None and (not isinstance(stop, int) or stop < 1):
        raise UserError(f"run '{run}': stop_epoch={stop} is not a positive whole number")
    if "adapter" in where and entry.features == "raw":
        raise UserError(f"run '{run}': '{method}' brings its own adapter, remove the option")
    for key, value in options.items():
        name, dot, argument = key.partition(".")
        if not dot or name not in losses or argument == "type":
            raise UserError(
                f"run '{run}': option '{key}' is not 'alpha', 'terms', 'layers', 'adapter', "
                "'stop_epoch' or '<term>.<argument>' of a term that is on "
                f"({', '.join(losses) or 'none'})"
            )
        term = entry.terms[name]
        arguments.check_kind(run, term.module, term.type, key, value)
        if entry.balanced and argument == "loss_weight" and name != BALANCED_ON:
            raise UserError(f"run '{run}': '{method}' sets the weight of '{name}': remove '{key}'")
        losses[name][argument] = value
    if alpha is not None:
        for loss in losses.values():
            loss["loss_weight"] = alpha * loss.get("loss_weight", 1.0)
    return Plan(entry, losses, **where)


def definition(plan: Plan) -> dict[str, Any]:
    """What a method's entry decides besides the losses: a run's weights depend on it too."""
    strides = {name: plan.method.terms[name].strides for name in plan.losses}
    return {
        "features": plan.method.features,
        "balanced": plan.method.balanced,
        "strides": {name: found for name, found in strides.items() if found},
    }


def sized(plan: Plan, width: float, input_px: int) -> Plan:
    """The plan with every summed loss, and every part of one, as strong as its published weight
    makes it at full size.

    Args:
        plan: The method's terms.
        width: Width of the teacher, over whose channels the losses sum, relative to full size.
        input_px: Side of the input in pixels; full size is 640.
    """

    def factor(growth: tuple[float, float]) -> float:
        channels, positions = growth
        return float(width**-channels * (640 / input_px) ** (2 * positions))

    losses, weights = {}, {}
    for name, given in plan.losses.items():
        term = plan.method.terms[name]
        weights[name] = factor(term.growth)
        defaults = arguments.defaults(term.module, term.type)
        parts = {
            argument: factor(growth) * given.get(argument, defaults[argument])
            for argument, growth in term.argument_growth.items()
            if factor(growth) != 1
        }
        losses[name] = {**given, **parts}
    return replace(plan, losses=losses, term_weights=weights)


def loss_modules(plan: Plan) -> list[str]:
    """Paths below ``mkd/`` of the files that define a plan's losses."""
    terms = [plan.method.terms[name] for name in plan.losses]
    used = {f"losses/{module}" for term in terms for module in (term.module, *term.uses)}
    return sorted({*used, "losses/common"}) if used else []
