"""Digests of code: what belongs to a stage follows from its imports.

Comments and docstrings do not count. The room ``experiment`` and the modules outside all rooms do
not either, unless asked for: the first decides settings, which have a digest of their own, and the
others read and write files.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mkd import ROOT, plugins
from mkd.errors import UserError
from mkd.provenance import digest

_PACKAGES = ("mkd", plugins.PACKAGE)


@cache
def code_digest(*modules: str, whole: bool = False) -> str:
    """SHA-256 over what modules do, and all of the package that they import.

    Args:
        modules: Where a stage begins, e.g. ``mkd.training.trainer``; they count in any room.
        whole: Whether ``experiment`` and the modules outside the rooms count too, as they do for
            what shows results.
    """
    found = sorted(
        module for module in closure(*modules) if whole or module in modules or _decides(module)
    )
    return digest({module: _read(module)[1] for module in found})


@cache
def closure(*modules: str) -> frozenset[str]:
    """Modules that the given ones import, in functions too, directly or not; and themselves.

    A package's ``__init__`` counts where something is imported from it by its own name.
    """
    found: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= _read(module)[0] - found
    return frozenset(found)


def tree(module: str) -> ast.Module:
    """The syntax tree of a module of the package.

    Raises:
        UserError: There is no such file, or it is not Python.
    """
    path = _file(module)
    try:
        return ast.parse(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist: mkd/experiment/methods.py or another module names it"
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    # CPython's parser calls code that nests too deep MemoryError or RecursionError.
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise UserError(f"{path} is not Python: {str(error) or 'it nests too deep'}") from error


def forget() -> None:
    """Read every module anew: plugins' files have changed."""
    for reader in (code_digest, closure, _read):
        reader.cache_clear()


def shown(module: str) -> str:
    """A module's file as a message names it."""
    own = plugins.file(module)
    return str(own) if own is not None else f"{module.replace('.', '/')}.py"


def _decides(module: str) -> bool:
    parts = module.split(".")
    if parts[0] == plugins.PACKAGE:
        return True
    return len(parts) > 2 and parts[1] != "experiment"


def _file(module: str) -> Path:
    return plugins.file(module) or ROOT.joinpath(*module.split(".")).with_suffix(".py")


@cache
def _read(module: str) -> tuple[frozenset[str], str]:
    """What a module imports of the package, and what it does.

    Trees are not kept: a workflow's are a million objects, which the collector would look through.
    """
    found = tree(module)
    return _imports(module, found), _text(found)


def _imports(module: str, found: ast.Module) -> frozenset[str]:
    names: set[str] = set()
    for node in _executed(found):
        if isinstance(node, ast.Import):
            names |= {_defining(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")[: -node.level] if node.level else []
            origin = ".".join([*package, *([node.module] if node.module else [])])
            names |= {_defining(origin, alias.name) for alias in node.names}
    return frozenset(name for name in names if name.split(".")[0] in _PACKAGES)


def _defining(origin: str, name: str = "") -> str:
    """The module that an import reads a name from: a package's own is its ``__init__``."""
    if origin.split(".")[0] not in _PACKAGES:
        return origin
    named = f"{origin}.{name}"
    candidates = (named, f"{named}.__init__", origin) if name else (origin,)
    return next((module for module in candidates if _file(module).is_file()), f"{origin}.__init__")


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The statements below a node but those that only a type checker looks at."""
    for block in ("body", "handlers", "orelse", "finalbody", "cases"):
        for child in getattr(node, block, ()):
            if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
                continue
            yield child
            yield from _executed(child)


def syntax(source: bytes) -> str:
    """What Python code does, as text: without comments and docstrings."""
    return _text(ast.parse(source))


def _text(node: ast.AST) -> str:
    """A tree as :func:`ast.dump` of Python 3.11 writes it, whatever Python reads it.

    Docstrings are left out, and of newer Pythons what 3.11 does not have, where it is empty.
    """
    written = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            items = [_text(item) if isinstance(item, ast.AST) else repr(item) for item in value]
            if name == "body":
                # A docstring is a first statement that is a bare string; so are attribute docs.
                items = [item for item in items if not item.startswith("Expr(value=Constant(")]
            if items or name != "type_params":
                written.append(f"{name}=[{', '.join(items)}]")
        elif isinstance(value, ast.AST):
            written.append(f"{name}={_text(value)}")
        # A field that may be missing is None in its class.
        elif value is not None or getattr(type(node), name, ...) is not None:
            written.append(f"{name}={value!r}")
    return f"{type(node).__name__}({', '.join(written)})"
