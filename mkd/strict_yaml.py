"""YAML read strictly: plain values, each key once, nothing that grows without end."""

from collections.abc import Sequence
from typing import Any

import yaml

from mkd.files import MOST_DEPTH

MOST_VALUES = 20_000
"""Values of a YAML file with all its aliases written out."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """YAML's safe loader that takes each key once, and words alone as keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise ValueError(f"the key '{twice[0]}' stands twice in {node.start_mark}")
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        wrong = [key for key in found if not isinstance(key, str)]
        if wrong:
            raise ValueError(f"the key {wrong[0]} is no word, put quotes around it")
        return found


def parse_yaml(text: str) -> Any:
    """A YAML value of plain lists, mappings and scalars.

    Raises:
        ValueError: It is no such YAML, a key stands twice, or with its aliases written out it
            has more than :data:`MOST_VALUES` values or nests deeper than :data:`MOST_DEPTH`.
    """
    try:
        _weigh(text)
        value = yaml.load(text, Loader=_Loader)
        str(value).encode()
        return value
    # On a tag with a value that is none of its kind the loader's own code stumbles.
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    except UnicodeEncodeError as error:
        raise ValueError("half of a UTF-16 pair stands alone in it") from error


def _weigh(text: str) -> None:
    """Refuse what grows without end before anything of it is made."""
    total = 0
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias *{event.anchor} stands within its own value or alone")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.NodeEvent):
            total += 1
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, total - 1))
            elif event.anchor:
                sizes[event.anchor] = 1
        if total > MOST_VALUES:
            raise ValueError(f"it has more than {MOST_VALUES} values")
        if len(opened) > MOST_DEPTH:
            raise ValueError("lists or mappings lie too deep within one another")


def line_of(text: str, parts: Sequence[Any]) -> int:
    """The line of YAML text where a value stands, or what of its path there is; 0 for none."""
    node, line = yaml.compose(text, Loader=_Loader), 0
    for part in parts:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = [(item, item) for item in node.value[part : part + 1]]
        else:
            break
        if not found:
            break
        line, node = found[0][0].start_mark.line + 1, found[0][1]
    return line
