"""PARSeq's decoder written to ONNX: one position after the other, all at once, and refined.

In: names of the tokens (B, N, D) that it attends to. Out: the name of the logits (B, L, C).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from onnx import TensorProto, helper
from torch import nn

from strhub.export.graph import Graph
from strhub.models.layers.attention import MultiHeadAttention
from strhub.models.parseq.crossmodal import CrossModalBranch
from strhub.models.parseq.decoder import DecoderLayer
from strhub.models.parseq.reader import CharacterReader


class KeyValue(NamedTuple):
    """Names of keys (B, H, D / H, S) and values (B, H, S, D / H)."""

    key: str
    value: str


class Reader:
    """The decoder and the keys and values of what it attends to, one pair a layer.

    tokens: of the image, (B, N, D), or of image and text.
    """

    def __init__(self, graph: Graph, network: CharacterReader, tokens: str) -> None:
        self.graph, self.network = graph, network
        self.memory = [
            _key_value(graph, tokens, layer.cross_attn) for layer in network.decoder.stack
        ]
        self.layers = network.decoder.stack
        self.positions = graph.parameter(network.pos_queries)  # (1, T, D)
        self.embeddings = graph.parameter(
            network.text_embed.embedding.weight, scale=network.text_embed.scale
        )
        first = self.layers[0]
        self.queries = _query(
            graph, graph.layer_norm(self.positions, first.norm_q), first.self_attn
        )  # (1, H, T, D/H)
        self.start = graph.op(
            "Gather", self.embeddings, graph.weight(np.array([[network.bos_id]]))
        )  # (1, 1, D)

    def first(self, images: str, decode_ar: bool) -> str:
        """Read without refinement."""
        return self.step_by_step(images) if decode_ar else self.in_one_pass()

    def in_one_pass(self) -> str:
        """Return all positions from [B] alone."""
        return self._pass(self.graph, self.start, self.positions, self.queries)

    def refine(self, logits: str) -> str:
        """Return all positions once more, each seeing every character read before but its own, up
        to the first [E].
        """
        graph, steps = self.graph, self.network.pos_queries.shape[1]
        length = graph.size(logits, 1)
        read = graph.op("ArgMax", logits, axis=2, keepdims=0)  # (B, L)
        earlier = graph.op(
            "Slice", read, graph.integers(0), graph.integers(-1), graph.integers(1)
        )  # (B, L - 1)
        characters = graph.op("Gather", self.embeddings, earlier)
        before = graph.slice(
            self.positions, axis=1, stop=graph.op("Sub", length, graph.integers(1))
        )
        shape = graph.op("Concat", graph.size(logits, 0), graph.integers(1, 1), axis=0)
        start = graph.op("Expand", self.start, shape)  # (B, 1, D)
        content = graph.op(
            "Concat", start, graph.op("Add", characters, before), axis=1
        )  # (B, L, D)

        ends = graph.op(
            "Cast",
            graph.op("Equal", earlier, graph.scalar(self.network.eos_id)),
            to=TensorProto.INT64,
        )
        ended = graph.op("Greater", graph.op("CumSum", ends, graph.scalar(1)), graph.scalar(0))
        never = graph.op(
            "Expand",
            graph.weight(np.zeros((1, 1), dtype=bool)),
            graph.slice(shape, axis=0, stop=graph.integers(2)),
        )
        visible = graph.op("Not", graph.op("Concat", never, ended, axis=1))  # (B, L); [B] always is
        visible = graph.op("Unsqueeze", visible, graph.integers(1, 2))  # (B, 1, 1, L)
        masks = []
        for mask in (
            ~np.eye(steps, k=1, dtype=bool),
            np.tri(steps, dtype=bool),
        ):  # of the query, the content stream
            rows = graph.slice(
                graph.slice(graph.weight(mask), axis=0, stop=length), axis=1, stop=length
            )
            masks.append(graph.op("And", rows, visible))  # (B, 1, L, L)
        positions = graph.slice(self.positions, axis=1, stop=length)
        queries = graph.slice(self.queries, axis=2, stop=length)
        return self._pass(graph, content, positions, queries, masks=(masks[0], masks[1]))

    def step_by_step(self, images: str) -> str:
        """Decode one position after the other, until every row has read [E]."""
        graph, steps = self.graph, self.network.pos_queries.shape[1]
        batch = graph.size(images, 0)
        begin = graph.op(
            "Expand", self.start, graph.op("Concat", batch, graph.integers(1, 1), axis=0)
        )  # (B, 1, D)
        false = helper.make_tensor("value", TensorProto.BOOL, [1], [False])
        ended = graph.op("ConstantOfShape", batch, value=false)  # (B)
        past = []
        for layer in self.layers:
            heads, size = layer.self_attn.num_heads, _head_size(layer.self_attn)
            for shape in ((heads, size, 0), (heads, 0, size)):
                full = graph.op("Concat", batch, graph.integers(*shape), axis=0)
                past.append(graph.op("ConstantOfShape", full))  # no keys or values yet
        carried = [begin, ended, *past]
        outputs = [graph.name("last") for _ in carried] + [graph.name("steps")]
        inputs = [graph.scalar(steps), graph.scalar(True), *carried]
        again = isinstance(self.network, CrossModalBranch)
        graph.nodes.append(
            helper.make_node(
                "Loop",
                inputs,
                outputs,
                name="read_again_step_by_step" if again else "read_step_by_step",
                body=self._step(),
            )
        )
        return graph.op("Transpose", outputs[-1], perm=[1, 0, 2])  # (L, B, C) -> (B, L, C)

    def _step(self) -> object:
        """Build the loop's body: content (B, 1, D), ended (B), keys and values so far, to the next
        ones and logits (B, C).
        """
        graph = Graph(self.graph.opset, self.graph)
        step, running, content, ended = (
            graph.name(stem) for stem in ("step", "going", "content", "ended")
        )
        before = [KeyValue(graph.name("past_key"), graph.name("past_value")) for _ in self.layers]
        index = graph.op("Unsqueeze", step, graph.integers(0))
        position = graph.op("Gather", self.positions, index, axis=1)  # (1, 1, D)
        query = graph.op("Gather", self.queries, index, axis=2)  # (1, H, 1, D / H)
        after: list[KeyValue] = []
        logits = self._pass(graph, content, position, query, past=before, kept=after)  # (B, 1, C)
        row = graph.op("Squeeze", logits, graph.integers(1))  # (B, C)
        token = graph.op("ArgMax", logits, axis=2, keepdims=0)  # (B, 1)
        ends = graph.op(
            "Squeeze",
            graph.op("Equal", token, graph.scalar(self.network.eos_id)),
            graph.integers(1),
        )
        ended_now = graph.op("Or", ended, ends)
        unfinished = graph.any_false(ended_now)
        following = graph.op(
            "Add", position, graph.op("Gather", self.embeddings, token)
        )  # (B, 1, D)

        carried = [(content, following, TensorProto.FLOAT), (ended, ended_now, TensorProto.BOOL)]
        for old, new in zip(before, after, strict=True):
            carried += [
                (old.key, new.key, TensorProto.FLOAT),
                (old.value, new.value, TensorProto.FLOAT),
            ]
        value = helper.make_tensor_value_info
        inputs = [value(step, TensorProto.INT64, []), value(running, TensorProto.BOOL, [])]
        outputs = [value(unfinished, TensorProto.BOOL, [])]
        inputs += [value(name, kind, None) for name, _, kind in carried]
        outputs += [value(name, kind, None) for _, name, kind in carried] + [
            value(row, TensorProto.FLOAT, None)
        ]
        return graph.body("step", inputs, outputs)

    def _pass(
        self,
        graph: Graph,
        content: str,
        stream: str,
        query: str,
        *,
        masks: tuple[str, str] | None = None,
        past: list[KeyValue] | None = None,
        kept: list[KeyValue] | None = None,
    ) -> str:
        """Run all layers, to logits (B, L, C).

        content: (B, S, D); stream: position queries (1, L, D); query: the first layer's projection
            of them.
        masks: of the query and content stream, (B, 1, L, S) and (B, 1, S, S). past: what was kept
        of earlier content, a layer; what is to be kept now is added to `kept`.
        """
        for number, layer in enumerate(self.layers):
            normed = graph.layer_norm(content, layer.norm_c)
            attended = _key_value(graph, normed, layer.self_attn)
            if past is not None and kept is not None:
                attended = KeyValue(
                    graph.op("Concat", past[number].key, attended.key, axis=3),
                    graph.op("Concat", past[number].value, attended.value, axis=2),
                )
                kept.append(attended)
            if number:
                query = _query(graph, graph.layer_norm(stream, layer.norm_q), layer.self_attn)
            stream = self._update(graph, number, stream, query, attended, masks and masks[0])
            if number + 1 < len(self.layers):
                query = _query(graph, normed, layer.self_attn)
                content = self._update(graph, number, content, query, attended, masks and masks[1])
        head = self.network.head
        return graph.linear(
            graph.layer_norm(stream, self.network.decoder.norm), head.weight, head.bias
        )

    def _update(
        self,
        graph: Graph,
        number: int,
        stream: str,
        query: str,
        content: KeyValue,
        mask: str | None,
    ) -> str:
        """Pass one stream, (B, L, D), through a layer: attention to the content, to the image,
        MLP.
        """
        layer: DecoderLayer = self.layers[number]
        stream = graph.op(
            "Add",
            stream,
            _output(graph, graph.attend(query, *content, mask), layer.self_attn.out_proj),
        )
        query = _query(graph, graph.layer_norm(stream, layer.norm1), layer.cross_attn)
        mixed = graph.attend(query, *self.memory[number])
        stream = graph.op("Add", stream, _output(graph, mixed, layer.cross_attn.out_proj))
        hidden = graph.gelu(_output(graph, graph.layer_norm(stream, layer.norm2), layer.linear1))
        return graph.op("Add", stream, _output(graph, hidden, layer.linear2))


def _head_size(attention: MultiHeadAttention) -> int:
    return attention.in_proj_weight.shape[1] // attention.num_heads


def _query(graph: Graph, tokens: str, attention: MultiHeadAttention) -> str:
    """Map tokens (B, L, D) to queries (B, H, L, D / H) that include the attention's scale."""
    dim, scale = attention.in_proj_weight.shape[1], _head_size(attention) ** -0.5
    weight, bias = attention.in_proj_weight[:dim], attention.in_proj_bias[:dim]
    return graph.split_heads(graph.linear(tokens, weight, bias, scale=scale), attention.num_heads)


def _key_value(graph: Graph, tokens: str, attention: MultiHeadAttention) -> KeyValue:
    (_, key, value), (_, key_bias, value_bias) = (
        attention.in_proj_weight.chunk(3),
        attention.in_proj_bias.chunk(3),
    )
    return KeyValue(
        graph.split_heads(
            graph.linear(tokens, key, key_bias), attention.num_heads, transposed=True
        ),
        graph.split_heads(graph.linear(tokens, value, value_bias), attention.num_heads),
    )


def _output(graph: Graph, tokens: str, linear: nn.Linear) -> str:
    return graph.linear(tokens, linear.weight, linear.bias)
