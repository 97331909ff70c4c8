"""The graph of TRBA: its columns as PyTorch's exporter writes them, then the loop that reads them
step by step.

The mathematics is that of `strhub.models.trba.attention`. The part of the cell's gates that the
last token alone decides is a table of all tokens, made when the graph is written.
"""

from __future__ import annotations

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from strhub.export.generic import extend, trace
from strhub.export.graph import Graph
from strhub.models.trba.attention import AttentionDecoder
from strhub.models.trba.model import TRBA

COLUMNS = "columns"


class _ColumnsOf(nn.Module):
    """TRBA without its decoder."""

    def __init__(self, network: TRBA) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, W', C)."""
        return self.network.columns(images)


def read(network: TRBA, img_size: tuple[int, int], opset: int) -> onnx.ModelProto:
    """Map images (B, 3, H, W) to logits (B, L, charset_size + 3), as a model of any B."""
    traced = trace(_ColumnsOf(network), img_size, any_width=False, opset=opset, output=COLUMNS)
    graph = Graph(opset)
    logits = step_by_step(graph, network.Prediction, network.max_label_length + 1)
    return extend(traced, graph, logits, network.Prediction.generator.out_features)


def step_by_step(graph: Graph, decoder: AttentionDecoder, steps: int) -> str:
    """Decode until every row has read [E], or for the given number of steps."""
    cell, size = decoder.attention_cell, decoder.generator.in_features
    keys = graph.op("MatMul", COLUMNS, graph.weight(cell.i2h.weight.t()))  # (B, W, H)
    batch = graph.size(COLUMNS, 0)
    zeros = graph.op(
        "ConstantOfShape", graph.op("Concat", batch, graph.integers(size), axis=0)
    )  # (B, H)
    begin = graph.op("Expand", graph.integers(decoder.bos_id), batch)  # (B)
    false = helper.make_tensor("value", TensorProto.BOOL, [1], [False])
    carried = [begin, graph.op("ConstantOfShape", batch, value=false), zeros, zeros]
    outputs = [graph.name("last") for _ in carried] + [graph.name("steps")]
    inputs = [graph.scalar(steps), graph.scalar(True), *carried]
    body = _step(graph, decoder, keys)
    graph.nodes.append(
        helper.make_node("Loop", inputs, outputs, name="read_step_by_step", body=body)
    )
    return graph.op("Transpose", outputs[-1], perm=[1, 0, 2])  # (L, B, C) -> (B, L, C)


def _step(outer: Graph, decoder: AttentionDecoder, keys: str) -> object:
    """Build the loop's body: token (B), ended (B), hidden and cell state (B, H), to the next ones
    and logits (B, C).
    """
    graph, cell = Graph(outer.opset, outer), decoder.attention_cell
    step, going, token, ended, hidden, memory = (
        graph.name(stem) for stem in ("step", "going", "token", "ended", "hidden", "memory")
    )
    query = graph.op(
        "Unsqueeze", graph.linear(hidden, cell.h2h.weight, cell.h2h.bias), graph.integers(1)
    )  # (B, 1, H)
    agreement = graph.op("Tanh", graph.op("Add", keys, query))
    scores = graph.op("MatMul", agreement, graph.weight(cell.score.weight.t()))  # (B, W, 1)
    weights = graph.op("Transpose", graph.op("Softmax", scores, axis=1), perm=[0, 2, 1])
    seen = graph.op("Squeeze", graph.op("MatMul", weights, COLUMNS), graph.integers(1))  # (B, C)
    next_hidden, next_memory = _cell(graph, decoder, token, seen, hidden, memory)
    logits = graph.linear(next_hidden, decoder.generator.weight, decoder.generator.bias)
    read = graph.op("ArgMax", logits, axis=1, keepdims=0)  # (B)
    now_ended = graph.op("Or", ended, graph.op("Equal", read, graph.scalar(decoder.eos_id)))
    unfinished = graph.any_false(now_ended)
    kinds = [TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT, TensorProto.FLOAT]
    values = [
        helper.make_tensor_value_info(name, kind, None)
        for name, kind in zip((token, ended, hidden, memory), kinds, strict=True)
    ]
    inputs = [
        helper.make_tensor_value_info(step, TensorProto.INT64, []),
        helper.make_tensor_value_info(going, TensorProto.BOOL, []),
        *values,
    ]
    results = [
        (unfinished, TensorProto.BOOL),
        *zip((read, now_ended, next_hidden, next_memory), kinds, strict=True),
        (logits, TensorProto.FLOAT),
    ]
    outputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in results]
    return graph.body("step", inputs, outputs)


def _cell(
    graph: Graph, decoder: AttentionDecoder, token: str, seen: str, hidden: str, memory: str
) -> tuple[str, str]:
    """Compute an LSTM cell: token (B), what is seen (B, C), hidden and cell state (B, H), to the
    next two states.
    """
    rnn = decoder.attention_cell.rnn
    columns = rnn.weight_ih.shape[1] - decoder.char_embeddings.embedding_dim
    with torch.no_grad():
        of_token = (
            decoder.char_embeddings.weight @ rnn.weight_ih[:, columns:].t()
            + rnn.bias_ih
            + rnn.bias_hh
        )
    gates = graph.op("Gather", graph.weight(of_token), token)  # (B, 4 * H)
    gates = graph.op(
        "Add", gates, graph.op("MatMul", seen, graph.weight(rnn.weight_ih[:, :columns].t()))
    )
    gates = graph.op("Add", gates, graph.op("MatMul", hidden, graph.weight(rnn.weight_hh.t())))
    parts = [graph.name("gate") for _ in range(4)]
    sizes = graph.integers(*[rnn.hidden_size] * 4)
    graph.nodes.append(
        helper.make_node("Split", [gates, sizes], parts, name=graph.name("split"), axis=1)
    )
    keep = graph.op("Mul", graph.op("Sigmoid", parts[1]), memory)
    new = graph.op("Mul", graph.op("Sigmoid", parts[0]), graph.op("Tanh", parts[2]))
    next_memory = graph.op("Add", keep, new)
    next_hidden = graph.op("Mul", graph.op("Sigmoid", parts[3]), graph.op("Tanh", next_memory))
    return next_hidden, next_memory
