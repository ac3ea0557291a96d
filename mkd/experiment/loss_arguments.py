"""What a loss's file says, read without importing it: to import it is to import torch.

The table of runs is checked at every start of Snakemake, so names and kinds of options are read
from the source. What a loss makes of its values it says itself (:mod:`mkd.training.loss_check`).
"""

import ast
import math
from functools import cache
from inspect import Parameter
from typing import Any

from mkd.errors import UserError, meant
from mkd.experiment.code import shown, tree
from mkd.experiment.plan import loss_module

UNKNOWN = Parameter.empty
"""Default of an argument that has none, or one that only running the file would tell."""
CHANNELS = ("student_channels", "teacher_channels")
"""Arguments that the distiller gives: the channels of raw features."""


def check_kind(run: str, module: str, name: str, option: str, value: Any) -> None:
    """Whether a loss has an argument, and one of a value's kind.

    Args:
        run: The run's id, for the message.
        module: The loss class's module, as :attr:`mkd.experiment.plan.Plan.modules` names it.
        name: The class.
        option: ``<term>.<argument>``.
        value: As the table of runs gives it.

    Raises:
        UserError: It has not.
    """
    known = defaults(module, name)
    argument = option.partition(".")[2]
    if known is not None and argument not in known:
        raise UserError(
            f"run '{run}': option '{option}' is no argument of {name}, which has "
            f"{', '.join(known) or 'none'}{meant(argument, known)}"
        )
    default = UNKNOWN if known is None else known[argument]
    number = default is UNKNOWN or is_number(default)
    if argument.endswith("weight") and number:
        fits, kind = is_number(value) and value >= 0, "a number of at least 0"
    elif isinstance(default, bool):
        fits, kind = isinstance(value, bool), "true or false"
    elif isinstance(default, int):
        fits, kind = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif isinstance(default, float):
        fits, kind = is_number(value), "a number"
    elif isinstance(default, tuple | list):
        fits, kind = isinstance(value, list) and _finite(value), "a list of finite values"
    elif isinstance(default, str):
        fits, kind = isinstance(value, str), "a word"
    else:
        fits, kind = _finite(value), "finite"
    if not fits:
        raise UserError(f"run '{run}': {option}={value} is not {kind}")


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _finite(value: Any) -> bool:
    """Whether no number in a value, however nested, is infinite or NaN."""
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@cache
def defaults(module: str, name: str) -> dict[str, Any] | None:
    """Arguments of a loss class that a run may set, with their defaults.

    Args:
        module: The class's module, as :attr:`mkd.experiment.plan.Plan.modules` names it.
        name: The class.

    Returns:
        None where the file does not say: the class inherits its constructor from another than
        torch's module, takes arguments by ``*`` or ``**``, or is decorated.

    Raises:
        UserError: There is no such file, it is not Python, or does not define the class.
    """
    path = loss_module(module)
    classes = [node for node in tree(path).body if isinstance(node, ast.ClassDef)]
    found = next((node for node in classes if node.name == name), None)
    if found is None:
        raise UserError(
            f"{shown(path)} defines no class '{name}', which the entry of a method names"
        )
    if not all(ast.unparse(decorator).startswith("MODELS.") for decorator in found.decorator_list):
        return None
    made = next(
        (n for n in found.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None
    )
    if made is None:
        own = {ast.unparse(base) for base in found.bases} <= {"nn.Module", "torch.nn.Module"}
        return {} if own else None
    given = made.args
    if made.decorator_list or given.vararg or given.kwarg:
        return None
    plain = [*given.posonlyargs, *given.args]
    values = [None] * (len(plain) - len(given.defaults)) + list(given.defaults) + given.kw_defaults
    named = zip([*plain, *given.kwonlyargs], values, strict=True)
    return {
        argument.arg: _literal(value, argument.annotation)
        for argument, value in list(named)[1:]
        if argument.arg not in CHANNELS
    }


def _literal(value: ast.expr | None, annotation: ast.expr | None) -> Any:
    try:
        found = UNKNOWN if value is None else ast.literal_eval(value)
    except ValueError:
        return UNKNOWN
    # ``temperature: float = 1`` takes any number.
    if isinstance(found, int) and getattr(annotation, "id", "") == "float":
        return float(found)
    return found
