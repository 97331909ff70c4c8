"""ONNX graphs written node by node: what a network's own export needs, and no more.

In: weights as tensors, and the operators in the order they run. Out: nodes and initializers for
    `onnx.helper`.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

if TYPE_CHECKING:
    from strhub.export.stored import StoredWeights


class Graph:
    """Nodes and initializers of a graph in the making. Values are known by their names, which it
    chooses.

    opset: of the standard operators, at least 17. outer: the graph in which this one is a loop's
    body; the body sees all values of the outer graph, and its weights are kept there. stored: a
    file whose tensors the graph points at; by default weights are written into the graph itself.
    """

    def __init__(
        self, opset: int, outer: Graph | None = None, *, stored: StoredWeights | None = None
    ) -> None:
        self.opset = opset
        self.outermost: Graph = outer.outermost if outer else self
        self.stored: StoredWeights | None = outer.stored if outer else stored
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = outer.initializers if outer else []
        self._numbers: itertools.count[int] = outer._numbers if outer else itertools.count()
        self._known: dict[tuple[Any, ...], str] = outer._known if outer else {}

    def name(self, stem: str) -> str:
        """Return a name that no other value has."""
        return f"{stem}_{next(self._numbers)}"

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; its name."""
        output = self.name(kind)
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def parameter(self, values: Tensor, *, transposed: bool = False, scale: float = 1.0) -> str:
        """Return a parameter or a part of one as a value of the graph, on request transposed and
        multiplied by `scale`.
        """
        if self.stored is not None:
            return self._stored(self.stored, values, transposed, scale)
        scaled = values if scale == 1 else values * scale
        return self.weight(scaled.t() if transposed else scaled)

    def _stored(self, stored: StoredWeights, values: Tensor, transposed: bool, scale: float) -> str:
        """Return a parameter where it lies in another file, and operators on constants, which a
        runtime computes once.
        """
        tensor = stored.tensor(values)
        key = (tensor.name, transposed, scale)
        if key not in self._known:
            graph = self.outermost
            if (tensor.name,) not in self._known:
                self._known[(tensor.name,)] = tensor.name
                graph.initializers.append(tensor)
            name = tensor.name
            if tensor.data_type != onnx.TensorProto.FLOAT:
                name = graph.op("Cast", name, to=onnx.TensorProto.FLOAT)
            if transposed:
                name = graph.op("Transpose", name, perm=[1, 0])
            self._known[key] = graph.op("Mul", name, graph.scalar(scale)) if scale != 1 else name
        return self._known[key]

    def weight(self, values: Tensor | np.ndarray[Any, Any]) -> str:
        """Add an initializer, or find the one of equal numbers: a layer that is passed twice is
        kept once.
        """
        array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
        array = np.asarray(array, order="C")
        key = (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self._known:
            self._known[key] = self.name("weight")
            self.initializers.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def integers(self, *values: int) -> str:
        """Return a constant (n) of int64, such as a shape or axes."""
        return self.weight(np.array(values, dtype=np.int64))

    def scalar(self, value: float | int | bool) -> str:
        """Return a constant of no dimensions: bool, int64 or float32."""
        kinds: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float32}
        return self.weight(np.array(value, dtype=kinds[type(value)]))

    def linear(self, rows: str, weight: Tensor, bias: Tensor, *, scale: float = 1.0) -> str:
        """Map (..., in) to (..., out), multiplied by `scale`; weight: (out, in)."""
        products = self.op("MatMul", rows, self.parameter(weight, transposed=True, scale=scale))
        return self.op("Add", products, self.parameter(bias, scale=scale))

    def layer_norm(self, rows: str, norm: nn.LayerNorm) -> str:
        """Normalize over the last dimension."""
        return self.op(
            "LayerNormalization",
            rows,
            self.parameter(norm.weight),
            self.parameter(norm.bias),
            epsilon=norm.eps,
            axis=-1,
        )

    def gelu(self, values: str) -> str:
        """Compute the exact GELU, which is an operator of its own from opset 20 on."""
        if self.opset >= 20:
            return self.op("Gelu", values)
        error = self.op("Erf", self.op("Div", values, self.scalar(math.sqrt(2))))
        half = self.op("Mul", values, self.scalar(0.5))
        return self.op("Mul", half, self.op("Add", error, self.scalar(1.0)))

    def split_heads(self, tokens: str, heads: int, *, transposed: bool = False) -> str:
        """Map (B, L, D) to (B, H, L, D / H), or to (B, H, D / H, L) as keys are multiplied with."""
        shape = self.integers(0, 0, heads, -1)  # 0: as it was
        return self.op(
            "Transpose",
            self.op("Reshape", tokens, shape),
            perm=[0, 2, 3, 1] if transposed else [0, 2, 1, 3],
        )

    def attend(self, query: str, key: str, value: str, mask: str | None = None) -> str:
        """Attend with scaled queries (B, H, L, D / H) to keys (B, H, D / H, S) and values (B, H, S,
        D / H); return (B, L, D).

        mask: bool, broadcastable to (B, H, L, S), true where a query may attend.
        """
        scores = self.op("MatMul", query, key)
        if mask is not None:
            scores = self.op("Where", mask, scores, self.scalar(-math.inf))
        mixed = self.op("MatMul", self.op("Softmax", scores, axis=-1), value)
        return self.op(
            "Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), self.integers(0, 0, -1)
        )

    def any_false(self, values: str) -> str:
        """Return whether one of the truths (B) is false, of no dimensions."""
        left = self.op("Cast", self.op("Not", values), to=onnx.TensorProto.INT64)
        return self.op("Greater", self.op("ReduceSum", left, keepdims=0), self.scalar(0))

    def slice(self, values: str, *, axis: int, stop: str) -> str:
        """Return the first of an axis, up to `stop`, which is a list of one integer."""
        return self.op("Slice", values, self.integers(0), stop, self.integers(axis))

    def size(self, values: str, axis: int) -> str:
        """Return how long an axis is, as a list of one integer."""
        return self.op("Shape", values, start=axis, end=axis + 1)

    def body(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> Any:
        """Return the finished graph as a loop's body: its weights belong to the outer graph."""
        return helper.make_graph(self.nodes, name, list(inputs), list(outputs))
