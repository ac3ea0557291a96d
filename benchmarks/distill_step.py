"""What a distillation step costs: MKD beside its floor and beside stock mmrazor, in one run.

    make bench

The steps of all variants are interleaved, so that what else the machine does meets all alike;
ratios are medians over paired steps. Both memory layouts are measured: stock CWD cannot run in
``channels_last``, so in those rows it runs in the contiguous one. The floor is what no
distillation can avoid: the student's own training step and the teacher's backbone and neck.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mkd import distillation
from mkd.detectors import models, pipelines  # before mmdet

# isort: split
import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmrazor.models.algorithms import FpnTeacherDistill

import mkd.data.dataset  # noqa: F401  (registers)
from mkd import provenance
from mkd.data import badges, scenes, splits
from mkd.experiment import methods
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.datasets import Badges
from mkd.files import write_json
from mkd.host import describe

PAIRS = (("tiny", "s"), ("s", "m"))
SIZES = ((320, 1.0), (128, 0.5))  # input in pixels, width: full width, and scale desk
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
BATCH = 8
VARIANTS = ("floor", "mkd", "cwd_mmrazor", "mgd_mmrazor", "fgd")
GOALS = {"floor": 1.05, "cwd_mmrazor": 1.0, "mgd_mmrazor": 0.8}
"""MKD's time over that of a variant, at most: what docs/speed.md compares with."""
CLASSES = len(scenes.CLASSES)


def stock(loss: dict[str, Any], connector: Callable[[int, int], dict[str, Any]]) -> Any:
    """A distiller of mmrazor's own classes on the neck's convolutions."""

    def config(student: int, teacher: int) -> dict[str, Any]:
        norm = {"type": "BN", "affine": False, "track_running_stats": False}
        levels = range(3)
        recorders = {
            f"level{k}": {"type": "mmrazor.ModuleOutputs", "source": f"neck.out_convs.{k}.conv"}
            for k in levels
        }
        connectors = {f"student{k}": connector(student, teacher) for k in levels}
        cwd = "ChannelWise" in loss["type"]
        if cwd:
            connectors |= {
                f"teacher{k}": {
                    "type": "mmrazor.NormConnector",
                    "in_channels": teacher,
                    "norm_cfg": norm,
                }
                for k in levels
            }
        return {
            "type": "mmrazor.ConfigurableDistiller",
            "student_recorders": recorders,
            "teacher_recorders": recorders,
            "connectors": connectors,
            "distill_losses": {f"loss_{k}": loss for k in levels},
            "loss_forward_mappings": {
                f"loss_{k}": {
                    "preds_S": {
                        "recorder": f"level{k}",
                        "from_student": True,
                        "connector": f"student{k}",
                    },
                    "preds_T": {
                        "recorder": f"level{k}",
                        "from_student": False,
                        **({"connector": f"teacher{k}"} if cwd else {}),
                    },
                }
                for k in levels
            },
        }

    return config


STOCK = {
    "cwd_mmrazor": stock(
        {"type": "mmrazor.ChannelWiseDivergence", "tau": 1, "loss_weight": 1},
        lambda student, teacher: {
            "type": "mmrazor.ConvModuleConnector",
            "in_channel": student,
            "out_channel": teacher,
            "bias": False,
            "norm_cfg": {"type": "BN", "affine": False, "track_running_stats": False},
            "act_cfg": None,
        },
    ),
    "mgd_mmrazor": stock(
        {"type": "mmrazor.MGDLoss", "alpha_mgd": 2e-5},
        lambda student, teacher: {
            "type": "mmrazor.MGDConnector",
            "student_channels": student,
            "teacher_channels": teacher,
            "lambda_mgd": 0.65,
        },
    ),
}


def make_step(
    variant: str, pair: tuple[str, str], width: float, layout: str, batch: dict[str, Any]
) -> Callable[[], None]:
    """One training step of a variant on a fixed batch: forward, backward, AdamW."""
    configs = [
        models.model_config(ARCHITECTURES[f"rtmdet-{size}"], CLASSES, width) for size in pair
    ]
    torch.manual_seed(0)
    student, teacher = (models.build(config) for config in configs)
    for model in (student, teacher):
        models.init_weights(model)
    model: BaseModel
    if variant == "floor":
        model = student
        teacher.eval().requires_grad_(False)
    elif variant in STOCK:
        channels = [models.feature_channels(config, "neck") for config in configs]
        model = FpnTeacherDistill(
            distiller=STOCK[variant](channels[0][0], channels[1][0]),
            architecture=student,
            teacher=teacher,
        )
    else:
        # All at the place where mmrazor's classes are recorded, which they are compared with.
        plan = methods.plan("bench", variant, {"layers": "neck"})
        model = distillation.FrozenTeacherDistill(
            distiller=distillation.distiller_config(
                plan,
                *(models.feature_channels(config, plan.layers) for config in configs),
                models.feature_sources(configs[0], plan.layers),
            ),
            architecture=student,
            teacher=teacher,
            module_inplace=True,
            teacher_module_inplace=True,
        )
    if variant == "cwd_mmrazor":
        layout = "contiguous"
    for part in (model, teacher):
        part.to(memory_format=LAYOUTS[layout])
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    prepared = student.data_preprocessor(batch, True)

    def step() -> None:
        if variant == "floor":
            with torch.inference_mode():
                teacher.extract_feat(prepared["inputs"])
        loss, _ = model.parse_losses(model(**prepared, mode="loss"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def peak_memory(
    pair: tuple[str, str], input_px: int, width: float, layout: str, batch: dict[str, Any]
) -> dict[str, float]:
    """Peak resident memory of each variant in a process of its own after two steps, in MB."""
    peaks = {}
    for variant in VARIANTS:
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as alone:
            peak = alone.submit(_two_steps, variant, pair, width, layout, batch).result()
        peaks[f"{variant}_peak_mb"] = round(peak, 1)
    return peaks


def _two_steps(variant: str, *arguments: Any) -> float:
    step = make_step(variant, *arguments)
    step()
    step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def load_batch(root: Path, input_px: int) -> dict[str, Any]:
    """The first batch of the embedded data set at an input size."""
    data = Badges(kind="badges", train_images=BATCH, val_images=1)
    pipeline, _ = pipelines.train_pipelines(
        ARCHITECTURES["rtmdet-tiny"], input_px, False, (0.9, 1.1), False
    )
    loader = Runner.build_dataloader(
        {
            "batch_size": BATCH,
            "num_workers": 0,
            "sampler": {"type": "DefaultSampler", "shuffle": False},
            "dataset": splits.dataset_config(
                data, root, "train", splits.classes(root, data), pipeline
            ),
        }
    )
    return next(iter(loader))


def measure(
    pair: tuple[str, str],
    input_px: int,
    width: float,
    layout: str,
    batch: dict[str, Any],
    repeats: int,
) -> dict[str, Any]:
    """Time all variants of one pair, interleaved."""
    steps = {variant: make_step(variant, pair, width, layout, batch) for variant in VARIANTS}
    for step in steps.values():
        step()
    samples: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for turn in range(repeats):
        # Every variant takes every place in the round.
        for place in range(len(VARIANTS)):
            variant = VARIANTS[(turn + place) % len(VARIANTS)]
            begin = time.perf_counter()
            steps[variant]()
            samples[variant].append(1000 * (time.perf_counter() - begin))
    row: dict[str, Any] = {
        "pair": f"{pair[0]}<-{pair[1]}",
        "size_px": input_px,
        "width": width,
        "layout": layout,
        "batch": BATCH,
        "repeats": repeats,
    }
    row |= {f"{variant}_ms": round(float(np.median(samples[variant])), 2) for variant in VARIANTS}
    for variant in GOALS:
        ratio = np.median(np.divide(samples["mkd"], samples[variant]))
        row[f"mkd_over_{variant}"] = round(float(ratio), 3)
    row["samples_ms"] = {key: np.round(values, 3).tolist() for key, values in samples.items()}
    return row


def main() -> None:
    """Measure every pair and size, print them and write ``results/bench/distill_step.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--out", type=Path, default=Path("results/bench/distill_step.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with TemporaryDirectory() as folder:
        root = Path(folder, "badges")
        badges.generate(root, BATCH, 1, progress=False)
        cases = [
            (pair, input_px, width, layout, load_batch(root, input_px))
            for input_px, width in SIZES
            for pair in PAIRS
            for layout in LAYOUTS
        ]
        # Memory first: a fork inherits what its parent has ever used.
        memory = [peak_memory(*case) for case in cases]
        for case, peaks in zip(cases, memory, strict=True):
            row = measure(*case, options.repeats) | peaks
            rows.append(row)
            print(json.dumps({k: v for k, v in row.items() if k != "samples_ms"}), flush=True)
            for against, goal in GOALS.items():
                ratio = row[f"mkd_over_{against}"]
                said = "met" if ratio <= goal else "not met"
                print(f"  MKD / {against}: {ratio:.3f} (goal ≤ {goal}: {said})", flush=True)
    host = {"host": describe([]), "versions": provenance.versions()}
    write_json(options.out, [row | host for row in rows])


if __name__ == "__main__":
    main()
