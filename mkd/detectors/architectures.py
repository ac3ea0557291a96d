"""What is known of an architecture.

The table of them (:mod:`mkd.experiment.architectures`) is another module, so that the code of a
training does not change with an entry it does not use.
"""

from dataclasses import dataclass

GENERIC = "mmdet"
"""The family of every detector that the suite knows by its configuration alone."""


@dataclass(frozen=True)
class Architecture:
    """A detector of one family and size.

    Attributes:
        name: What the table of runs calls it.
        family: A family the suite knows, or :data:`GENERIC`.
        label: What it is called where it is shown.
        config: mmdet's configuration, below its folder of configurations; or a user's own file.
        backbone: Name of the backbone; architectures with equal names share its pretrained weights.
        imagenet: The release of ImageNet weights that mmdet's configuration starts from, without a
            digest behind its name; None where mmdet starts from scratch.
        has_masks: Whether it segments the objects it detects.
        two_stage: Whether it proposes boxes and then judges them, as Mask R-CNN does.
        digest: SHA-256 of what a user's own file says; None for mmdet's.
    """

    name: str
    family: str
    label: str
    config: str
    backbone: str
    imagenet: str | None = None
    has_masks: bool = False
    two_stage: bool = False
    digest: str | None = None

    @property
    def generic(self) -> bool:
        """Whether the suite knows its configuration alone: it is trained as that says."""
        return self.family == GENERIC
