"""Teacher, student and the terms between them, on mmrazor's distiller.

Works without the workflow: :func:`distiller_config` returns the ``distiller`` of a
``FrozenTeacherDistill`` for any pair of mmdet detectors (``docs/losses.md``).
"""

from mkd.distillation.balance import BALANCE_STEPS, BalanceHook, GradientNormHook
from mkd.distillation.distiller import (
    FrozenTeacherDistill,
    SharedConnectorDistiller,
    distiller_config,
    gradient_norm,
)

__all__ = [
    "BALANCE_STEPS",
    "BalanceHook",
    "FrozenTeacherDistill",
    "GradientNormHook",
    "SharedConnectorDistiller",
    "distiller_config",
    "gradient_norm",
]
