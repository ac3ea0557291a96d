"""GPU hours, against a sum by hand."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mkd import cli
from mkd.experiment import config, paths, run_digests
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.runs import Run
from mkd.experiment.scale import Scale
from mkd.experiment.suite import Suite
from mkd.workflow import estimate


@pytest.fixture
def paper(tmp_path: Path) -> Suite:
    """The paper's scale over four rows, nothing of it done."""
    loaded = config.load({"scale": "paper", "results": str(tmp_path)})
    names = ("s-baseline", "tiny-baseline", "tiny-cwd", "tiny-mkd")
    return replace(loaded, runs={name: loaded.runs[name] for name in names})


def test_a_students_step_costs_three_of_its_own_and_one_of_its_teachers(paper: Suite) -> None:
    found = estimate.estimate(paper, [("tiny-mkd", 0), ("s-baseline", 0), ("s-baseline", 1)])
    images = 117266 * 300
    flops = images * 2 * (3 * 8.1e9 + 14.8e9) + 2 * images * 2 * 3 * 14.8e9
    assert found.gpu_hours == pytest.approx(flops / 8e12 / 3600)
    assert (found.trainings, found.unknown) == (3, ())


@pytest.mark.parametrize(("run", "hours"), [("m-baseline", 8 * 32.83), ("s-baseline", 112)])
def test_it_agrees_with_public_logs(run: str, hours: float) -> None:
    """RTMDet-m: MMYOLO issue 341, from the release's log. RTMDet-s: by MMYOLO's faster pipeline."""
    paper = config.load({"scale": "paper"})
    assert estimate.estimate(paper, [(run, 0)]).gpu_hours == pytest.approx(hours, rel=0.1)


def test_what_is_read_from_a_file_costs_nothing(tmp_path: Path) -> None:
    named = {"pretrained": {"s-baseline": "a.pth", "m-baseline": "b.pth"}}
    asked = {"scale": "paper", "results": str(tmp_path)}
    whole, fewer = (estimate.text(config.load(asked | more)) for more in ({}, named))
    counts = [int(text.split(" of ")[1].split()[0]) for text in (whole, fewer)]
    assert counts[0] - counts[1] == 2
    none = config.load({**asked, "runs": "config/published.tsv"})
    assert "nothing is trained" in estimate.text(none)


def test_hours_are_those_of_what_was_asked(paper: Suite) -> None:
    planned, todo = [("tiny-mkd", 0), ("s-baseline", 0)], [("s-baseline", 0)]
    said = estimate.text(paper, (planned, todo))
    hours = estimate.estimate(paper, todo).gpu_hours
    assert said.startswith(f"scale paper: 1 of 2 trainings to do, about {hours:,.0f} GPU hours")
    assert f"({hours / 8:,.0f} hours on 8)" in said
    assert estimate.text(paper, ([], [])) == "scale paper: nothing is trained for what was asked"


def test_what_snakemake_plans_is_what_is_said(
    paper: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    job = SimpleNamespace(
        rule=SimpleNamespace(name="train_first"),
        wildcards=SimpleNamespace(run="tiny-mkd", seed="0"),
    )
    # What is done may be wanted again.
    for again in ([], [job]):
        plan = SimpleNamespace(jobs=[job], needrun_jobs=lambda again=again, **_: again)
        estimate.say(paper, SimpleNamespace(dag=plan))
        said = estimate.text(paper, ([("tiny-mkd", 0)], [("tiny-mkd", 0)] * len(again)))
        assert capsys.readouterr().err == f"{said}\n"
    # A misspelt target leaves no job, and before that no plan at all.
    for dag in (SimpleNamespace(jobs=[]), None):
        estimate.say(paper, SimpleNamespace(dag=dag))
        assert capsys.readouterr().err == ""


def test_images_epochs_and_input_are_the_scales(paper: Suite) -> None:
    lab = config.load({"scale": "lab"})
    smaller = replace(lab, settings=lab.settings.model_copy(update={"input_px": 320}))
    of_paper, of_lab, of_smaller = (
        estimate.estimate(suite, [("tiny-cwd", 0)]).gpu_hours for suite in (paper, lab, smaller)
    )
    assert of_lab / of_paper == pytest.approx(20000 * 36 / (117266 * 300))
    assert of_smaller == pytest.approx(of_lab / 4)


def test_what_has_no_published_macs_is_named(paper: Suite) -> None:
    known = paper.runs["tiny-baseline"]
    runs = [
        known,
        Run("odd", "odd-net", None, "baseline", {}, ()),
        Run("taught", "rtmdet-tiny", "odd", "mkd", {}, ()),
    ]
    suite = replace(paper, runs={run.id: run for run in runs})
    alone = estimate.estimate(paper, [("tiny-baseline", 0)]).gpu_hours
    found = estimate.estimate(suite, [(run.id, 0) for run in runs])
    assert found == estimate.Cost(1, alone, ("odd-net",))
    assert "not estimated: 2 trainings with odd-net" in estimate.text(suite)


def test_every_rtmdet_has_its_macs() -> None:
    wanted = {arch for arch in ARCHITECTURES if arch.startswith("rtmdet-")}
    assert wanted <= set(estimate.published_macs())


def test_what_is_done_costs_no_more(paper: Suite) -> None:
    path = Path(paths.run_path(paper, "tiny-mkd", 0, "train.json"))
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"digests": run_digests.training_digests(paper.resolve("tiny-mkd", 0))})
    )
    path.with_name("weights.pth").touch()
    assert estimate.text(paper).startswith("scale paper: 3 of 4 trainings to do, about ")


def train_json(run: str, images_per_s: float, **changes: Any) -> dict[str, Any]:
    """What a training of scale lab on one GPU leaves, as far as it is read here."""
    resolved = config.load({"scale": "lab"}).resolve(run, 0).as_json()
    return {
        "config": resolved,
        "started": "2026-01-01T00:00:00+00:00",
        "host": {"gpu": ["NVIDIA H100"]},
        "train": {"images_per_s": images_per_s},
    } | changes


def test_trainings_of_one_scale_say_what_those_of_another_take(paper: Suite) -> None:
    lab = paper.results.parent / "lab/runs"
    left = {
        "tiny-mkd/seed0": train_json("tiny-mkd", 400.0),
        # An earlier one on another GPU, one on a CPU, one that is broken: none of them counts.
        "s-baseline/seed0": train_json(
            "s-baseline", 9.0, started="2025-01-01", host={"gpu": ["NVIDIA V100"]}
        ),
        "tiny-baseline/seed0": train_json("tiny-baseline", 9.0, host={"gpu": []}),
        "tiny-cwd/seed0": {"host": None},
    }
    for name, content in left.items():
        (lab / name).mkdir(parents=True)
        (lab / name / "train.json").write_text(json.dumps(content))
    rates = estimate.measured(paper)
    found = estimate.estimate(paper, [("tiny-mkd", 0)], rates)
    assert found.gpu_hours == pytest.approx(117266 * 300 / 400 / 3600)
    # Of another student by its FLOPs.
    other = estimate.estimate(paper, [("s-baseline", 0)], rates).gpu_hours
    share = 3 * 14.8 / (3 * 8.1 + 14.8)
    assert other == pytest.approx(found.gpu_hours * share, rel=0.01)
    assert estimate.text(paper).endswith("as one training was measured here on NVIDIA H100")


def test_eight_gpus_measured_together_count_one_by_one(paper: Suite) -> None:
    folder = paper.results / "runs/s-baseline/seed0"
    folder.mkdir(parents=True)
    resolved = config.load({"scale": "paper"}).resolve("s-baseline", 0).as_json()
    said = train_json("s-baseline", 800.0, config=resolved)
    (folder / "train.json").write_text(json.dumps(said))
    (rate,) = estimate.measured(paper)
    assert rate.tflops == pytest.approx(100 * 2 * 3 * 14.8e9 / 1e12, rel=0.01)


def test_a_scale_without_an_assumption(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["estimate", "--config", "scale=desk"])
    assert "mkd: scale 'desk' has no estimate: its networks are narrow" in capsys.readouterr().err


def test_an_assumption_needs_a_count_of_images_and_full_width(paper: Suite) -> None:
    settings = paper.settings.model_dump(exclude_unset=True)
    with pytest.raises(ValueError, match="'train_images' is a required property"):
        Scale.model_validate({**settings, "estimate": {"gpu": "A100", "tflops": 20}})
    with pytest.raises(ValueError, match=r"width: 0\.5 has no estimate"):
        Scale.model_validate({**settings, "width": 0.5})
