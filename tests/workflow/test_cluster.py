"""The Slurm profile on a Slurm: a cluster of one node, which this machine is for as long as needed.

What a job of it leaves is what the same job leaves without it, whatever happened to the job.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from mkd import ROOT
from mkd.workflow import fork_server

PACKAGES = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
RUN = "tiny-baseline"

SNAKEMAKE = """\
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from snakemake_executor_plugin_slurm import Executor
Executor.next_seconds_between_status_checks = property(lambda self: 2, lambda self, value: None)
from snakemake.cli import main
main()
"""
"""Snakemake that asks Slurm every two seconds; for long jobs it would wait ten longer each time.

It has a terminal to lose, also where the tests run under nohup.
"""

CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
# What is put back into the queue waits until its old credential has expired.
AuthInfo=socket={root}/munge.socket,cred_expire=10
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# More than this machine has: nothing here needs what the profile asks for.
SlurmdParameters=config_overrides
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=512000
PartitionName=main Nodes=node Default=YES MaxTime=INFINITE
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=2
"""


@dataclass
class Cluster:
    """A controller and a node, with all their files in one folder."""

    root: Path
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        host = socket.gethostname().partition(".")[0]
        for name in ("state", "spool", "bin"):
            (self.root / name).mkdir()
        conf = self.root / "slurm.conf"
        conf.write_text(CONF.format(host=host, root=self.root, ports=free_ports(2)))
        # The executor's jobs call srun in an environment without SLURM_CONF.
        srun = self.root / "bin/srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        path = f"{srun.parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "SLURM_CONF": str(conf)}
        # A job is to be where the cluster started it.
        self.environment.pop(fork_server.VARIABLE, None)

    def start(self) -> None:
        """Start all three services."""
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
        options = [f"--{name}={self.root}/munge.{end}" for name, end in files.items()]
        self.call("munged", "--force", *options, f"--seed-file={self.root}/munge.seed")
        self.call("slurmctld", "-c")
        self.call("slurmd", "-N", "node")
        until(lambda: self.call("sinfo", "-h", "-o", "%T").strip() == "idle", 60)

    def stop(self) -> None:
        """Cancel what still runs, then stop the services."""
        subprocess.run(["scancel", "--user=root"], env=self.environment, check=False)
        for name in ("slurmd", "slurmctld", "munge"):
            self.stop_service(name)
        # Without cgroups Slurm loses sight of what a job's killed shell had started.
        for process in self.processes():
            process.kill()

    def processes(self) -> list[psutil.Process]:
        """All processes of this cluster's."""
        conf, found = self.environment["SLURM_CONF"], []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("SLURM_CONF") == conf:
                    found.append(process)
        return found

    def stop_service(self, name: str) -> None:
        """Stop one of them and wait until it has ended."""
        file = self.root / f"{name}.pid"
        if file.exists():
            process = psutil.Process(int(file.read_text()))
            process.terminate()
            process.wait(30)

    def call(self, *command: str) -> str:
        """What a command of Slurm prints; a service goes into the background by itself."""
        done = subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def jobs(self, state: str = "all") -> dict[str, str]:
        """Ids of the jobs and their states, of ended jobs too."""
        lines = self.call("squeue", "-h", "-o", "%i %T", f"--states={state}").splitlines()
        return dict(line.split() for line in lines)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def until(
    holds: Callable[[], Any], seconds: float, state: Callable[[], Any] = lambda: "no more is known"
) -> Any:
    """Wait for something of another process; its first true value. ``state`` is said without."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {state()}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    missing = [name for name in PACKAGES if shutil.which(name) is None]
    if missing or os.getuid() != 0:
        pytest.skip(
            f"no {', '.join(missing)}: install slurm-wlm and munge"
            if missing
            else "only root can start a node"
        )
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        pytest.skip(f"/etc/hosts has no entry for this machine's name, {socket.gethostname()}")
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def command(folder: Path, profile: str, *arguments: str, python: Sequence[str]) -> list[str]:
    """Snakemake for one run of scale smoke, results and data below ``folder``."""
    data = json.dumps({"badges": str(folder / "data"), "coco": str(folder / "coco")})
    results = folder / "results"
    return [
        *(sys.executable, *python, str(results / f"smoke/runs/{RUN}/seed0/record.json")),
        *("--workflow-profile", f"profiles/{profile}", "--nolock", *arguments),
        *("--runtime-source-cache-path", str(folder / "cache")),
        *("--config", "scale=smoke", f"results={results}", f"data={data}"),
    ]


def submitted(cluster: Cluster, folder: Path) -> "subprocess.Popen[str]":
    """The same through Slurm, which is asked often because its jobs are short."""
    often = ("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10")
    logs = ("--slurm-logdir", str(folder / "slurm"))
    asked = command(folder, "slurm", *often, *logs, python=("-c", SNAKEMAKE))
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            asked, cwd=ROOT, env=cluster.environment, stdout=log, stderr=log, text=True
        )


def made(folder: Path) -> tuple[Any, ...]:
    """What must not depend on where a run was made, nor on how it came to its end."""
    record = json.loads((folder / f"results/smoke/runs/{RUN}/seed0/record.json").read_text())
    digests = record["digests"]
    return record["metrics"], digests["weights"], digests["detections"], record["train"]["curve"]


def without(folder: Path) -> "subprocess.Popen[str]":
    """The same on this machine, without a cluster."""
    folder.mkdir()
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            ["snakemake", *command(folder, "default", python=())[1:]],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            text=True,
        )


def training(cluster: Cluster, folder: Path, process: "subprocess.Popen[str]") -> tuple[str, int]:
    """Id of the Slurm job that trains, and of its process, once it runs."""

    def found() -> tuple[str, int] | None:
        assert process.poll() is None, (folder / "log").read_text()[-3000:]
        for one in cluster.processes():
            with suppress(psutil.Error):
                if one.cmdline()[1:4] == ["-m", "mkd", "train"]:
                    return one.environ()["SLURM_JOB_ID"], one.pid
        return None

    return until(found, 900)


@pytest.mark.slow(200)
@pytest.mark.usefixtures("forked")
def test_a_run_whose_training_ends_four_times_leaves_the_record_made_without(
    cluster: Cluster, tmp_path: Path
) -> None:
    def state() -> str:
        alive = [one.cmdline() for one in cluster.processes()]
        return f"{cluster.jobs()}, {alive}\n{(tmp_path / 'log').read_text()[-3000:]}"

    # The terminal is lost from which Snakemake was started.
    lost = submitted(cluster, tmp_path)
    first, pid = training(cluster, tmp_path, lost)
    # As below: it shall not end by itself first.
    os.kill(pid, signal.SIGSTOP)
    lost.send_signal(signal.SIGHUP)
    assert lost.wait(60) != 0
    until(
        lambda: cluster.jobs().get(first) == "CANCELLED" and not psutil.pid_exists(pid), 60, state
    )

    process = submitted(cluster, tmp_path)

    # Cancelled by its user; the controller is restarted before Snakemake is told.
    job, pid = training(cluster, tmp_path, process)
    os.kill(pid, signal.SIGSTOP)
    cluster.call("scancel", job)
    cluster.stop_service("slurmctld")
    cluster.call("slurmctld")
    until(lambda: cluster.jobs().get(job) == "CANCELLED" and not psutil.pid_exists(pid), 60, state)

    # Its node fails: Slurm puts the same job back into the queue.
    failed, pid = training(cluster, tmp_path, process)
    assert failed != job
    os.kill(pid, signal.SIGSTOP)
    cluster.call("scontrol", "update", "NodeName=node", "State=DOWN", "Reason=test")
    until(lambda: not psutil.pid_exists(pid), 60, state)
    cluster.call("scontrol", "update", "NodeName=node", "State=IDLE")
    again, pid = training(cluster, tmp_path, process)
    assert again == failed

    # Over its time limit, of which a minute is the least.
    os.kill(pid, signal.SIGSTOP)
    cluster.call("scontrol", "update", f"JobId={again}", "TimeLimit=1")
    with without(tmp_path / "local") as local:
        until(lambda: cluster.jobs().get(again) == "TIMEOUT", 180)

    for ended, folder in ((process, tmp_path), (local, tmp_path / "local")):
        assert ended.wait(900) == 0, (folder / "log").read_text()[-3000:]
    others = {state for one, state in cluster.jobs().items() if one not in (first, job, again)}
    assert others == {"COMPLETED"}
    assert made(tmp_path) == made(tmp_path / "local")
