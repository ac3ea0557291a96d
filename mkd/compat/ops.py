"""The operators of ``mmcv._ext`` that the suite's detectors call, on torchvision's kernels.

The signatures are those mmcv 2.0.1's Python files call. torchvision's kernels run on CPU
and CUDA alike and compute the same definitions: greedy NMS that drops a box whose IoU with
a kept one is greater than the threshold, and RoIAlign (He et al. 2017) by average.
"""

from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch
import torchvision
from torch import Tensor


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression.

    Args:
        boxes: N×4, x1 y1 x2 y2 in pixels.
        scores: N.
        iou_threshold: A box is dropped when its IoU with a better one exceeds it.
        offset: 0, or 1 where a box's width counts x2 − x1 + 1.

    Returns:
        Indices of the kept boxes, best first (int64).
    """
    if offset:
        # The +1 of width, height and overlap alike is the box's far corner moved by one.
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision.ops.nms(boxes, scores, iou_threshold)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign of N×C×H×W maps over K×5 rois (index, x1 y1 x2 y2), written into ``output``.

    Raises:
        NotImplementedError: ``pool_mode`` is 0 (maximum), which torchvision does not have.
    """
    if pool_mode != 1:
        raise NotImplementedError(
            "RoIAlign by maximum needs a compiled mmcv (torchvision has the average only): "
            "set pool_mode='avg' or install mmcv instead of mmcv-lite"
        )
    output.copy_(
        torch.ops.torchvision.roi_align(
            input, rois, spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """The gradient of :func:`roi_align_forward` for its input, written into ``grad_input``."""
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad_output,
            rois,
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def _unbacked(name: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"the operator '{name}' is not among those backed by torchvision here: "
            "install a compiled mmcv (2.0.1) instead of mmcv-lite to use it"
        )

    call.__name__ = name
    return call


class _Extension(ModuleType):
    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _unbacked(name)


def extension_module() -> ModuleType:
    """A module that stands in for ``mmcv._ext``."""
    module = _Extension("mmcv._ext", __doc__)
    module.__spec__ = ModuleSpec("mmcv._ext", loader=None)
    for function in (nms, roi_align_forward, roi_align_backward):
        setattr(module, function.__name__, function)
    return module
