"""Any mmdet configuration as an architecture, known by what its files say.

The files are read without running them: to run one is to import torch.
"""

import ast
import re
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from mkd.detectors.architectures import GENERIC, Architecture
from mkd.errors import UserError, meant
from mkd.experiment import own_code
from mkd.experiment.code import syntax
from mkd.provenance import digest

PREFIX = "config:"
"""Before the path of a user's own file, as an architecture."""


@cache
def _folder() -> Path:
    """mmdet's configurations, found without importing mmdet."""
    found = find_spec("mmdet")
    return Path(((found and found.submodule_search_locations) or [""])[0], ".mim", "configs")


@cache
def _configs() -> dict[str, Path]:
    """The files there by their names, without those that are only bases."""
    return {path.stem: path for path in _folder().glob("*/*.py") if path.parent.name != "_base_"}


def architecture(name: str, known: Iterable[str] = ()) -> Architecture:
    """The architecture that a configuration makes.

    Args:
        name: The name of one of mmdet's files without ``.py``, or :data:`PREFIX` and a path.
        known: Other names of architectures, for the message.

    Raises:
        UserError: There is no such file, or it cannot be read.
    """
    own = name.startswith(PREFIX)
    path = Path(name.removeprefix(PREFIX)) if own else _published(name, list(known))
    files = list(_chain(path))
    said = [tree for _, tree in files]
    keys = {key for tree in said for key in _keys(tree)}
    imagenet = next((value for tree in said if (value := _imagenet(tree))), None)
    own_files = [(file, tree) for file, tree in files if _is_own(file)]
    mine = digest(
        [
            *(syntax(ast.unparse(tree).encode()) for _, tree in own_files),
            *own_code.texts({name for each in own_files for name in _custom_imports(*each)}),
        ]
    )
    # Two files of one's own may have one name. At its end a file's own digest would be expected.
    backbone = f"{PREFIX}{mine[:8]} {path}" if own else name
    return Architecture(
        name=name,
        family=GENERIC,
        label=path.stem,
        config=(path if own else path.relative_to(_folder())).as_posix(),
        backbone=re.sub("[^a-z0-9]+", "-", backbone.lower()).strip("-"),
        imagenet=imagenet,
        has_masks=any(map(_loads_masks, said)),
        two_stage="roi_head" in keys,
        digest=mine if own else None,
    )


def _published(name: str, known: list[str]) -> Path:
    files = _configs()
    if name not in files:
        raise UserError(
            f"unknown arch '{name}'; there are {', '.join(known)}, every config of mmdet by its "
            f"name, and {PREFIX}path of a file of your own{meant(name, [*known, *files])}"
        )
    return files[name]


def _is_own(path: Path) -> bool:
    return not path.resolve().is_relative_to(_folder().resolve())


def _chain(path: Path, above: tuple[Path, ...] = ()) -> Iterable[tuple[Path, ast.Module]]:
    """A file and all that its ``_base_`` names, itself first."""
    if path.resolve() in above:
        raise UserError(f"{path} is its own base: remove it from _base_")
    try:
        tree = _tree(path.absolute(), path.stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise UserError(f"{path} is not Python: {error}") from error
    yield path, tree
    for node in tree.body:
        if isinstance(node, ast.With) and "read_base" in ast.unparse(node.items[0]):
            raise UserError(f"{path} takes its bases by read_base: write them as _base_")
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_base_":
            for base in _bases(path, node):
                scope, colons, inside = base.partition("::")
                named = _folder() / inside if colons else path.parent / scope
                yield from _chain(named, (*above, path.resolve()))


def _bases(path: Path, node: ast.Assign) -> list[str]:
    try:
        found = ast.literal_eval(node.value)
    except ValueError:
        found = None
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
        raise UserError(f"{path}, line {node.lineno}: _base_ is no path or list of paths")
    return list(found)


@cache
def _tree(path: Path, changed: int) -> ast.Module:
    """A file's syntax tree, read once as long as it does not change."""
    return ast.parse(path.read_bytes())


def _custom_imports(path: Path, tree: ast.Module) -> list[str]:
    """The modules that a file has mmengine import, as ``custom_imports`` names them."""
    found: list[str] = []
    for node in tree.body:
        if not isinstance(node, ast.Assign) or ast.unparse(node.targets[0]) != "custom_imports":
            continue
        given = node.value
        if isinstance(given, ast.Call):
            given = ast.Dict(
                [ast.Constant(k.arg) for k in given.keywords], [k.value for k in given.keywords]
            )
        try:
            said = ast.literal_eval(given)["imports"]
            names = [said] if isinstance(said, str) else list(said)
            good = all(isinstance(name, str) for name in names)
        except (KeyError, TypeError, ValueError):
            good = False
        if not good:
            raise UserError(
                f"{path}, line {node.lineno}: custom_imports is not written as "
                "dict(imports=['a.module']): write it so"
            )
        found += names
    return found


def _keys(tree: ast.Module) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Dict):
            values = (getattr(key, "value", None) for key in node.keys)
            yield from (value for value in values if isinstance(value, str))


def _loads_masks(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.keyword)
        and node.arg == "with_mask"
        and getattr(node.value, "value", False) is True
        for node in ast.walk(tree)
    )


def _imagenet(tree: ast.Module) -> str | None:
    """The value of ``imagenet`` in a file: the release of weights that its backbone starts from."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "imagenet":
            value = getattr(node.value, "value", None)
            return value if isinstance(value, str) else None
    return None
