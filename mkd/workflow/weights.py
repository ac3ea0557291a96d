"""``mkd weights``: the weights files a scale reads or could read, and which of them are there.

What OpenMMLab released is looked up in the ``metafile.yml`` that MMDetection and MMYOLO install
beside their configurations. A release's name ends with the first digits of its SHA-256. Torch is
not imported here, nor are those packages.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from mkd.edge import models
from mkd.edge import suite as edge
from mkd.errors import UserError
from mkd.experiment import paths
from mkd.experiment.suite import Suite
from mkd.files import sha256_file

THERE, MISSING, WRONG = "there", "missing", "wrong"
STATES = {
    THERE: "is there",
    MISSING: "is not there",
    WRONG: "is there and does not have the SHA-256 its name says: fetch it again",
}

_CSPNEXT = "https://download.openmmlab.com/mmdetection/v3.0/rtmdet/cspnext_rsb_pretrain"
_TORCH = "https://download.pytorch.org/models"
IMAGENET = {
    "cspnext-tiny_imagenet_600e.pth": f"{_CSPNEXT}/cspnext-tiny_imagenet_600e.pth",
    "cspnext-s_imagenet_600e.pth": f"{_CSPNEXT}/cspnext-s_imagenet_600e.pth",
    "resnet50-0676ba61.pth": f"{_TORCH}/resnet50-0676ba61.pth",
    "resnet101-63fe2227.pth": f"{_TORCH}/resnet101-63fe2227.pth",
}
"""ImageNet weights by name → where MMDetection's configurations and torchvision take them from."""


@dataclass(frozen=True)
class Wanted:
    """A weights file.

    Attributes:
        use: What it is for.
        path: Where it lies or belongs; of a release that is not there without what only
            OpenMMLab knows of its name.
        url: Where it was published, where that is known.
        needed: Whether the scale cannot do without.
    """

    use: str
    path: Path
    url: str = ""
    needed: bool = False

    @property
    def state(self) -> str:
        """One of :data:`STATES`."""
        if not self.path.is_file():
            return MISSING
        named = re.search(r"-([0-9a-f]{8})$", self.path.stem)
        return THERE if not named or sha256_file(self.path).startswith(named[1]) else WRONG


def lines(suite: Suite) -> list[str]:
    """What the verb prints: a line a file, those that are needed first."""
    found: dict[Path, Wanted] = {}
    # What is needed is told once, as that, whoever could read it too.
    for file in sorted(_wanted(suite), key=lambda file: not file.needed):
        found.setdefault(file.path, file)
    if not found:
        return [f"scale {suite.scale} trains all that it uses, and reads no weights"]
    said = []
    for needed, head in ((True, "it reads"), (False, "it could read")):
        here = [file for file in found.values() if file.needed == needed]
        if here:
            said.append(f"scale {suite.scale}: {head}")
        for file in here:
            said.append(f"  {file.path}: {file.use}; {STATES[file.state]}")
            if file.url and file.state != THERE:
                said.append(f"    {file.url}")
    return said


def _wanted(suite: Suite) -> Iterator[Wanted]:
    folder = Path(suite.config["weights"])
    for run in suite.runs:
        row = suite.run(run)
        if run in suite.pretrained:
            use = f"run {run}" if suite.scored(run) else f"teacher {run}, not scored"
            for seed in suite.seeds(run):
                path = paths.pretrained_file(suite, run, seed)
                yield _released(Wanted(use, path, needed=True), path.stem, folder)
            continue
        if suite.starts is not None and suite.started(run):
            for seed in suite.seeds(run):
                path = Path(paths.kept_weights(suite, run, seed))
                yield Wanted(f"run {run} of scale {suite.starts.scale}", path, "", True)
            continue
        backbone = paths.imagenet_weights(suite, run)
        if backbone is not None:
            url = IMAGENET.get(backbone.name, "")
            yield Wanted(f"ImageNet backbone of {row.arch}", backbone, url, needed=True)
        fits = suite.width(run) == 1 and row.method == "baseline"
        if fits:
            name = Path(row.architecture.config).stem
            found = _released(Wanted("", folder / f"{name}.pth"), name, folder)
            use = f"pretrained: {{{run}: {found.path.name}}} in the place of a training"
            if found.url:
                yield Wanted(use, found.path, found.url)
    if suite.settings.data.published_classes:
        for model in edge.zoo(suite):
            source = models.MODELS[model]
            if source is not None:
                name = Path(source).name
                there = edge.checkpoint(suite, model)
                use = f"published {model}, scored for Table 1"
                yield _released(Wanted(use, there or folder / f"{name}.pth"), name, folder)


def _released(file: Wanted, name: str, folder: Path) -> Wanted:
    """A file with the name and the place that OpenMMLab gave it, where it is one of theirs."""
    url = next((u for n, u in releases().items() if name in (n, Path(u).stem)), "")
    if not url:
        return file
    path = file.path if file.path.is_file() else folder / Path(url).name
    return Wanted(file.use, path, url, file.needed)


@cache
def releases() -> dict[str, str]:
    """Address of every released detector of the families in use, by its configuration's name."""
    sources = [entry for entry in models.MODELS.values() if entry is not None]
    folders = {"mmdet": {"rtmdet", "mask_rcnn"}, "mmyolo": {Path(s).parts[-2] for s in sources}}
    folders["mmyolo"].add("rtmdet")
    found: dict[str, str] = {}
    for package, names in folders.items():
        spec = find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            for name in sorted(names):
                found = {**_metafile(Path(root, ".mim/configs", name, "metafile.yml")), **found}
    return found


def _metafile(path: Path) -> dict[str, str]:
    try:
        entries: Any = yaml.safe_load(path.read_text(encoding="utf-8"))["Models"]
        return {str(e["Name"]): str(e["Weights"]) for e in entries if e.get("Weights")}
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not what OpenMMLab installs: install it again") from error
