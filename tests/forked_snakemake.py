"""``snakemake``, forked from a process that has imported it: most of what a start takes is imports.

As a script it is Snakemake's command line, run by the server that :func:`start` started, or by
itself where there is none. A workflow that is to be killed is a process of its own, as users have.
"""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

VARIABLE = "MKD_TESTS_SNAKEMAKE"
"""Environment variable that holds the path of the server's socket."""
_started: list[ModuleType] = []
"""A server ends when nobody holds it any more."""


def _forks() -> ModuleType:
    """The suite's fork server, told to run Snakemake; of the suite nothing else is imported."""
    file = Path(__file__).parents[1] / "mkd/workflow/fork_server.py"
    spec = importlib.util.spec_from_file_location("forks_of_snakemake", file)
    assert spec is not None
    assert spec.loader is not None
    forks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(forks)
    vars(forks).update(
        VARIABLE=VARIABLE,
        ALONE="",
        LIBRARIES=(
            *("snakemake.cli", "snakemake.report.html_reporter", "smart_open"),
            *("pydantic.main", "pydantic.fields", "jsonschema", "scipy.stats"),
        ),
        MODULE="snakemake",
        __file__=__file__,
    )
    return forks


def start(folder: Path) -> None:
    """Start a server for what this process starts; ``snakemake`` in ``folder`` asks it."""
    _started.append(_forks())
    _started[-1].start()
    shim = folder / "snakemake"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n')
    shim.chmod(0o755)


if __name__ == "__main__":
    forks = _forks()
    # Only a server is started with -P.
    if sys.flags.safe_path:
        forks.serve(sys.argv[1:])
    else:
        forks.hand_over(sys.argv[1:])
        os.execv(sys.executable, [sys.executable, "-m", "snakemake", *sys.argv[1:]])
