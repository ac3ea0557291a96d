"""Modules of a user's own that a configuration imports: what they do belongs to a run's digest.

They are found as Python finds them, and read without running them. Installed packages do not count.
"""

import ast
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from mkd.errors import UserError
from mkd.experiment.code import syntax


def texts(names: Iterable[str]) -> list[str]:
    """What modules do, and those of the user's own that they import, in an order of its own.

    Args:
        names: Their names, as an import statement has them.

    Raises:
        UserError: A file is not Python.
    """
    found: dict[Path, str] = {}
    waiting = sorted(names)
    while waiting:
        for file in files(waiting.pop()):
            if file not in found:
                found[file], imported = _read(file)
                waiting += imported
    return sorted(found.values())


def files(name: str) -> list[Path]:
    """The file of a module, or all below the package it is in; nothing for what is installed."""
    top = name.partition(".")[0]
    for entry in map(Path, dict.fromkeys(sys.path)):
        package, module = entry / top / "__init__.py", entry / f"{top}.py"
        # A folder without an __init__.py is a package as well.
        inside = Path(entry, *name.split(".")).with_suffix(".py")
        first = next((file for file in (package, module, inside) if file.is_file()), None)
        if first is None:
            continue
        if _installed(first):
            return []
        return [first] if first == module else sorted((entry / top).rglob("*.py"))
    return []


def _installed(file: Path) -> bool:
    places = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return any(file.resolve().is_relative_to(Path(place).resolve()) for place in places)


def _read(file: Path) -> tuple[str, list[str]]:
    """What a file does, and the names of what it imports."""
    try:
        source = file.read_bytes()
        return syntax(source), sorted(set(_imports(ast.parse(source))))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise UserError(f"{file} is not Python: {error}") from error


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
