"""Whether a loss takes the options a run gives it, said before anything is trained.

Names and kinds are read from the loss's file when the table of runs is: importing it would import
torch. The values are for the loss itself to judge, when a training begins.
"""

import ast
import math
from functools import cache
from typing import Any

from mkd import ROOT
from mkd.errors import UserError


def check_kind(run: str, module: str, name: str, option: str, value: Any) -> None:
    """Whether a loss has an argument, and one of a value's kind.

    Args:
        run: The run's id, for the message.
        module: The loss class's file ``mkd/losses/<module>.py``.
        name: The class.
        option: ``<term>.<argument>``.
        value: As the table of runs gives it.

    Raises:
        UserError: It has not.
    """
    known = defaults(module, name)
    argument = option.partition(".")[2]
    if argument not in known:
        raise UserError(
            f"run '{run}': option '{option}' is no argument of {name}, which has {', '.join(known)}"
        )
    default = known[argument]
    if isinstance(default, bool):
        fits, kind = isinstance(value, bool), "true or false"
    elif isinstance(default, int | float):
        fits, kind = is_number(value), "a number"
    elif isinstance(default, tuple):
        fits, kind = isinstance(value, list), "a list"
    else:
        fits, kind = default is None or isinstance(value, str), "a word"
    if not fits:
        raise UserError(f"run '{run}': {option}={value} is not {kind}")


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_values(resolved: dict[str, Any]) -> None:
    """Whether the losses of a run, as :meth:`mkd.config.Suite.resolve` gives it, take their values.

    Raises:
        UserError: One does not.
    """
    from mmrazor.registry import MODELS

    raw = resolved["definition"]["features"] == "raw"
    channels = {"student_channels": 8, "teacher_channels": 8} if raw else {}
    for name, arguments in resolved["distillation"]["losses"].items():
        try:
            MODELS.build({**channels, **arguments, "type": f"mmrazor.{arguments['type']}"})
        except (TypeError, ValueError) as error:
            raise UserError(
                f"run '{resolved['run']}': the options of term '{name}' do not fit: {error}"
            ) from error


@cache
def defaults(module: str, name: str) -> dict[str, Any]:
    """Arguments of a loss class that a run may set, with their defaults, read from its file: to
    import it is to import torch."""
    tree = ast.parse((ROOT / "mkd" / "losses" / f"{module}.py").read_bytes())
    found = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    made = next(
        node
        for node in next(found).body
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    )
    # Those without a default are the feature's channels.
    named = made.args.args[len(made.args.args) - len(made.args.defaults) :]
    return {
        argument.arg: ast.literal_eval(default)
        for argument, default in zip(named, made.args.defaults, strict=True)
    }
