"""mmdet's data set and metric, with labels by name.

Their own take labels from the order in which an annotation file lists its categories, whatever
class names they are given.
"""

from pathlib import Path
from typing import Any

import mkd.compat  # noqa: F401  (before mmdet)

# isort: split
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS
from numpy.random import RandomState

from mkd.data import annotations
from mkd.errors import UserError


class NamedCOCO(COCO):
    """An annotation file whose category ids come in the order of the names that are asked for."""

    def __init__(self, annotation_file: str | None = None) -> None:
        super().__init__()
        self._file = annotation_file
        self.dataset = annotations.read(Path(str(annotation_file)))
        self.createIndex()
        self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    def get_cat_ids(self, cat_names: Any = (), sup_names: Any = (), cat_ids: Any = ()) -> list[int]:
        """Ids of named categories.

        Raises:
            UserError: The file lists no category of that name.
        """
        ids = {category["name"]: category["id"] for category in self.dataset["categories"]}
        missing = [name for name in cat_names if name not in ids]
        if missing:
            raise UserError(
                f"{self._file} lists no category {missing[0]!r}: give the categories of both "
                "splits, and of a published detector, the same names"
            )
        return [ids[name] for name in cat_names]


@DATASETS.register_module()
class NamedCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset`` with the label of a category its place among the class names.

    Args:
        masks: Whether objects whose mask has no pixel are left out.
        shuffled_labels: Share of the images, the first ones, whose labels are shuffled among them.
    """

    COCOAPI = NamedCOCO

    def __init__(
        self, *args: Any, masks: bool = False, shuffled_labels: float | None = None, **kwargs: Any
    ) -> None:
        self._masks, self._shuffled_labels = masks, shuffled_labels
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """mmdet's records of all images."""
        images: list[dict[str, Any]] = super().load_data_list()
        if self._shuffled_labels:
            touched = images[: round(self._shuffled_labels * len(images))]
            objects = [item for image in touched for item in image["instances"]]
            labels = [item["bbox_label"] for item in objects]
            for item, place in zip(objects, RandomState(0).permutation(len(labels)), strict=True):
                item["bbox_label"] = labels[place]
        return images

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> dict[str, Any]:
        """mmdet's record of an image, with the objects that have no flaw."""
        image = raw_data_info["raw_img_info"]
        sound = [
            item
            for item in raw_data_info["raw_ann_info"]
            if annotations.flaw(item, image, self._masks) is None
        ]
        return dict(super().parse_data_info({**raw_data_info, "raw_ann_info": sound}))


@METRICS.register_module()
class NamedCocoMetric(CocoMetric):
    """mmdet's ``CocoMetric`` with the category of a label that of its class name."""

    def __init__(self, ann_file: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._coco_api = NamedCOCO(ann_file)
