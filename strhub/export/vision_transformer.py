"""The graph of a vision transformer, as `strhub.models.layers.vision_transformer` and `.clip`
compute it.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from strhub.export.graph import Graph
from strhub.models.layers.clip import ClipImageTower, ClipTextTower
from strhub.models.layers.vision_transformer import (
    MLP,
    EncoderBlock,
    PatchEmbedding,
    SelfAttention,
    VisionTransformer,
)


def encode(graph: Graph, images: str, encoder: VisionTransformer | ClipImageTower) -> str:
    """Map images (B, 3, H, W) to tokens (B, N, D), the class token first if there is one."""
    tokens = _embed(graph, images, encoder.patch_embed)
    if encoder.cls_token is not None:
        shape = graph.op("Concat", graph.size(tokens, 0), graph.integers(1, 1), axis=0)
        tokens = graph.op(
            "Concat", graph.op("Expand", graph.parameter(encoder.cls_token), shape), tokens, axis=1
        )
    tokens = graph.op("Add", tokens, graph.parameter(encoder.pos_embed))
    if isinstance(encoder, ClipImageTower):
        tokens = graph.layer_norm(tokens, encoder.norm_pre)
    tokens = graph.layer_norm(_blocks(graph, tokens, encoder.blocks), encoder.norm)
    return _project(graph, tokens, encoder) if isinstance(encoder, ClipImageTower) else tokens


def encode_text(graph: Graph, ids: str, tower: ClipTextTower) -> str:
    """Return the tokens (B, L, D) of text ids (B, L), as `ClipTextTower.tokens` does."""
    length = graph.size(ids, 1)
    tokens = graph.op("Gather", graph.parameter(tower.token_embedding.weight), ids)
    positions = graph.slice(graph.parameter(tower.pos_embed), axis=0, stop=length)
    causal = graph.weight(np.tri(tower.context_length, dtype=bool))
    mask = graph.slice(graph.slice(causal, axis=0, stop=length), axis=1, stop=length)
    tokens = _blocks(graph, graph.op("Add", tokens, positions), tower.blocks, mask)
    return _project(graph, graph.layer_norm(tokens, tower.norm), tower)


def _blocks(graph: Graph, tokens: str, blocks: nn.ModuleList, mask: str | None = None) -> str:
    for block in blocks:
        assert isinstance(block, EncoderBlock)
        attended = _attention(graph, graph.layer_norm(tokens, block.norm1), block.attn, mask)
        tokens = graph.op("Add", tokens, attended)
        tokens = graph.op(
            "Add", tokens, _mlp(graph, graph.layer_norm(tokens, block.norm2), block.mlp)
        )
    return tokens


def _project(graph: Graph, tokens: str, tower: ClipImageTower | ClipTextTower) -> str:
    return graph.op("MatMul", tokens, graph.parameter(tower.projection.weight, transposed=True))


def _mlp(graph: Graph, tokens: str, mlp: MLP) -> str:
    hidden = graph.linear(tokens, mlp.fc1.weight, mlp.fc1.bias)
    if mlp.activation == "quick_gelu":
        gate = graph.op("Sigmoid", graph.op("Mul", hidden, graph.scalar(1.702)))
        hidden = graph.op("Mul", hidden, gate)
    else:
        hidden = graph.gelu(hidden)
    return graph.linear(hidden, mlp.fc2.weight, mlp.fc2.bias)


def _embed(graph: Graph, images: str, embedding: PatchEmbedding) -> str:
    values = images
    for module in embedding.stem if isinstance(embedding.stem, nn.Sequential) else ():
        values = _stem_layer(graph, values, module)
    values = _convolve(graph, values, embedding.proj)  # (B, D, H', W')
    flat = graph.op("Reshape", values, graph.integers(0, 0, -1))
    return graph.op("Transpose", flat, perm=[0, 2, 1])  # (B, N, D)


def _stem_layer(graph: Graph, values: str, module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        return _convolve(graph, values, module)
    if isinstance(module, nn.GELU):
        return graph.gelu(values)
    if (
        isinstance(module, nn.BatchNorm2d)
        and module.running_mean is not None
        and module.running_var is not None
    ):
        numbers = (module.weight, module.bias, module.running_mean, module.running_var)
        return graph.op(
            "BatchNormalization", values, *map(graph.parameter, numbers), epsilon=module.eps
        )
    raise ValueError(f"a stem cannot be exported with {type(module).__name__}")


def _convolve(graph: Graph, values: str, convolution: nn.Conv2d) -> str:
    assert not isinstance(convolution.padding, str)
    assert convolution.groups == 1
    padding = [int(side) for side in convolution.padding]
    numbers = [convolution.weight, *([] if convolution.bias is None else [convolution.bias])]
    return graph.op(
        "Conv",
        values,
        *map(graph.parameter, numbers),
        kernel_shape=list(convolution.kernel_size),
        strides=list(convolution.stride),
        pads=padding * 2,
    )


def _attention(graph: Graph, tokens: str, attention: SelfAttention, mask: str | None = None) -> str:
    query, key, value = project(
        graph, tokens, attention.qkv.weight, attention.qkv.bias, attention.num_heads
    )
    mixed = graph.attend(query, key, value, mask)
    return graph.linear(mixed, attention.proj.weight, attention.proj.bias)


def project(
    graph: Graph, tokens: str, weight: Tensor, bias: Tensor, heads: int
) -> tuple[str, str, str]:
    """Map tokens (B, N, D) to queries, scaled, keys, transposed, and values, each split into heads.

    weight: (3 * D, D) of queries, keys and values; bias: (3 * D).
    """
    (query, key, value), (query_bias, key_bias, value_bias) = weight.chunk(3), bias.chunk(3)
    scale = (weight.shape[1] // heads) ** -0.5
    return (
        graph.split_heads(graph.linear(tokens, query, query_bias, scale=scale), heads),
        graph.split_heads(graph.linear(tokens, key, key_bias), heads, transposed=True),
        graph.split_heads(graph.linear(tokens, value, value_bias), heads),
    )
