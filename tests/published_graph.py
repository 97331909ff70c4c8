"""A graph laid out as PP-OCRv6's small recognizer is published, with weights of our own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from strhub.checkpoint.ppocr import _convolutions, _linears, _norms
from strhub.models.layers.light_conv import TOKEN_DIM, LightConvEncoder


def write_published(path: Path, characters: str) -> LightConvEncoder:
    """Write the graph, whose output layer knows a blank, these characters and the space; the
    encoder in it.
    """
    torch.manual_seed(0)
    encoder = LightConvEncoder().eval()
    head = nn.Linear(TOKEN_DIM, len(characters) + 2)
    stored: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    numbers = count()

    def constant(values: np.ndarray) -> str:
        stored.append(numpy_helper.from_array(np.ascontiguousarray(values), f"w{next(numbers)}"))
        return stored[-1].name

    def add(kind: str, values: np.ndarray, bias: np.ndarray) -> None:
        name = f"n{next(numbers)}"
        nodes.append(helper.make_node(kind, ["x", constant(values)], [name]))
        nodes.append(helper.make_node("Add", [name, constant(bias)], [f"n{next(numbers)}"]))

    for kind, module in _layers(encoder, head):
        values = module.weight.detach().clone()
        if module is encoder.stem.conv1:
            values = values.flip(1)  # it takes blue, green, red
        add(kind, (values.T if kind == "MatMul" else values).numpy(), module.bias.detach().numpy())
    graph = helper.make_graph(
        nodes,
        "published",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        stored,
    )
    model = helper.make_model(graph)
    helper.set_model_props(model, {"character": "\n".join(characters)})
    path.write_bytes(model.SerializeToString())
    return encoder


def _layers(
    encoder: LightConvEncoder, head: nn.Linear
) -> Iterator[tuple[str, nn.Conv2d | nn.Linear | nn.LayerNorm]]:
    yield from (("Conv", module) for module in _convolutions(encoder))
    yield from (("Mul", module) for module in _norms(encoder))
    yield from (("MatMul", module) for module in _linears(encoder))
    yield "MatMul", head
