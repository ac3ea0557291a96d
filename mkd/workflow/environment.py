"""What the workflow tells its jobs by the environment they inherit."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from mkd.edge import suite as edge
from mkd.experiment import config
from mkd.experiment.suite import Suite
from mkd.workflow import fork_server

HEAP = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""glibc takes huge pages for its heap: large tensors of every step fault far fewer of them in."""

NUMBERS = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""CUDA numbers GPUs as nvidia-smi does, by which they are shared out and named in records."""


def nested() -> bool:
    """Whether a job of another workflow, or of this one on another machine, runs this one."""
    return "MKD_CONFIG" in os.environ


def tell_jobs(suite: Suite, workflow: Any) -> None:
    """Put into the jobs' environment what the command line replaced, and how they shall run.

    That is no parameter of a rule: with more seeds, or in another environment, what is done stays
    done. Of Python it is the one that runs now; an image, where Snakemake was told to run jobs in
    one, brings its own.
    """
    os.environ["MKD_CONFIG"] = json.dumps(config.replaced(suite))
    # A job ends with its workflow, however that ends: what it made alone would be taken for half
    # done, and thrown away with its checkpoints. Elsewhere the number is another process's.
    os.environ.pop("MKD_WORKFLOW", None)
    if workflow.local_exec and not _in_image(workflow):
        os.environ["MKD_WORKFLOW"] = str(os.getpid())
    # Once for all nodes of a cluster, where each would find its own.
    os.environ["MKD_PROVIDERS"] = ",".join(edge.providers())
    for variable, value in (HEAP | NUMBERS).items():
        os.environ.setdefault(variable, value)
    if not _in_image(workflow):
        path = [str(Path(sys.executable).parent), os.environ["PATH"]]
        os.environ["PATH"] = os.pathsep.join(path)


def may_fork(suite: Suite, workflow: Any) -> bool:
    """Whether jobs are worth a fork server: several of them, on this machine's CPU and Python.

    A workflow that a job of another one runs has the other's.
    """
    if fork_server.VARIABLE in os.environ or not workflow.local_exec or _in_image(workflow):
        return False
    several = len(list(workflow.dag.needrun_jobs())) > 3
    return several and suite.settings.train.device == "cpu"


def _in_image(workflow: Any) -> bool:
    return any(
        method.name == "APPTAINER" for method in workflow.deployment_settings.deployment_method
    )
