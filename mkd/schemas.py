"""YAML files and records, read strictly and checked against ``workflow/schemas``."""

import math
import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema

from mkd import ROOT
from mkd.errors import UserError, meant
from mkd.files import read_json, write_json
from mkd.provenance import seal
from mkd.strict_yaml import line_of, parse_yaml

FOLDER = ROOT / "workflow" / "schemas"
MOST_BYTES = 2**20
"""Length of a YAML file or table that is read."""
MOST_SHOWN = 160
"""Characters of a wrong value that are shown."""


def read_text(path: Path, what: str, most: int = MOST_BYTES) -> str:
    """The text of a small file a user writes: UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        what: What it is, for the sentence.
        most: Its largest size in bytes.

    Raises:
        UserError: It is missing, no file, no text, or longer.
    """
    try:
        if not path.is_file() and path.exists():
            raise UserError(f"{what} {path} is no file: name a file")
        with path.open("rb") as handle:
            content = handle.read(most + 1)
        if len(content) > most:
            raise UserError(f"{what} {path} is longer than {most >> 20} MiB: name another")
        return content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{what} {path} does not exist") from error
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{what} {path} cannot be read: byte {error.start} is not UTF-8, save it as UTF-8"
        ) from error


def read_yaml(path: Path) -> Any:
    """The content of a YAML file as :func:`parse_yaml` takes it.

    Raises:
        UserError: It is missing, unreadable or no such YAML.
    """
    return load_yaml(read_text(path, "the file"), path)


def checked_yaml(path: Path, schema: str) -> Any:
    """The content of a YAML file that fits its schema.

    Raises:
        UserError: It is missing or no such YAML, or the first thing that does not fit: the file,
            the line, the field and what is wrong.
    """
    text = read_text(path, "the file")
    value = load_yaml(text, path)
    validate(value, schema, str(path), text)
    return value


def load_yaml(text: str, path: Path) -> Any:
    """The content of the text of a YAML file.

    Raises:
        UserError: It is no such YAML as :func:`parse_yaml` takes.
    """
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error


def _integer(_: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(_: Any, value: Any) -> bool:
    return _integer(_, value) or (isinstance(value, float) and math.isfinite(value))


def _pattern(_: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    # Python's $ lets a line break through.
    if isinstance(value, str) and not re.search(pattern.removesuffix("$") + r"\Z", value):
        meant = schema.get("description", f"text of the form {pattern}")
        yield jsonschema.ValidationError(f"{value!r} is not {meant}")


def _choice(keyword: str) -> Any:
    """The check of ``oneOf`` or ``anyOf``, which says what the value was to be."""
    check = jsonschema.Draft202012Validator.VALIDATORS[keyword]

    def checked(validator: Any, choices: Any, value: Any, schema: Any) -> Iterator[Any]:
        if "discriminator" in schema:
            yield from _named_choice(validator, value, schema["discriminator"])
            return
        for error in check(validator, choices, value, schema):
            if "description" in schema:
                error.message = f"{value!r} is not {schema['description']}"
            yield error

    return checked


def _named_choice(validator: Any, value: Any, discriminator: Any) -> Iterator[Any]:
    """Check against the one choice that a property of the value names."""
    name, choices = discriminator["propertyName"], discriminator["mapping"]
    schema: Any = {"properties": {name: {"enum": list(choices)}}}
    if not isinstance(value, dict):
        schema = {"type": "object"}
    elif name not in value:
        schema = {"required": [name]}
    elif isinstance(value[name], str) and value[name] in choices:
        schema = {"$ref": choices[value[name]]}
    yield from validator.descend(value, schema)


# JSON Schema takes 1.0 for an integer, and Python NaN for a number.
_Validator: Any = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {"pattern": _pattern, "oneOf": _choice("oneOf"), "anyOf": _choice("anyOf")},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _integer, "number": _number}
    ),
)


def schema_path(name: str) -> Path:
    """The file of a schema."""
    return FOLDER / f"{name}.schema.yaml"


@cache
def _schema(name: str) -> Any:
    return _Validator(read_yaml(schema_path(name)))


def _extra(error: Any) -> list[str]:
    """Keys that a mapping may not have."""
    if error.validator != "additionalProperties" or not isinstance(error.instance, dict):
        return []
    return [key for key in error.instance if key not in error.schema.get("properties", {})]


def validate(value: Any, schema: str, where: str, text: str | None = None) -> None:
    """Check a value against ``workflow/schemas/<schema>.schema.yaml``.

    A number is finite, an integer is written as one, and ``pattern`` matches the whole text.

    Args:
        value: The value.
        schema: The schema's name.
        where: What it is of, for the sentence.
        text: The YAML it was read from, where the sentence shall name the line.

    Raises:
        UserError: The first thing that does not fit, and where it stands.
    """
    error = jsonschema.exceptions.best_match(_schema(schema).iter_errors(value))
    if error is None:
        return
    at, extra = ".".join(str(part) for part in error.absolute_path), _extra(error)
    words = error.message
    if extra:
        words += meant(extra[0], error.schema.get("properties", {}))
    if len(words) > 2 * MOST_SHOWN:
        words = f"{words[:MOST_SHOWN]} … {words[-MOST_SHOWN:]}"
    line = line_of(text, [*error.absolute_path, *extra[:1]]) if text is not None else 0
    raise UserError(f"{where}{f', line {line}' if line else ''}: {at + ': ' if at else ''}{words}")


def write_record(path: Path, record: dict[str, Any], schema: str, what: str) -> None:
    """Write a record, whole or not at all, with the SHA-256 of its own content.

    Args:
        path: The file.
        record: Its content; ``sha256`` in it is made anew.
        schema: The schema it must fit.
        what: What it is of, for the sentence.

    Raises:
        UserError: It does not fit, or cannot be written.
    """
    validate(record, schema, what)
    write_json(path, {**record, "sha256": seal(record)})


_SOUND: set[tuple[str, bytes]] = set()
"""Schema and content of records that were found sound: a page reads each several times, and what
takes its time is the schema."""


def read_record(path: Path, schema: str) -> dict[str, Any]:
    """A record that fits its schema and is as it was written.

    Raises:
        UserError: One sentence that begins with the path and a colon.
    """
    record: dict[str, Any] = read_json(path)
    content = schema, sha256(repr(record).encode("utf-8", "surrogatepass")).digest()
    if content in _SOUND:
        return record
    validate(record, schema, str(path))
    # Older versions of the suite wrote neither digest.
    sealed = "sha256" in record or "detections" in (record.get("digests") or {})
    if sealed and record.get("sha256") != seal(record):
        raise UserError(
            f"{path}: does not have the content it was written with: it was edited or damaged, "
            "make it again"
        )
    _SOUND.add(content)
    return record
