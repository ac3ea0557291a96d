"""Which configuration each detector of Table 1 comes from; imports nothing heavy."""

from importlib.util import find_spec

MODELS: dict[str, str | None] = {
    "yolov5-n": "yolov5/yolov5_n-v61_syncbn_fast_8xb16-300e_coco",
    "rtmdet-tiny": None,
    "yolov5-s": "yolov5/yolov5_s-v61_syncbn_fast_8xb16-300e_coco",
    "yolov6-s": "yolov6/yolov6_s_syncbn_fast_8xb32-400e_coco",
    "rtmdet-s": None,
    "yolov5-m": "yolov5/yolov5_m-v61_syncbn_fast_8xb16-300e_coco",
    "yolox-m": "yolox/yolox_m_fast_8xb8-300e_coco",
    "rtmdet-m": None,
    "yolov5-l": "yolov5/yolov5_l-v61_syncbn_fast_8xb16-300e_coco",
    "yolox-l": "yolox/yolox_l_fast_8xb8-300e_coco",
    "yolov6-l": "yolov6/yolov6_l_syncbn_fast_8xb32-300e_coco",
    "yolov7": "yolov7/yolov7_l_syncbn_fast_8x16b-300e_coco",
    "ppyoloe-l": "ppyoloe/ppyoloe_l_fast_8xb20-300e_coco",
    "rtmdet-l": None,
}
"""Model → MMYOLO's configuration, or None of the suite's own; in the order of Table 1."""


def mmyolo_installed() -> bool:
    """Whether MMYOLO of ``envs/yolo.txt`` is there."""
    return find_spec("mmyolo") is not None


def available() -> list[str]:
    """Models that can be built here; the rest of Table 1 reads *not run*."""
    return [model for model, source in MODELS.items() if source is None or mmyolo_installed()]
