"""Where a run's files lie, and the weights it starts from and learns from."""

import glob
import os
from pathlib import Path

from mkd.errors import UserError
from mkd.experiment.suite import SEED, Suite

PACKED = ".pth.xz"
"""How the name of a file of weights ends that a scale keeps for others."""


def run_path(suite: Suite, run: str, seed: int | str, name: str) -> str:
    """A file of one run and seed; ``seed`` may be a wildcard."""
    return f"{suite.results.as_posix()}/runs/{run}/seed{seed}/{name}"


def teacher_weights(suite: Suite, run: str, seed: int) -> list[str]:
    """The teacher's weights, or nothing for a baseline: a student's input beside the data."""
    teacher = suite.run(run).teacher
    if teacher is None:
        return []
    return [run_path(suite, teacher, suite.teacher_seed(run, seed), "weights.pth")]


def start_weights(suite: Suite, run: str, seed: int) -> list[str]:
    """The weights a whole detector starts from, where another scale trained some: an input."""
    start = suite.start(run, seed)
    return [] if start is None else [kept_weights(suite, *start)]


def kept_weights(suite: Suite, run: str, seed: int | str) -> str:
    """Where weights lie that a scale keeps for others; their card is beside them.

    They are those that came with the suite, unless the configuration says ``starts=train`` or there
    are none: then those this machine trains.
    """
    name = f"{run}-seed{seed}{PACKED}"
    if suite.starts is not None and suite.config["starts"] != "train":
        # Two scales may have runs of one name.
        shipped = Path(suite.config["starts"]) / suite.starts.scale / name
        if shipped.is_file():
            return shipped.as_posix()
    return ((suite.starts or suite).results / "weights" / name).as_posix()


def pretrained_file(suite: Suite, run: str, seed: int) -> Path:
    """The weights file that a run has in the place of a training; it may be missing.

    A relative name is looked for beside a user's own scale, then where the command is given, then
    among the suite's weights. A release's name may lack its date, digest and suffix.

    Raises:
        UserError: Several files fit, or the one that does has a name that no job can have as input.
    """
    path = _look_for(suite, run, seed)
    if set("{}") & set(str(path)):
        raise UserError(
            f"the weights of run '{run}': Snakemake reads the braces of {path} as a wildcard: give "
            "the file another name"
        )
    return path


def _look_for(suite: Suite, run: str, seed: int) -> Path:
    named = suite.pretrained[run].file.replace(SEED, str(seed))
    weights = Path(suite.config["weights"])
    for folder in ([suite.file.parent] if suite.own else []) + [Path(), weights]:
        wanted = Path(os.path.expanduser(named))
        if (folder / wanted).is_file():
            return folder / wanted
        pattern = str(wanted) if wanted.suffix == ".pth" else f"{wanted}*.pth"
        found = [folder / name for name in sorted(glob.glob(pattern, root_dir=folder))]
        found = [path for path in found if path.is_file()]
        if len(found) > 1:
            raise UserError(
                f"the weights of run '{run}' may be {found[0]} or {found[1]}, both fit '{named}': "
                "name one of them"
            )
        if found:
            return found[0]
    return weights / os.path.expanduser(named)


def taken_weights(suite: Suite, run: str, seed: int) -> list[str]:
    """The file that a run's weights are read from: an input; nothing where it is missing.

    Kept weights are always named, as this machine can make them.
    """
    if run not in suite.pretrained:
        return [kept_weights(suite, run, seed)]
    path = pretrained_file(suite, run, seed)
    return [path.as_posix()] if path.is_file() else []


def backbone_weights(suite: Suite, run: str) -> list[str]:
    """The pretrained backbone a run starts from, where the scale makes its own: an input."""
    if suite.settings.train.pretrained != "crops":
        return []
    backbone = suite.run(run).architecture.backbone
    return [f"{suite.results.as_posix()}/pretrained/{backbone}.pth"]


def imagenet_weights(suite: Suite, run: str) -> Path | None:
    """The ImageNet weights mmdet's recipe starts a run from, where the scale uses them.

    Raises:
        UserError: Several files may be they.
    """
    release = suite.run(run).architecture.imagenet
    if suite.settings.train.pretrained != "imagenet" or release is None:
        return None
    folder = Path(suite.config["weights"])
    return only_one(folder, release, "the ImageNet weights") or folder / f"{release}.pth"


def only_one(folder: Path, release: str, what: str) -> Path | None:
    """The file of a release, behind whose name its date and digest may stand; None for no file.

    Raises:
        UserError: There are several.
    """
    found = sorted(folder.glob(f"{release}*.pth"))
    if len(found) > 1:
        raise UserError(f"{what} may be {found[0]} or {found[1]}: move all but one out of {folder}")
    return found[0] if found else None


def missing_weights(suite: Suite) -> list[Path]:
    """ImageNet weights the scale needs and the weights folder does not hold.

    Raises:
        UserError: Of some it holds several.
    """
    needed = {imagenet_weights(suite, run) for run in suite.runs if not suite.taken(run)}
    return sorted(path for path in needed if path is not None and not path.is_file())


def missing_pretrained(suite: Suite) -> dict[str, Path]:
    """Weights in the place of a training that are not there, of each run the first."""
    return {
        run: path
        for run in suite.pretrained
        if run in suite.runs
        for seed in reversed(suite.seeds(run))
        if not (path := pretrained_file(suite, run, seed)).is_file()
    }
