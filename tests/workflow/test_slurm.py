"""What the Slurm profile submits, seen by a stub ``sbatch`` on PATH."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from mkd import ROOT
from mkd.workflow import screen

TRAIN = ROOT / "workflow/rules/train.smk"

STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> {calls}
case "$(basename "$0")" in
  sbatch) echo 4711 ;;
  sacct|squeue) echo "4711|FAILED" ;;
  sacctmgr) echo lab ;;
esac
"""


@pytest.fixture
def cluster(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A PATH whose Slurm commands write down how they are called."""
    calls = tmp_path / "calls"
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "sacct", "sacctmgr", "scontrol", "sinfo", "squeue", "scancel"):
        (folder / name).write_text(STUB.format(calls=calls))
        (folder / name).chmod(0o755)
    return calls, {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.slow
@pytest.mark.usefixtures("snakemake_server")
def test_a_training_is_one_task_with_all_its_gpus(
    cluster: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    calls, environment = cluster
    results = tmp_path / "results"
    (results / "paper").mkdir(parents=True)
    (results / "paper/data.json").write_text("{}")
    target = f"{results}/paper/runs/tiny-baseline/seed0/weights.pth"
    data = json.dumps({"badges": str(tmp_path), "coco": str(tmp_path)})
    subprocess.run(
        [
            *("snakemake", target, "--workflow-profile", "profiles/slurm"),
            *("--default-resources", "slurm_account=lab", "slurm_partition=gpu"),
            *("--rerun-triggers", "mtime", "--nolock", "--retries", "0"),
            *("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "1"),
            *("--config", "scale=paper", f"results={results}", f"data={data}"),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    (call,) = re.findall(r"^sbatch .*", calls.read_text(), re.MULTILINE)
    assert "--gpus=8" in call or "--gpus 8" in call
    assert "--cpus-per-task=88" in call
    assert "--nodes=1" in call
    assert "-t 5760" in call
    assert "--mem 256000" in call
    assert "lab" in call
    assert "--ntasks-per-gpu" not in call


def test_every_rule_that_trains_has_the_settings_of_one_task() -> None:
    rules = set(re.findall(r"^(?:rule|use rule train as) (train\w*)", TRAIN.read_text(), re.M))
    assert rules == set(screen.TRAININGS)
    settings = yaml.safe_load((ROOT / "profiles/slurm/profile.yaml").read_text())
    said = [settings["set-resources"][rule] for rule in sorted(rules)]
    assert all(one == said[0] for one in said)
