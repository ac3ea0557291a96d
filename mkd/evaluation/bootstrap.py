"""How much of AP the choice of val images decides: a paired bootstrap over them.

Detections are judged image by image once; AP is accumulated anew, by pycocotools, over images
drawn with replacement. Torch is not imported here.
"""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import COCO
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from mkd.data.annotations import read, truth

RESAMPLES = 200


class Judged:
    """Detections judged against the objects of each image: AP of any choice of images.

    Args:
        coco: The annotations.
        detections: COCO results with boxes, under the annotations' ids.
    """

    def __init__(self, coco: COCO, detections: list[dict[str, Any]]) -> None:
        # pycocotools prints its progress.
        with redirect_stdout(io.StringIO()):
            self._evaluation = COCOeval(coco, coco.loadRes(detections), "bbox")
            params = self._evaluation.params
            # AP alone: objects of any size, COCO's 100 detections.
            params.areaRng, params.areaRngLbl, params.maxDets = params.areaRng[:1], ["all"], [100]
            self._evaluation.evaluate()
        # One row a category, one column an image; None where neither has anything.
        self._found = np.array(self._evaluation.evalImgs, object).reshape(-1, len(params.imgIds))

    def ap(self, images: Sequence[int] | NDArray[np.int64]) -> float:
        """AP in percent of the images at those places, as often as they are named.

        Args:
            images: As many places as the val set has images, counted from 0 in the order of ids.
        """
        self._evaluation.evalImgs = list(self._found[:, images].ravel())
        with redirect_stdout(io.StringIO()):
            self._evaluation.accumulate()
        precision = self._evaluation.eval["precision"]
        counted = precision[precision > -1]
        return 100 * float(counted.mean()) if counted.size else 0.0


def measure(
    annotations: Path, detections: Mapping[str, list[dict[str, Any]]], resamples: int = RESAMPLES
) -> dict[str, Any]:
    """AP of two runs and of their difference, with the standard deviation that the val set gives.

    Args:
        annotations: The val annotations.
        detections: Run → its COCO results with boxes; the difference is the last minus the first.
        resamples: How often images are drawn.

    Returns:
        ``images``, ``resamples``, ``runs`` (by id) and ``difference``: each of them ``AP`` on all
        images and ``sd`` over the resamples, in percent. Both runs see the same draws.
    """
    objects = truth(read(annotations), masks=False)
    coco = COCO(objects.content)
    judged = {run: Judged(coco, objects.number(found)) for run, found in detections.items()}
    count = len(objects.images)
    chance = np.random.default_rng(0)
    draws = [chance.integers(0, count, count) for _ in range(resamples)]
    whole = {run: one.ap(np.arange(count)) for run, one in judged.items()}
    drawn = {run: np.array([one.ap(draw) for draw in draws]) for run, one in judged.items()}
    first, *_, last = judged
    return {
        "images": count,
        "resamples": resamples,
        "runs": {run: _figure(whole[run], drawn[run]) for run in judged},
        "difference": _figure(whole[last] - whole[first], drawn[last] - drawn[first]),
    }


def _figure(ap: float, drawn: NDArray[np.float64]) -> dict[str, float]:
    return {"AP": round(ap, 3), "sd": round(float(drawn.std(ddof=1)), 3)}
