"""The jobs Snakemake starts: each reads its inputs, works, and writes its outputs whole.

One function a verb of the command line; heavy imports are made by the job that needs them.
"""

from mkd.jobs.prepare import prepare_data, pretrain
from mkd.jobs.runs import evaluate, rehearsed, train
from mkd.jobs.show import attention, pictures, reference, report, spectrum, table

__all__ = [
    "attention",
    "evaluate",
    "pictures",
    "prepare_data",
    "pretrain",
    "reference",
    "rehearsed",
    "report",
    "spectrum",
    "table",
    "train",
]
