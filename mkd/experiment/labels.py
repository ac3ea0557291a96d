"""What architectures, methods and anchors are called where they are shown."""

import re
from pathlib import PurePosixPath

from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.mmdet_configs import PREFIX
from mkd.experiment.runs import Run

METHOD_NAMES = {
    "baseline": "",
    "mkd": "MKD",
    "mkd-balanced": "MKD, balanced",
    "freekd-unprompted": "FreeKD without prompts",
    "kd": "logit KD",
}


def slug(text: str) -> str:
    """Lower-case letters, digits and hyphens only, fit for an anchor."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def arch_name(arch: str) -> str:
    """The architecture as the field writes it, e.g. ``RTMDet-Ins-tiny``, ``Mask R-CNN R50``."""
    if arch in ARCHITECTURES:
        return ARCHITECTURES[arch].label
    return PurePosixPath(arch).stem if arch.startswith(PREFIX) else arch


def method_name(run: Run) -> str:
    """The method with the options that set the run apart, e.g. ``MKD (alpha=0.1)``."""
    name = METHOD_NAMES.get(run.method, run.method.upper())
    options = ", ".join(f"{key}={value}" for key, value in run.options.items())
    return f"{name} ({options})" if options else name
