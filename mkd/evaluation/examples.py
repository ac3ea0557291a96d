"""Which val images the report shows, and what each detector got right on them."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mkd.data.annotations import read as read_annotations
from mkd.errors import UserError
from mkd.files import read_json, write_json

IOU = 0.5
SCORE = 0.3
SMALL = 32**2
SHOWN = 6
MOST_PX = 480
RULE = (
    f"the first {SHOWN} val images, by id, with at least two objects of which one is small "
    f"(below 32² px²); detections with a score of at least {SCORE}"
)
"""Fixed before any run: it knows neither a detection nor which detector found more."""
DIFFERING = 2
DIFFERING_RULE = (
    f"the {DIFFERING} val images where {{0}} and {{1}} differ most, in objects that one of them "
    "finds and the other misses plus the difference of their false detections"
)
"""This one looks at nothing else than the outcome, and says so."""

Box = Mapping[str, Any]


def make(images: Path, annotations: Path, detections: Mapping[str, Path], out: Path) -> None:
    """Write the pictures' data: photographs, ground truth, and every detection judged.

    Args:
        images: Folder of the val images.
        annotations: The val annotations, COCO's format.
        detections: Name → ``detections.json`` of a run, in the order to be shown.
        out: The JSON file; photographs are inside it, at most :data:`MOST_PX` px wide or high.

    Raises:
        UserError: A file is missing or cannot be read.
    """
    truth = read_annotations(annotations)
    names = {category["id"]: category["name"] for category in truth["categories"]}
    objects = _by_image(truth["annotations"])
    found = {name: _by_image(read_json(path)["bbox"]) for name, path in detections.items()}

    def shown(image: Mapping[str, Any]) -> dict[str, Any]:
        here = objects.get(image["id"], [])
        return {
            "id": image["id"],
            "width": image["width"],
            "height": image["height"],
            "photo": photo(images / image["file_name"]),
            "truth": [described(a, names) for a in here if not a.get("iscrowd")],
            "found": {
                name: judge(here, boxes.get(image["id"], []), names)
                for name, boxes in found.items()
            },
        }

    two = list(found)[-2:]
    most = differing(truth["images"], objects, [found[name] for name in two], names)
    write_json(
        out,
        {
            "rule": RULE,
            "iou": IOU,
            "images": [shown(image) for image in choose(truth)],
            "differing": {
                "rule": DIFFERING_RULE.format(*two) if len(two) == 2 else "",
                "images": [shown(image) for image in most],
            },
        },
    )


def differing(
    images: Sequence[Mapping[str, Any]],
    objects: Mapping[int, Sequence[Box]],
    found: Sequence[Mapping[int, Sequence[Box]]],
    names: Mapping[int, str],
) -> list[Mapping[str, Any]]:
    """The images of :data:`DIFFERING_RULE`, the most different first, equal ones by id.

    Args:
        images: COCO's entries.
        objects: Image id → annotations.
        found: Of each of two detectors, image id → detections; of any other number there is none.
        names: Category id → name.
    """
    if len(found) != 2:
        return []
    distances = {}
    for image in images:
        here = objects.get(image["id"], [])
        one, other = (judge(here, boxes.get(image["id"], []), names) for boxes in found)
        missed = [{tuple(box["bbox"]) for box in judged["miss"]} for judged in (one, other)]
        false = abs(len(one["false"]) - len(other["false"]))
        distances[image["id"]] = len(missed[0] ^ missed[1]) + false
    ranked = sorted(images, key=lambda image: (-distances[image["id"]], image["id"]))
    return [image for image in ranked[:DIFFERING] if distances[image["id"]]]


def _by_image(boxes: Sequence[Box]) -> dict[int, list[Box]]:
    grouped: dict[int, list[Box]] = {}
    for box in boxes:
        grouped.setdefault(box["image_id"], []).append(box)
    return grouped


def choose(truth: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The images of :data:`RULE`, from the annotations alone."""
    areas: dict[int, list[float]] = {}
    for annotation in truth["annotations"]:
        if not annotation.get("iscrowd"):
            areas.setdefault(annotation["image_id"], []).append(annotation["area"])
    fit = [i for i in truth["images"] if len(a := areas.get(i["id"], ())) > 1 and min(a) < SMALL]
    return sorted(fit, key=lambda image: image["id"])[:SHOWN]


def judge(
    truth: Sequence[Box], found: Sequence[Box], names: Mapping[int, str]
) -> dict[str, list[dict[str, Any]]]:
    """Match detections to objects of one image, best score first, each object once.

    A detection hits an object of its category at :data:`IOU` or more; one that lies on a crowd of
    its category counts for nothing, as in COCO's evaluation.

    Args:
        truth: COCO annotations.
        found: COCO results.
        names: Category id → name.

    Returns:
        ``hit``, ``false`` and ``miss``: boxes with ``bbox`` (x y w h in px), ``category``,
        ``small`` and, where detected, ``score``.
    """
    free = [a for a in truth if not a.get("iscrowd")]
    crowds = [a for a in truth if a.get("iscrowd")]
    judged: dict[str, list[dict[str, Any]]] = {"hit": [], "false": [], "miss": []}
    for box in sorted(found, key=lambda b: -b["score"]):
        if box["score"] < SCORE:
            break
        same = [a for a in free if a["category_id"] == box["category_id"]]
        best = max(same, key=lambda a: iou(a["bbox"], box["bbox"]), default=None)
        if best is not None and iou(best["bbox"], box["bbox"]) >= IOU:
            free.remove(best)
            judged["hit"].append(described({**box, "area": best["area"]}, names))
        elif not any(
            a["category_id"] == box["category_id"]
            and iou(a["bbox"], box["bbox"], crowd=True) >= IOU
            for a in crowds
        ):
            judged["false"].append(described(box, names))
    judged["miss"] = [described(a, names) for a in free]
    return judged


def iou(a: Sequence[float], b: Sequence[float], *, crowd: bool = False) -> float:
    """Overlap of two boxes x y w h; with ``crowd`` over the area of ``b`` alone."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (b[2] * b[3] if crowd else a[2] * a[3] + b[2] * b[3] - shared)


def described(box: Box, names: Mapping[int, str]) -> dict[str, Any]:
    """An annotation or a detection as the pictures show it."""
    area = box.get("area", box["bbox"][2] * box["bbox"][3])
    made = {
        "bbox": [round(float(v), 2) for v in box["bbox"]],
        "category": names[box["category_id"]],
        "small": area < SMALL,
    }
    return made | ({"score": round(float(box["score"]), 3)} if "score" in box else {})


def photo(path: Path) -> str:
    """An image file as :func:`embed` gives it.

    Raises:
        UserError: The file is missing or cannot be read.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise UserError(f"the image {path} is missing or cannot be read: make the data set again")
    return embed(pixels)


def embed(pixels: np.ndarray) -> str:
    """Pixels, rows × columns × BGR, as a WebP data URI no larger than :data:`MOST_PX`."""
    factor = MOST_PX / max(pixels.shape[:2])
    if factor < 1:
        pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 80])[1]
    return "data:image/webp;base64," + base64.b64encode(coded.tobytes()).decode()
