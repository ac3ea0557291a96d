"""Where a data set's splits lie, and the mmdet data set that reads one.

The embedded data set and COCO 2017 are read by the same code.
"""

from pathlib import Path
from typing import Any

from mkd.data import annotations
from mkd.errors import UserError

SPLITS: dict[str, dict[str, tuple[str, str]]] = {
    "badges": {
        "train": ("annotations/instances_train.json", "train"),
        "val": ("annotations/instances_val.json", "val"),
    },
    "coco": {
        "train": ("annotations/instances_train2017.json", "train2017"),
        "val": ("annotations/instances_val2017.json", "val2017"),
    },
}
"""Annotation file and image folder of each split, by kind of data set."""


def classes(root: Path, kind: str) -> tuple[str, ...]:
    """The class names, a label being a name's place among them: in the order of the val ids.

    Raises:
        UserError: The annotation file is missing or broken.
    """
    path = root / SPLITS[kind]["val"][0]
    try:
        categories = annotations.read(path)["categories"]
        return tuple(item["name"] for item in sorted(categories, key=lambda item: item["id"]))
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no COCO annotation file: check the folder under 'data' "
            "in config/config.yaml"
        ) from error


def bitmap_masks(root: Path, kind: str) -> bool:
    """Whether masks are to be taught as bitmaps: some object's is RLE, which is no polygon."""
    content = annotations.read(root / SPLITS[kind]["train"][0])
    return any(annotations.is_rle(a) for a in content["annotations"] if not a.get("iscrowd"))


def dataset_config(
    data: dict[str, Any],
    root: Path,
    split: str,
    class_names: tuple[str, ...],
    pipeline: list[Any],
    masks: bool = False,
) -> dict[str, Any]:
    """:class:`mkd.data.dataset.NamedCocoDataset` of one split.

    Args:
        data: The scale's ``data`` section; ``train_images`` of kind ``coco`` takes that many of
            the first images.
        root: The data set's folder.
        split: ``train`` or ``val``.
        class_names: From :func:`classes`.
        pipeline: mmdet's transforms.
        masks: Whether masks are taught.
    """
    file, images = SPLITS[data["kind"]][split]
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
        if data["kind"] == "coco" and "train_images" in data:
            config["indices"] = data["train_images"]
    return config
