"""The files a scale reads or could read."""

from pathlib import Path

import pytest

from mkd import cli
from mkd.experiment import config
from mkd.experiment.runs import read_runs
from mkd.workflow import weights


def test_the_published_detectors_are_known_to_openmmlab_by_name_and_digest() -> None:
    known = {Path(url).name for url in weights.releases().values()}
    named = {run.weights for run in read_runs(config.ROOT / "config/published.tsv").values()}
    assert len(named) == 9
    mmdet = {name for name in named if name and name.startswith("rtmdet_")}
    assert mmdet <= known
    if weights.find_spec("mmyolo"):
        assert named <= known


def test_what_is_there_missing_and_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "rtmdet_s_8xb32-300e_coco_20220905_161602-387a891e.pth").write_bytes(b"other")
    (folder / "own.pth").touch()
    named = "{s-baseline: rtmdet_s_8xb32-300e_coco, m-baseline: own.pth, l-baseline: no.pth}"
    cli.main(["weights", "--config", "scale=lab", f"weights={folder}", f"pretrained={named}"])
    needed, could = capsys.readouterr().out.split("it could read")
    lines = needed.splitlines()
    assert lines[0] == "scale lab: it reads"

    def line(run: str) -> str:
        return next(line for line in lines if f"run {run};" in line)

    assert "387a891e.pth" in line("s-baseline")
    assert line("s-baseline").endswith("does not have the SHA-256 its name says: fetch it again")
    assert line("m-baseline") == f"  {folder}/own.pth: run m-baseline; is there"
    assert line("l-baseline") == f"  {folder}/no.pth: run l-baseline; is not there"
    assert needed.count("ImageNet backbone") == len(set(needed.split()) & {
        f"{folder}/cspnext-tiny_imagenet_600e.pth:", f"{folder}/cspnext-s_imagenet_600e.pth:"
    })  # fmt: skip
    assert "/cspnext_rsb_pretrain/cspnext-s_imagenet_600e.pth\n" in needed
    assert (
        "pretrained: {x-baseline: rtmdet_x_8xb32-300e_coco_20220715_230555-cc79b9ae.pth}" in could
    )


def test_a_file_that_is_needed_is_not_told_as_one_that_could_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "runs.tsv"
    table.write_text(
        "run\tarch\tteacher\tmethod\toptions\ttables\n"
        "s-baseline\trtmdet-s\t-\tbaseline\t-\t1\n"
        "s-coco\trtmdet-s\t-\tbaseline\tweights=rtmdet_s_8xb32-300e_coco\t1\n"
    )
    cli.main(["weights", "--config", "scale=lab", f"runs={table}", f"weights={tmp_path}"])
    needed, _, could = capsys.readouterr().out.partition("it could read")
    release = "rtmdet_s_8xb32-300e_coco_20220905_161602-387a891e.pth: run s-coco"
    assert release in needed
    assert "387a891e.pth" not in could


def test_a_narrow_scale_could_read_no_release(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["weights", "--config", "scale=smoke"])
    assert capsys.readouterr().out == (
        "scale smoke trains all that it uses, and reads no weights\n"
    )
