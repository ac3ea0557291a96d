"""A run's plan, from the entry of its method and the options of its row."""

from typing import Any, get_args, get_type_hints

from mkd.errors import UserError, meant
from mkd.experiment import loss_arguments
from mkd.experiment.method import Method, Term, check
from mkd.experiment.plan import Plan

BALANCED_ON = "fad"
"""The term whose gradient a balanced method's other terms are made as strong as."""

CHOICES = {key: get_args(get_type_hints(Plan)[key]) for key in ("layers", "adapter")}
"""Values of the options that have few."""

FULL_PX = 640
"""Side of the input in pixels that published weights hold for."""


def plan(
    run: str,
    method: str,
    entry: Method,
    options: dict[str, Any],
    two_stage: bool,
    width: float,
    input_px: int,
) -> Plan:
    """What a run distils: its method's terms as its options change them.

    Args:
        run: The run's id, for the messages.
        method: The method's name, for the messages.
        entry: What the registry says of it.
        options: As for :func:`mkd.experiment.methods.plan`, which finds the entry.
        two_stage: Whether the detectors have two stages.
        width: Width of the teacher, relative to full size.
        input_px: Side of the input in pixels.

    Raises:
        UserError: An unknown term or option, an option's value of the wrong kind, or an entry that
            names what does not exist.
    """
    check(method, entry)
    for key, value in options.items():
        if value is None:
            raise UserError(f"run '{run}': option '{key}' has no value: give it one or remove it")
    options = dict(options)
    alpha = options.pop("alpha", None)
    losses = _terms(run, method, entry, options.pop("terms", None), two_stage)
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


def _terms(
    run: str, method: str, entry: Method, names: Any, two_stage: bool
) -> dict[str, dict[str, Any]]:
    """The losses that are on, with what their authors set for such detectors."""
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
                    f"growth names '{argument}', for which {term.type} has no default that is a "
                    "plain number: give it one in its __init__"
                )
            weights[argument] = factor * known[argument]
    return weights
