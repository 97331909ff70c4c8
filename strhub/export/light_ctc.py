"""The graph of the light CTC recognizer. The mathematics is that of
`strhub.models.layers.light_conv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from torch import nn

from strhub.export.graph import Graph
from strhub.models.layers.backbones import ColumnEncoder
from strhub.models.layers.light_conv import (
    HEADS,
    TOKEN_DIM,
    Block,
    ChannelAttention,
    LightConvEncoder,
    Neck,
    Stem,
    TokenBlock,
)
from strhub.models.layers.widths import LEAST_WIDTH, WIDTH_STEP
from strhub.models.light_ctc.model import LightCTC


def read(graph: Graph, images: str, network: LightCTC) -> str:
    """Write the graph from images (B, 3, 48, W), any W, to logits (B, W' / 8, charset_size + 1);
    the logits' name.
    """
    tokens = encode(graph, _pad_columns(graph, images), network.encoder)
    return graph.linear(tokens, network.head.weight, network.head.bias)


def tokens(graph: Graph, images: str, encoder: ColumnEncoder) -> str:
    """Write the graph from images (B, 3, 48, W), any W, to a decoder's tokens (B, W' / 8, D); the
    tokens' name.
    """
    features = encode(graph, _pad_columns(graph, images), encoder.backbone)
    normed = graph.layer_norm(features, encoder.norm)
    projected = graph.linear(normed, encoder.projection.weight, encoder.projection.bias)
    positions = graph.slice(
        graph.weight(encoder.positions.numpy()), axis=1, stop=graph.size(projected, 1)
    )
    return graph.op("Add", projected, positions)


def encode(graph: Graph, images: str, encoder: LightConvEncoder) -> str:
    """Write the graph from images (B, 3, 48, W), W a multiple of 8, to tokens (B, W / 8, D); the
    tokens' name.
    """
    features = _stem(graph, images, encoder.stem)
    for block in encoder.blocks:
        assert isinstance(block, Block)
        features = _block(graph, features, block)
    pooled = graph.op("AveragePool", features, kernel_shape=[3, 2], strides=[3, 2])
    return _neck(graph, pooled, encoder.neck)


def _pad_columns(graph: Graph, images: str) -> str:
    """Write zeros on the right of images (B, 3, H, W), as `padded_width` says."""
    width = graph.size(images, 3)
    least = graph.op("Max", width, graph.integers(LEAST_WIDTH))
    steps = graph.op(
        "Div", graph.op("Add", least, graph.integers(WIDTH_STEP - 1)), graph.integers(WIDTH_STEP)
    )
    missing = graph.op("Sub", graph.op("Mul", steps, graph.integers(WIDTH_STEP)), width)
    pads = graph.op("Concat", graph.integers(*[0] * 7), missing, axis=0)
    return graph.op("Pad", images, pads)


def _stem(graph: Graph, images: str, stem: Stem) -> str:
    halves = graph.op("Relu", _convolve(graph, images, stem.conv1))
    padded = _pad_corner(graph, halves)
    pooled = graph.op("MaxPool", padded, kernel_shape=[2, 2])
    once = graph.op("Relu", _convolve(graph, padded, stem.conv2))
    twice = graph.op("Relu", _convolve(graph, _pad_corner(graph, once), stem.conv3))
    both = graph.op("Concat", pooled, twice, axis=1)
    quarters = graph.op("Relu", _convolve(graph, both, stem.conv4))
    return graph.op("Relu", _convolve(graph, quarters, stem.conv5))


def _block(graph: Graph, features: str, block: Block) -> str:
    features = _convolve(graph, features, block.depthwise)
    if isinstance(block.attention, ChannelAttention):
        mean = graph.op("GlobalAveragePool", features)
        hidden = graph.op("Relu", _convolve(graph, mean, block.attention.reduce))
        weights = graph.op(
            "HardSigmoid", _convolve(graph, hidden, block.attention.expand), alpha=1 / 6, beta=0.5
        )
        features = graph.op("Mul", features, weights)
    mixed = _convolve(graph, graph.gelu(_convolve(graph, features, block.expand)), block.project)
    return graph.op("Add", features, mixed) if block.residual else mixed


def _neck(graph: Graph, features: str, neck: Neck) -> str:
    columns = _silu(graph, _convolve(graph, features, neck.reduce))
    columns = graph.op("Add", columns, _silu(graph, _convolve(graph, columns, neck.local)))
    tokens = _tokens(graph, columns)
    for block in neck.blocks:
        assert isinstance(block, TokenBlock)
        tokens = _token_block(graph, tokens, block)
    around = _tokens(graph, _silu(graph, _convolve(graph, features, neck.shortcut)))
    return graph.op("Add", graph.layer_norm(tokens, neck.norm), around)


def _token_block(graph: Graph, tokens: str, block: TokenBlock) -> str:
    normed, parts = graph.layer_norm(tokens, block.norm1), []
    for part in range(3):
        rows = slice(part * TOKEN_DIM, (part + 1) * TOKEN_DIM)
        scale = (TOKEN_DIM // HEADS) ** -0.5 if part == 0 else 1.0
        projected = graph.linear(normed, block.qkv.weight[rows], block.qkv.bias[rows], scale=scale)
        parts.append(graph.split_heads(projected, HEADS, transposed=part == 1))
    mixed = graph.attend(*parts)
    tokens = graph.op("Add", tokens, graph.linear(mixed, block.out.weight, block.out.bias))
    hidden = _silu(
        graph, graph.linear(graph.layer_norm(tokens, block.norm2), block.fc1.weight, block.fc1.bias)
    )
    return graph.op("Add", tokens, graph.linear(hidden, block.fc2.weight, block.fc2.bias))


def _tokens(graph: Graph, columns: str) -> str:
    """Write (B, D, 1, L) to (B, L, D)."""
    return graph.op("Transpose", graph.op("Squeeze", columns, graph.integers(2)), perm=[0, 2, 1])


def _convolve(graph: Graph, features: str, conv: nn.Conv2d) -> str:
    assert conv.bias is not None
    padding: Sequence[int] = conv.padding  # type: ignore[assignment]
    return graph.op(
        "Conv",
        features,
        graph.parameter(conv.weight),
        graph.parameter(conv.bias),
        kernel_shape=list(conv.kernel_size),
        strides=list(conv.stride),
        pads=list(chain(padding, padding)),
        group=conv.groups,
    )


def _pad_corner(graph: Graph, features: str) -> str:
    """Write a row and a column of zeros below and on the right of features (B, D, H, W)."""
    return graph.op("Pad", features, graph.integers(0, 0, 0, 0, 0, 0, 1, 1))


def _silu(graph: Graph, values: str) -> str:
    return graph.op("Mul", values, graph.op("Sigmoid", values))
