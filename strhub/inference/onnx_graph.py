"""Whether a graph's course is settled by its file and the sizes of images, not by what they show.

What one image costs then says what others of its size cost, so that a trial on zeros means
something. A graph may have loops of a fixed length, which end earlier where an image says so, but
no branches; and nothing that is computed from an image's numbers decides how large a tensor gets.
Operators are those of networks that look at images: whatever else a file names is refused.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from strhub.inference.onnx_file import fields_of, varint

__all__ = ["check_control_flow"]

_MOST_NODES = 100_000
_MOST_ROUNDS = 4096  # of a loop, more than a line has characters
_STANDARD = frozenset(
    """
    Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Clip Concat
    Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos CumSum DepthToSpace
    DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand Flatten
    Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater
    GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Identity
    InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log
    LogSoftmax Loop LpNormalization MatMul MatMulInteger Max MaxPool Mean Min Mish Mod Mul Neg
    Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN
    Range Reciprocal ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements ScatterND Selu Shape
    Sigmoid Sign Sin Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub
    Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
    """.split()  # noqa: SIM905
)
_MICROSOFT = frozenset(
    """
    Attention BiasGelu DequantizeLinear DynamicQuantizeMatMul FastGelu FusedConv FusedMatMul
    Gelu LayerNormalization MatMulInteger16 MatMulIntegerToFloat MatMulNBits MultiHeadAttention
    QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu
    QLinearMul QLinearSigmoid QLinearSoftmax QuantizeLinear QuickGelu SkipLayerNormalization
    """.split()  # noqa: SIM905
)
# Inputs whose numbers say how large an output is.
_SIZES: Mapping[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Tile": (1,),
    "TopK": (1,),
    "Upsample": (1,),
}
_OF_SHAPES = ("Shape", "Size")  # what they give depends on no number


class _Node(NamedTuple):
    op: str
    inputs: list[str]
    outputs: list[str]
    bodies: list[_Graph]


class _Graph(NamedTuple):
    """constants: names of initial tensors with their value, of one whole number; of others,
    None.
    """

    nodes: list[_Node]
    constants: dict[str, int | None]
    inputs: list[str]
    outputs: list[str]


def check_control_flow(path: Path) -> None:
    """Raise `ValueError` that says what in a file's graph may take any time or memory."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        top = _Reader(data).model()
    sources: dict[str, list[str]] = {}
    images = {name for name in top.inputs if name not in top.constants}
    for node in top.nodes:
        _note_sources(node, sources)
        for body in node.bodies:
            _check_loop(node, body, top.constants)
            images.update(body.inputs[1:], node.outputs)  # the first counts the rounds
            for inner in body.nodes:
                _note_sources(inner, sources)
    data_dependent = _data_dependent(sources, images)
    for node in _all_nodes(top):
        for index in _SIZES.get(node.op, ()):
            if index < len(node.inputs) and node.inputs[index] in data_dependent:
                raise ValueError(
                    f"how large the output of a {node.op} is depends on what an image shows"
                )


def _all_nodes(graph: _Graph) -> Iterator[_Node]:
    for node in graph.nodes:
        yield node
        for body in node.bodies:
            yield from body.nodes


def _check_loop(node: _Node, body: _Graph, constants: Mapping[str, int | None]) -> None:
    rounds = constants.get(node.inputs[0]) if node.inputs else None
    if node.op != "Loop" or len(node.bodies) > 1 or any(inner.bodies for inner in body.nodes):
        raise ValueError("it has loops within loops, or within other operators")
    if rounds is None or not 0 <= rounds <= _MOST_ROUNDS:
        raise ValueError(f"it has a loop that may run for more than {_MOST_ROUNDS} iterations")


def _note_sources(node: _Node, sources: dict[str, list[str]]) -> None:
    """Note from which values the numbers of each output are computed."""
    inputs = [] if node.op in _OF_SHAPES else node.inputs
    for name in node.outputs:
        sources.setdefault(name, []).extend(inputs)


def _data_dependent(sources: Mapping[str, list[str]], images: set[str]) -> set[str]:
    """Return the values whose numbers depend on those of images, or on how often a loop has gone
    round.
    """
    users: dict[str, list[str]] = {}
    for name, inputs in sources.items():
        for one in inputs:
            users.setdefault(one, []).append(name)
    found, waiting = set(images), list(images)
    while waiting:
        for name in users.get(waiting.pop(), ()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


class _Reader:
    """Reads nodes and names; see `onnx_file` on the format. Field numbers are the published
    definition's.
    """

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._left = data, _MOST_NODES

    def model(self) -> _Graph:
        """Return the graph of the whole file."""
        graphs = []
        for number, first, last in fields_of(self._data, 0, len(self._data)):
            if number == 25:
                raise ValueError("it has functions of its own")
            if number == 7:
                graphs.append(self._graph(first, last, 0))
        if len(graphs) != 1:
            raise ValueError("it has no graph, or several")
        return graphs[0]

    def _graph(self, start: int, stop: int, depth: int) -> _Graph:
        graph = _Graph([], {}, [], [])
        for number, first, last in fields_of(self._data, start, stop):
            if number == 1:
                self._left -= 1
                if self._left < 0 or depth > 2:
                    raise ValueError("it has too many steps, or is too deep")
                node = self._node(first, last, depth, graph.constants)
                graph.nodes.append(node)
            elif number == 5:
                name, value = self._tensor(first, last)
                graph.constants[name] = value
            elif number in (11, 12):
                names = graph.inputs if number == 11 else graph.outputs
                names.append(self._named(first, last, 1))
        return graph

    def _node(self, start: int, stop: int, depth: int, constants: dict[str, int | None]) -> _Node:
        node = _Node("", [], [], [])
        domain = ""
        values: list[int | None] = []
        for number, first, last in fields_of(self._data, start, stop):
            if number in (1, 2):
                (node.inputs if number == 1 else node.outputs).append(self._text(first, last))
            elif number == 4:
                node = node._replace(op=self._text(first, last))
            elif number == 7:
                domain = self._text(first, last)
            elif number == 5:
                for inner, at, end in fields_of(self._data, first, last):
                    if inner in (6, 11):
                        node.bodies.append(self._graph(at, end, depth + 1))
                    elif inner == 5:
                        values.append(self._tensor(at, end)[1])
        known = {"": _STANDARD, "ai.onnx": _STANDARD, "com.microsoft": _MICROSOFT}
        if node.op not in known.get(domain, ()):
            raise ValueError(f"it has the operator {f'{domain} {node.op}'.strip()[:60]!a}")
        if node.op == "Constant" and len(node.outputs) == 1:
            constants[node.outputs[0]] = values[0] if len(values) == 1 else None
        return node

    def _tensor(self, start: int, stop: int) -> tuple[str, int | None]:
        """Return a tensor's name and value, if it is one whole number of 64 bits."""
        name, kind = "", 0
        value: int | None = None
        raw: bytes | None = None
        elsewhere = False
        for number, first, last in fields_of(self._data, start, stop):
            if number == 2:
                kind = varint(self._data, first, last)[0]
            elif number == 7:
                value, end = varint(self._data, first, last)
                elsewhere = elsewhere or end != last
            elif number == 8:
                name = self._text(first, last)
            elif number == 9:
                raw = self._data[first : min(last, first + 9)]
            elif number in (13, 14):  # in another file
                elsewhere = True
        if raw is not None:
            value = int.from_bytes(raw, "little", signed=True) if len(raw) == 8 else None
        return name, None if elsewhere or kind != 7 else value

    def _named(self, start: int, stop: int, field: int) -> str:
        """Return the last text in a field, as the format has it."""
        names = [
            self._text(first, last)
            for number, first, last in fields_of(self._data, start, stop)
            if number == field
        ]
        return names[-1] if names else ""

    def _text(self, first: int, last: int) -> str:
        return self._data[first:last].decode("latin-1")  # no two names become one
