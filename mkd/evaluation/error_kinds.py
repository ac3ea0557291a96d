"""AP50 that each kind of error costs, in the manner of TIDE (Bolya et al. 2020, §3).

Every detection that is no hit at IoU t_f = 0.5 has one kind, from its best overlap with an object
of its own and of any other category; t_b = 0.1 parts a poor box from background. Where two kinds
fit, the first of localization, classification, duplicate, background, both is taken. What a kind
costs is the AP50 gained when errors of that kind, and no other, are mended:

- localization, classification: the detection becomes a hit of that object; of several hits of one
  object only the best scored stays;
- both, duplicate, background: the detection goes;
- missed: the objects go that no detection found, nor would find after the first two mendings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("classification", "localization", "both", "duplicate", "background", "missed")
FOREGROUND = 0.5
BACKGROUND = 0.1
MOST = 100
"""Detections counted in an image and category, COCO's maxDets."""

CLASSIFICATION, LOCALIZATION, BOTH, DUPLICATE, BACK = range(5)
HIT, IGNORED = -1, -2
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class _Judged:
    """Detections of the whole set, best score first; objects are numbered through the set.

    Attributes:
        kind: HIT, an index into :data:`KINDS` or IGNORED (on a crowd), D.
        category: Category of the detection, D.
        object: The object that is hit, or would be once mended; −1 for none, D.
        score: D.
        object_category: Category of each object, G; crowds are none.
    """

    kind: NDArray[np.int64]
    category: NDArray[np.int64]
    object: NDArray[np.int64]
    score: NDArray[np.float64]
    object_category: NDArray[np.int64]


def errors(truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """AP50, in percent, gained if errors of one kind alone were mended.

    Args:
        truth: Annotations, COCO's format.
        detections: COCO results with boxes x y w h in pixels.

    Returns:
        A gain for each of :data:`KINDS`, 0 where the set has no object.
    """
    judged = _judge(truth, detections)
    before = _ap50(judged, judged.kind == HIT, judged.kind != IGNORED, judged.category)
    gained = {kind: _mended(judged, at) - before for at, kind in enumerate(KINDS)}
    return {kind: round(100 * gain, 3) for kind, gain in gained.items()}


def _mended(judged: _Judged, at: int) -> float:
    """AP50 as a share, with the errors of kind ``KINDS[at]`` mended."""
    kept, hit = judged.kind != IGNORED, judged.kind == HIT
    if KINDS[at] == "missed":
        reached = np.isin(judged.kind, (HIT, CLASSIFICATION, LOCALIZATION))
        found = np.zeros(len(judged.object_category), bool)
        found[judged.object[reached]] = True
        return _ap50(judged, hit, kept, judged.category, found)
    mine = judged.kind == at
    if at not in (CLASSIFICATION, LOCALIZATION):
        return _ap50(judged, hit, kept & ~mine, judged.category)
    hit = hit | mine
    # Detections stand best score first, so the first of an object is the one that stays.
    candidates = np.flatnonzero(hit)
    best = candidates[np.unique(judged.object[candidates], return_index=True)[1]]
    kept = kept & ~hit
    kept[best] = True
    category = judged.category.copy()
    category[mine] = judged.object_category[judged.object[mine]]
    return _ap50(judged, hit, kept, category)


def _ap50(
    judged: _Judged,
    hit: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    category: NDArray[np.int64],
    counted: NDArray[np.bool_] | None = None,
) -> float:
    """Mean over categories with objects of the precision at 101 recalls, as COCO counts it."""
    values = []
    for one in np.unique(judged.object_category):
        objects = judged.object_category == one
        total = int((objects if counted is None else objects & counted).sum())
        hits = hit[kept & (category == one)]
        if not hits.any():
            # A category whose objects all went is perfect unless something false was found.
            values.append(float(total == 0 and len(hits) == 0))
            continue
        true = np.cumsum(hits)
        precision = true / np.arange(1, len(hits) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        # A last 0 for the recalls that are never reached.
        at = np.searchsorted(true / total, RECALLS, side="left")
        values.append(float(np.append(precision, 0.0)[at].mean()))
    return float(np.mean(values)) if values else 0.0


def _judge(truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]]) -> _Judged:
    objects: dict[int, list[Mapping[str, Any]]] = {}
    for annotation in truth["annotations"]:
        objects.setdefault(annotation["image_id"], []).append(annotation)
    found: dict[int, list[Mapping[str, Any]]] = {image["id"]: [] for image in truth["images"]}
    for detection in detections:
        found[detection["image_id"]].append(detection)
    parts: list[tuple[NDArray[Any], ...]] = []
    object_category: list[NDArray[np.int64]] = []
    numbered = 0
    for image, boxes in found.items():
        here = objects.get(image, [])
        free = [a for a in here if not a.get("iscrowd")]
        crowds = [a for a in here if a.get("iscrowd")]
        category, score = _column(boxes, "category_id", int), _column(boxes, "score", float)
        order = np.argsort(-score, kind="stable")
        order = order[_rank(category[order]) < MOST]
        category, score, box = category[order], score[order], _boxes(boxes)[order]
        theirs = _column(free, "category_id", int)
        kind, target = _judge_image(
            _overlap(box, _boxes(free)), category[:, None] == theirs[None, :]
        )
        on_crowd = (_overlap(box, _boxes(crowds), crowd=True) >= FOREGROUND) & (
            category[:, None] == _column(crowds, "category_id", int)[None, :]
        )
        kind[(kind != HIT) & on_crowd.any(1)] = IGNORED
        parts.append((kind, category, np.where(target < 0, -1, target + numbered), score))
        object_category.append(theirs)
        numbered += len(theirs)
    if not parts:
        parts, object_category = [(np.zeros(0, int),) * 4], [np.zeros(0, int)]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(-columns[3], kind="stable")
    kind, category, target, score = (column[order] for column in columns)
    return _Judged(kind, category, target, score, np.concatenate(object_category))


def _judge_image(
    overlap: NDArray[np.float64], same: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Kind and object of each detection of one image, best score first.

    Args:
        overlap: IoU of detections and objects, D×G.
        same: Whether they are of one category, D×G.
    """
    own, other = np.where(same, overlap, 0.0), np.where(same, 0.0, overlap)
    none = np.zeros(len(overlap))
    best_own = own.max(1) if overlap.shape[1] else none
    best_other = other.max(1) if overlap.shape[1] else none
    kind = np.full(len(overlap), BOTH)
    target = np.full(len(overlap), -1)
    kind[np.maximum(best_own, best_other) <= BACKGROUND] = BACK
    kind[best_own >= FOREGROUND] = DUPLICATE
    wrong = best_other >= FOREGROUND
    kind[wrong] = CLASSIFICATION
    poor = (best_own >= BACKGROUND) & (best_own < FOREGROUND)
    kind[poor] = LOCALIZATION
    if overlap.shape[1]:
        target[wrong] = other.argmax(1)[wrong]
        target[poor] = own.argmax(1)[poor]
    for at in np.flatnonzero(best_own >= FOREGROUND):
        to = int(own[at].argmax())
        if own[at, to] >= FOREGROUND:
            kind[at], target[at] = HIT, to
            own[:, to] = 0.0
    return kind, target


def _rank(category: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the same category stand before each."""
    order = np.argsort(category, kind="stable")
    ordered = category[order]
    first = np.searchsorted(ordered, ordered, side="left")
    rank = np.empty(len(category), int)
    rank[order] = np.arange(len(category)) - first
    return rank


def _overlap(
    a: NDArray[np.float64], b: NDArray[np.float64], *, crowd: bool = False
) -> NDArray[np.float64]:
    """IoU of boxes x y w h, D×4 and G×4, as D×G; with ``crowd`` over the area of ``a`` alone."""
    start = np.maximum(a[:, None, :2], b[None, :, :2])
    end = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    shared = np.clip(end - start, 0, None).prod(2)
    area_a, area_b = a[:, 2:].prod(1)[:, None], b[:, 2:].prod(1)[None, :]
    whole = np.broadcast_to(area_a, shared.shape) if crowd else area_a + area_b - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def _boxes(items: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    return np.array([item["bbox"] for item in items], float).reshape(-1, 4)


def _column(items: Sequence[Mapping[str, Any]], key: str, kind: type) -> NDArray[Any]:
    return np.array([item[key] for item in items], kind)
