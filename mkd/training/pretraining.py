"""A short classification pretraining of a backbone on crops of the train set.

It stands where the paper's ImageNet weights stand, for scales that have no ImageNet: the objects
of the train set, cut out, are told apart by a linear layer on the backbone's last stage. One
pretraining serves every run of that backbone, teachers and students alike.
"""

from pathlib import Path
from typing import Any

from mkd.detectors import models  # before mmdet

# isort: split
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmdet.registry import DATASETS
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from mmengine.runner import Runner, set_random_seed
from torch import Tensor, nn
from torch.utils.data import Dataset

import mkd.data.dataset  # noqa: F401  (registers)
from mkd.data import splits
from mkd.detectors.architectures import Architecture
from mkd.errors import UserError
from mkd.experiment.datasets import Data
from mkd.experiment.scale import Pretrain
from mkd.training import recipe

SEED = 0
CONTEXT = 1.2
"""Side of a crop in units of the longer side of its box."""


class CropDataset(Dataset):
    """Square crops around the objects a training is taught, decoded once.

    Args:
        root: The data set's folder.
        data: What data set it is.
        crop_px: Side of a crop in pixels.

    An item is the crop (uint8, 3×crop_px×crop_px, BGR) and its class index.
    """

    def __init__(self, root: Path, data: Data, crop_px: int) -> None:
        self.classes = splits.classes(root, data)
        images = DATASETS.build(splits.dataset_config(data, root, "train", self.classes, []))
        self.crops: list[np.ndarray] = []
        self.labels: list[int] = []
        for at in range(len(images)):
            image = images.get_data_info(at)
            pixels = cv2.imread(image["img_path"])
            if pixels is None:
                raise UserError(f"{image['img_path']} is not a readable image")
            for item in image["instances"]:
                if not item["ignore_flag"]:
                    x, y, right, bottom = item["bbox"]
                    self.crops.append(_crop(pixels, [x, y, right - x, bottom - y], crop_px))
                    self.labels.append(item["bbox_label"])

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> dict[str, Any]:
        crop = self.crops[index]
        if np.random.random() < 0.5:
            crop = crop[:, ::-1]
        return {
            "inputs": torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1))),
            "labels": self.labels[index],
        }


class BackboneClassifier(BaseModel):
    """A detector's backbone under global average pooling and a linear layer."""

    def __init__(self, detector: BaseModel, classes: int, crop_px: int) -> None:
        super().__init__()
        self.backbone = detector.backbone
        self.order = [2, 1, 0] if detector.data_preprocessor._channel_conversion else [0, 1, 2]
        self.register_buffer("mean", detector.data_preprocessor.mean.clone(), persistent=False)
        self.register_buffer("std", detector.data_preprocessor.std.clone(), persistent=False)
        with torch.no_grad():
            channels = self.backbone(torch.zeros(2, 3, crop_px, crop_px))[-1].shape[1]
        self.head = nn.Linear(channels, classes)

    def forward(
        self, inputs: list[Tensor], labels: list[int], mode: str = "loss"
    ) -> dict[str, Tensor]:
        """Cross-entropy of a batch of crops (3×crop_px×crop_px each), and its accuracy."""
        target = torch.tensor(labels, device=self.mean.device)
        pixels = torch.stack(inputs).to(self.mean.device)[:, self.order]
        scores = self.head(self.backbone((pixels - self.mean) / self.std)[-1].mean((2, 3)))
        accuracy = (scores.argmax(1) == target).float().mean()
        return {"loss": F.cross_entropy(scores, target), "accuracy": accuracy}


def pretrain(
    arch: Architecture,
    width: float,
    settings: Pretrain,
    data_root: Path,
    data: Data,
    work_dir: Path,
) -> tuple[nn.Module, float]:
    """Pretrain the backbone of an architecture.

    Args:
        arch: An architecture with that backbone.
        width: The scale's width.
        settings: Of the pretraining.
        data_root: The data set's folder.
        data: What data set it is.
        work_dir: For the Runner's log.

    Returns:
        The backbone, and the accuracy over its last epoch (0 to 1).
    """
    torch.set_num_threads(1)
    dataset = CropDataset(data_root, data, settings.crop_px)
    set_random_seed(SEED)
    config = models.model_config(arch, len(dataset.classes), width)
    # mmdet freezes the norms and first stages of a ResNet, which come pretrained there.
    models.thaw(config)
    detector = models.build(config)
    # One backbone serves several architectures, whatever the rest of them has drawn.
    set_random_seed(SEED)
    models.init_weights(detector.backbone)
    model = BackboneClassifier(detector, len(dataset.classes), settings.crop_px)
    model.to(memory_format=torch.channels_last)
    steps = len(dataset) // settings.batch_size * settings.epochs
    runner = Runner(
        model=model,
        train_dataloader={
            "batch_size": settings.batch_size,
            "num_workers": 0,
            "drop_last": True,
            "dataset": dataset,
            "sampler": {"type": "DefaultSampler", "shuffle": True},
            "collate_fn": pseudo_collate,
        },
        **ConfigDict(
            work_dir=str(work_dir),
            default_scope="mmdet",
            randomness={"seed": SEED},
            train_cfg={"by_epoch": True, "max_epochs": settings.epochs},
            optim_wrapper={
                "optimizer": {
                    "type": "AdamW",
                    "lr": settings.lr,
                    "weight_decay": 0.05,
                    "fused": True,
                }
            },
            param_scheduler=[
                *recipe.warmup(steps // 10, 0.01),
                {"type": "CosineAnnealingLR", "T_max": steps, "by_epoch": False},
            ],
            default_hooks={"logger": {"type": "LoggerHook", "interval": 50}, "checkpoint": None},
            visualizer={"type": "Visualizer", "vis_backends": []},
        ),
    )
    runner.train()
    accuracy = runner.message_hub.get_scalar("train/accuracy")
    return model.backbone, float(accuracy.mean(steps // settings.epochs))


def _crop(pixels: np.ndarray, box: list[float], crop_px: int) -> np.ndarray:
    x, y, w, h = box
    zoom = crop_px / (max(w, h) * CONTEXT)
    matrix = np.array(
        [
            [zoom, 0, crop_px / 2 - (x + w / 2) * zoom],
            [0, zoom, crop_px / 2 - (y + h / 2) * zoom],
        ]
    )
    return cv2.warpAffine(pixels, matrix, (crop_px, crop_px), borderValue=(114, 114, 114))
