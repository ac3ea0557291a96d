"""What is known of an architecture.

The table of them (:mod:`mkd.experiment.architectures`) is another module, so that the code of a
training does not change with an entry it does not use.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """A detector of one family and size.

    Attributes:
        name: What the table of runs calls it.
        family: A student and its teacher are of one family.
        label: What it is called where it is shown.
        config: mmdet's configuration, below its folder of configurations.
        backbone: Name of the backbone; architectures with equal names share its pretrained weights.
        imagenet: The release of ImageNet weights that mmdet's configuration starts from, without a
            digest behind its name; None where mmdet starts from scratch.
        has_masks: Whether it segments the objects it detects.
        two_stage: Whether it proposes boxes and then judges them, as Mask R-CNN does.
    """

    name: str
    family: str
    label: str
    config: str
    backbone: str
    imagenet: str | None = None
    has_masks: bool = False
    two_stage: bool = False
