"""GPU hours of a scale's trainings, from the configuration alone.

A training costs images × epochs × (3 × the student's FLOPs + the teacher's FLOPs where it
distils): the way back is counted as twice the way forth, and a teacher only goes forth. A FLOP is
half a MAC, and MACs are those of ``config/paper/published.csv``, which calls them FLOPs, at 640
px. The scale's ``estimate`` names a GPU and the rate at which public logs of its trainings come
out, data loading and evaluation included. What no such log has (adapters, terms) is left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mkd.errors import UserError
from mkd.experiment import scale
from mkd.experiment.config import Suite
from mkd.paper import facts
from mkd.workflow import progress

PUBLISHED_PX = 640


@dataclass(frozen=True)
class Estimate:
    """What trainings cost.

    Attributes:
        trainings: How many were counted.
        gpu_hours: All of them together, on one GPU.
        unknown: Architectures without published MACs; trainings with one are not counted.
    """

    trainings: int
    gpu_hours: float
    unknown: tuple[str, ...]


def estimate(suite: Suite, trainings: Iterable[tuple[str, int]]) -> Estimate:
    """What the given trainings, as run and seed, cost.

    Raises:
        UserError: The scale has no ``estimate``.
    """
    assumed = _assumed(suite)
    images = suite.settings.data.train_images or assumed.train_images or 0
    macs = published_macs()
    flops, count, unknown = 0.0, 0, set()
    for run, _ in trainings:
        row = suite.run(run)
        archs = [row.arch, *([suite.run(row.teacher).arch] if row.teacher else [])]
        missing = [arch for arch in archs if arch not in macs]
        if missing:
            unknown.update(missing)
            continue
        student, teacher = (*(macs[arch] for arch in archs), 0.0)[:2]
        flops += images * suite.epochs(run) * 2 * (3 * student + teacher)
        count += 1
    flops *= (suite.settings.input_px / PUBLISHED_PX) ** 2
    return Estimate(count, flops / (assumed.tflops * 1e12) / 3600, tuple(sorted(unknown)))


def _assumed(suite: Suite) -> scale.Estimate:
    if suite.settings.estimate is None:
        raise UserError(
            f"scale '{suite.scale}' has no estimate: name a GPU and its TFLOP/s under 'estimate' "
            f"in {suite.file}, as config/scales/paper.yaml does"
        )
    return suite.settings.estimate


def published_macs() -> dict[str, float]:
    """MACs of one image at 640 px, by architecture."""
    return {
        row.arch: float(row.cells["flops_g"]) * 1e9
        for row in facts.load().published
        if row.method == "baseline" and "flops_g" in row.cells
    }


def text(suite: Suite) -> str:
    """The trainings of the table that are not done yet, and what they cost, in a line or two.

    Raises:
        UserError: The scale has no ``estimate``.
    """
    trained = [run for run in suite.planned if not suite.taken(run)]
    planned = [(run, seed) for run in trained for seed in suite.seeds(run)]
    if not planned:
        return f"scale {suite.scale}: nothing is trained, every run reads its weights from a file"
    todo = [training for training in planned if not progress.is_done(suite, *training)]
    found = estimate(suite, todo)
    assumed, devices = _assumed(suite), suite.settings.train.devices
    lines = [
        f"scale {suite.scale}: {len(todo)} of {len(planned)} trainings to do, "
        f"about {found.gpu_hours:,.0f} GPU hours ({found.gpu_hours / devices:,.0f} hours on "
        f"{devices}), assuming {assumed.tflops:g} TFLOP/s sustained ({assumed.gpu})"
    ]
    if found.unknown:
        count = len(todo) - found.trainings
        lines.append(
            f"not estimated: {count} trainings with {', '.join(found.unknown)}, whose MACs "
            "config/paper/published.csv does not have"
        )
    return "\n".join(lines)
