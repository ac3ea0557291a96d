"""Jobs that Snakemake starts: each reads its inputs, works, and writes its outputs whole.

Heavy imports are made by the job that needs them.
"""

from mkd.jobs.prepare import prepare_data, pretrain
from mkd.jobs.runs import evaluate, train
from mkd.jobs.show import attention, pictures, reference, report, spectrum, table
from mkd.jobs.validity import levels, noise

__all__ = [
    "attention",
    "evaluate",
    "levels",
    "noise",
    "pictures",
    "prepare_data",
    "pretrain",
    "reference",
    "report",
    "spectrum",
    "table",
    "train",
]
