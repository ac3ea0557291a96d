"""MKD's losses and its rivals', as modules of mmrazor's registry.

Each module takes the student's and the teacher's map of one pyramid level, N×C×H×W, and
returns a scalar. MKD's terms, CWD and PKD take maps of equal channels, adapted and normalized
before; MGD, FGD, FKD and FreeKD take raw maps and bring their own 1×1 adapter. LogitKD and LD take
what the heads say.
"""

import mkd.compat  # noqa: F401  (before any import of mmdet or mmrazor)
from mkd.losses.cwd import CWD
from mkd.losses.feature import FeatureLoss
from mkd.losses.feature_alignment import FeatureAlignmentLoss
from mkd.losses.fgd import FGD
from mkd.losses.fkd import FKD
from mkd.losses.freekd import FreeKD
from mkd.losses.frequency_mask import FrequencyMaskLoss
from mkd.losses.ld import LD
from mkd.losses.logit_kd import LogitKD
from mkd.losses.mgd import MGD
from mkd.losses.multiscale import MultiscaleLoss
from mkd.losses.pkd import PKD

__all__ = [
    "CWD",
    "FGD",
    "FKD",
    "LD",
    "MGD",
    "PKD",
    "FeatureAlignmentLoss",
    "FeatureLoss",
    "FreeKD",
    "FrequencyMaskLoss",
    "LogitKD",
    "MultiscaleLoss",
]
