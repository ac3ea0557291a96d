"""Stand-ins of the released weights that scale ``rehearsal`` reads: random, of its width.

Each file is laid out as its release is: OpenMMLab's classifiers of CSPNeXt, torchvision's bare
tensors of ResNet, MMYOLO's checkpoint of YOLOv5-n (of full width: it is scored, not trained).
"""

from pathlib import Path
from typing import Any

import torch

from mkd.detectors import models  # before mmdet

# isort: split
from mkd.edge import models as edge_models
from mkd.experiment import config
from mkd.experiment.run_digests import backbones
from mkd.files import atomic_path

CLASSES = 1000
"""ImageNet's."""


def write(folder: Path) -> list[Path]:
    """Write the files, under names the scale looks for, into a folder that has no releases.

    Returns:
        Their paths.

    Raises:
        UserError: The disk is full.
    """
    made: list[Path] = []
    suite = config.load({"scale": "rehearsal"})
    torch.manual_seed(0)
    for run in backbones(suite).values():
        architecture = suite.run(run).architecture
        if architecture.imagenet is None:
            continue
        detector = models.build(models.model_config(architecture, 80, suite.width(run)))
        models.init_weights(detector)
        state = detector.backbone.state_dict()
        head = torch.nn.Linear(next(reversed(state.values())).numel(), CLASSES).state_dict()
        if architecture.two_stage:
            content = state | _prefixed("fc.", head)
        else:
            both = _prefixed("backbone.", state) | _prefixed("head.fc.", head)
            content = {"meta": {}, "state_dict": both}
        made.append(_save(folder, architecture.imagenet, content))
    if edge_models.mmyolo_installed():
        from mkd.edge import zoo

        source = edge_models.MODELS["yolov5-n"]
        detector = zoo.mmyolo_build(zoo.mmyolo_config("yolov5-n").model)
        content = {"meta": {}, "state_dict": detector.state_dict()}
        made.append(_save(folder, Path(str(source)).name, content))
    return made


def _prefixed(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


def _save(folder: Path, release: str, content: dict[str, Any]) -> Path:
    # Not the release's name: behind a name that ends with a digest its bytes would be looked for.
    path = folder / f"{release}-random.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
    return path
