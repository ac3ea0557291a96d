"""The kinds of data set: where each lies, and how much of it a scale takes.

A kind is one class here and one entry of :data:`Data`, which is what ``data`` of a scale's file
is read as. The files have COCO's layout. What makes images is not imported here: the Snakefile
loads this module at every start.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple, get_args

from pydantic import Field

from mkd.experiment.section import Positive, Section, Seed, Share

ShuffledLabels = Annotated[
    Share, Field(description="Share of the train images whose labels are shuffled among them.")
]


class Split(NamedTuple):
    """Where one split lies in its data set's folder."""

    annotations: str
    images: str


class Maker(NamedTuple):
    """The module ``mkd/data/<module>.py`` whose ``generate`` makes so many images."""

    module: str
    train_images: int
    val_images: int
    seed: int


class Badges(Section):
    """The embedded data set, which the suite makes itself."""

    splits: ClassVar[Mapping[str, Split]] = {
        "train": Split("annotations/instances_train.json", "train"),
        "val": Split("annotations/instances_val.json", "val"),
    }
    published_classes: ClassVar[bool] = False
    """Whether published detectors know the classes, which are COCO's."""

    kind: Literal["badges"]
    train_images: Positive
    val_images: Positive
    seed: Annotated[Seed, Field(description="Of all that is drawn.")] = 0
    shuffled_labels: ShuffledLabels | None = None

    def root(self, folder: Path) -> Path:
        """The data set's folder: each size and seed has its own below the configured one."""
        other = f"-{self.seed}" if self.seed else ""
        return folder / f"{self.train_images}-{self.val_images}{other}"

    @property
    def first_images(self) -> int | None:
        """Trained on are so many images, the first of the annotation file; None: all of them."""
        return None

    @property
    def maker(self) -> Maker | None:
        """What makes the data set, where the suite does."""
        return Maker("badges", self.train_images, self.val_images, self.seed)


class Coco(Section):
    """COCO 2017, or a user's own data set in its layout."""

    splits: ClassVar[Mapping[str, Split]] = {
        "train": Split("annotations/instances_train2017.json", "train2017"),
        "val": Split("annotations/instances_val2017.json", "val2017"),
    }
    published_classes: ClassVar[bool] = True

    kind: Literal["coco"]
    train_images: Positive | None = None
    shuffled_labels: ShuffledLabels | None = None

    def root(self, folder: Path) -> Path:
        """The data set's folder: the configured one."""
        return folder

    @property
    def first_images(self) -> int | None:
        """Trained on are so many images, the first of the annotation file; None: all of them."""
        return self.train_images

    @property
    def maker(self) -> Maker | None:
        """What makes the data set, where the suite does."""
        return None


Data = Annotated[Badges | Coco, Field(discriminator="kind")]
KINDS = tuple(
    get_args(kind.model_fields["kind"].annotation)[0] for kind in get_args(get_args(Data)[0])
)
"""Their names, by which ``config/config.yaml`` gives each its folder."""
