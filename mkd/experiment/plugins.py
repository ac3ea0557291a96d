"""Methods that a user's own files bring.

An entry ``METHODS["mine"] = Method({"mine": Term("MyLoss", __name__)})`` at the top of such a file
is read without running it: to import its losses is to import torch.
"""

import ast
from collections.abc import Iterable
from types import UnionType

from mkd import ROOT, plugins
from mkd.errors import UserError
from mkd.experiment import code, loss_arguments, methods, own_code

_ADDED: set[str] = set()
READ_ONLY = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
"""Statements that register nothing by themselves."""


def use(files: Iterable[str]) -> None:
    """Add the methods of files to :data:`mkd.experiment.methods.METHODS`, in the place of others'.

    Args:
        files: Paths of Python files.

    Raises:
        UserError: A file is not there, is not Python, imports a file that is not named, or has an
            entry that cannot be read or whose name is taken.
    """
    before = plugins.named()
    for name in _ADDED:
        methods.METHODS.pop(name, None)
    _ADDED.clear()
    modules = plugins.use(files)
    if before or modules:
        code.forget()
        loss_arguments.defaults.cache_clear()
    for module in modules:
        tree = code.tree(module)
        _check_imports(module, tree)
        for node in tree.body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                _add(module, node.targets[0], node.value)
            elif not isinstance(node, READ_ONLY):
                _check_passed_over(module, node)


def _check_passed_over(module: str, node: ast.stmt) -> None:
    """Refuse what would register a method and is not read: the file is not run here."""
    for inside in ast.walk(node):
        if isinstance(inside, ast.Name) and inside.id == "METHODS":
            raise UserError(
                f"{code.shown(module)}, line {inside.lineno}: entries are read and not run: write "
                "METHODS[name] = Method(…) at the top of the file, one by one"
            )


def _add(module: str, target: ast.expr, value: ast.expr) -> None:
    if not isinstance(target, ast.Subscript) or ast.unparse(target.value) not in (
        "METHODS",
        "methods.METHODS",
    ):
        return
    where = f"{code.shown(module)}, line {target.lineno}"
    known = {"Method": methods.Method, "Term": methods.Term, "methods": methods}
    try:
        name, entry = (
            # The file is its user's own, and is run when its losses are.
            eval(ast.unparse(part), {"__builtins__": {}, "__name__": module, **known})
            for part in (target.slice, value)
        )
    except Exception as error:
        raise UserError(
            f"{where}: the entry cannot be read: write it with Method, Term, __name__ and plain "
            f"values ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(entry, methods.Method) or not isinstance(name, str):
        raise UserError(
            f"{where}: the entry is no Method with a name: write METHODS[name] = Method(…)"
        )
    if not isinstance(entry.terms, dict) or not all(
        isinstance(term, methods.Term) for term in entry.terms.values()
    ):
        raise UserError(
            f"{where}: the terms of method '{name}' are not {{name: Term(…)}}: write them so"
        )
    if not isinstance(entry.default, tuple) or not _hold(entry.default, str):
        raise UserError(
            f"{where}: default of method '{name}' is {entry.default!r}: write a tuple of names of "
            "terms, one with a comma behind it"
        )
    for short, term in entry.terms.items():
        for key, good in (
            ("type", isinstance(term.type, str)),
            ("module", isinstance(term.module, str)),
            ("levels", _hold(term.levels, dict)),
            ("two_stage", isinstance(term.two_stage, dict)),
            ("growth", isinstance(term.growth, dict) and _pairs(term.growth.values())),
        ):
            if not good:
                raise UserError(
                    f"{where}: {key} of term '{short}' is {getattr(term, key)!r}: the class Term "
                    "in mkd/experiment/method.py says what it may hold"
                )
    if name in methods.METHODS:
        raise UserError(f"{where}: there is a method '{name}' already: give yours another name")
    for term in entry.terms.values():
        own = ROOT / "mkd/losses" / f"{term.module}.py"
        if plugins.file(term.module) is None and not own.is_file():
            raise UserError(
                f"{where}: a term's module is '{term.module}', which is no file of mkd/losses: "
                "write __name__ for a loss of this file"
            )
    methods.METHODS[name] = entry
    _ADDED.add(name)


def _pairs(values: Iterable[object]) -> bool:
    return all(
        isinstance(pair, tuple) and len(pair) == 2 and _hold(pair, int | float) for pair in values
    )


def _hold(values: object, kind: type | UnionType) -> bool:
    return isinstance(values, Iterable) and all(isinstance(value, kind) for value in values)


def _check_imports(module: str, tree: ast.Module) -> None:
    """Refuse an import of a file beside it, whose code no digest would hold."""
    path = plugins.file(module)
    if path is None:
        raise ValueError(f"{module} is no plugin")
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            below = node.module in (None, plugins.PACKAGE)
            origin = f"{plugins.PACKAGE}." if node.module else ""
            names = [f"{origin}{each.name}" for each in node.names] if below else [str(node.module)]
        for name in names:
            first = name.removeprefix(f"{plugins.PACKAGE}.").split(".")[0]
            beside = [path.parent / f"{first}.py", path.parent / first / "__init__.py"]
            inside = bool(getattr(node, "level", 0)) or name.startswith(f"{plugins.PACKAGE}.")
            if inside and plugins.file(f"{plugins.PACKAGE}.{first}") is None:
                raise UserError(
                    f"{path} imports '{first}', which is no plugin: name {beside[0]} in plugins too"
                )
            if not inside and first != "mkd" and any(file.is_file() for file in beside):
                raise UserError(
                    f"{path} imports '{first}', which lies beside it and would be in no digest: "
                    f"name it in plugins too, and write 'from .{first} import …'"
                )
            elsewhere = [] if inside or first == "mkd" else own_code.files(name)
            # What a distribution of Linux installs lies outside Python's own places.
            if elsewhere and "dist-packages" not in elsewhere[0].parts:
                raise UserError(
                    f"{path} imports '{name}', which is {elsewhere[0]} and would be in no digest: "
                    "put it beside the plugin, name it in plugins too, and write 'from . import'"
                )
