"""The one registry of distillation methods; importing it costs nothing (no torch).

A method is a set of loss terms, applied at each level of the neck or backbone, or to what the heads
say. A new method is one file in ``mkd/losses/`` and one entry in :data:`METHODS`; or one file of a
user's own with both (:mod:`mkd.experiment.plugins`).
"""

from typing import Any

from mkd.errors import UserError, meant
from mkd.experiment import planning
from mkd.experiment.method import Method, Term
from mkd.experiment.plan import Plan

__all__ = ["METHODS", "Method", "Term", "plan"]

_MKD_TERMS = {
    "fea": Term("FeatureLoss", "feature"),
    "multiscale": Term("MultiscaleLoss", "multiscale"),
    "fdmd": Term("FrequencyMaskLoss", "frequency_mask"),
    "fad": Term("FeatureAlignmentLoss", "feature_alignment"),
}
_MKD_DEFAULT = ("multiscale", "fdmd", "fad")  # audit item 1: L_fea has no formula

METHODS: dict[str, Method] = {
    "baseline": Method({}),
    # Recorded where OpenMMLab's RTMDet recipe does: MMYOLO, kd_*_rtmdet_*_neck_300e_coco.
    "cwd": Method({"cwd": Term("CWD", "cwd")}),
    # Recorded where its authors do, neck.fpn_convs of RetinaNet, which have no norm: what the head
    # sees. A sum over channels and positions.
    "mgd": Method(
        {
            "mgd": Term(
                "MGD",
                "mgd",
                two_stage={"mask_ratio": 0.45, "distance_weight": 5e-7},
                growth={"distance_weight": (1, 1)},
            )
        },
        "raw",
        "neck_output",
    ),
    # Recorded where its authors do, for YOLOX neck.out_convs behind norm and activation. Feature
    # terms sum over channels, as their masks are normalized over positions.
    "fgd": Method(
        {
            "fgd": Term(
                "FGD",
                "fgd",
                two_stage={
                    "foreground_weight": 5e-5,
                    "background_weight": 2.5e-5,
                    "spatial_weight": 5e-5,
                    "channel_weight": 5e-5,
                    "relation_weight": 5e-7,
                },
                growth={
                    "foreground_weight": (1, 0),
                    "background_weight": (1, 0),
                    "spatial_weight": (0, 1),
                    "channel_weight": (1, 0),
                    "relation_weight": (1, 1),
                },
            )
        },
        "raw",
        "neck_output",
    ),
    # Recorded where its authors do: what extract_feat gives the head. Unsquared norms.
    "fkd": Method(
        {
            "fkd": Term(
                "FKD",
                "fkd",
                levels=(
                    {"reduction": 4, "pool_stride": 8},
                    {"reduction": 4, "pool_stride": 4},
                ),
                two_stage={
                    "temperature": 0.5,
                    "channel_attention": False,
                    "feature_weight": 7e-5,
                    "channel_weight": 4e-3,
                    "spatial_weight": 4e-3,
                    "relation_weight": 7e-5,
                },
                growth={
                    "feature_weight": (0.5, 0.5),
                    "channel_weight": (0.5, 0),
                    "spatial_weight": (0, 0.5),
                    "relation_weight": (0.5, 0.5),
                },
            )
        },
        "raw",
        "neck_output",
    ),
    # Recorded as CWD, in its control: its norm makes the scale of a feature indifferent.
    "pkd": Method({"pkd": Term("PKD", "pkd", two_stage={"distance_weight": 6.0})}),
    # Recorded where its authors do: what the head sees. Means. Without the prompts that they learn
    # in a training before: mkd/losses/freekd.py.
    "freekd-unprompted": Method({"freekd": Term("FreeKD", "freekd")}, "raw", "neck_output"),
    # What the heads say, in the place of features. Needs a teacher with the student's classes.
    "kd": Method({"kd": Term("LogitKD", "logit_kd", output="cls")}),
    # Needs heads with a distribution over edges, as GFL's.
    "ld": Method(
        {
            "ld": Term("LD", "ld", output="bbox"),
            "kd": Term("LogitKD", "logit_kd", output="cls"),
        },
        default=("ld",),
    ),
    "mkd": Method(_MKD_TERMS, default=_MKD_DEFAULT),
    "mkd-balanced": Method(_MKD_TERMS, default=_MKD_DEFAULT, balanced=True),
}


def plan(
    run: str,
    method: str,
    options: dict[str, Any],
    two_stage: bool = False,
    width: float = 1.0,
    input_px: int = planning.FULL_PX,
) -> Plan:
    """Resolve a run's method and options.

    Args:
        run: The run's id, for the messages.
        method: A key of :data:`METHODS`.
        options: ``alpha`` (paper Eq. 6), ``terms`` (comma-separated names), ``layers``,
            ``adapter`` and ``stop_epoch`` (:class:`mkd.experiment.plan.Plan`), and
            ``<term>.<argument>`` for a loss class's own arguments.
        two_stage: Whether the detectors have two stages (Mask R-CNN).
        width: Width of the teacher, over whose channels the losses sum, relative to full size:
            the weight of every summed part is made as strong as it is at full size.
        input_px: Side of the input in pixels, likewise.

    Raises:
        UserError: Unknown method, term or option, an option's value of the wrong kind, or an entry
            of :data:`METHODS` that names what does not exist. Whether
            a loss takes a value of the right kind is for the loss to say
            (:mod:`mkd.training.loss_check`).
    """
    if method not in METHODS:
        raise UserError(
            f"run '{run}': unknown method '{method}'; the methods are {', '.join(METHODS)}"
            f"{meant(method, METHODS)}"
        )
    return planning.plan(run, method, METHODS[method], options, two_stage, width, input_px)
