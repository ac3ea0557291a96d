"""Where paper, official recipe and scales differ, from ``config/deviations.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from mkd import ROOT
from mkd.errors import UserError
from mkd.schemas import checked_yaml

FILE = ROOT / "config" / "deviations.yaml"


@dataclass(frozen=True)
class Deviation:
    """One thing that is not done as the paper or the recipe says, or that neither says.

    Attributes:
        id: Unique, fit for an anchor.
        topic: What it is about.
        taken: What is done.
        why: The reason.
        paper: What the paper says; empty where it says nothing.
        recipe: What OpenMMLab's recipe does; empty where it has no such thing.
        scales: Scales it speaks of; empty for all.
        items: Numbers of the audit's items it belongs to.
        fields: Patterns of the fields of mmengine's configuration in which a run of scale paper is
            not as OpenMMLab's config (``docs/recipe.md``); empty where no field shows it.
        caution: Scale → a sentence that stands beside its answer on the page.
    """

    id: str
    topic: str
    taken: str
    why: str
    paper: str = ""
    recipe: str = ""
    scales: tuple[str, ...] = ()
    items: tuple[int, ...] = ()
    fields: tuple[str, ...] = ()
    caution: Mapping[str, str] = field(default_factory=dict)

    def explains(self, field: str) -> bool:
        """Whether a difference in that field, e.g. ``optim_wrapper.type``, is this deviation."""
        return any(fnmatchcase(field, pattern) for pattern in self.fields)


def load(scale: str, path: Path = FILE) -> list[Deviation]:
    """Read and check the deviations, and keep those that speak of a scale.

    Raises:
        UserError: The file is missing, malformed, or has an id twice.
    """
    entries = checked_yaml(path, "deviations")
    found: dict[str, Deviation] = {}
    for entry in entries:
        lists = {key: tuple(entry.get(key, ())) for key in ("scales", "items", "fields")}
        if entry["id"] in found:
            raise UserError(f"{path}: deviation '{entry['id']}' stands there twice")
        found[entry["id"]] = Deviation(**{**entry, **lists})
    return [item for item in found.values() if scale in item.scales or not item.scales]
