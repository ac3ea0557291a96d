"""Detectors to ONNX: the graph from the input to the raw head outputs, checked against torch.

This graph is what the paper's latency speaks of; :mod:`mkd.edge.nms` makes the full detector of it.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from mmengine.model import BaseModel
from numpy.typing import NDArray
from torch import Tensor, nn

from mkd.edge.graph import INPUT, save, to_onnx
from mkd.edge.metadata import Card
from mkd.edge.opening import apart
from mkd.errors import UserError
from mkd.experiment.architectures import ARCHITECTURES

TOLERANCE = 1e-4
"""Largest difference to torch allowed, relative to the largest magnitude of that output."""
_ROLES = ("cls", "bbox", "obj")
_MASK_ROLES = ("cls", "bbox", "kernel", "mask")


class RawOutputs(nn.Module):
    """A detector's head outputs as one flat tuple.

    Class maps of every level come first, then boxes, and so on. RTMDet-Ins has its mask features in
    one map for all levels.
    """

    def __init__(self, detector: BaseModel) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The outputs for images (B, 3, H, W), normalized."""
        return tuple(level for role in self.detector(images) for level in _levels(role))


def export_raw(detector: BaseModel, card: Card, path: Path) -> None:
    """Write the graph from the input to the raw head outputs.

    Convolution and batch norm are folded. The input is ``images``, 1×3×S×S; the outputs are
    ``cls_<level>``, ``bbox_<level>`` and, where the head has it, ``obj_<level>``; of RTMDet-Ins
    also ``kernel_<level>`` and ``mask_0``.

    Args:
        detector: In deploy and evaluation mode.
        card: With the input size.
        path: Of the FP32 file.

    Raises:
        UserError: The detector is Mask R-CNN, whose second stage has no fixed shapes.
    """
    arch = ARCHITECTURES.get(card.arch)
    if arch is not None and arch.two_stage:
        raise UserError(
            f"{card.model} is {card.arch}: a detector of two stages is not exported, choose RTMDet"
        )
    images = torch.zeros(1, 3, card.input_px, card.input_px)
    with torch.no_grad():
        # How many levels there are does not depend on the size, and the time does.
        roles = detector(images[..., :64, :64])
    words = _MASK_ROLES if arch is not None and arch.has_masks else _ROLES
    names = [f"{words[at]}_{i}" for at, role in enumerate(roles) for i in range(len(_levels(role)))]
    model = to_onnx(RawOutputs(detector).eval(), (images,), [INPUT], names)
    save(_fold(model), card, path)


def _levels(role: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return (role,) if isinstance(role, Tensor) else role


def check(
    detector: BaseModel, path: Path, inputs: Sequence[NDArray[np.float32]]
) -> dict[str, float]:
    """The largest difference of each output to torch's, relative to its largest magnitude.

    Args:
        detector: As given to :func:`export_raw`.
        path: The FP32 raw file.
        inputs: Prepared real images, each 1×3×S×S.

    Raises:
        UserError: A difference exceeds :data:`TOLERANCE`.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    worst = dict.fromkeys(names, 0.0)
    reference = RawOutputs(detector).eval()
    for images in inputs:
        with torch.no_grad():
            expected = [value.numpy() for value in reference(torch.from_numpy(images))]
        found = session.run(names, {INPUT: images})
        for name, ours, theirs in zip(names, found, expected, strict=True):
            worst[name] = max(worst[name], apart(ours, theirs))
    name = max(worst, key=lambda key: worst[key])
    if not worst[name] <= TOLERANCE:
        raise UserError(
            f"{path}: output '{name}' differs from torch by {worst[name]:.1e} of its largest "
            f"magnitude, more than {TOLERANCE:.0e}: the export is wrong, do not use it"
        )
    return worst


def _fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold batch norm into convolutions, constants into each other: ONNX Runtime's basic level."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder, "folded.onnx"))
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        folded = onnx.load(options.optimized_model_filepath)
    shapes = {value.name: value.dims for value in folded.graph.initializer}
    for node in folded.graph.node:
        if node.op_type == "Conv" and len(node.input) == 2:
            # The exporter drops a bias that is zero; a graph must not depend on its weights.
            bias = np.zeros(shapes[node.input[1]][0], np.float32)
            node.input.append(f"{node.output[0]}_bias")
            folded.graph.initializer.append(onnx.numpy_helper.from_array(bias, node.input[2]))
    return folded
