"""A split of a data set as mmdet's data set reads it, and its classes.

Where a split lies is the kind's to say (:mod:`mkd.experiment.datasets`).
"""

from pathlib import Path
from typing import Any

from mkd.data import annotations
from mkd.errors import UserError
from mkd.experiment.datasets import Data


def classes(root: Path, data: Data) -> tuple[str, ...]:
    """The class names, a label being a name's place among them: in the order of the val ids.

    Raises:
        UserError: The annotation file is missing or broken.
    """
    path = root / data.splits["val"].annotations
    try:
        categories = annotations.read(path)["categories"]
        return tuple(item["name"] for item in sorted(categories, key=lambda item: item["id"]))
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no COCO annotation file: check the folder under 'data' "
            "in config/config.yaml"
        ) from error


def bitmap_masks(root: Path, data: Data) -> bool:
    """Whether masks are to be taught as bitmaps: some object's is RLE, which is no polygon."""
    content = annotations.read(root / data.splits["train"].annotations)
    return any(annotations.is_rle(a) for a in content["annotations"] if not a.get("iscrowd"))


def dataset_config(
    data: Data,
    root: Path,
    split: str,
    class_names: tuple[str, ...],
    pipeline: list[Any],
    masks: bool = False,
) -> dict[str, Any]:
    """:class:`mkd.data.dataset.NamedCocoDataset` of one split.

    Args:
        data: What data set it is, and how much of it is trained on.
        root: The data set's folder.
        split: ``train`` or ``val``.
        class_names: From :func:`classes`.
        pipeline: mmdet's transforms.
        masks: Whether masks are taught.
    """
    file, images = data.splits[split]
    config: dict[str, Any] = {
        "type": "NamedCocoDataset",
        "data_root": str(root),
        "ann_file": file,
        "data_prefix": {"img": f"{images}/"},
        "metainfo": {"classes": class_names},
        "test_mode": split == "val",
        "pipeline": pipeline,
        "masks": masks,
    }
    if split == "train":
        config["filter_cfg"] = {"filter_empty_gt": True, "min_size": 32}
        if data.first_images is not None:
            config["indices"] = data.first_images
        config["shuffled_labels"] = data.shuffled_labels
    return config
