"""mmdet's data set with what is done to labels on purpose."""

from itertools import chain
from pathlib import Path
from typing import Any

import mkd.data.dataset  # noqa: F401  (registers)
from mkd.data import splits
from mkd.experiment import config

# isort: split
from mmdet.registry import DATASETS


def labels(root: Path, share: float | None) -> list[list[int]]:
    data = config.load({"scale": "smoke"}).settings.data
    data = data.model_copy(update={"shuffled_labels": share})
    settings: dict[str, Any] = splits.dataset_config(
        data, root, "train", splits.classes(root, data), []
    )
    made = DATASETS.build(settings)
    return [
        [item["bbox_label"] for item in made.get_data_info(at)["instances"]]
        for at in range(len(made))
    ]


def test_labels_are_shuffled_among_the_first_images_and_nowhere_else(smoke_data: Path) -> None:
    before, after = labels(smoke_data, None), labels(smoke_data, 0.5)
    half = round(0.5 * len(before))
    assert before[half:] == after[half:]
    assert before[:half] != after[:half]
    assert sorted(chain(*before[:half])) == sorted(chain(*after[:half]))
    assert labels(smoke_data, 0.5) == after
