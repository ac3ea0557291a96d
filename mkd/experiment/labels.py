"""What architectures, methods and anchors are called where they are shown."""

import re

from mkd.detectors.architectures import two_stage
from mkd.experiment.runs import Run

ARCH_NAMES = {"rtmdet-ins": "RTMDet-Ins", "rtmdet": "RTMDet", "mask-rcnn": "Mask R-CNN"}
METHOD_NAMES = {"baseline": "", "mkd": "MKD", "mkd-balanced": "MKD, balanced"}


def slug(text: str) -> str:
    """Lower-case letters, digits and hyphens only, fit for an anchor."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def arch_name(arch: str) -> str:
    """The architecture as the field writes it, e.g. ``RTMDet-Ins-tiny``, ``Mask R-CNN R50``."""
    for family, name in ARCH_NAMES.items():
        if arch.startswith(family):
            size = arch.removeprefix(family)
            return f"{name} {size[1:].upper()}" if two_stage(arch) else name + size
    return arch


def method_name(run: Run) -> str:
    """The method with the options that set the run apart, e.g. ``MKD (alpha=0.1)``."""
    name = METHOD_NAMES.get(run.method, run.method.upper())
    options = ", ".join(f"{key}={value}" for key, value in run.options.items())
    return f"{name} ({options})" if options else name
