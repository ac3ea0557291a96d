"""Every example of the guides, as it stands there, in a copy of the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mkd.detectors import models  # before mmdet

# isort: split
from mkd import ROOT
from mkd.experiment.architectures import ARCHITECTURES
from mkd.files import sha256_file

pytestmark = pytest.mark.usefixtures("forked")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
NAMED = re.compile(r"# (file|append): (\S+)\n")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("extending") / "checkout"
    # A module that is not added yet is part of the checkout, too.
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(
        asked, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


def run(command: str, checkout: Path) -> str:
    """A command as a user types it."""
    first = [Path(command).parent for command in (str(shutil.which("snakemake")), sys.executable)]
    path = os.pathsep.join([*map(str, first), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=checkout,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def work_through(page: str, checkout: Path) -> list[str]:
    """Write the files of a page and give its commands, in order; what the commands said."""
    said = []
    for language, text in BLOCK.findall((ROOT / page).read_text()):
        named = NAMED.match(text)
        if language == "sh":
            said.append(run(text, checkout))
            continue
        assert named, f"no file is named: {text[:60]}"
        path, content = checkout / named[2], text[named.end() :]
        assert path.exists() == (named[1] == "append"), path
        path.parent.mkdir(exist_ok=True)
        path.write_text((path.read_text() if named[1] == "append" else "") + content)
    return said


def jobs(said: str) -> dict[str, int]:
    """Job → how many of it Snakemake planned."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", said, re.M)}


@pytest.mark.slow(170)
def test_losses_and_detectors_of_a_users_own_leave_the_checkout_as_it_is(checkout: Path) -> None:
    step, _, heads, _ = work_through("docs/own-detectors-and-losses.md", checkout)
    assert "one step of cosine, rtmdet-tiny taught by rtmdet-s: every level gives" in step
    assert len(re.findall(r"^cosine \d ", step, re.M)) == 3
    assert len(re.findall(r"^ld \d ", heads, re.M)) == 5
    found = {
        name: json.loads((checkout / f"results/smoke/runs/{name}/seed0/record.json").read_text())
        for name in ("tiny-cosine", "r18-mkd", "r18-ld")
    }
    assert found["tiny-cosine"]["options"] == {"cosine.loss_weight": 0.5}
    assert {found[name]["arch"] for name in found if name[0] == "r"} == {
        "config:../mine/gfl_r18.py"
    }
    assert found["r18-ld"]["teacher"] == "r50"
    # An edit of the loss trains its run again, and no other.
    loss = checkout.parent / "mine/cosine.py"
    loss.write_text(loss.read_text().replace("(1 -", "(2 -"))
    own = "--config scale=smoke runs=../mine/runs.tsv plugins=[../mine/cosine.py]"
    wanted = "results/smoke/runs/tiny-cosine/seed0/record.json"
    planned = run(f"snakemake -n {wanted} {own}", checkout)
    assert set(re.findall(r"^train\w*(?= +\d+$)", planned, re.M)) == {"train"}
    assert set(re.findall(r"wildcards: run=([\w-]+)", planned)) == {"tiny-cosine"}
    page = run(f"snakemake report_partial {own}", checkout) and (
        checkout / "results/smoke/report/index.html"
    )
    assert "COSINE" in page.read_text()


@pytest.mark.slow(40)
def test_every_block_of_the_page_works(checkout: Path) -> None:
    planned, _, detector, own, started, judged = work_through("docs/extending.md", checkout)
    assert "tiny-mkd-weak" in planned
    runs = checkout / "results/smoke/runs"
    record = json.loads((runs / "tiny-cosine/seed0/record.json").read_text())
    assert record["options"] == {"cosine.loss_weight": 0.5}
    # One row alone was made, with its teacher.
    assert record["digests"]["teacher"] == sha256_file(runs / "s-baseline/seed0/weights.pth")
    assert "scale smoke: 1 of 5 planned runs have a record" in judged
    assert not {"train", "train_teacher", "evaluate"} & jobs(judged).keys()
    assert "report: results/smoke/report/index.html" in judged
    assert "ins-m-baseline" in detector
    assert "results/mine/" in own
    assert "results/teachers/weights/tiny-stem-seed0.pth" in started
    page = (checkout / "results/smoke/report/index.html").read_text()
    assert 'id="claim-cosine-over-baseline-tiny"><strong>tiny: not run' in page


@pytest.mark.slow(100)
def test_own_data_and_published_weights(
    checkout: Path, smoke_data: Path, voc: Callable[..., Path], release: Callable[..., Path]
) -> None:
    """A set of three classes in VOC's layout, and a teacher of eighty in a release's file."""
    voc(smoke_data, checkout / "mine/cells", train=16, val=8, classes=3)
    content = json.loads((smoke_data / "annotations/instances_val.json").read_text())
    names = sorted(category["name"] for category in content["categories"][:3])
    teacher = models.build(models.model_config(ARCHITECTURES["rtmdet-s"], 80))
    file = release(checkout / "weights", teacher.state_dict())
    (checkout / "mine/s.pth").touch()
    imported, made, listed, taught, planned, published, scored = work_through(
        "docs/own-work.md", checkout
    )
    assert "16 images, " in imported
    assert f"3 classes ({', '.join(names)})" in imported
    assert "report: results/cells/report/index.html" in made
    page = (checkout / "results/cells/report/index.html").read_text()
    assert all(f'<tr><th scope="row">{name}</th>' in page for name in names)
    records = {path.parts[-3] for path in checkout.glob("results/cells/runs/*/seed0/record.json")}
    assert records == {"s-baseline", "tiny-baseline", "tiny-cwd", "tiny-mkd"}
    assert not (checkout / "results/cells/latency").exists()
    assert f"weights/{file.name}: teacher s-baseline, not scored; is there" in listed
    record = json.loads((checkout / "results/taught/runs/tiny-mkd/seed0/record.json").read_text())
    weights = checkout / "results/taught/runs/s-baseline/seed0/weights.pth"
    assert record["digests"]["teacher"] == sha256_file(weights)
    assert not weights.with_name("record.json").exists()
    assert jobs(taught) == {"data": 1, "take": 1, "train": 1, "evaluate": 1, "total": 4}
    assert "take" in jobs(planned)
    assert "kd_l_rtmdet_x_neck_300e_coco_20230220_141912-c9979722.pth" in published
    assert "time_file" not in scored
    assert "scale paper: nothing is trained" in scored


@pytest.mark.slow(30)
def test_a_stem_that_was_trained_is_not_trained_again(checkout: Path) -> None:
    """Another workflow trains it, whose files are inputs of this one."""
    head, config = "run\tarch\tteacher\tmethod\toptions\ttables\n", checkout / "config"
    (config / "roots.tsv").write_text(f"{head}tiny-root\trtmdet-tiny\t-\tbaseline\t-\t-\n")
    (config / "grown.tsv").write_text(f"{head}tiny-baseline\trtmdet-tiny\t-\tbaseline\t-\t1\n")
    scale = yaml.safe_load((config / "scales/smoke.yaml").read_text())
    scale["train"] |= {"epochs": 1, "pretrained": "none"}
    del scale["pretrain"]
    starts = {"scale": "roots", "stems": {"rtmdet-tiny": "tiny-root"}}
    for name, more in (("roots", {}), ("grown", {"starts": starts})):
        text = yaml.safe_dump(scale | {"runs": f"config/{name}.tsv"} | more)
        (config / f"scales/{name}.yaml").write_text(text)
    asked = "results/grown/runs/tiny-baseline/seed0/weights.pth --config scale=grown seeds=[0]"
    run(f"snakemake {asked}", checkout)
    assert (checkout / "results/roots/weights/tiny-root-seed0.pth.xz").is_file()
    assert "Nothing to be done" in run(f"snakemake -n {asked}", checkout)


def test_a_broken_claim_is_said_before_anything_runs(checkout: Path) -> None:
    """But not to a scale of one's own, which has none of the paper's."""
    file = checkout / "config/claims.yaml"
    sound = file.read_text()
    (checkout / "own.yaml").write_text("base: desk\ndata: {kind: coco, root: cells}\n")
    asked = ["snakemake", "-n", "data", "--config"]
    try:
        file.write_text(sound.replace("{case}", "{arch}"))
        paper, own = (
            subprocess.run(
                [*asked, f"scale={scale}"],
                cwd=checkout,
                env={**os.environ, "PYTHONPATH": str(checkout)},
                capture_output=True,
                text=True,
            )
            for scale in ("smoke", checkout / "own.yaml")
        )
    finally:
        file.write_text(sound)
    assert paper.returncode == 1
    said = "braces in its statement are {case} or {metric}, nothing else"
    assert paper.stderr.strip().splitlines()[-1].endswith(said)
    assert "braces" not in own.stderr
