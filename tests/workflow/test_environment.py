"""What jobs find in their environment."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from mkd.experiment import config
from mkd.workflow import environment, fork_server


def told(*methods: str, local: bool = True, **given: str) -> dict[str, str]:
    """The environment of the jobs of a workflow, whose deployment methods these are."""
    deployed = [SimpleNamespace(name=name) for name in methods]
    workflow = SimpleNamespace(
        local_exec=local, deployment_settings=SimpleNamespace(deployment_method=deployed)
    )
    with patch.dict(os.environ, {"PATH": "/bin", **given}, clear=True):
        environment.tell_jobs(config.load({"scale": "smoke", "seeds": [3]}), workflow)
        return dict(os.environ)


def test_jobs_are_told_what_was_replaced_and_take_this_python() -> None:
    found = told()
    assert json.loads(found["MKD_CONFIG"]) == {"scale": "smoke", "seeds": [3]}
    assert found["PATH"] == f"{Path(sys.executable).parent}:/bin"
    assert told("APPTAINER")["PATH"] == "/bin"


def test_a_job_is_told_the_workflow_that_it_ends_with_on_this_machine_alone() -> None:
    """On another one that number is some other process's."""
    assert told()["MKD_WORKFLOW"] == str(os.getpid())
    assert "MKD_WORKFLOW" not in told(local=False, MKD_WORKFLOW="1")
    assert "MKD_WORKFLOW" not in told("APPTAINER")


def test_gpus_are_numbered_as_they_are_shared_out_unless_a_user_says_otherwise() -> None:
    assert told()["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert told(CUDA_DEVICE_ORDER="FASTEST_FIRST")["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


def flow(jobs: int, local: bool = True, methods: tuple[str, ...] = ()) -> SimpleNamespace:
    """A workflow with so many jobs to run."""
    deployed = [SimpleNamespace(name=name) for name in methods]
    return SimpleNamespace(
        local_exec=local,
        dag=SimpleNamespace(needrun_jobs=lambda: range(jobs)),
        deployment_settings=SimpleNamespace(deployment_method=deployed),
    )


def test_several_jobs_on_this_machines_cpu_are_worth_a_fork_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(fork_server.VARIABLE, raising=False)
    cpu, gpu = config.load({"scale": "smoke"}), config.load({"scale": "paper"})
    assert environment.may_fork(cpu, flow(4))
    assert not environment.may_fork(cpu, flow(3))
    assert not environment.may_fork(gpu, flow(4))
    assert not environment.may_fork(cpu, flow(4, local=False))
    assert not environment.may_fork(cpu, flow(4, methods=("APPTAINER",)))
    monkeypatch.setenv(fork_server.VARIABLE, "another workflow's")
    assert not environment.may_fork(cpu, flow(4))


def test_a_workflow_that_a_job_runs_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKD_CONFIG", raising=False)
    assert not environment.nested()
    monkeypatch.setenv("MKD_CONFIG", "{}")
    assert environment.nested()
