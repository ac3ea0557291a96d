"""The kinds of data set: where each lies, and how much of it a scale takes.

A kind is one class here and one entry of :data:`Data`, which is what ``data`` of a scale's file
is read as. The files have COCO's layout. What makes images is not imported here: the Snakefile
loads this module at every start.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple, get_args

from pydantic import Field, model_validator

from mkd.experiment.section import Positive, Section, Seed, Share

ShuffledLabels = Annotated[
    Share, Field(description="Share of the train images whose labels are shuffled among them.")
]


Pair = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]],
    Field(
        min_length=2,
        max_length=2,
        description="Annotation file and image folder, relative to the data set's folder.",
    ),
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

    def folder(self, configured: Path, scale_folder: Path) -> Path:
        """The data set's folder: each size and seed has its own below the configured one."""
        other = f"-{self.seed}" if self.seed else ""
        return configured / f"{self.train_images}-{self.val_images}{other}"

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

    layout: ClassVar[Mapping[str, Split]] = {
        "train": Split("annotations/instances_train2017.json", "train2017"),
        "val": Split("annotations/instances_val2017.json", "val2017"),
    }
    """Where COCO 2017 has its splits."""

    kind: Literal["coco"]
    root: Annotated[
        str | None,
        Field(
            min_length=1, description="The folder, relative to the scale's file; else the usual."
        ),
    ] = None
    train: Pair | None = None
    val: Pair | None = None
    train_images: Positive | None = None
    shuffled_labels: ShuffledLabels | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Coco":
        if (self.train is None) != (self.val is None):
            lacks = "train" if self.train is None else "val"
            raise ValueError(f"'{lacks}' is missing: name annotations and images of both splits")
        return self

    @property
    def splits(self) -> Mapping[str, Split]:
        """Where the splits lie."""
        if self.train is None or self.val is None:
            return self.layout
        return {"train": Split(*self.train), "val": Split(*self.val)}

    @property
    def published_classes(self) -> bool:
        """Whether published detectors know the classes: those of COCO 2017 itself."""
        return self.root is None and self.train is None

    def folder(self, configured: Path, scale_folder: Path) -> Path:
        """The data set's folder: its own, or the configured one."""
        return configured if self.root is None else scale_folder / Path(self.root).expanduser()

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
