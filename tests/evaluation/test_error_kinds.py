"""Errors by kind: hand-made scenes of one error each, and COCO's own AP50 as the base."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from mkd.evaluation import error_kinds
from mkd.evaluation.error_kinds import KINDS, errors
from mkd.report import breakdown

CAT, DOG = 1, 2
HERE, THERE = (10.0, 10.0, 40.0, 40.0), (100.0, 100.0, 40.0, 40.0)
POOR = (30.0, 10.0, 40.0, 40.0)  # IoU 1/3 with HERE
FAR = (200.0, 0.0, 20.0, 20.0)


def truth(*objects: tuple[int, tuple[float, ...]], crowd: bool = False) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "width": 256, "height": 256}],
        "categories": [{"id": CAT, "name": "cat"}, {"id": DOG, "name": "dog"}],
        "annotations": [
            {
                "id": at + 1,
                "image_id": 7,
                "category_id": category,
                "bbox": list(box),
                "area": box[2] * box[3],
                "iscrowd": int(crowd and at == 0),
            }
            for at, (category, box) in enumerate(objects)
        ],
    }


def found(*boxes: tuple[int, tuple[float, ...], float]) -> list[dict[str, Any]]:
    return [
        {"image_id": 7, "category_id": category, "bbox": list(box), "score": score}
        for category, box, score in boxes
    ]


def only(**gains: float) -> dict[str, float]:
    return dict.fromkeys(KINDS, 0.0) | gains


def test_kinds_are_those_the_report_draws():
    assert tuple(breakdown.KINDS) == KINDS


def test_perfect_detections_lose_nothing():
    assert (
        errors(truth((CAT, HERE), (DOG, THERE)), found((CAT, HERE, 0.9), (DOG, THERE, 0.8)))
        == only()
    )


def test_a_wrong_class_costs_the_object_and_the_precision_of_the_class_it_went_to():
    """The cat called a dog: cats at 0; the dogs' true hit, second in score, at precision ½."""
    lost = errors(truth((CAT, HERE), (DOG, THERE)), found((DOG, HERE, 0.9), (DOG, THERE, 0.8)))
    assert lost == only(classification=75.0)


def test_a_poor_box_of_the_right_class():
    assert errors(truth((CAT, HERE)), found((CAT, POOR, 0.9))) == only(localization=100.0)


def test_a_poor_box_of_the_wrong_class_also_leaves_its_object_missed():
    lost = errors(truth((CAT, HERE), (DOG, THERE)), found((DOG, POOR, 0.9), (DOG, THERE, 0.8)))
    assert lost == only(both=25.0, missed=50.0)


def test_a_duplicate_that_outranks_another_object():
    """Precision is 1, 1/2, 2/3: the second half of the recalls, 50 of 101, is at 2/3."""
    lost = errors(
        truth((CAT, HERE), (CAT, THERE)),
        found((CAT, HERE, 0.9), (CAT, HERE, 0.8), (CAT, THERE, 0.7)),
    )
    assert lost == only(duplicate=pytest.approx(100 * 50 / 101 / 3, abs=1e-3))


def test_background_that_outranks_the_object():
    lost = errors(truth((CAT, HERE)), found((CAT, FAR, 0.9), (CAT, HERE, 0.8)))
    assert lost == only(background=50.0)


def test_a_missed_object():
    """Recall reaches ½: 51 of 101 recalls at precision 1."""
    lost = errors(truth((CAT, HERE), (CAT, THERE)), found((CAT, HERE, 0.9)))
    assert lost == only(missed=pytest.approx(100 * 50 / 101, abs=1e-3))


def test_nothing_found_is_all_missed():
    assert errors(truth((CAT, HERE)), []) == only(missed=100.0)


def test_nothing_there_costs_nothing():
    assert errors(truth(), found((CAT, HERE, 0.9))) == only()


def test_of_two_mended_to_one_object_the_better_scored_stays():
    """Had both stayed, the mended one would be a false detection above the dog's hit."""
    lost = errors(truth((CAT, HERE)), found((CAT, POOR, 0.9), (CAT, POOR, 0.8)))
    assert lost == only(localization=100.0)


def test_a_mended_box_replaces_the_weaker_hit_of_its_object():
    lost = errors(truth((CAT, HERE)), found((CAT, POOR, 0.9), (CAT, HERE, 0.4)))
    assert lost == only(localization=50.0)


def test_a_detection_on_a_crowd_is_no_error():
    scene = truth((CAT, FAR), (CAT, HERE), crowd=True)
    assert errors(scene, found((CAT, FAR, 0.9), (CAT, HERE, 0.8))) == only()
    assert errors(scene, found((DOG, FAR, 0.9), (CAT, HERE, 0.8))) == only()


def test_mending_counts_from_cocos_own_ap50():
    """Crowds, equal boxes, more than 100 detections of a category and wrong classes included."""
    random = np.random.default_rng(3)
    images = [{"id": i, "width": 256, "height": 256} for i in range(12)]
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image in images:
        for _ in range(int(random.integers(0, 9))):
            box = np.concatenate([random.uniform(0, 180, 2), random.uniform(8, 70, 2)])
            category = int(random.integers(1, 4))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": category,
                    "bbox": box.tolist(),
                    "area": float(box[2] * box[3]),
                    "iscrowd": int(random.random() < 0.15),
                }
            )
            for _ in range(int(random.integers(0, 45))):
                detections.append(
                    {
                        "image_id": image["id"],
                        "category_id": category if random.random() < 0.8 else 4 - category,
                        "bbox": (box + random.normal(0, 6, 4)).clip(1).tolist(),
                        "score": float(random.random()),
                    }
                )
    scene = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": str(i)} for i in (1, 2, 3)],
    }
    judged = error_kinds._judge(scene, detections)
    base = error_kinds._ap50(
        judged,
        judged.kind == error_kinds.HIT,
        judged.kind != error_kinds.IGNORED,
        judged.category,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(scene)
        evaluation = COCOeval_faster(coco, coco.loadRes(detections), iouType="bbox")
        evaluation.run()
    assert 0.1 < base < 0.9
    assert base == pytest.approx(evaluation.stats[1], abs=1e-6)
    assert all(gain >= 0 for gain in errors(scene, detections).values())


def test_a_tenth_of_overlap_parts_a_poor_box_from_background():
    """IoU 8/72 and 7/73."""
    near, off = (42.0, 10.0, 40.0, 40.0), (43.0, 10.0, 40.0, 40.0)
    assert errors(truth((CAT, HERE)), found((CAT, near, 0.9))) == only(localization=100.0)
    assert errors(truth((CAT, HERE)), found((CAT, off, 0.9)))["localization"] == 0.0


def test_a_poor_box_of_its_own_class_goes_before_a_wrong_class():
    lost = errors(truth((CAT, HERE), (DOG, POOR)), found((CAT, POOR, 0.9)))
    assert (lost["localization"], lost["classification"]) == (50.0, 0.0)
