"""Weights of PP-OCRv6's small recognizer, as an ONNX graph, to those of our light CTC recognizer.

In: the graph as PaddleOCR exports it, batch norms folded in but for three. Out: parameters by our
names, with the output layer's rows of the characters that are wanted. Needs onnx.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from strhub.checkpoint.formats import CheckpointError
from strhub.models.layers.light_conv import Block, ChannelAttention, LightConvEncoder, TokenBlock
from strhub.utils.regular_files import read_regular

_BATCH_NORM_EPS = 1e-5
Pair = tuple[Tensor, Tensor]  # weight and bias


_LARGEST = 1 << 30  # bytes


class Published(NamedTuple):
    """encoder: parameters by our names; weight (C, D), bias (C): of the output layer, the blank
    first; characters: of its other outputs, in order.
    """

    encoder: dict[str, Tensor]
    weight: Tensor
    bias: Tensor
    characters: str


def read_published(path: str | Path) -> Published:
    """Read the .onnx file of the published recognizer; `CheckpointError` for any other."""
    import onnx

    try:
        model = onnx.load_from_string(read_regular(path, max_bytes=_LARGEST))
    except Exception as error:  # of many classes, protobuf's own among them
        raise CheckpointError(f"{path} is not an ONNX file: {error}") from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if "character" not in metadata:
        raise CheckpointError(
            f"{path} is not PP-OCRv6's recognizer: its metadata have no characters"
        )
    convolutions, products, norms = _parameters(model.graph)
    encoder = LightConvEncoder()
    *inner, (weight, bias) = products
    modules: list[list[nn.Conv2d | nn.Linear | nn.LayerNorm]] = [
        [*_convolutions(encoder)],
        [*_linears(encoder)],
        [*_norms(encoder)],
    ]
    if [len(kind) for kind in modules] != [len(convolutions), len(inner), len(norms)]:
        raise CheckpointError(
            f"{path} is not PP-OCRv6's small recognizer: its graph has other layers"
        )
    for module, (values, offsets) in zip(
        chain(*modules), chain(convolutions, inner, norms), strict=True
    ):
        if module.weight.shape != values.shape or module.bias is None:
            raise CheckpointError(
                f"{path}: a layer of shape {tuple(values.shape)}, not {tuple(module.weight.shape)}"
            )
        module.weight.data, module.bias.data = values, offsets
    encoder.stem.conv1.weight.data = encoder.stem.conv1.weight.data.flip(
        1
    )  # it took blue, green, red
    # Split at "\n" only: `splitlines` takes some of the characters for line ends.
    characters = [*metadata["character"].split("\n"), " "]
    weights = {name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}
    return Published(weights, weight, bias, "".join(characters))


def choose_characters(published: Published, charset: str) -> dict[str, Tensor]:
    """Return the weights of a light CTC recognizer that reads `charset`; `ValueError` for
    characters it cannot read.
    """
    unknown = sorted(set(charset) - set(published.characters))
    if unknown:
        raise ValueError(f"the published recognizer cannot read {' '.join(unknown)}")
    rows = [0, *(1 + published.characters.index(character) for character in charset)]
    encoder = {f"encoder.{name}": tensor for name, tensor in published.encoder.items()}
    return {**encoder, "head.weight": published.weight[rows], "head.bias": published.bias[rows]}


def _parameters(graph: Any) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Return the weights and biases of convolutions, of matrix products and of layer norms, in the
    graph's order.
    """
    from onnx import numpy_helper

    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type != "Identity"]
    kinds: tuple[list[Pair], list[Pair], list[Pair]] = ([], [], [])
    for node, after in pairwise(nodes):
        operands = [stored.get(name) for name in after.input]
        values = stored.get(node.input[1]) if len(node.input) > 1 else None
        if values is None or len(operands) < 2 or operands[1] is None:
            continue
        if node.op_type == "Conv" and after.op_type == "BatchNormalization":
            kinds[0].append(_folded(values, operands[1:]))
        elif node.op_type == "Conv":
            kinds[0].append(_pair(values, operands[1]))
        elif node.op_type == "MatMul":
            kinds[1].append(_pair(values.T, operands[1]))
        elif (
            node.op_type == "Mul"
            and after.op_type == "Add"
            and values.ndim == 1
            and len(values) > 1
        ):
            kinds[2].append(_pair(values, operands[1]))
    return kinds


def _folded(weight: Any, norm: Sequence[Any]) -> Pair:
    """Return a convolution without bias and the batch norm behind it as one with a bias."""
    scale, shift, mean, variance = (values.astype(np.float64) for values in norm)
    factor = scale / np.sqrt(variance + _BATCH_NORM_EPS)
    return _pair(weight * factor[:, None, None, None], shift - mean * factor)


def _pair(weight: Any, bias: Any) -> Pair:
    first, second = (
        np.ascontiguousarray(values, dtype=np.float32).copy()
        for values in (weight, bias.reshape(-1))
    )
    return torch.from_numpy(first), torch.from_numpy(second)


def _convolutions(encoder: LightConvEncoder) -> Iterator[nn.Conv2d]:
    """Yield the encoder's convolutions in the published graph's order."""
    stem, neck = encoder.stem, encoder.neck
    yield from (stem.conv1, stem.conv2, stem.conv3, stem.conv4, stem.conv5)
    for block in encoder.blocks:
        assert isinstance(block, Block)
        yield block.depthwise
        if isinstance(block.attention, ChannelAttention):
            yield from (block.attention.reduce, block.attention.expand)
        yield from (block.expand, block.project)
    yield from (neck.shortcut, neck.reduce, neck.local)


def _linears(encoder: LightConvEncoder) -> Iterator[nn.Linear]:
    for block in encoder.neck.blocks:
        assert isinstance(block, TokenBlock)
        yield from (block.qkv, block.out, block.fc1, block.fc2)


def _norms(encoder: LightConvEncoder) -> Iterator[nn.LayerNorm]:
    for block in encoder.neck.blocks:
        assert isinstance(block, TokenBlock)
        yield from (block.norm1, block.norm2)
    yield encoder.neck.norm
