"""The fourteen detectors of the paper's Table 1, in deploy form and with weights fit for timing.

RTMDet comes from mmdet. The YOLO family and PPYOLOE come from MMYOLO, which is GPL-3.0 and
stands in a file of its own (``envs/yolo.txt``): it is imported here and nowhere else.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from numpy.typing import NDArray
from torch import nn

from mkd.detectors import models
from mkd.edge.metadata import Card
from mkd.edge.models import MODELS, mmyolo_installed
from mkd.edge.preprocessing import prepare
from mkd.errors import UserError, meant
from mkd.experiment.architectures import ARCHITECTURES
from mkd.paper import facts

CLASSES = 80
CONVENTION = (
    "one MAC is one multiply-accumulate, counted by mmengine over convolutions and linear layers "
    "after the switch to deploy form and before batch norm is folded; the paper prints it as a FLOP"
)


def build(model: str) -> tuple[BaseModel, Card]:
    """A detector of Table 1 at full width, for COCO's classes, in deploy and evaluation mode.

    Returns:
        The detector, its weights as the constructor leaves them, and its card without an input
        size.

    Raises:
        UserError: There is no such model, or MMYOLO is not installed and the model is one of its.
    """
    if model not in MODELS:
        raise UserError(
            f"unknown model '{model}': Table 1 has {', '.join(MODELS)}{meant(model, MODELS)}"
        )
    if model in ARCHITECTURES:
        config = models.model_config(ARCHITECTURES[model], CLASSES)
        detector = models.build(config)
    else:
        config = mmyolo_config(model).model
        detector = mmyolo_build(config)
    card = card_of(config, model=model, arch=model, weights="random")
    return deploy(detector).eval(), card


def card_of(config: Any, **known: Any) -> Card:
    """The card of a detector with this model configuration."""
    pixels = config.data_preprocessor
    return Card(
        mean=tuple(map(float, pixels.get("mean", (0.0, 0.0, 0.0)))),
        std=tuple(map(float, pixels.get("std", (1.0, 1.0, 1.0)))),
        rgb=bool(pixels.get("bgr_to_rgb", False)),
        **known,
    )


def deploy(detector: BaseModel) -> BaseModel:
    """Fuse the branches of every RepVGG block (Ding et al. 2021, arXiv 2101.03697), in place.

    RTMDet, YOLOv5, YOLOX and YOLOv6-l, whose blocks are plain convolutions, have none.
    """
    for module in list(detector.modules()):
        if hasattr(module, "switch_to_deploy"):
            module.switch_to_deploy()
    return detector


def settle(detector: BaseModel, frames: Sequence[NDArray[np.uint8]], card: Card) -> None:
    """Give a detector seeded random weights under which activations keep their size, in place.

    Time, parameters and operations of a convolution do not depend on its weights; activations
    that vanish or overflow would change the time, so convolutions are drawn as He et al. 2015
    (arXiv 1502.01852) and batch norm takes its statistics from real images.

    Args:
        detector: From :func:`build`.
        frames: H×W×3 pixels, channels B, G, R.
        card: With the input size the statistics are taken at.
    """
    generator = torch.Generator().manual_seed(0)
    norms = []
    for module in detector.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            with torch.no_grad():
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            # One pass over one batch sets the statistics to those of the batch.
            module.momentum = 1.0
            norms.append(module.train())
    for module in detector.bbox_head.modules():
        if isinstance(module, nn.Conv2d) and module.out_channels == 4 and module.bias is not None:
            # Distances to the sides of a box: a box without area would spare NMS its work.
            nn.init.constant_(module.bias, 2.0)
    inputs = np.concatenate([prepare(frame, card) for frame in frames])
    with torch.no_grad():
        detector(torch.from_numpy(inputs))
    for norm in norms:
        assert norm.running_var is not None
        # A channel that hardly varied there would be blown up on another image.
        norm.running_var.clamp_(min=float(norm.running_var.mean()))
        norm.eval()


def complexity(detector: BaseModel, model: str, input_px: int) -> dict[str, Any]:
    """The record under ``complexity/``: parameters and operations beside the paper's figures.

    Args:
        detector: From :func:`build`.
        model: Its name.
        input_px: Side of the square input in pixels.

    Returns:
        What ``workflow/schemas/complexity.schema.yaml`` says; the paper's figures hold at 640 px,
        so at another size ``deviation`` is null.
    """
    measured = models.complexity(detector, input_px)
    printed = _printed(model)
    return {
        "kind": "complexity",
        "schema": 1,
        "model": model,
        **measured,
        "input_px": input_px,
        "convention": CONVENTION,
        "paper": {name: float(value) for name, value in printed.items()},
        "deviation": {
            name: round(measured[name] / float(value) - 1, 4) for name, value in printed.items()
        }
        if input_px == 640
        else None,
    }


def _printed(model: str) -> dict[str, Decimal]:
    row = next(
        row for row in facts.load().table(1) if row.arch == model and row.method in ("", "baseline")
    )
    return {"params_m": row.cells["params_m"], "macs_g": row.cells["flops_g"]}


def mmyolo_config(model: str) -> Any:
    """MMYOLO's whole configuration of one of its models.

    Raises:
        UserError: MMYOLO is not installed.
    """
    if not mmyolo_installed():
        raise UserError(
            f"{model} needs MMYOLO, which is not installed: pip install -r envs/yolo.txt"
        )
    import mmyolo

    file = Path(mmyolo.__file__).parent / ".mim" / "configs" / f"{MODELS[model]}.py"
    config = Config.fromfile(file)
    config.model.backbone.pop("init_cfg", None)
    return config


def mmyolo_build(config: Any) -> BaseModel:
    """Build one of MMYOLO's detectors from its model configuration, in training form."""
    from mmengine.registry import DefaultScope
    from mmyolo.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope("mmyolo"):
        return models.build(config)
