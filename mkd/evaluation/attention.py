"""Where detectors look: spatial attention of their necks' maps, on the pictures' val images."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

from mkd.detectors import models, pipelines  # before mmengine
from mkd.training import outputs

# isort: split
import cv2
import matplotlib
import numpy as np
import torch
from mmengine.dataset import Compose

from mkd.data.annotations import read as read_annotations
from mkd.evaluation import examples
from mkd.files import write_json
from mkd.losses.common import spatial_attention

TEMPERATURE = 0.5
"""FGD's (Yang et al., CVPR 2022, Eq. 2)."""
STRIDES = (8, 16, 32)
MEASURED = 200
"""Images, the first of the val set by id that hold an object, to average over."""
COLORS = "viridis"

Image = Mapping[str, Any]


@dataclass(frozen=True)
class Look:
    """Where one detector looks on one image.

    Attributes:
        maps: Attention at each of :data:`STRIDES`, rows × columns of the cells that hold some of
            the image, not its padding; of mean 1, so that its sum is the number of cells.
        size: Height and width in pixels of the image in the network's input.
    """

    maps: tuple[np.ndarray, ...]
    size: tuple[int, int]


class Watcher:
    """A trained detector that shows where it looks.

    Args:
        path: Its ``weights.pth``; ``train.json`` beside it says what detector that is.
        classes: Number of classes.

    Raises:
        UserError: A file is missing, broken or of another detector.
    """

    def __init__(self, path: Path, classes: int) -> None:
        said = outputs.read(path.parent)
        run = said.config
        config = models.model_config(run.architecture, classes, run.width)
        self.model = models.build(config).eval()
        outputs.load(self.model, path.parent, said)
        self.pipeline = Compose(pipelines.test_pipeline(run.architecture, run.input_px))

    @torch.inference_mode()
    def __call__(self, path: Path) -> Look:
        """Look at an image file, through mmdet's own test pipeline."""
        packed = self.pipeline({"img_path": str(path), "img_id": 0})
        meta = packed["data_samples"].metainfo
        width, height = (
            round(side * factor)
            for side, factor in zip(meta["ori_shape"][::-1], meta["scale_factor"], strict=True)
        )
        batch = {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}
        features = self.model.extract_feat(self.model.data_preprocessor(batch, False)["inputs"])
        maps = (
            spatial_attention(
                feature[..., : ceil(height / stride), : ceil(width / stride)], TEMPERATURE
            )
            for feature, stride in zip(features, STRIDES, strict=True)
        )
        return Look(tuple(m[0, 0].numpy() for m in maps), (height, width))


def make(images: Path, annotations: Path, runs: Mapping[str, Sequence[Path]], out: Path) -> None:
    """Write the figure's data: maps of the first seeds, and two measures of every seed.

    ``inside`` is the share of the attention that lies in ground-truth boxes, ``agreement`` the
    Pearson correlation of a map's cells with the teacher's; per stride and seed the mean over
    at most :data:`MEASURED` images.

    Args:
        images: Folder of the val images.
        annotations: The val annotations, COCO's format.
        runs: Name → ``weights.pth`` of each seed, in the order to be shown; last the teacher.
        out: The JSON file; photographs and maps are inside it.

    Raises:
        UserError: A file is missing, cannot be read or does not fit.
    """
    truth = read_annotations(annotations)
    names = {category["id"]: category["name"] for category in truth["categories"]}
    boxes: dict[int, list[Image]] = {}
    for annotation in truth["annotations"]:
        if not annotation.get("iscrowd"):
            boxes.setdefault(annotation["image_id"], []).append(annotation)
    by_id = sorted(truth["images"], key=lambda image: image["id"])
    measured = [image for image in by_id if image["id"] in boxes][:MEASURED]
    shown = examples.choose(truth)
    seen = {image["id"]: image for image in [*measured, *shown]}
    files = {key: images / image["file_name"] for key, image in seen.items()}
    photos = [examples.photo(files[image["id"]]) for image in shown]

    looks = {name: [_look(path, len(names), files) for path in runs[name]] for name in runs}
    teacher = list(looks.values())[-1][0]
    covers = {key: covered(boxes[key], image, teacher[key].size) for key, image in seen.items()}
    read = {
        name: [{key: measure(look[key], teacher[key], covers[key]) for key in seen} for look in by]
        for name, by in looks.items()
    }
    ids = [image["id"] for image in measured]
    fine = [look[0][image["id"]].maps[0].ravel() for look in looks.values() for image in shown]
    # A map that is flat, 1 everywhere, is to look like one: no brighter than half the scale.
    top = max(2.0, float(np.percentile(np.concatenate(fine), 99)) if fine else 0.0)
    write_json(
        out,
        {
            "measured": f"{len(ids)} val images, the first by id that hold an object",
            "top": round(top, 3),
            "colors": examples.embed(colored(np.linspace(0, 1, 128)[None].repeat(8, 0))),
            "area": [_mean(covers[key][at].mean() for key in ids) for at in range(len(STRIDES))],
            "detectors": [
                {"name": name, "levels": _levels([[by[key] for key in ids] for by in seeds])}
                for name, seeds in read.items()
            ],
            "images": [
                {
                    "id": image["id"],
                    "width": image["width"],
                    "height": image["height"],
                    "photo": photo,
                    "truth": [examples.described(b, names) for b in boxes[image["id"]]],
                    "maps": {
                        name: {"map": drawn(look[0][image["id"]], top)}
                        | read[name][0][image["id"]][0]
                        for name, look in looks.items()
                    },
                }
                for image, photo in zip(shown, photos, strict=True)
            ],
        },
    )


def covered(boxes: Sequence[Image], image: Image, size: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """The share of each cell that boxes cover, at each of :data:`STRIDES`.

    Args:
        boxes: Annotations with ``bbox``, x y w h in pixels of the image.
        image: With its ``width`` and ``height``.
        size: Height and width in pixels of the image in the network's input.
    """
    height, width = size
    down, across = height / image["height"], width / image["width"]
    coarsest = STRIDES[-1]
    mask = np.zeros([ceil(side / coarsest) * coarsest for side in size], np.float32)
    for box in boxes:
        x, y, w, h = box["bbox"]
        across_it = slice(round(x * across), round((x + w) * across))
        mask[round(y * down) : round((y + h) * down), across_it] = 1
    shares = []
    for stride in STRIDES:
        rows, columns = ceil(height / stride), ceil(width / stride)
        cells = mask[: rows * stride, : columns * stride].reshape(rows, stride, columns, stride)
        shares.append(cells.mean((1, 3)))
    return tuple(shares)


def measure(
    look: Look, teacher: Look, cover: Sequence[np.ndarray]
) -> list[dict[str, float | None]]:
    """``inside`` and ``agreement`` (:func:`make`) of one image at each of :data:`STRIDES`.

    ``agreement`` is None where a map is flat, which correlates with nothing.
    """
    measures: list[dict[str, float | None]] = []
    for own, others, share in zip(look.maps, teacher.maps, cover, strict=True):
        flat = own.std() == 0 or others.std() == 0
        together = None if flat else float(np.corrcoef(own.ravel(), others.ravel())[0, 1])
        measures.append({"inside": float((own * share).sum() / own.sum()), "agreement": together})
    return measures


def drawn(look: Look, top: float) -> str:
    """The finest map as an embedded picture of the image's extent, from 0 to ``top``."""
    (height, width), finest = look.size, look.maps[0]
    rows, columns = finest.shape
    # Values are interpolated, not colors; cells are centered as the network's are.
    smooth = cv2.resize(finest, (columns * STRIDES[0], rows * STRIDES[0]))[:height, :width]
    return examples.embed(colored(smooth / top))


def colored(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 1 in :data:`COLORS`: rows × columns × BGR."""
    return matplotlib.colormaps[COLORS](values, bytes=True)[..., 2::-1]


def _look(path: Path, classes: int, files: Mapping[int, Path]) -> dict[int, Look]:
    watcher = Watcher(path, classes)
    return {key: watcher(file) for key, file in files.items()}


def _levels(seeds: Sequence[Sequence[Sequence[Mapping[str, Any]]]]) -> list[dict[str, Any]]:
    """Measures by seed, image and stride as lists, one figure a seed, by stride."""
    return [
        {"stride": stride}
        | {
            name: [_mean(image[at][name] for image in seed) for seed in seeds]
            for name in ("inside", "agreement")
        }
        for at, stride in enumerate(STRIDES)
    ]


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is not None, or None."""
    kept = [float(value) for value in values if value is not None]
    return round(fmean(kept), 4) if kept else None
