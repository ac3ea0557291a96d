"""The one registry of distillation methods; importing it costs nothing (no torch).

A method is a set of loss terms applied at each level of the neck. A new
method is one file in ``mkd/losses/`` and one entry in :data:`METHODS`; or one file of a user's own
with both (:mod:`mkd.experiment.plugins`).
"""

import re
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

from mkd.errors import UserError, meant
from mkd.experiment import loss_arguments
from mkd.experiment.code import shown
from mkd.experiment.plan import Plan


@dataclass(frozen=True)
class Term:
    """One loss term of a method.

    Attributes:
        type: Registered name of the loss class in mmrazor's ``MODELS``.
        module: The file ``mkd/losses/<module>.py`` that defines it, or in a user's own file
            ``__name__``; a change of its code, or of what it imports, reruns the runs that use the
            term, and no other.
        output: As in :class:`mkd.experiment.plan.Plan`, where the loss reads no features.
    """

    type: str
    module: str
    levels: tuple[dict[str, Any], ...] = ()
    """Arguments of the loss that its authors set apart at the finest levels, the finest first."""
    two_stage: dict[str, Any] = field(default_factory=dict)
    """Arguments that its authors set apart for detectors of two stages."""
    growth: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By the argument that weighs a part of the loss, the powers of a map's channels and of its
    positions by which that part's gradient outgrows a mean's, where its authors coded a sum: a
    published weight holds for maps of full size."""
    output: Literal["cls", "bbox"] | None = None


@dataclass(frozen=True)
class Method:
    """A distillation method.

    Attributes:
        terms: Terms by their short name; each is logged as ``loss_<name>``.
        features: As in :class:`mkd.experiment.plan.Plan`.
        layers: Where its authors record features, as in
            :class:`mkd.experiment.plan.Plan`; a run's option of that name wins.
        default: Names of the terms that are on unless a run says otherwise.
        balanced: As in :class:`mkd.experiment.plan.Plan`.
    """

    terms: dict[str, Term]
    features: Literal["normalized", "raw"] = "normalized"
    layers: Literal["neck", "neck_output", "backbone"] = "neck"
    default: tuple[str, ...] = ()
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
    # Recorded where OpenMMLab's RTMDet recipe does: MMYOLO, kd_*_rtmdet_*_neck_300e_coco.
    "cwd": Method({"cwd": Term("CWD", "cwd")}),
    # Recorded where its authors do, neck.fpn_convs of RetinaNet, which have no norm: what the head
    # sees. A sum over channels and positions.
    "mgd": Method(
        {
            "mgd": Term(
                "MGD",
                "mgd",
                two_stage={"mask_ratio": 0.45, "distance_weight": 5e-7},
                growth={"distance_weight": (1, 1)},
            )
        },
        "raw",
        "neck_output",
    ),
    # Recorded where its authors do, for YOLOX neck.out_convs behind norm and activation. Feature
    # terms sum over channels, as their masks are normalized over positions.
    "fgd": Method(
        {
            "fgd": Term(
                "FGD",
                "fgd",
                two_stage={
                    "foreground_weight": 5e-5,
                    "background_weight": 2.5e-5,
                    "spatial_weight": 5e-5,
                    "channel_weight": 5e-5,
                    "relation_weight": 5e-7,
                },
                growth={
                    "foreground_weight": (1, 0),
                    "background_weight": (1, 0),
                    "spatial_weight": (0, 1),
                    "channel_weight": (1, 0),
                    "relation_weight": (1, 1),
                },
            )
        },
        "raw",
        "neck_output",
    ),
    # Recorded where its authors do: what extract_feat gives the head. Unsquared norms.
    "fkd": Method(
        {
            "fkd": Term(
                "FKD",
                "fkd",
                levels=(
                    {"reduction": 4, "pool_stride": 8},
                    {"reduction": 4, "pool_stride": 4},
                ),
                two_stage={
                    "temperature": 0.5,
                    "channel_attention": False,
                    "feature_weight": 7e-5,
                    "channel_weight": 4e-3,
                    "spatial_weight": 4e-3,
                    "relation_weight": 7e-5,
                },
                growth={
                    "feature_weight": (0.5, 0.5),
                    "channel_weight": (0.5, 0),
                    "spatial_weight": (0, 0.5),
                    "relation_weight": (0.5, 0.5),
                },
            )
        },
        "raw",
        "neck_output",
    ),
    # Recorded as CWD, in its control: its norm makes the scale of a feature indifferent.
    "pkd": Method({"pkd": Term("PKD", "pkd", two_stage={"distance_weight": 6.0})}),
    # Recorded where its authors do: what the head sees. Means. Without the prompts that they learn
    # in a training before: mkd/losses/freekd.py.
    "freekd-unprompted": Method({"freekd": Term("FreeKD", "freekd")}, "raw", "neck_output"),
    # What the heads say, in the place of features. Needs a teacher with the student's classes.
    "kd": Method({"kd": Term("LogitKD", "logit_kd", output="cls")}),
    # Needs heads with a distribution over edges, as GFL's.
    "ld": Method(
        {
            "ld": Term("LD", "ld", output="bbox"),
            "kd": Term("LogitKD", "logit_kd", output="cls"),
        },
        default=("ld",),
    ),
    "mkd": Method(_MKD_TERMS, default=_MKD_DEFAULT),
    "mkd-balanced": Method(_MKD_TERMS, default=_MKD_DEFAULT, balanced=True),
}

BALANCED_ON = "fad"
"""The term whose gradient a balanced method's other terms are made as strong as."""

CHOICES = {key: get_args(get_type_hints(Plan)[key]) for key in ("layers", "adapter")}
"""Values of the options that have few."""

OUTPUTS = ("cls", "bbox")
"""What of the heads a loss may read."""

DETECTORS_OWN = ("loss", "cls", "bbox", "mask")
"""Names of the total and of the detectors' own losses, which a term would be added to."""

FULL_PX = 640
"""Side of the input in pixels that published weights hold for."""


def plan(
    run: str,
    method: str,
    options: dict[str, Any],
    two_stage: bool = False,
    width: float = 1.0,
    input_px: int = FULL_PX,
) -> Plan:
    """Resolve a run's method and options.

    Args:
        run: The run's id, for the messages.
        method: A key of :data:`METHODS`.
        options: ``alpha`` (paper Eq. 6), ``terms`` (comma-separated names), ``layers``,
            ``adapter`` and ``stop_epoch`` (:class:`mkd.experiment.plan.Plan`), and
            ``<term>.<argument>`` for a loss class's own arguments.
        two_stage: Whether the detectors have two stages (Mask R-CNN).
        width: Width of the teacher, over whose channels the losses sum, relative to full size:
            the weight of every summed part is made as strong as it is at full size.
        input_px: Side of the input in pixels, likewise.

    Raises:
        UserError: Unknown method, term or option, an option's value of the wrong kind, or an entry
            of :data:`METHODS` that names what does not exist. Whether
            a loss takes a value of the right kind is for the loss to say
            (:mod:`mkd.training.loss_check`).
    """
    if method not in METHODS:
        raise UserError(
            f"run '{run}': unknown method '{method}'; the methods are {', '.join(METHODS)}"
            f"{meant(method, METHODS)}"
        )
    entry = METHODS[method]
    _check_entry(method, entry)
    for key, value in options.items():
        if value is None:
            raise UserError(f"run '{run}': option '{key}' has no value: give it one or remove it")
    options = dict(options)
    alpha = options.pop("alpha", None)
    losses = _terms(run, method, options.pop("terms", None), two_stage)
    where = {key: options.pop(key) for key in (*CHOICES, "stop_epoch") if key in options}
    if alpha is not None and not (loss_arguments.is_number(alpha) and alpha >= 0):
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
    stop = where.get("stop_epoch", 1)
    if not isinstance(stop, int) or isinstance(stop, bool) or stop < 1:
        raise UserError(f"run '{run}': stop_epoch={stop} is not a positive whole number")
    if "adapter" in where and entry.features == "raw":
        raise UserError(f"run '{run}': '{method}' brings its own adapter, remove the option")
    said = {name: entry.terms[name].output for name in losses}
    outputs = {name: output for name, output in said.items() if output is not None}
    for key in CHOICES:
        if key in where and len(outputs) == len(losses):
            raise UserError(
                f"run '{run}': '{method}' reads what the heads say and no features: remove '{key}'"
            )
    for key, value in options.items():
        name, dot, argument = key.partition(".")
        if not dot or name not in losses or argument == "type":
            raise UserError(
                f"run '{run}': option '{key}' is not 'alpha', 'terms', 'layers', 'adapter', "
                "'stop_epoch' or '<term>.<argument>' of a term that is on "
                f"({', '.join(losses) or 'none'}){meant(key, _options(entry, losses))}"
            )
        term = entry.terms[name]
        loss_arguments.check_kind(run, term.module, term.type, key, value)
        if entry.balanced and argument == "loss_weight" and name != BALANCED_ON:
            raise UserError(f"run '{run}': '{method}' sets the weight of '{name}': remove '{key}'")
        losses[name][argument] = value
    for name, loss in losses.items():
        loss |= _sized(entry.terms[name], loss, width, input_px)
        if alpha is not None:
            known = loss_arguments.defaults(entry.terms[name].module, loss["type"])
            if known is not None and "loss_weight" not in known:
                raise UserError(
                    f"run '{run}': alpha is for losses with a loss_weight, which "
                    f"{loss['type']} has not"
                )
            loss["loss_weight"] = alpha * loss.get("loss_weight", 1.0)
    on = {name: entry.terms[name] for name in losses}
    return Plan(
        losses=losses,
        modules={name: term.module for name, term in on.items()},
        levels={name: list(term.levels) for name, term in on.items() if term.levels},
        features=entry.features,
        balanced=entry.balanced,
        outputs=outputs or None,
        **{"layers": entry.layers, **where},
    )


def _check_entry(method: str, entry: Method) -> None:
    for key in ("features", "layers"):
        value, choices = getattr(entry, key), get_args(get_type_hints(Method)[key])
        if value not in choices:
            raise UserError(
                f"{_place(entry)}: {key} of method '{method}' is {value!r} and not one of "
                f"{', '.join(choices)}"
            )
    for name, term in entry.terms.items():
        if term.output not in (None, *OUTPUTS):
            raise UserError(
                f"{_place(entry)}: the output of term '{name}' of method '{method}' is "
                f"{term.output!r} and not one of {', '.join(OUTPUTS)}"
            )
        if not re.fullmatch("[a-z][a-z0-9]*", name) or name in DETECTORS_OWN:
            raise UserError(
                f"{_place(entry)}: a term of method '{method}' is called '{name}': "
                f"take small letters and digits, and none of {', '.join(DETECTORS_OWN)}, which are "
                "logged"
            )


def _place(entry: Method) -> str:
    """The file an entry stands in: a user's own has the losses of its entry."""
    own = (shown(term.module) for term in entry.terms.values() if "." in term.module)
    return next(own, "mkd/experiment/methods.py")


def _terms(run: str, method: str, names: Any, two_stage: bool) -> dict[str, dict[str, Any]]:
    """The losses that are on, with what their authors set for such detectors."""
    entry = METHODS[method]
    on = entry.default if names is None else tuple(str(names).split(","))
    losses: dict[str, dict[str, Any]] = {}
    for name in on:
        if name not in entry.terms:
            raise UserError(
                f"run '{run}': method '{method}' has no term '{name}'; "
                f"its terms are {', '.join(entry.terms) or 'none'}{meant(name, entry.terms)}"
            )
        if name in losses:
            raise UserError(f"run '{run}': terms={names} names '{name}' twice: once is enough")
        term = entry.terms[name]
        loss_arguments.defaults(term.module, term.type)
        losses[name] = {"type": term.type, **(term.two_stage if two_stage else {})}
    return losses


def _options(entry: Method, losses: dict[str, dict[str, Any]]) -> list[str]:
    """Every option that a run of a method may have."""
    own = [
        f"{name}.{argument}"
        for name in losses
        for argument in loss_arguments.defaults(entry.terms[name].module, losses[name]["type"])
        or {}
    ]
    return ["alpha", "terms", "stop_epoch", *CHOICES, *own]


def _sized(term: Term, given: dict[str, Any], width: float, input_px: int) -> dict[str, float]:
    """The weights that keep a summed loss's parts as strong as at full size, where others are."""
    weights = {}
    for argument, (channels, positions) in term.growth.items():
        factor = float(width**-channels * (FULL_PX / input_px) ** (2 * positions))
        if factor != 1:
            known = {**(loss_arguments.defaults(term.module, term.type) or {}), **given}
            if not loss_arguments.is_number(known.get(argument)):
                raise UserError(
                    f"mkd/experiment/methods.py: growth names '{argument}', for which {term.type} "
                    "has no default that is a plain number: give it one in its __init__"
                )
            weights[argument] = factor * known[argument]
    return weights
