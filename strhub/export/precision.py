"""Smaller numbers in a finished ONNX graph: weights stored in half precision, or products in 8
bits.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FEW = 1024  # size up to which tensors are not worth compressing, such as biases
_HALF_MAX = float(np.finfo(np.float16).max)
# Of weights in 8 bits. Processors without VNNI add two products of 8 bits in 16: those of larger
# weights would not fit.
_LARGEST = 64
_CHANNELS = {
    "Conv": 0,
    "ConvTranspose": 1,
    "MatMul": -1,
}  # which axis of an operator's weights has the outputs


def store_in_half(graph: onnx.GraphProto) -> None:
    """Store large weights in 16 bits and bring them back to 32 when the file is loaded: half the
    size.

    Arithmetic stays in 32 bits, so that the file runs everywhere, as fast as before and with nearly
    the same numbers.
    """
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < FEW:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > _HALF_MAX:
            continue
        name, stored = tensor.name, f"{tensor.name}_half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(
            helper.make_node("Cast", [stored], [name], name=f"{name}_cast", to=TensorProto.FLOAT)
        )
    set_nodes(graph, [*casts, *graph.node])


def store_in_8_bits(graph: onnx.GraphProto) -> None:
    """Store the weights of products and convolutions in 8 bits, scaled by channel, and bring them
    back when the file is
    loaded: a quarter of the size. Arithmetic stays in 32 bits.
    """
    axes = {
        node.input[1]: _CHANNELS[node.op_type]
        for part in graphs_of(graph)
        for node in part.node
        if node.op_type in _CHANNELS
    }
    restored = []
    for tensor in list(graph.initializer):
        if (
            tensor.name not in axes
            or tensor.data_type != TensorProto.FLOAT
            or np.prod(tensor.dims) < FEW
        ):
            continue
        values = numpy_helper.to_array(tensor)
        others = tuple(
            axis for axis in range(values.ndim) if axis != axes[tensor.name] % values.ndim
        )
        scales = np.maximum(np.abs(values).max(axis=others, keepdims=True), 1e-12) / 127
        name, (stored, scale, wide) = (
            tensor.name,
            (f"{tensor.name}_{part}" for part in ("8_bits", "scale", "wide")),
        )
        tensor.CopyFrom(numpy_helper.from_array(np.rint(values / scales).astype(np.int8), stored))
        graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), scale))
        restored += [
            helper.make_node("Cast", [stored], [wide], name=wide, to=TensorProto.FLOAT),
            helper.make_node("Mul", [wide, scale], [name], name=f"{name}_restore"),
        ]
    set_nodes(graph, [*restored, *graph.node])


def compute_in_8_bits(graph: onnx.GraphProto) -> None:
    """Compute products with weights in 8 bits, the weights scaled by channel, the activations by
    what each batch needs.

    Convolutions, and products of activations with each other, stay as they are.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    kept = {
        name
        for part in graphs_of(graph)
        for node in part.node
        if not _is_product(node, weights)
        for name in node.input
    }
    replaced: dict[str, tuple[str, str]] = {}
    for part in graphs_of(graph):
        _replace_products(part, weights, replaced)
    for name, (stored, scale) in replaced.items():
        values = numpy_helper.to_array(weights[name])
        scales = np.maximum(np.abs(values).max(axis=0), 1e-12) / _LARGEST  # (out)
        rounded = np.rint(values / scales).astype(np.int8)
        graph.initializer.append(numpy_helper.from_array(rounded, stored))
        graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), scale))
    left = [
        tensor for tensor in graph.initializer if tensor.name not in replaced or tensor.name in kept
    ]
    del graph.initializer[:]
    graph.initializer.extend(left)


def _replace_products(
    graph: onnx.GraphProto,
    weights: dict[str, onnx.TensorProto],
    replaced: dict[str, tuple[str, str]],
) -> None:
    nodes: list[onnx.NodeProto] = []
    rounded: dict[str, list[str]] = {}  # activations: their 8 bits, scale and zero point
    for node in graph.node:
        if not _is_product(node, weights):
            nodes.append(node)
            continue
        rows, weight = node.input
        stored, scale = replaced.setdefault(weight, (f"{weight}_8_bits", f"{weight}_8_bits_scale"))
        if rows not in rounded:
            rounded[rows] = [f"{node.name}_{part}" for part in ("rows", "rows_scale", "rows_zero")]
            nodes.append(
                helper.make_node(
                    "DynamicQuantizeLinear", [rows], rounded[rows], name=f"{node.name}_round"
                )
            )
        values, values_scale, zero = rounded[rows]
        sums, both, floats = (f"{node.name}_{part}" for part in ("sums", "scale", "floats"))
        nodes += [
            helper.make_node("MatMulInteger", [values, stored, zero], [sums], name=sums),
            helper.make_node("Cast", [sums], [floats], name=floats, to=TensorProto.FLOAT),
            helper.make_node("Mul", [values_scale, scale], [both], name=both),
            helper.make_node("Mul", [floats, both], list(node.output), name=node.name),
        ]
    set_nodes(graph, nodes)


def _is_product(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    """Return whether a node multiplies something with a matrix of weights that is worth it."""
    weight = weights.get(node.input[1]) if node.op_type == "MatMul" else None
    return weight is not None and len(weight.dims) == 2 and bool(np.prod(weight.dims) >= FEW)


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and those in its loops and branches."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs_of(attribute.g)


def set_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Let a graph have these nodes, which may have been its own, in this order."""
    # Copies, since a removed node cannot be put back into a graph.
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
