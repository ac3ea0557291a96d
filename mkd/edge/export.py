"""Detectors to ONNX: the raw head outputs, and the full detector with its NMS behind them.

The raw graph is what the paper's latency speaks of; the detector is what a device runs. The
detector is the raw graph, at whatever precision, with one FP32 graph of decoding and NMS behind.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from mmengine.model import BaseModel
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper
from torch import Tensor, nn

from mkd.edge import card as cards
from mkd.edge.card import Card
from mkd.errors import UserError
from mkd.files import write_atomic

OPSET = 18
IR_VERSION = 10
PRE_TOP_K = 1000
"""Candidates (one box and class) that enter NMS, the best first; mmdet's ``nms_pre``."""
TOLERANCE = 1e-3
"""Largest difference to torch allowed, relative to the largest magnitude of that output."""
INPUT = "images"
_ROLES = ("cls", "bbox", "obj")


class RawOutputs(nn.Module):
    """A detector's head outputs as one flat tuple: class maps of every level, then boxes, …"""

    def __init__(self, detector: BaseModel) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(level for role in self.detector(images) for level in role)


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
        with _quiet():
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
        best, index = scores.flatten().topk(min(PRE_TOP_K, scores.numel()))
        return boxes[index // self.classes].clamp(0, self.input_px), best, index % self.classes

    @staticmethod
    def _flat(levels: Sequence[Tensor], channels: int) -> Tensor:
        return torch.cat([level[0].permute(1, 2, 0).reshape(-1, channels) for level in levels])


def export_raw(detector: BaseModel, card: Card, path: Path) -> None:
    """Write the graph from the input to the raw head outputs.

    Convolution and batch norm are folded. The input is ``images``, 1×3×S×S; the outputs are
    ``cls_<level>``, ``bbox_<level>`` and, where the head has it, ``obj_<level>``.

    Args:
        detector: In deploy and evaluation mode.
        card: With the input size.
        path: Of the FP32 file.

    Raises:
        UserError: The detector has a mask head, which is not exported.
    """
    if "-ins-" in card.arch:
        raise UserError(
            f"{card.model} is {card.arch}: mask heads are not exported, choose a box detector"
        )
    images = torch.zeros(1, 3, card.input_px, card.input_px)
    with torch.no_grad():
        roles = detector(images)
    names = [f"{_ROLES[role]}_{i}" for role, maps in enumerate(roles) for i in range(len(maps))]
    model = _to_onnx(RawOutputs(detector).eval(), (images,), [INPUT], names)
    save(_fold(model), card, path)


def export_detector(
    detector: BaseModel, raw: Path, card: Card, iou: float, score: float, max_boxes: int
) -> None:
    """Write the full detector beside a raw file: its graph, decoding, NMS by class.

    Outputs are ``boxes`` N×4 (x1 y1 x2 y2 in pixels of the input), ``scores`` N, descending, and
    ``labels`` N. At most :data:`PRE_TOP_K` candidates enter NMS.

    Args:
        detector: As given to :func:`export_raw`.
        raw: The raw file, of any precision with FP32 outputs.
        card: Of that file.
        iou: A box is dropped when its IoU with a better one of its class exceeds this.
        score: And when its score does not exceed this.
        max_boxes: Boxes kept at most.
    """
    model = onnx.load(raw)
    outputs = list(model.graph.output)
    shapes = [tuple(d.dim_value for d in out.type.tensor_type.shape.dim) for out in outputs]
    levels = sum(out.name.startswith("cls_") for out in outputs)
    decode = Candidates(detector, [shape[2:] for shape in shapes[:levels]], card.input_px).eval()
    names = [out.name for out in outputs]
    post = _to_onnx(
        decode,
        tuple(torch.rand(shape) for shape in shapes),
        [f"{name}_in" for name in names],
        ["candidate_boxes", "candidate_scores", "candidate_labels"],
    )
    _append_nms(post, 2.0 * card.input_px, iou, score, max_boxes)
    for side in (model, post):
        side.ir_version = IR_VERSION
    post = compose.add_prefix(post, "post_", rename_outputs=False)
    whole = compose.merge_models(model, post, io_map=[(name, f"post_{name}_in") for name in names])
    save(whole, card, cards.detector_path(raw))


def save(model: onnx.ModelProto, card: Card, path: Path) -> None:
    """Check a graph and write it with its card, whole or not at all."""
    used = {node.domain for node in model.graph.node}
    del model.metadata_props[:]
    helper.set_model_props(model, {cards.KEY: card.dumps()})
    kept = [o for o in model.opset_import if o.domain in used | {""}]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.checker.check_model(model)
    write_atomic(path, model.SerializeToString())


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
            difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
            worst[name] = max(worst[name], difference)
    name = max(worst, key=lambda key: worst[key])
    if not worst[name] <= TOLERANCE:
        raise UserError(
            f"{path}: output '{name}' differs from torch by {worst[name]:.1e} of its largest "
            f"magnitude, more than {TOLERANCE:.0e}: the export is wrong, do not use it"
        )
    return worst


def signature(path: Path) -> list[tuple[object, ...]]:
    """A graph without the values of its weights: what runs, node by node, in order.

    Two files with equal signatures do the same work at inference.

    Returns:
        One entry a node (operator, inputs, outputs, attributes), then one an initializer (name,
        type, shape), then the graph's inputs and outputs (name, type, shape).
    """
    graph = onnx.load(path).graph
    nodes = [
        (
            node.domain,
            node.op_type,
            *node.input,
            "->",
            *node.output,
            *sorted(helper.printable_attribute(attribute) for attribute in node.attribute),
        )
        for node in graph.node
    ]
    tensors = [(value.name, value.data_type, *value.dims) for value in graph.initializer]
    ends = [(v.name, str(v.type)) for values in (graph.input, graph.output) for v in values]
    return [*nodes, *sorted(tensors), *ends]


def _to_onnx(
    module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], outputs: list[str]
) -> onnx.ModelProto:
    with _quiet():
        program = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            opset_version=OPSET,
            input_names=names,
            output_names=outputs,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    # Where a node came from in the Python code, many times the size of the node.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    return model


def _fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold batch norm into convolutions, constants into each other: ONNX Runtime's basic level."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder, "folded.onnx"))
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return onnx.load(options.optimized_model_filepath)


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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's progress on standard output and its notices."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
