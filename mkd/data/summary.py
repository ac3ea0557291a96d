"""What the splits of a data set hold, side by side, and whether they know the same classes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mkd.errors import UserError

SHOWN = 5
"""So many classes without an object are named."""


@dataclass(frozen=True)
class DatasetSummary:
    """What one split holds: classes by id; crowd regions apart from the instances.

    Attributes:
        objects: Number of instances of each class.
        images: All that the file lists.
        usable: Images with an instance that training keeps, or all where the split is scored.
        instances: Objects that are taught, or asked for where the split is scored.
        masks: Whether every instance has a segmentation.
        densest: Instances of the image with most of them.
        dropped: Number of images and objects that are left out, by the reason.
        doubtful: Number of instances that are kept and look like a mistake, by the reason.
    """

    classes: tuple[str, ...]
    objects: dict[str, int]
    images: int
    usable: int
    instances: int
    crowds: int
    small: int
    medium: int
    large: int
    masks: bool
    densest: int
    dropped: dict[str, int]
    doubtful: dict[str, int]


def check_classes(train: DatasetSummary, val: DatasetSummary, root: Path) -> None:
    """Check that two splits list the same categories, in whatever order and with whatever ids.

    Raises:
        UserError: The first name that one of them lacks.
    """
    for has, lacks, ours, others in (
        ("train", "val", train.classes, val.classes),
        ("val", "train", val.classes, train.classes),
    ):
        for name in ours:
            if name not in others:
                raise UserError(
                    f"the {has} annotations in {root} list the category {name!r} and the {lacks} "
                    "annotations do not: categories are matched by name, give both splits the same"
                )


def table(splits: Mapping[str, DatasetSummary]) -> str:
    """The splits side by side, one a line, with what is left out below."""
    columns = ("images", "usable", "instances", "small", "medium", "large", "crowds")
    lines = ["split  classes " + " ".join(f"{name:>9}" for name in columns)]
    for name, split in splits.items():
        values = " ".join(f"{getattr(split, column):>9}" for column in columns)
        lines.append(f"{name:<6} {len(split.classes):>7} {values}")
    for name, split in splits.items():
        lines += [f"{name}: left out {count} {why}" for why, count in split.dropped.items()]
        lines += [f"{name}: kept, but {count} {why}" for why, count in split.doubtful.items()]
    return "\n".join([*lines, *_lacking(splits)])


def _lacking(splits: Mapping[str, DatasetSummary]) -> Iterator[str]:
    """Classes that a split has no object of, and what comes of it."""
    for name, what in (("train", "which training cannot learn"), ("val", "which no score has")):
        split = splits.get(name)
        lacks = [word for word, count in split.objects.items() if not count] if split else []
        if lacks:
            more = f" and {len(lacks) - SHOWN} more" if len(lacks) > SHOWN else ""
            words = ", ".join(map(repr, lacks[:SHOWN]))
            yield f"{name}: has no object of {words}{more}, {what}"
