"""What a distillation method is, and what an entry of the registry may say (no torch)."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

from mkd.errors import UserError
from mkd.experiment.code import shown

OUTPUTS = ("cls", "bbox")
"""What of the heads a loss may read."""

DETECTORS_OWN = ("loss", "cls", "bbox", "mask")
"""Names of the total and of the detectors' own losses, which a term would be added to."""


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


def check(method: str, entry: Method) -> None:
    """Refuse an entry that names what does not exist.

    Args:
        method: The method's name.
        entry: What the registry says of it.

    Raises:
        UserError: There is no such place or output, or a term's name cannot be logged.
    """
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
