"""The table of architectures: one entry for each, whichever room asks.

What of an entry decides a run's weights is part of the resolved run
(:class:`mkd.experiment.resolved.ResolvedRun`): another entry, or another label, reruns nothing.
"""

from mkd.detectors.architectures import Architecture
from mkd.errors import UserError
from mkd.experiment import mmdet_configs

_IMAGENET = {
    "tiny": "cspnext-tiny_imagenet_600e",
    "s": "cspnext-s_imagenet_600e",
    "r50": "resnet50-0676ba61",
    "r101": "resnet101-63fe2227",
}
"""By backbone: OpenMMLab's weights of mmdet's RTMDet configurations, where m, l and x start from
scratch, and torchvision's (IMAGENET1K_V1) of its Mask R-CNN configurations."""


def _rtmdet(size: str, masks: bool = False) -> Architecture:
    family, label = ("rtmdet-ins", "RTMDet-Ins") if masks else ("rtmdet", "RTMDet")
    return Architecture(
        name=f"{family}-{size}",
        family=family,
        label=f"{label}-{size}",
        config=f"rtmdet/{family}_{size}_8xb32-300e_coco.py",
        backbone=size,
        imagenet=_IMAGENET.get(size),
        has_masks=masks,
    )


def _mask_rcnn(backbone: str) -> Architecture:
    return Architecture(
        name=f"mask-rcnn-{backbone}",
        family="mask-rcnn",
        label=f"Mask R-CNN {backbone.upper()}",
        config=f"mask_rcnn/mask-rcnn_{backbone}_fpn_2x_coco.py",
        backbone=backbone,
        imagenet=_IMAGENET.get(backbone),
        has_masks=True,
        two_stage=True,
    )


ARCHITECTURES = {
    entry.name: entry
    for entry in (
        *map(_rtmdet, ("tiny", "s", "m", "l", "x")),
        *(_rtmdet(size, masks=True) for size in ("tiny", "s")),
        *map(_mask_rcnn, ("r50", "r101")),
    )
}


def architecture(name: str) -> Architecture:
    """The entry of a name: of the table, of an mmdet config, or of a user's own config file.

    Args:
        name: A key of :data:`ARCHITECTURES`, the name of a file of mmdet's configurations without
            ``.py``, or ``config:`` and the path of a file.

    Raises:
        UserError: There is none, or the file is no configuration.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    return mmdet_configs.architecture(name, ARCHITECTURES)


def has_masks(name: str) -> bool:
    """Whether a detector segments objects; those of other suites, which are only timed, do not."""
    try:
        return architecture(name).has_masks
    except UserError:
        return False
