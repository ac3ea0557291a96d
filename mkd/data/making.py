"""The data sets that the suite makes itself."""

from importlib import import_module
from pathlib import Path

from mkd.experiment.datasets import Data


def make(data: Data, root: Path) -> bool:
    """Make a data set where the suite makes that kind; a whole one is left as it is.

    Args:
        data: Its kind and size.
        root: Its folder.

    Returns:
        Whether the suite makes that kind.

    Raises:
        UserError: The folder holds something else, or the disk is full.
    """
    maker = data.maker
    if maker is None:
        return False
    module = import_module(f"mkd.data.{maker.module}")
    module.generate(root, maker.train_images, maker.val_images, maker.seed)
    return True
