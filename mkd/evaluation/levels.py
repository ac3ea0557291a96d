"""Which level learns: the positives that a detector's own assigner gives to each stride."""

from pathlib import Path
from typing import Any

from mkd.detectors import models  # before mmdet

# isort: split
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner, set_random_seed

from mkd.data import splits
from mkd.training import outputs, trainer

STRIDES = (8, 16, 32)
BATCHES = 25


def count(folder: Path, data_root: Path, batches: int = BATCHES) -> dict[str, Any]:
    """Positives of each level in train batches, seen through the trained weights.

    Args:
        folder: ``<run>/seed<seed>`` of a trained RTMDet, with ``weights.pth`` and ``train.json``.
        data_root: The data set's folder.
        batches: Of the run's own train set and first-stage pipeline, in the order of its seed.

    Returns:
        ``seed``, ``images`` that were seen, ``positives`` at each of :data:`STRIDES`, and
        ``weights``, the digest of the file.

    Raises:
        UserError: A file is missing, broken or of another detector.
    """
    said = outputs.read(folder)
    resolved = said.config
    classes = splits.classes(data_root, resolved.data)
    model = models.build(models.model_config(resolved.architecture, len(classes), resolved.width))
    outputs.load(model, folder, said)
    loader = trainer.runner_config(resolved, data_root, folder, classes).train_dataloader
    loader.update(num_workers=0, persistent_workers=False, pin_memory=False)
    set_random_seed(resolved.seed)
    images, positives = 0, [0] * len(STRIDES)
    for at, batch in enumerate(Runner.build_dataloader(loader, seed=resolved.seed)):
        if at == batches:
            break
        images += len(batch["inputs"])
        here = of_batch(model.eval(), batch)
        positives = [total + new for total, new in zip(positives, here, strict=True)]
    return {
        "seed": resolved.seed,
        "images": images,
        "positives": positives,
        "weights": said.weights,
    }


@torch.no_grad()
def of_batch(model: BaseModel, batch: dict[str, Any]) -> list[int]:
    """Positives at each of :data:`STRIDES`, as mmdet's own head assigns them for its loss.

    Args:
        model: An RTMDet; its assigner looks at what it predicts.
        batch: As the train loader gives it.
    """
    head, kept = model.bbox_head, []
    assign = head.get_targets

    def targets(*args: Any, **kwargs: Any) -> Any:
        kept.append(assign(*args, **kwargs))
        return kept[-1]

    head.get_targets = targets
    try:
        data = model.data_preprocessor(batch, True)
        head.loss(model.extract_feat(data["inputs"]), data["data_samples"])
    finally:
        del head.get_targets
    # The second item: by level, the label of every anchor of every image; background is the last.
    return [int((labels < head.num_classes).sum()) for labels in kept[0][1]]
