"""The image files of a data set: all there, readable, and of the size that is said of them."""

import struct
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from PIL import Image

from mkd.data.annotations import Item
from mkd.data.fingerprint import list_files
from mkd.errors import UserError

DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    struct.error,
    cv2.error,
    Image.DecompressionBombError,
)
"""What Pillow and OpenCV raise at an image that is cut off or no image."""


def check(records: list[Item], folder: Path, path: Path, decode: int | None) -> None:
    """Check that every image is there, is sound, and has the size that its record says.

    Args:
        records: Records of images, as the annotation file has them.
        folder: Folder of the images.
        path: The annotation file, for the messages.
        decode: Number of images to decode, spread evenly; None for all.

    Raises:
        UserError: Images that are missing, or the first that is damaged or of another size.
    """
    present = list_files(folder)
    missing = [record["file_name"] for record in records if record["file_name"] not in present]
    if missing:
        few = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        odd = next((name for name in missing if not _is_plain(name)), None)
        raise UserError(
            f"{len(missing)} of the {len(records)} images of {path} are missing in {folder} "
            f"({few}): "
            + (
                f"the file name {odd!r} must be a path inside that folder, without hidden parts"
                if odd is not None
                else "fetch them again, or set the right image folder in the configuration"
            )
        )
    count = len(records) if decode is None else min(decode, len(records))
    decoded = {number * len(records) // count for number in range(count)} if count else set()
    for number, record in enumerate(records):
        file = Path(present[record["file_name"]])
        try:
            width, height = size(file, number in decoded)
        except DAMAGED as error:
            reason = " ".join(str(error).split())
            raise UserError(f"image {file} is damaged ({reason}): fetch it again") from error
        if (width, height) != (record["width"], record["height"]):
            raise UserError(
                f"image {file} is {width} by {height} px as it is shown, turned as its EXIF says, "
                f"but {path} says {record['width']} by {record['height']}: images and annotations "
                "are of different data sets, or the boxes are of the unturned image"
            )


def _is_plain(name: str) -> bool:
    parts = PurePosixPath(name).parts
    plain = "/".join(parts) == name and not name.startswith("/")
    return bool(parts) and plain and not any(part.startswith(".") for part in parts)


def size(file: Path, decode: bool) -> tuple[int, int]:
    """Width and height of an image as OpenCV loads it.

    Raises:
        OSError, SyntaxError, ValueError: It is no image, is cut off, or cannot be decoded.
    """
    if not cv2.haveImageReader(str(file)):
        raise ValueError("OpenCV reads no images of this format")
    with Image.open(file) as image:
        size = image.size
        turned = image.getexif().get(0x112, 1) != 1
        if decode:
            image.load()
    if not decode and not turned:
        return size
    # Which tags turn an image is the decoder's to say; a header does not tell.
    pixels = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    return pixels.shape[1], pixels.shape[0]
