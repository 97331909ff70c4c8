"""Autoregressive reading, one position at a time, at the cost of one new query a step.

What a step needs and earlier steps or the image have settled is kept: the image's keys and values,
those of the characters read so far, and the first layer's projected position queries. No earlier
content can change, since each position sees only itself and those before it. The mathematics is
that of `Decoder.forward` under causal masks, laid out for a few rows at a time: streams are (B, D),
and heads are folded into the batch for plain batched products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.models.layers.attention import KeyValue, MultiHeadAttention
from strhub.models.parseq.decoder import Decoder, DecoderLayer


class SteppingDecoder:
    """A decoder in the middle of reading a batch.

    memory: each layer's keys and values of the image, as `Decoder.project_memory` gives. positions:
    the position queries of all steps, (L, D). Not for training: there is no dropout.
    """

    def __init__(self, decoder: Decoder, memory: Sequence[KeyValue], positions: Tensor) -> None:
        self.norm = Norm(decoder.norm)
        self.positions = positions
        self.layers = [
            SteppingLayer(layer, kv, len(positions))
            for layer, kv in zip(decoder.stack, memory, strict=True)
        ]
        queries = self.layers[0].self_query(self.layers[0].norm_query(positions))  # (L, D)
        batch = memory[0].key.shape[0]
        self._first_queries = (
            queries.unsqueeze(1)
            .expand(-1, batch, -1)
            .reshape(len(positions), *self.layers[0].folded)
        )

    def step(self, index: int, content: Tensor) -> Tensor:
        """Read position `index`, given the embedded token before it, (B, D). Returns its output,
        (B, D).
        """
        stream = self.positions[index].expand_as(content)
        for number, layer in enumerate(self.layers):
            normed = layer.norm_content(content)
            layer.extend(index, normed)
            query = (
                self._first_queries[index]
                if number == 0
                else layer.self_query(layer.norm_query(stream))
            )
            updated = layer.update(index, stream, query)
            if number + 1 < len(self.layers):
                content = layer.update(index, content, layer.self_query(normed))
            stream = updated
        return self.norm(stream)

    def reorder(self, rows: Tensor) -> None:
        """Go on with what these rows, (B), have read; a row takes the place of one of the same
        image.
        """
        for layer in self.layers:
            layer.past_key, layer.past_value = layer.past_key[rows], layer.past_value[rows]


class SteppingLayer:
    """One layer between steps: its weights, laid out for few rows, and what it keeps."""

    def __init__(self, layer: DecoderLayer, memory: KeyValue, steps: int) -> None:
        batch, heads, _, size = memory.key.shape
        self.folded = (batch * heads, 1, size)
        # Contiguous, keys transposed: as batched products read them fastest, 26 times over.
        self.memory_key = memory.key.flatten(0, 1).transpose(1, 2).contiguous()  # (B * H, D / H, N)
        self.memory_value = memory.value.flatten(0, 1).contiguous()  # (B * H, N, D / H)
        self.past_key = memory.key.new_empty(batch, heads, size, steps)
        self.past_value = memory.key.new_empty(batch, heads, steps, size)
        self.norm_query, self.norm_content = Norm(layer.norm_q), Norm(layer.norm_c)
        self.norm_cross, self.norm_mlp = Norm(layer.norm1), Norm(layer.norm2)
        self.self_query, self._key_value, self._self_output = _projections(layer.self_attn, batch)
        self._cross_query, _, self._cross_output = _projections(layer.cross_attn, batch)
        self._mlp_in = Affine(layer.linear1.weight, layer.linear1.bias, batch)
        self._mlp_out = Affine(layer.linear2.weight, layer.linear2.bias, batch)

    def extend(self, index: int, normed: Tensor) -> None:
        """Keep the key and value of one more token, (B, D)."""
        projected = self._key_value(normed).view(-1, 2, *self.past_key.shape[1:3])
        self.past_key[:, :, :, index] = projected[:, 0]
        self.past_value[:, :, index] = projected[:, 1]

    def update(self, index: int, stream: Tensor, query: Tensor) -> Tensor:
        """Pass one stream at one position, (B, D), through attention to past and image and the
        MLP.
        """
        past = index + 1
        mixed = self._attend(
            query, self.past_key.flatten(0, 1)[:, :, :past], self.past_value.flatten(0, 1)[:, :past]
        )
        stream = stream + self._self_output(mixed.view(stream.shape))
        mixed = self._attend(
            self._cross_query(self.norm_cross(stream)), self.memory_key, self.memory_value
        )
        stream = stream + self._cross_output(mixed.view(stream.shape))
        return stream + self._mlp_out(F.gelu(self._mlp_in(self.norm_mlp(stream))))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend with scaled queries (B, D) to (B * H, D / H, S) and (B * H, S, D / H); return (B *
        H, 1, D / H).
        """
        return torch.bmm(torch.softmax(torch.bmm(query.view(self.folded), key), dim=-1), value)


class Affine:
    """A linear layer for so many rows at a time: the call overhead of `nn.Linear` would count 26
    times over.
    """

    def __init__(self, weight: Tensor, bias: Tensor, rows: int) -> None:
        self.weight, self.bias = weight.detach().t(), bias.detach()
        # From 4 rows on the product is bound by arithmetic, and a transposed copy is read twice as
        # fast.
        if torch.compiler.is_exporting() or rows >= 4:
            self.weight = self.weight.contiguous()

    def __call__(self, rows: Tensor) -> Tensor:
        """Map (B, in) to (B, out)."""
        return torch.addmm(self.bias, rows, self.weight)


class Norm:
    """A layer norm without call overhead, likewise."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        self.arguments = (norm.normalized_shape, norm.weight.detach(), norm.bias.detach(), norm.eps)

    def __call__(self, rows: Tensor) -> Tensor:
        """Map (B, D) to (B, D)."""
        return torch.layer_norm(rows, *self.arguments)


def _projections(attention: MultiHeadAttention, rows: int) -> tuple[Affine, Affine, Affine]:
    """Return queries with the attention's scale in them, so that no step multiplies by it; keys and
    values; output.
    """
    dim = attention.in_proj_weight.shape[1]
    scale = (dim // attention.num_heads) ** -0.5
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    query = Affine(weight[:dim] * scale, bias[:dim] * scale, rows)
    output = Affine(attention.out_proj.weight, attention.out_proj.bias, rows)
    return query, Affine(weight[dim:], bias[dim:], rows), output
