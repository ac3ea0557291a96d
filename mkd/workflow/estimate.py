"""GPU hours of a scale's trainings, at the rate of those that were measured or of public logs.

A training costs images × epochs × (3 × the student's FLOPs + the teacher's FLOPs where it
distils): a backward pass counts as two forward passes, and a teacher only runs forward. A FLOP is
half a MAC, and MACs are those of ``config/paper/published.csv``, which calls them FLOPs, at 640
px. The rate is that of the trainings on GPUs that the results folder holds, of whatever scale, by
their images a second; so a ``lab`` training on one GPU says what ``paper`` takes. Where there is
none the scale's ``estimate`` names a GPU and the rate at which public logs of its trainings come
out, data loading and evaluation included. What no such log has (adapters, terms) is left out.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

from mkd.errors import UserError
from mkd.experiment import scale
from mkd.experiment.resolved import ResolvedRun
from mkd.experiment.suite import Suite
from mkd.files import read_json
from mkd.paper import facts
from mkd.workflow import progress, screen

Trainings = Sequence[tuple[str, int]]
"""Runs and seeds."""
PUBLISHED_PX = 640


@dataclass(frozen=True)
class Cost:
    """What trainings cost.

    Attributes:
        trainings: How many were counted.
        gpu_hours: All of them together, on one GPU.
        unknown: Architectures without published MACs; trainings with one are not counted.
    """

    trainings: int
    gpu_hours: float
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """The rate of a finished training.

    Attributes:
        gpu: What it ran on.
        arch: What it trained.
        tflops: What each GPU sustained, in TFLOP/s as this module counts them.
    """

    gpu: str
    arch: str
    tflops: float


def estimate(
    suite: Suite, trainings: Iterable[tuple[str, int]], rates: Sequence[Measured] = ()
) -> Cost:
    """What the given trainings, as run and seed, cost.

    Args:
        suite: The scale.
        trainings: What is to be trained.
        rates: Of :func:`measured`: the median of the same student's counts, else of all.

    Raises:
        UserError: The scale has no ``estimate``.
    """
    assumed = _assumed(suite)
    images = suite.settings.data.train_images or assumed.train_images or 0
    seconds, count, unknown = 0.0, 0, set()
    for run, _ in trainings:
        row = suite.run(run)
        archs = [row.arch, *([suite.run(row.teacher).arch] if row.teacher else [])]
        missing = [arch for arch in archs if arch not in published_macs()]
        if missing:
            unknown.update(missing)
            continue
        alike = [rate.tflops for rate in rates if rate.arch == row.arch]
        tflops = median(alike or [rate.tflops for rate in rates] or [assumed.tflops])
        flops = images * suite.epochs(run) * _flops(archs, suite.settings.input_px)
        seconds += flops / (tflops * 1e12)
        count += 1
    return Cost(count, seconds / 3600, tuple(sorted(unknown)))


def measured(suite: Suite) -> list[Measured]:
    """Rates of the trainings that the results folder holds, of any scale, on one kind of GPU.

    Of several kinds it is that of the last training. Trainings at another width than 1, or of an
    architecture without published MACs, tell nothing, and neither does a file that cannot be read.
    """
    found = []
    for path in sorted(suite.results.parent.glob("*/runs/*/seed*/train.json")):
        try:
            said = read_json(path)
            gpus, images_per_s = said["host"]["gpu"], float(said["train"]["images_per_s"])
            if not gpus:
                continue
            config, started = ResolvedRun.from_json(said["config"]), str(said["started"])
        except (UserError, LookupError, TypeError, ValueError):
            continue
        pair = [config, *([config.teacher] if config.teacher else [])]
        archs = [one.architecture.name for one in pair]
        known = published_macs().keys() >= set(archs) and all(one.width == 1 for one in pair)
        if not (known and images_per_s > 0):
            continue
        flops = images_per_s / config.train.devices * _flops(archs, config.input_px)
        found.append((started, Measured(gpus[0], archs[0], flops / 1e12)))
    last = max(found, key=lambda one: one[0])[1].gpu if found else None
    return [rate for _, rate in found if rate.gpu == last]


def _flops(archs: Sequence[str], input_px: int) -> float:
    """FLOPs of a student's step for an image, and of its teacher's where it has one."""
    student, *teacher = (published_macs()[arch] for arch in archs)
    return 2 * (3 * student + sum(teacher)) * (input_px / PUBLISHED_PX) ** 2


def _assumed(suite: Suite) -> scale.Estimate:
    if suite.settings.estimate is None and suite.settings.width != 1:
        raise UserError(
            f"scale '{suite.scale}' has no estimate: its networks are narrow, and hours follow "
            "from the MACs of whole ones; add --config scale=paper, or scale=lab"
        )
    if suite.settings.estimate is None:
        raise UserError(
            f"scale '{suite.scale}' has no estimate: name a GPU and its TFLOP/s under 'estimate' "
            f"in {suite.file}, as config/scales/paper.yaml does"
        )
    return suite.settings.estimate


@cache
def published_macs() -> dict[str, float]:
    """MACs of one image at 640 px, by architecture."""
    return {
        row.arch: float(row.cells["flops_g"]) * 1e9
        for row in facts.load().published
        if row.method == "baseline" and "flops_g" in row.cells
    }


def text(suite: Suite, asked: tuple[Trainings, Trainings] | None = None) -> str:
    """The trainings that are not done yet, and what they cost, in a line or two.

    Args:
        suite: The scale and its table of runs.
        asked: All trainings of a plan of Snakemake's, and those of them that it would run;
            without, all of the scale, and those that are not done.

    Raises:
        UserError: The scale has no ``estimate``.
    """
    trained = [run for run in suite.planned if not suite.taken(run)]
    planned = [(run, seed) for run in trained for seed in suite.seeds(run)]
    if not planned:
        return f"scale {suite.scale}: nothing is trained, every run reads its weights from a file"
    if asked is None:
        todo = [training for training in planned if not progress.is_done(suite, *training)]
    else:
        planned, todo = map(list, asked)
    if not planned:
        return f"scale {suite.scale}: nothing is trained for what was asked"
    rates = measured(suite)
    found = estimate(suite, todo, rates)
    assumed, devices = _assumed(suite), suite.settings.train.devices
    if rates:
        were = "one training was" if len(rates) == 1 else f"{len(rates)} trainings were"
        why = f"as {were} measured here on {rates[0].gpu}"
    else:
        why = f"assuming {assumed.tflops:g} TFLOP/s sustained ({assumed.gpu})"
    lines = [
        f"scale {suite.scale}: {len(todo)} of {len(planned)} trainings to do, "
        f"about {found.gpu_hours:,.0f} GPU hours ({found.gpu_hours / devices:,.0f} hours on "
        f"{devices}), {why}"
    ]
    if found.unknown:
        count = len(todo) - found.trainings
        lines.append(
            f"not estimated: {count} trainings with {', '.join(found.unknown)}, whose MACs "
            "config/paper/published.csv does not have"
        )
    return "\n".join(lines)


def say(suite: Suite, workflow: Any) -> None:
    """:func:`text` of what Snakemake's workflow plans; nothing where a mistake left it no plan."""
    if workflow.dag and any(workflow.dag.jobs):
        # A dry run's jobs are finished by now.
        needed = workflow.dag.needrun_jobs(exclude_finished=False)
        planned, todo = map(screen.trainings, (workflow.dag.jobs, needed))
        print(text(suite, (planned, todo)), file=sys.stderr)
