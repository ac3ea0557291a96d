"""What an architecture's name says of it."""


def two_stage(arch: str) -> bool:
    """Whether an architecture proposes boxes and then judges them, as Mask R-CNN does."""
    return arch.startswith("mask-rcnn-")


def has_masks(arch: str) -> bool:
    """Whether an architecture segments the objects it detects."""
    return "-ins-" in arch or two_stage(arch)
