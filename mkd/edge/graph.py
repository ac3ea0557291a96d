"""ONNX graphs: made from torch modules, saved with a card, compared without their weights."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from mkd.edge import metadata as cards
from mkd.edge.metadata import Card
from mkd.files import write_atomic

OPSET = 18
IR_VERSION = 10
INPUT = "images"
"""Name of every exported graph's input, 1×3×S×S."""


def to_onnx(
    module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], outputs: list[str]
) -> onnx.ModelProto:
    """The graph of a module in evaluation mode.

    Args:
        module: Takes and returns tensors.
        inputs: Of the shapes the graph will have.
        names: Of the inputs.
        outputs: Names of the outputs.
    """
    with quiet():
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


def save(model: onnx.ModelProto, card: Card, path: Path) -> None:
    """Check a graph and write it with its card, whole or not at all."""
    used = {node.domain for node in model.graph.node}
    del model.metadata_props[:]
    helper.set_model_props(model, {cards.KEY: card.dumps()})
    kept = {o.domain: o for o in model.opset_import if o.domain in used | {""}}
    del model.opset_import[:]
    model.opset_import.extend(kept.values())
    onnx.checker.check_model(model)
    write_atomic(path, model.SerializeToString())


def signature(path: Path) -> list[tuple[str, ...]]:
    """A graph without the values of its weights: what runs, node by node, in order.

    Two files with equal signatures do the same work at inference.

    Returns:
        One entry a node: operator, attributes, inputs, outputs. An intermediate value is named by
        the place of its node; a convolution's weights by type and shape; any other constant, which
        decides what is computed, by type, shape and value. The last entries are the graph's ends.
    """
    graph = onnx.load(path).graph
    tensors = {value.name: value for value in graph.initializer}
    names = {value.name: f"input {at}" for at, value in enumerate(graph.input)}
    names[""] = "absent"
    entries: list[tuple[str, ...]] = []
    for at, node in enumerate(graph.node):
        inputs = [
            _constant(tensors[name], weight=node.op_type == "Conv")
            if name in tensors
            else names[name]
            for name in node.input
        ]
        names |= {name: f"node {at} output {slot}" for slot, name in enumerate(node.output)}
        attributes = sorted(helper.printable_attribute(value) for value in node.attribute)
        entries.append((node.domain, node.op_type, *attributes, "of", *inputs))
    ends = [(names[value.name], str(value.type)) for value in (*graph.input, *graph.output)]
    return entries + ends


def _constant(tensor: onnx.TensorProto, weight: bool) -> str:
    shape = f"{TensorProto.DataType.Name(tensor.data_type)} {list(tensor.dims)}"
    return shape if weight else f"{shape} {onnx.numpy_helper.to_array(tensor).tolist()}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
