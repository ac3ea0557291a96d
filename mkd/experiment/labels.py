"""What architectures, methods, runs and anchors are called where they are shown."""

import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any

from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.mmdet_configs import PREFIX
from mkd.experiment.runs import Run, teachers

METHOD_NAMES = {
    "baseline": "",
    "mkd": "MKD",
    "mkd-balanced": "MKD, balanced",
    "freekd-unprompted": "FreeKD without prompts",
    "kd": "logit KD",
}
TERM_NAMES = {
    "multiscale": "multi-scale",
    "fdmd": "frequency mask",
    "fad": "feature alignment",
    "fea": "feature",
}
"""Term of MKD → its name; the first three are the method's own."""
OPTION_NAMES = {"alpha": "α", "fdmd.mask_ratio": "ζ"}
OPTION_WORDS = {
    ("fdmd.mask", "hermitian"): "Hermitian mask",
    ("adapter", "conv"): "adapter without norms",
    ("adapter", "identity"): "no adapter",
}
"""Options that have a name of their own."""


def slug(text: str) -> str:
    """Lower-case letters, digits and hyphens only, fit for an anchor."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def arch_name(arch: str) -> str:
    """The architecture as the field writes it, e.g. ``RTMDet-Ins-tiny``, ``Mask R-CNN R50``."""
    if arch in ARCHITECTURES:
        return ARCHITECTURES[arch].label
    return PurePosixPath(arch).stem if arch.startswith(PREFIX) else arch


def method_name(run: Run) -> str:
    """The method with what sets the run apart, e.g. ``MKD, α = 0.1``, ``MKD without multi-scale``.

    Empty for an undistilled run.
    """
    name = METHOD_NAMES.get(run.method, run.method.upper())
    for key, value in run.options.items():
        name += _terms(value) if key == "terms" else f", {_option(key, value)}"
    return name


def run_name(run: Run, runs: Mapping[str, Run]) -> str:
    """A run in the field's words, e.g. ``RTMDet-tiny + CWD``, ``RTMDet-s, teacher``.

    Args:
        run: The run.
        runs: The table of runs: where two differ by their teacher alone, the name says it.
    """
    name, method = arch_name(run.arch), method_name(run)
    if method:
        name += f" + {method}"
    elif run.id in teachers(dict(runs)) and not run.tables:
        name += ", teacher"
    else:
        name += ", undistilled"
    if run.start is not None:
        name += ", one start for all seeds"
    if run.order:
        name += ", another order of the images"
    if run.shuffled_labels:
        name += f", {100 * run.shuffled_labels:g} % of the labels shuffled"
    earlier = takewhile(lambda other: other.id != run.id, runs.values())
    before = [other for other in earlier if _alike(other, run)] if run.id in runs else []
    if run.teacher and before:
        known = runs.get(run.teacher)
        apart = known is not None and known.arch not in {run.arch, *_teachers_of(before, runs)}
        name += f", taught by {arch_name(known.arch) if known and apart else run.teacher}"
    return name


def _alike(run: Run, other: Run) -> bool:
    return (run.arch, run.method, run.options) == (other.arch, other.method, other.options)


def _teachers_of(found: list[Run], runs: Mapping[str, Run]) -> set[str]:
    return {runs[run.teacher].arch for run in found if run.teacher and run.teacher in runs}


def _terms(value: Any) -> str:
    named = [part.strip() for part in str(value).split(",")]
    own = list(TERM_NAMES)[:3]
    missing = [term for term in own if term not in named]
    if set(named) <= set(own) and len(missing) == 1:
        return f" without {TERM_NAMES[missing[0]]}"
    words = " and ".join(TERM_NAMES.get(term, term) for term in named)
    return f", {words} alone" if len(named) == 1 else f", {words}"


def _option(key: str, value: Any) -> str:
    # A list, such as several scales of a term, is no key.
    if isinstance(value, str) and (key, value) in OPTION_WORDS:
        return OPTION_WORDS[key, value]
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{OPTION_NAMES.get(key, key.replace('.', ' ').replace('_', ' '))} = {shown}"


def row_name(printed: str) -> str:
    """The paper's name of a row in the words that the other figures have for it."""
    teacher = re.fullmatch(r"Rtmdet-(\w)", printed)
    if teacher:
        return f"MKD, taught by RTMDet-{teacher[1].lower()}"
    for theirs, ours in (
        ("Ours", "MKD"),
        ("L_Multiscale", "multi-scale"),
        ("L_FDMD", "frequency mask"),
        ("L_FAD", "feature alignment"),
    ):
        printed = printed.replace(theirs, ours)
    return printed
