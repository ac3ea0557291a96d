"""What a training logged, as the record keeps it."""

from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mkd.distillation import distiller

CURVE_POINTS = 200


@dataclass(frozen=True)
class Summary:
    """A finished training's part of the record.

    Attributes:
        iterations: Steps of the optimizer.
        epochs: Passes over the train set.
        images_per_s: Images a second of a step, data loading counted.
        wall_s: Seconds of this process.
        step_s: Seconds of it inside training steps, data loading left out.
        curve: Every loss, averaged to at most :data:`CURVE_POINTS` points.
        gradient_norms: Where something was distilled, a list a term and level: a value for the
            first step of each epoch, of ``mkd-balanced`` one for each step its weights rest on,
            too.
        term_weights: Where something was distilled, the weight of each term.
    """

    iterations: int
    epochs: int
    images_per_s: float
    wall_s: float
    step_s: float
    curve: list[dict[str, float]]
    gradient_norms: dict[str, list[float]] | None = None
    term_weights: dict[str, float] | None = None

    def as_json(self) -> dict[str, object]:
        """Plain values, without what is None."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def summary(runner: Runner, wall_s: float, resumed: int = 0) -> Summary:
    """What a finished training says of itself.

    Args:
        runner: After ``train``; mmengine's message hub carries what earlier, killed processes of
            the run logged.
        wall_s: Seconds this process took.
        resumed: Epochs that earlier processes had done.
    """
    logged = MessageHub.get_current_instance().log_scalars
    seconds = np.asarray(logged["train/time"].data[0])
    loading = np.asarray(logged["train/data_time"].data[0])
    own = (seconds - loading)[resumed * len(runner.train_dataloader) :]
    images = runner.train_dataloader.batch_sampler.batch_size * runner.world_size
    gradients = {
        key.removeprefix("train/distill."): [float(value) for value in buffer.data[0]]
        for key, buffer in logged.items()
        if key.startswith("train/distill.grad_")
    }
    weights = None
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    if isinstance(model, distiller.FrozenTeacherDistill):
        weights = {
            name.removeprefix("weight_of_loss_"): float(value)
            for name, value in model.distiller.named_buffers()
            if name.startswith("weight_of_")
        }
    return Summary(
        iterations=runner.max_iters,
        epochs=runner.max_epochs,
        images_per_s=round(float(images / np.median(seconds)), 2),
        wall_s=round(wall_s, 2),
        step_s=round(float(own.sum()), 2),
        curve=_curve(logged, len(runner.train_dataloader)),
        gradient_norms=gradients or None,
        term_weights=weights,
    )


def _curve(logged: dict[str, HistoryBuffer], iterations_per_epoch: int) -> list[dict[str, float]]:
    """Every loss over the run, levels of a term summed, averaged to at most CURVE_POINTS."""
    columns: dict[str, np.ndarray] = {}
    for key, buffer in logged.items():
        name = key.removeprefix("train/").removeprefix("student.")
        if "loss" not in name and name not in ("lr", "grad_norm"):
            continue
        if name.startswith("distill."):
            name = name.removeprefix("distill.").rsplit("_", 1)[0]
        values = np.asarray(buffer.data[0], dtype=np.float64)
        columns[name] = columns[name] + values if name in columns else values
    iterations = len(columns["loss"])
    edges = np.unique(np.linspace(0, iterations, min(CURVE_POINTS, iterations) + 1).astype(int))
    return [
        {
            "iter": int(end),
            "epoch": round(int(end) / iterations_per_epoch, 4),
            # A term that stopped at an epoch has no value after it.
            **{
                name: float(values[begin:end].mean())
                for name, values in columns.items()
                if begin < len(values)
            },
        }
        for begin, end in pairwise(edges)
    ]
