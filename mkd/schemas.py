"""YAML files and records against the schemas of ``workflow/schemas``."""

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from mkd import ROOT
from mkd.errors import UserError

FOLDER = ROOT / "workflow" / "schemas"


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        UserError: It is not valid YAML.
    """
    try:
        return yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


@cache
def _schema(name: str) -> Any:
    return read_yaml(FOLDER / f"{name}.schema.yaml")


def validate(value: Any, schema: str, where: str) -> None:
    """Check a value against ``workflow/schemas/<schema>.schema.yaml``.

    Raises:
        UserError: The first thing that does not fit, and where it stands.
    """
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(_schema(schema)).iter_errors(value)
    )
    if error is not None:
        at = ".".join(str(part) for part in error.absolute_path)
        raise UserError(f"{where}: {at + ': ' if at else ''}{error.message}")
