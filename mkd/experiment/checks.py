"""What a configuration must agree on, once its scale and its table of runs are read."""

from typing import TYPE_CHECKING

from mkd.errors import UserError, meant
from mkd.experiment.runs import Run

if TYPE_CHECKING:
    from mkd.experiment.suite import Suite


def check(suite: "Suite") -> None:
    """Compare a scale with its runs.

    Raises:
        UserError: They do not agree.
    """
    _check_starts(suite)
    _check_named(suite)
    _check_lengths(suite)


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


def _check_starts(suite: "Suite") -> None:
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
    for words, names in (
        (
            "pretrained",
            [*(suite.settings.pretrained or {}), *(suite.config.get("pretrained") or {})],
        ),
        ("latency", suite.settings.latency or []),
    ):
        for name in names:
            if name not in suite.runs:
                raise UserError(
                    f"{where}: {words}: there is no run '{name}' in the table of runs; it has "
                    f"{', '.join(suite.runs)}{meant(name, suite.runs)}"
                )
    for name in suite.settings.latency or []:
        if not suite.scored(name):
            raise UserError(
                f"{where}: latency: the run '{name}' only teaches and is not scored: leave it out"
            )
