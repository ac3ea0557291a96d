"""Shared by all tests: small data sets, one thread."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from mkd import config
from mkd.data import badges


@pytest.fixture(scope="session")
def smoke_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of scale smoke, in a folder of its own."""
    root = tmp_path_factory.mktemp("badges") / "data"
    data = config.load({"scale": "smoke"}).settings["data"]
    badges.generate(root, data["train_images"], data["val_images"], progress=False)
    return root


@pytest.fixture(scope="session")
def tiny_coco() -> Path:
    """A hundred images of the real COCO 2017; MKD_TINY_COCO names the folder."""
    default = config.ROOT.parent / "shared/data/tiny_coco"
    root = Path(os.environ.get("MKD_TINY_COCO", default))
    if not root.is_dir():
        pytest.skip(f"no real COCO images at {root}: set MKD_TINY_COCO to their folder")
    return root
