"""The command line: ``python -m mkd <verb>``; Snakemake's rules call nothing else."""

from mkd.cli.entry import main

__all__ = ["main"]
