"""The command line: ``python -m mkd <verb>``."""

from mkd.cli.entry import main

__all__ = ["main"]
