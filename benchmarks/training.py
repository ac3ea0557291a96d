"""Training throughput beside mmdet's own: same narrow tiny, same data, same iterations.

    make bench

*mmdet* is mmengine's Runner on mmdet's official RTMDet configuration: its optimizer, EMA hook, its
transforms. Only what the scale sets (data, width, input size, batch, schedule) is changed. *ours*
is :func:`mkd.training.trainer.runner_config`, in the environment the workflow gives its jobs.
Both are run in turns, each turn a process of one thread; the median time of an iteration counts,
data loading included.
"""

import argparse
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

from mkd.detectors import models  # before mmdet
from mkd.training import trainer

# isort: split
import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mkd import provenance
from mkd.data import badges, scenes, splits
from mkd.experiment import config
from mkd.experiment.resolved import ResolvedRun
from mkd.files import write_json
from mkd.host import describe
from mkd.workflow import environment


def detector(resolved: ResolvedRun) -> BaseModel:
    """The narrow detector, from one seed."""
    torch.manual_seed(0)
    model = models.build(
        models.model_config(resolved.architecture, len(scenes.CLASSES), resolved.width)
    )
    models.init_weights(model)
    return model


def ours(resolved: ResolvedRun, root: Path, work_dir: Path) -> Runner:
    """The suite's own runner."""
    classes = splits.classes(root, resolved.data)
    settings = trainer.runner_config(resolved, root, work_dir, classes)
    model = detector(resolved).to(memory_format=torch.channels_last)
    return Runner(model=model, **settings)


def stock(resolved: ResolvedRun, root: Path, work_dir: Path) -> Runner:
    """mmdet's configuration of the same architecture, with the scale's values."""
    settings = trainer.runner_config(resolved, root, work_dir, splits.classes(root, resolved.data))
    official = models.official_config(resolved.architecture)
    stock = deepcopy(settings)
    stock.optim_wrapper = official.optim_wrapper
    stock.optim_wrapper.optimizer.lr = resolved.train.lr
    stock.custom_hooks = [hook for hook in official.custom_hooks if hook.type == "EMAHook"]
    stock.default_hooks = official.default_hooks
    stock.default_hooks.pop("visualization")
    return Runner(model=detector(resolved), **stock)


MAKERS = {"ours": ours, "mmdet": stock}


def seconds_per_iteration(
    name: str, resolved: ResolvedRun, root: Path, work_dir: Path
) -> list[float]:
    """Train and return the seconds of every iteration, the first five left out."""
    torch.set_num_threads(1)
    runner = MAKERS[name](resolved, root, work_dir)
    runner.train()
    return list(runner.message_hub.get_scalar("train/time").data[0][5:])


def in_a_process(name: str, resolved: ResolvedRun, root: Path, work_dir: Path) -> list[float]:
    """:func:`seconds_per_iteration` in a process of its own."""
    if name == "ours":
        os.environ.update(environment.HEAP)
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            return process.submit(seconds_per_iteration, name, resolved, root, work_dir).result()
    finally:
        for variable in environment.HEAP:
            os.environ.pop(variable, None)


def main() -> None:
    """Measure both in turns, print the ratio and write ``results/bench/training.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("results/bench/training.json"))
    options = parser.parse_args()
    resolved = config.load({"scale": "desk"}).resolve("tiny-baseline", 0)
    train = resolved.train.model_copy(update={"epochs": 1})
    resolved = resolved.model_copy(update={"train": train})
    batch = resolved.train.batch_size
    seconds: dict[str, list[float]] = {"ours": [], "mmdet": []}
    with TemporaryDirectory() as folder:
        root = Path(folder, "badges")
        badges.generate(root, options.iterations * batch, 1, progress=False)
        for turn in range(options.turns):
            for name in MAKERS if turn % 2 == 0 else reversed(MAKERS):
                work_dir = Path(folder, f"{name}{turn}")
                seconds[name] += in_a_process(name, resolved, root, work_dir)
    rate = {name: batch / float(np.median(values)) for name, values in seconds.items()}
    ratio = rate["ours"] / rate["mmdet"]
    print(f"images per second: ours {rate['ours']:.1f}, mmdet {rate['mmdet']:.1f}: × {ratio:.2f}")
    write_json(
        options.out,
        {
            "ours_img_per_s": round(rate["ours"], 2),
            "mmdet_img_per_s": round(rate["mmdet"], 2),
            "ratio": round(ratio, 3),
            "arch": resolved.architecture.name,
            "width": resolved.width,
            "input_px": resolved.input_px,
            "batch": batch,
            "iterations": options.iterations * options.turns,
            "samples_s": {name: np.round(values, 5).tolist() for name, values in seconds.items()},
            "host": describe([]),
            "versions": provenance.versions(),
        },
    )


if __name__ == "__main__":
    main()
