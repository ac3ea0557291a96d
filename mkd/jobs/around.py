"""What a job does around its work."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mkd.errors import UserError
from mkd.experiment.suite import Suite


def hide_gpus(suite: Suite) -> None:
    """Before torch looks: mmengine takes whatever GPU it sees, also for a scale that has none."""
    if suite.settings.train.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@contextmanager
def readable_images(root: Path) -> Iterator[None]:
    """mmcv's word for an image it cannot decode, as a sentence."""
    try:
        yield
    except AssertionError as error:
        found = re.search(r"failed to load image: (.+)", str(error))
        if found is None:
            raise
        raise UserError(
            f"the image {found[1]} of the data set {root} cannot be decoded: fetch it again"
        ) from error
