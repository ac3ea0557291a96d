"""What a configuration must agree on, once its scale and its table of runs are read."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mkd.errors import UserError, meant
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.runs import Run, baseline_of
from mkd.schemas import read_yaml

if TYPE_CHECKING:
    from mkd.experiment.suite import Suite

LEAST_PX = 8
"""Input side to which an image may be shrunk: of an oblong one little else would be left."""


def check(suite: "Suite", default_table: bool) -> None:
    """Compare a scale with its runs.

    Args:
        suite: The scale and its table of runs.
        default_table: Whether the table of runs is the one the scale names, no other.

    Raises:
        UserError: They do not agree.
    """
    _check_starts(suite)
    _check_named(suite)
    if default_table:
        _check_settings_of_runs(suite)
    _check_teachers(suite)
    _check_frozen(suite)
    _check_lengths(suite)
    _check_orders(suite)
    _check_shuffled(suite)
    _check_resized(suite)
    _check_widths(suite)
    _check_backbones(suite)


def _check_backbones(suite: "Suite") -> None:
    """Refuse one pretrained backbone for networks of two widths: it fits one of them."""
    if suite.settings.train.pretrained != "crops":
        return
    first: dict[str, str] = {}
    for run in suite.runs:
        if suite.taken(run):
            continue
        other = first.setdefault(suite.run(run).architecture.backbone, run)
        if suite.width(run) != suite.width(other):
            raise UserError(
                f"{suite.file}: runs '{other}' and '{run}' have one backbone, which is pretrained "
                f"once, and the widths {suite.width(other):.3g} and {suite.width(run):.3g}: give "
                "both the same, or write pretrained: none"
            )


def _check_widths(suite: "Suite") -> None:
    """Refuse a difference between networks of two sizes, which no method explains."""
    for run in suite.runs.values():
        base = baseline_of(run.id, suite.runs)
        if run.method == "baseline" or base is None:
            continue
        if suite.width(run.id) != suite.width(base):
            raise UserError(
                f"{suite.file}: run '{run.id}' has width {suite.width(run.id):.3g}, to be compared "
                f"with '{base}' of width {suite.width(base):.3g}: give both the same, or each a "
                "scale of its own"
            )


def _check_shuffled(suite: "Suite") -> None:
    """Refuse to shuffle the labels of a share of images of which only the first are taken."""
    data = suite.settings.data
    if data.first_images is None:
        return
    named = [f"run '{run.id}'" for run in suite.runs.values() if run.shuffled_labels]
    named += ["data"] if data.shuffled_labels else []
    if named:
        raise UserError(
            f"{suite.file}: {named[0]}: shuffled_labels is a share of the whole train set, of "
            f"which data.train_images takes the first {data.first_images}: name an annotation "
            "file of those images alone, or leave one of the two out"
        )


def _check_resized(suite: "Suite") -> None:
    least = min(suite.settings.train.resize_ratio or [1.0])
    if least * suite.settings.input_px < LEAST_PX:
        raise UserError(
            f"{suite.file}: train.resize_ratio: {least:g} of {suite.settings.input_px} px is under "
            f"{LEAST_PX} px: begin higher"
        )


def _check_orders(suite: "Suite") -> None:
    for run in suite.runs:
        for seed in suite.seeds(run):
            suite.check_seed(run, seed)


def _check_lengths(suite: "Suite") -> None:
    for run in suite.runs.values():
        if suite.taken(run.id):
            continue
        train = suite.train(run.id)
        for name, least in (("second_stage_epochs", train.second_stage_epochs),
                            ("sgd.milestones", train.last_milestone)):  # fmt: skip
            if least > train.epochs:
                raise UserError(
                    f"{suite.file}: {name}={least} is more than the {train.epochs} epochs of run "
                    f"'{run.id}': make it smaller"
                )
        if stops_nothing(suite, run):
            raise UserError(
                f"run '{run.id}': stop_epoch={run.options['stop_epoch']} stops nothing at scale "
                f"'{suite.scale}', where it has {train.epochs} epochs: choose an earlier one, or "
                "another table of runs"
            )


def stops_nothing(suite: "Suite", run: Run) -> bool:
    """Whether a run is to stop distilling at an epoch that it does not reach."""
    stop = run.options.get("stop_epoch")
    return stop is not None and not suite.taken(run.id) and stop >= suite.train(run.id).epochs


def _check_settings_of_runs(suite: "Suite") -> None:
    """Refuse a setting of a run that there is not: the run it is meant for would not have it."""
    # What a base says of its own runs may stand idle.
    own = read_yaml(suite.file)
    known = {*suite.runs, *(suite.starts.runs if suite.starts else ()), "default"}
    archs = {*ARCHITECTURES, *(run.arch for run in suite.runs.values())}
    train = own.get("train") or {}
    for words, named, fit in (
        ("train.by_run", train.get("by_run"), known - {"default"}),
        ("train.epochs", train.get("epochs"), known | archs),
        ("seeds", own.get("seeds"), known | archs),
        ("width", own.get("width"), known | archs),
    ):
        for name in named if isinstance(named, dict) else ():
            if name not in fit:
                raise UserError(
                    f"{suite.file}: {words}: '{name}' is no run of the table, and no architecture"
                    f"{meant(str(name), fit)}"
                )


def _check_teachers(suite: "Suite") -> None:
    """Refuse to compare the classes of two detectors that know different ones."""
    for run in suite.runs.values():
        if run.teacher is None or run.teacher not in suite.runs or suite.scored(run.teacher):
            continue
        if suite.taken(run.id):
            continue
        plan = suite.resolve(run.id, suite.seeds(run.id)[0]).distillation
        if "cls" in (plan.outputs or {}).values():
            raise UserError(
                f"run '{run.id}': its method compares what student and teacher say of each class, "
                f"and '{run.teacher}' only teaches, as it knows other classes: choose another "
                "method or teacher"
            )


def _check_frozen(suite: "Suite") -> None:
    for run in suite.runs.values():
        if (
            run.architecture.two_stage
            and not suite.taken(run.id)
            and suite.train(run.id).pretrained == "none"
        ):
            raise UserError(
                f"run '{run.id}': {run.arch} keeps the first stages of its backbone as they were "
                f"pretrained, and scale '{suite.scale}' pretrains none: set train.pretrained to "
                "imagenet or crops"
            )


def _check_starts(suite: "Suite") -> None:
    for row in suite.runs.values():
        if row.start is not None and not suite.taken(row.id) and suite.start(row.id, 0) is None:
            raise UserError(
                f"run '{row.id}': start={row.start} is the seed of a stem, and scale "
                f"'{suite.scale}' has none for {row.arch}: leave it out"
            )
    wanted = suite.settings.starts
    if wanted is None or suite.starts is None:
        return
    for arch, stem in (wanted.stems or {}).items():
        known = suite.starts.runs
        if stem not in known or known[stem].arch != arch:
            raise UserError(
                f"{suite.file}: starts.stems.{arch}: scale '{wanted.scale}' has no run '{stem}' of "
                "that architecture"
            )
    for run in suite.runs:
        other = suite.starts.runs.get(run)
        if other and (other.arch, suite.starts.width(run)) != (
            suite.run(run).arch,
            suite.width(run),
        ):
            raise UserError(
                f"{suite.file}: run '{run}' is taken from scale '{wanted.scale}', where it has "
                "another architecture or width: make them the same"
            )


def _check_named(suite: "Suite") -> None:
    """Refuse a misspelt run: it would be trained, for hours, and not read from its file."""
    where = str(suite.file)
    for place, words, names in (
        (where, "pretrained", suite.settings.pretrained or {}),
        ("config/config.yaml or --config", "pretrained", suite.config.get("pretrained") or {}),
        (where, "latency", suite.settings.latency or []),
    ):
        for name in names:
            if name not in suite.runs:
                raise UserError(
                    f"{place}: {words}: there is no run '{name}' in the table of runs; it has "
                    f"{', '.join(suite.runs)}{meant(name, suite.runs)}"
                )
    for name in suite.settings.latency or []:
        if not suite.scored(name):
            raise UserError(
                f"{where}: latency: the run '{name}' only teaches and is not scored: leave it out"
            )
    check_exported(suite, f"{where}: latency", suite.settings.latency or [])


def check_exported(suite: "Suite", where: str, runs: Iterable[str]) -> None:
    """Refuse a run that is to be exported and has no file that detects.

    Args:
        suite: The scale; runs that its table has not are left alone.
        where: What names the runs.
        runs: Their ids.

    Raises:
        UserError: The first one.
    """
    for name in filter(suite.runs.__contains__, runs):
        arch = suite.run(name).architecture
        if arch.generic or arch.has_masks:
            raise UserError(
                f"{where}: the run '{name}' is {arch.name}, which has no exported file "
                "that detects: leave it out; RTMDet has one"
            )
