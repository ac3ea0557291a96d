"""What is scored must not be trained on: files in both splits, and copies."""

from collections.abc import Mapping
from pathlib import Path

from mkd.data import coco
from mkd.errors import UserError


def check_apart(root: Path, train: tuple[str, str], val: tuple[str, str]) -> None:
    """Check that no image file is in both splits.

    Args:
        root: Folder of the data set.
        train: Annotation file and folder of the images, relative to ``root``.
        val: The same.

    Raises:
        UserError: One is: what is scored must not be trained on.
    """
    one, other = (Path(root, images).resolve() for _, images in (train, val))
    if not (one.is_relative_to(other) or other.is_relative_to(one)):
        return
    files = [
        {(folder / image["file_name"]).resolve() for image in coco.load(Path(root, path))["images"]}
        for folder, (path, _) in ((one, train), (other, val))
    ]
    common = sorted(files[0] & files[1])
    if common:
        raise UserError(
            f"{common[0]} and {len(common) - 1} more images are in train and in val of {root}: "
            "what is scored must not be trained on, take them out of one"
        )


def copied(
    root: Path,
    train: tuple[str, str],
    val: tuple[str, str],
    taught: Mapping[str, str],
    asked: Mapping[str, str],
) -> str:
    """What is to be said of val images that are train images under another name; "" for none.

    They are told and not refused: a few in a large set change little.

    Args:
        root: Folder of the data set.
        train: Annotation file and folder of the images, relative to ``root``.
        val: The same.
        taught: File name → digest of its content, of the train images.
        asked: Of the val images.
    """
    # To read COCO's annotations once more takes long, and of most sets no two files are equal.
    if not {*taught.values()} & {*asked.values()}:
        return ""
    names = [
        [image["file_name"] for image in coco.load(Path(root, path))["images"]]
        for path, _ in (train, val)
    ]
    known = {taught[name]: name for name in names[0]}
    both = [(name, known[asked[name]]) for name in names[1] if asked[name] in known]
    if not both:
        return ""
    name, other = both[0]
    return (
        f"val: kept, but {len(both)} images are, byte for byte, images of train: what is scored is "
        f"trained on, the first is {name}, in train {other}"
    )
