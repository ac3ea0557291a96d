"""A job of a made-up package ``mkd``, which a fork server runs as it would the suite's."""

import os
import sys
from pathlib import Path

from mkd import ROOT


def command(*arguments: str) -> list[str]:
    """What starts it."""
    return [sys.executable, "-m", "mkd", *arguments]


def environment() -> dict[str, str]:
    """What it inherits from a workflow that has a server."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def package(folder: Path, main: str) -> Path:
    """Another checkout's ``mkd``, of which the server has seen nothing; it runs these lines."""
    (folder / "mkd").mkdir()
    (folder / "mkd/__init__.py").touch()
    (folder / "mkd/__main__.py").write_text(
        f"import sys\nsys.path.append({str(ROOT)!r})\n"
        "import importlib.util\n"
        f"where = {str(ROOT / 'mkd/workflow/fork_server.py')!r}\n"
        "spec = importlib.util.spec_from_file_location('fork_server', where)\n"
        "fork_server = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(fork_server)\n"
        f"fork_server.hand_over(sys.argv[1:])\n{main}\n"
    )
    return folder
