"""Python files of a user's own, which ``plugins`` of the configuration names.

A file ``mylosses.py``, wherever it lies, is imported as ``mkd_plugins.mylosses``; so its results
are the same wherever it lies. Nothing is imported here.
"""

import sys
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from mkd.errors import UserError

PACKAGE = "mkd_plugins"
_FILES: dict[str, Path] = {}


def use(files: Iterable[str]) -> list[str]:
    """Make files importable, in the place of those before.

    Args:
        files: Their paths.

    Returns:
        The modules they are imported as.

    Raises:
        UserError: One is not there, is no Python file by its name, or two have one name.
    """
    found: dict[str, Path] = {}
    for name in files:
        path, module = Path(name).absolute(), f"{PACKAGE}.{Path(name).stem}"
        if path.suffix != ".py" or not path.stem.isidentifier():
            raise UserError(
                f"plugins: {name} is no module's name: call the file by letters, digits and "
                "underscores, with .py behind"
            )
        if not path.is_file():
            raise UserError(f"plugins: the file {name} does not exist: name a Python file")
        if module in found:
            raise UserError(f"plugins: two files are called {path.name}: give one another name")
        found[module] = path
    for module in [name for name in sys.modules if name.startswith(f"{PACKAGE}.")]:
        if _FILES.get(module) != found.get(module):
            del sys.modules[module]
    _FILES.clear()
    _FILES.update(found)
    return named()


def named() -> list[str]:
    """The modules that plugins are imported as."""
    return list(_FILES)


def file(module: str) -> Path | None:
    """The file that is imported as a module; None where no plugin is."""
    return _FILES.get(module)


class _Finder(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname == PACKAGE:
            return ModuleSpec(fullname, None, is_package=True)
        found = _FILES.get(fullname)
        return None if found is None else spec_from_file_location(fullname, found)


sys.meta_path.append(_Finder())
