"""What jobs find in their environment."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from mkd.experiment import config
from mkd.workflow import environment


def told(*methods: str, **given: str) -> dict[str, str]:
    """The environment of the jobs of a workflow, whose deployment methods these are."""
    deployed = [SimpleNamespace(name=name) for name in methods]
    workflow = SimpleNamespace(deployment_settings=SimpleNamespace(deployment_method=deployed))
    with patch.dict(os.environ, {"PATH": "/bin", **given}, clear=True):
        environment.tell_jobs(config.load({"scale": "smoke", "seeds": [3]}), workflow)
        return dict(os.environ)


def test_jobs_are_told_what_was_replaced_and_take_this_python() -> None:
    found = told()
    assert json.loads(found["MKD_CONFIG"]) == {"scale": "smoke", "seeds": [3]}
    assert found["PATH"] == f"{Path(sys.executable).parent}:/bin"
    assert told("APPTAINER")["PATH"] == "/bin"


def test_gpus_are_numbered_as_they_are_shared_out_unless_a_user_says_otherwise() -> None:
    assert told()["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert told(CUDA_DEVICE_ORDER="FASTEST_FIRST")["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"
