"""Reading of the configuration: a scale's file and its tables of runs, checked against each other.

Torch is not imported here: the Snakefile loads this module at every start.
"""

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

import yaml

from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment import checks, plugins, scale_file
from mkd.experiment.datasets import KINDS
from mkd.experiment.runs import Run, read_runs, teachers, with_own_teachers
from mkd.experiment.scale import Scale
from mkd.experiment.suite import Suite
from mkd.files import read_json
from mkd.schemas import read_yaml, validate

DEFAULT_RUNS = "config/runs.tsv"
"""The suite's own table of runs, which a scale may replace or add to."""
OWN_RUNS = "config/own.tsv"
"""The table of a scale outside ``config/scales``: a method against its baseline."""
OWNER = "scale_file"
"""Key of ``data.json`` that says of which file of a user's own a results folder is."""
READINGS = "config/readings.tsv"
"""Readings and rivals beyond the rows of the paper: trained when they are asked for."""


def default_config(path: Path = ROOT / "config/config.yaml") -> dict[str, Any]:
    """``config/config.yaml`` as it stands.

    Raises:
        UserError: It cannot be read, or is no mapping.
    """
    settings = read_yaml(path)
    if not isinstance(settings, dict):
        raise UserError(
            f"{path} has no settings: it names scale, seeds, runs, results, data, starts and "
            "weights"
        )
    return settings


def replaced(suite: Suite) -> dict[str, Any]:
    """What of ``config/config.yaml`` the command line replaced."""
    default = default_config()
    return {
        key: value
        for key, value in suite.config.items()
        if key not in default or value != default[key]
    }


def arguments(values: Mapping[str, Any]) -> str:
    """Replaced values as a user types them behind Snakemake's command; nothing for none."""
    typed = {
        # Snakemake takes outer quotes away before it reads YAML, and with them what is escaped.
        key: value if _plain(value) else json.dumps(value, ensure_ascii=False)
        for key, value in values.items()
    }
    return shlex.join(["--config", *map("=".join, typed.items())]) if typed else ""


def _plain(value: Any) -> bool:
    """Whether YAML, as which Snakemake reads a value, takes the text for itself without quotes."""
    text = isinstance(value, str) and re.fullmatch(r"[\w./-]+", value)
    return bool(text) and yaml.safe_load(value) == value


def load(replace: dict[str, Any] | None = None, path: Path = ROOT / "config/config.yaml") -> Suite:
    """Read and check the configuration.

    Args:
        replace: Values that take the place of the file's own, e.g. ``{"scale": "smoke"}``.
        path: The configuration file.

    Raises:
        UserError: A file, scale, run, method, option or key that is unknown or malformed.
    """
    config = _checked(replace or {}, path)
    scales = path.parent / "scales"
    file, own = scale_file.find(config["scale"], scales)
    scale, settings = file.stem, scale_file.read(file, scales)
    if settings.data.kind not in config["data"]:
        raise UserError(
            f"{path}: data: scale '{scale}' uses the kind '{settings.data.kind}' and no "
            "folder is named for it: add one"
        )
    _check_longer(file, settings, scales)
    starts = _starts(file, settings, replace or {}, path)
    # Whoever names another table wants its rows and no more.
    default = config["runs"] == DEFAULT_RUNS
    table = _table(file, settings, own) if default else config["runs"]
    root = path.parent.parent
    runs = read_runs(root / table)
    if own:
        # There are no tables to be in: what is not a teacher alone is compared.
        alone = teachers(runs) - _compared_with(runs)
        runs = {
            name: run if run.tables or name in alone else replace_fields(run, tables=(1,))
            for name, run in runs.items()
        }
    if default:
        runs |= _further(root, settings, own, runs)
    if settings.starts is not None or settings.train.teacher_epochs is not None:
        runs = with_own_teachers(runs)
    if default and settings.checks is not None:
        beside = file.parent / settings.checks
        checked = beside if own and beside.is_file() else root / settings.checks
        runs |= _known_answers(checked, runs, starts)
    suite = Suite(scale, settings, runs, config, starts, file, own, str(table))
    # A reading of longer scales would here be the run without it.
    idle = {run.id for run in runs.values() if run.reading and checks.stops_nothing(suite, run)}
    suite = replace_fields(suite, runs={k: run for k, run in runs.items() if k not in idle})
    checks.check(suite, default)
    if own:
        _check_owner(suite)
    return suite


def _compared_with(runs: dict[str, Run]) -> set[str]:
    """The baseline of each student's architecture: rather one that teaches nobody."""
    taught, found = teachers(runs), set()
    for arch in {run.arch for run in runs.values() if run.teacher}:
        plain = [run for run in runs.values() if (run.arch, run.method) == (arch, "baseline")]
        if plain:
            found.add(min(plain, key=lambda run: (not run.tables, run.id in taught)).id)
    return found


def _checked(replace: dict[str, Any], path: Path) -> dict[str, Any]:
    """The settings of the configuration file, or those that take their place."""
    config = {**default_config(path), **replace}
    if isinstance(config.get("seeds"), list):
        # Snakemake's --config leaves the items of a list as strings.
        config["seeds"] = [
            int(s) if isinstance(s, str) and re.fullmatch("0|[1-9][0-9]{0,9}", s) else s
            for s in config["seeds"]
        ]
    validate(config, "config", f"{path}, with --config" if replace else str(path))
    config = _at_home(config)
    results = Path(config["results"]).absolute()
    above = next(folder for folder in (results, *results.parents) if folder.exists())
    if not above.is_dir():
        raise UserError(f"results: {above} is no folder: name one that is, or that can be made")
    plugins.use(config.get("plugins", ()))
    unknown = sorted(config["data"].keys() - set(KINDS))
    if unknown:
        raise UserError(
            f"{path}: data: '{unknown[0]}' is no kind of data set: they are {', '.join(KINDS)}"
        )
    return config


def _table(file: Path, settings: Scale, own: bool) -> Path | str:
    """The scale's own table of runs: what a user's own names lies beside its file."""
    if own:
        return file.parent / settings.runs if settings.runs else OWN_RUNS
    return settings.runs or DEFAULT_RUNS


def _further(root: Path, settings: Scale, own: bool, runs: dict[str, Run]) -> dict[str, Run]:
    """Rows beside the default table: readings beyond the paper's, and Mask R-CNN's."""
    found: dict[str, Run] = {}
    if not own and settings.runs is None and (root / READINGS).is_file():
        for name, run in read_runs(root / READINGS, runs).items():
            found[name] = replace_fields(run, reading=True)
    if settings.mask_rcnn is not None:
        found |= read_runs(root / settings.mask_rcnn.runs)
    return found


def _known_answers(file: Path, runs: dict[str, Run], starts: Suite | None) -> dict[str, Run]:
    """The rows whose answers are known, and what they are taught by of another scale's."""
    taken = starts.runs if starts else {}
    others = {name: run for name, run in taken.items() if name not in runs}
    rows = read_runs(file, runs | others)
    taught_by = teachers(runs | rows)
    return rows | {name: run for name, run in others.items() if name in taught_by}


def _starts(file: Path, settings: Scale, replace: dict[str, Any], path: Path) -> Suite | None:
    """The scale whose weights this one starts from."""
    if settings.starts is None:
        return None
    scales = path.parent / "scales"
    theirs, _ = scale_file.find(settings.starts.scale, scales)
    if scale_file.read(theirs, scales).starts is not None:
        raise UserError(
            f"{file}: starts: scale '{settings.starts.scale}' takes weights of another scale "
            "itself: name one without 'starts'"
        )
    return load(
        {
            **replace,
            "scale": settings.starts.scale,
            "seeds": None,
            "runs": DEFAULT_RUNS,
            "pretrained": {},
        },
        path,
    )


def _check_longer(file: Path, settings: Scale, scales: Path) -> None:
    if settings.longer is None:
        return
    other = scale_file.read(scale_file.find(settings.longer, scales)[0], scales)
    if (other.starts and other.starts.stems) or other.train.pretrained != "none":
        raise UserError(
            f"{file}: longer: scale '{settings.longer}' does not start from random weights, "
            "which is what the page compares with: name one that does"
        )


def _at_home(value: Any) -> Any:
    """A configuration whose paths that begin with ``~`` are those of the user's home.

    A shell does not see to it behind a ``=``, and the folder would be one of that name.
    """
    if isinstance(value, dict):
        return {key: _at_home(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_at_home(item) for item in value]
    return os.path.expanduser(value) if isinstance(value, str) else value


def _check_owner(suite: Suite) -> None:
    """Refuse results that another file of the same name has, for as long as it is there."""
    try:
        said = read_json(suite.results / "data.json").get(OWNER)
    except (UserError, AttributeError):
        return
    if said and said != str(suite.file) and Path(said).is_file():
        raise UserError(
            f"{suite.results} has the results of {said}, another scale of this name: rename one of "
            "the files, or name another folder by --config results=…"
        )
