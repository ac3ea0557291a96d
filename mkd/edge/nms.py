"""The full detector: one FP32 graph of decoding and NMS behind a raw graph of any precision."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from mmengine.model import BaseModel
from onnx import TensorProto, compose, helper
from torch import Tensor, nn

from mkd.edge import metadata as cards
from mkd.edge.graph import IR_VERSION, quiet, save, to_onnx
from mkd.edge.metadata import Card

PRE_TOP_K = 1000
"""Candidates (one box and class) that enter NMS, the best first.

Fewer than ``nms_pre`` of RTMDet's own configuration, 30000 a level: NMS on a device takes time that
grows with their square. What the files lose by it is part of the difference that
``exported/<run>.json`` measures.
"""


class Candidates(nn.Module):
    """Head outputs to the best candidates, as the detector's own ``predict_by_feat`` decodes them.

    Returns boxes K×4 (x1 y1 x2 y2 in pixels of the input), scores K, descending, and labels K.
    """

    def __init__(
        self, detector: BaseModel, sizes: Sequence[tuple[int, int]], input_px: int
    ) -> None:
        super().__init__()
        self.input_px = input_px
        head = detector.bbox_head
        self.coder, self.classes, self.levels = head.bbox_coder, head.num_classes, len(sizes)
        generator = head.prior_generator
        with quiet():
            priors = generator.grid_priors(sizes, device="cpu")
        strides = [
            torch.full((len(level),), float(stride[0] if isinstance(stride, tuple) else stride))
            for level, stride in zip(priors, generator.strides, strict=True)
        ]
        self.priors: Tensor
        self.strides: Tensor
        self.register_buffer("priors", torch.cat(priors))
        # mmdet's RTMDet multiplies by the stride in its head, MMYOLO's heads in the coder.
        self.register_buffer("strides", torch.cat(strides))
        self.decodes_strides = type(self.coder).__module__.startswith("mmyolo")

    def forward(self, *raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, scores and labels from the head's raw outputs."""
        cls, bbox, *obj = (
            raw[start : start + self.levels] for start in range(0, len(raw), self.levels)
        )
        scores = self._flat(cls, self.classes).sigmoid()
        if obj:
            scores = scores * self._flat(obj[0], 1).sigmoid()
        distances = self._flat(bbox, 4)
        if self.decodes_strides:
            boxes = self.coder.decode(self.priors[None], distances[None], self.strides)[0]
        else:
            boxes = self.coder.decode(self.priors, distances)
        boxes = boxes.clamp(0, self.input_px)
        # As mmdet's post-processing: a box without area is no detection.
        area = (boxes[:, 2:] > boxes[:, :2]).all(1)
        scores = torch.where(area[:, None], scores, torch.zeros_like(scores))
        best, index = scores.flatten().topk(min(PRE_TOP_K, scores.numel()))
        return boxes[index // self.classes], best, index % self.classes

    @staticmethod
    def _flat(levels: Sequence[Tensor], channels: int) -> Tensor:
        return torch.cat([level[0].permute(1, 2, 0).reshape(-1, channels) for level in levels])


def export(
    detector: BaseModel, files: Mapping[Path, Card], iou: float, score: float, max_boxes: int
) -> None:
    """Write the full detector beside each raw file: its graph, decoding, NMS by class.

    Outputs are ``boxes`` N×4 (x1 y1 x2 y2 in pixels of the input), ``scores`` N, descending, and
    ``labels`` N. At most :data:`PRE_TOP_K` candidates enter NMS.

    Args:
        detector: As given to :func:`mkd.edge.export.export_raw`.
        files: The detector's raw files of any precisions, all with FP32 outputs, and their cards.
        iou: A box is dropped when its IoU with a better one of its class exceeds this.
        score: And when its score does not exceed this.
        max_boxes: Boxes kept at most.
    """
    post = None
    for raw, card in files.items():
        model = onnx.load(raw)
        outputs = list(model.graph.output)
        if post is None:
            decoded = _decoding(detector, outputs, card.input_px)
            _append_nms(decoded, 2.0 * card.input_px, iou, score, max_boxes)
            post = compose.add_prefix(decoded, "post_", rename_outputs=False)
        for side in (model, post):
            side.ir_version = IR_VERSION
        joints = [(out.name, f"post_{out.name}_in") for out in outputs]
        save(compose.merge_models(model, post, io_map=joints), card, cards.detector_path(raw))


def _decoding(
    detector: BaseModel, outputs: Sequence[onnx.ValueInfoProto], input_px: int
) -> onnx.ModelProto:
    """:class:`Candidates` as a graph whose inputs are a raw graph's outputs."""
    shapes = [tuple(d.dim_value for d in out.type.tensor_type.shape.dim) for out in outputs]
    levels = sum(out.name.startswith("cls_") for out in outputs)
    return to_onnx(
        Candidates(detector, [shape[2:] for shape in shapes[:levels]], input_px).eval(),
        tuple(torch.rand(shape) for shape in shapes),
        [f"{out.name}_in" for out in outputs],
        ["candidate_boxes", "candidate_scores", "candidate_labels"],
    )


def _append_nms(
    post: onnx.ModelProto, apart: float, iou: float, score: float, max_boxes: int
) -> None:
    """Put NMS behind the candidates; boxes of different classes are moved apart, as mmcv does."""
    graph = post.graph

    def constant(name: str, value: object, kind: type) -> str:
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def node(operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        graph.node.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    label = node("Cast", ["candidate_labels"], "label_float", to=TensorProto.FLOAT)
    shift = node("Mul", [label, constant("apart", apart, np.float32)], "shift")
    column = node("Unsqueeze", [shift, constant("axis_1", [1], np.int64)], "shift_column")
    moved = node("Add", ["candidate_boxes", column], "moved")
    boxes = node("Unsqueeze", [moved, constant("axis_0", [0], np.int64)], "nms_boxes")
    scores = node(
        "Unsqueeze", ["candidate_scores", constant("axes_01", [0, 1], np.int64)], "nms_scores"
    )
    selected = node(
        "NonMaxSuppression",
        [
            boxes,
            scores,
            constant("max_boxes", [max_boxes], np.int64),
            constant("iou", [iou], np.float32),
            constant("score", [score], np.float32),
        ],
        "selected",
    )
    # Each row of the selection is batch, class, box.
    index = node("Gather", [selected, constant("two", 2, np.int64)], "index", axis=1)
    del graph.output[:]
    for name, kind, shape in (
        ("boxes", TensorProto.FLOAT, ["n", 4]),
        ("scores", TensorProto.FLOAT, ["n"]),
        ("labels", TensorProto.INT64, ["n"]),
    ):
        node("Gather", [f"candidate_{name}", index], name, axis=0)
        graph.output.append(helper.make_tensor_value_info(name, kind, shape))
