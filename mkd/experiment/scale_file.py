"""A scale's file: found by its name or path, and read, over the scale it names as its base."""

import os
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mkd.errors import UserError, meant
from mkd.experiment.resolved import first_error
from mkd.experiment.scale import Scale
from mkd.schemas import load_yaml, read_text, read_yaml, validate
from mkd.strict_yaml import line_of

COSTS = ("runs", "starts", "checks", "longer", "mask_rcnn", "estimate", "pretrained", "latency")
"""What a scale has of its base only where it says so itself: more jobs, and what is of them."""
MERGED = ("train", "pretrain", "evaluate")
"""Sections of which a scale may replace a part of its base's."""


def names(scales: Path) -> list[str]:
    """Names of the suite's scales, from their folder."""
    return sorted(file.stem for file in scales.glob("*.yaml"))


def find(named: str, scales: Path) -> tuple[Path, bool]:
    """A scale's file, and whether it is a user's own.

    Args:
        named: The name of one of the suite's, or the path of a file.
        scales: The folder of the suite's.

    Raises:
        UserError: There is none, or its results would lie among another's.
    """
    known = names(scales)
    if named in known:
        return scales / f"{named}.yaml", False
    path = Path(os.path.expanduser(named))
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(
            f"unknown scale '{named}' (one of your own is named by the path of its .yaml file): "
            f"{scales} has {', '.join(known)}{meant(named, known)}"
        )
    if not path.exists():
        raise UserError(f"the scale's file {path} does not exist: name a file, or one of {scales}")
    path = path.resolve()
    if path.parent == scales.resolve():
        return scales / path.name, False
    if path.stem in {*known, "reference"}:
        raise UserError(
            f"{path}: results lie in a folder of the file's name, and '{path.stem}' is a name of "
            "the suite's own: give the file another name"
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", path.stem):
        raise UserError(
            f"{path}: the file's name names the scale: use letters, digits, hyphens, dots and "
            "underscores alone"
        )
    return path, True


def read(path: Path, scales: Path) -> Scale:
    """The settings of a scale's file.

    Args:
        path: The file.
        scales: The folder of the suite's, one of which it may name as its base.

    Raises:
        UserError: It cannot be read, or the first thing in it that does not fit, with its line.
    """
    text = read_text(path, "the file")
    settings = load_yaml(text, path)
    if settings is None:
        raise UserError(f"{path} is empty: write at least `base: desk` and a section `data`")
    if isinstance(settings, dict) and "base" in settings:
        settings = _on_base(settings, path, scales)
    elif isinstance(settings, dict) and path.parent != scales and "summary" not in settings:
        raise UserError(
            f"{path} names no base: write `base: desk`, or another scale whose settings it "
            "shall have where it says nothing"
        )
    # The schema is made from the model, and its words are better than the model's own.
    try:
        validate(settings, "scale", str(path), text)
    except UserError as error:
        raise UserError(f"{error}{_for_text(str(error))}") from error
    try:
        return Scale.model_validate(settings)
    except ValidationError as error:
        line = line_of(text, error.errors()[0]["loc"])
        where = f"{path}, line {line}" if line else str(path)
        raise UserError(f"{where}: {first_error(error)}") from error


def _for_text(sentence: str) -> str:
    """What to write for a number such as 1e-3, which YAML takes for text; nothing for others."""
    number = r"'([+-]?\d+)(\.\d*)?[eE]([+-]?)(\d+)'"
    found = re.search(f"{number} is not of type 'number'", sentence)
    if found is None:
        return ""
    whole, part, sign, power = found.groups()
    return f", YAML takes it for text: write {whole}{part or '.0'}e{sign or '+'}{power}"


def _on_base(settings: dict[str, Any], path: Path, scales: Path) -> dict[str, Any]:
    """A scale's settings over those of the one that it names as its base."""
    own = dict(settings)
    base, known = own.pop("base"), names(scales)
    if base not in known:
        raise UserError(
            f"{path}: base: there is no scale '{base}' in {scales}; it has {', '.join(known)}"
            f"{meant(str(base), known)}"
        )
    below = {k: v for k, v in read_yaml(scales / f"{base}.yaml").items() if k not in COSTS}
    below["summary"] = f"{path.stem}, on the settings of scale {base}"
    for name in MERGED:
        if isinstance(own.get(name), dict) and isinstance(below.get(name), dict):
            own[name] = _merged(below[name], own[name])
    return {**below, **own}


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(below[key], value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return {**below, **above, **both}
