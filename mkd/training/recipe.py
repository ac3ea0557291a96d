"""Optimizer and learning rate of a training: RTMDet's recipe, or Mask R-CNN's in mmdet.

Which one is a matter of the scale's file: ``sgd`` is mmdet's schedule for Mask R-CNN. Torch is not
imported here.
"""

from typing import Any

from mkd.experiment.scale import TrainSettings


def optimizer(settings: TrainSettings) -> dict[str, Any]:
    """The optimizer's part of mmengine's ``optim_wrapper``.

    Args:
        settings: The run's.

    Returns:
        AdamW without decay of norms and biases (paper §4, implementation details), or SGD.
    """
    common = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    if settings.sgd is not None:
        # Not fused: where the first scaled gradients overflow, torch's fused SGD goes on from a
        # momentum it never wrote.
        return {"optimizer": {"type": "SGD", "momentum": settings.sgd.momentum, **common}}
    return {
        "optimizer": {"type": "AdamW", "fused": True, **common},
        "paramwise_cfg": {
            "norm_decay_mult": 0,
            "bias_decay_mult": 0,
            "bypass_duplicate": True,
        },
    }


def warmup(steps: int, start: float) -> list[dict[str, Any]]:
    """The linear warm-up, which ends at the full rate with its last step.

    One of a single step is left out: mmengine's would keep its first rate to the end.

    Args:
        steps: Its steps.
        start: What its first step has of the rate.
    """
    kind = {"type": "LinearLR", "by_epoch": False, "begin": 0, "end": steps, "start_factor": start}
    return [kind] if steps > 1 else []


def schedule(settings: TrainSettings) -> list[dict[str, Any]]:
    """mmengine's ``param_scheduler``: a linear warm-up, then cosine or steps to a tenth.

    Args:
        settings: The run's.
    """
    epochs = settings.epochs
    begin = warmup(settings.warmup_iters, 1e-5 if settings.sgd is None else 0.001)
    if settings.sgd is not None:
        return [
            *begin,
            {
                "type": "MultiStepLR",
                "begin": 0,
                "end": epochs,
                "by_epoch": True,
                "milestones": list(settings.sgd.milestones),
                "gamma": 0.1,
            },
        ]
    flat = int(epochs * settings.flat_epochs)
    return [
        *begin,
        {
            "type": "CosineAnnealingLR",
            "eta_min": settings.lr * settings.final_lr,
            "begin": flat,
            "end": epochs,
            "T_max": epochs - flat,
            "by_epoch": True,
            "convert_to_iter_based": True,
        },
    ]
