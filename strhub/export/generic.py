"""Any network without a loop that depends on what it reads, to an ONNX graph through PyTorch's own
exporter.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import torch
from onnx import TensorProto, compose, helper
from torch import Tensor, nn
from torch.export import Dim

from strhub.export.graph import Graph
from strhub.inference.onnx_description import IMAGES, LOGITS

WIDTH_STEP = 4  # pixels of a column, of networks that take any width


def trace(
    network: nn.Module,
    img_size: tuple[int, int],
    *,
    any_width: bool,
    opset: int,
    output: str = LOGITS,
) -> onnx.ModelProto:
    """Return a network of images (B, 3, H, W) to logits (B, L, C), as a model of any B, and of any
    W if `any_width`.

    output: what the logits are called. Raises `ValueError` for a network whose course depends on
    what it reads, and for one with an operator that ONNX has nothing for.
    """
    program = exported_program(network, img_size, any_width=any_width)
    try:
        with torch.no_grad(), _quietly():
            attention = torch.ops.aten.scaled_dot_product_attention.default
            program = program.run_decompositions({attention: _plain_attention})
            traced = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=opset,
                input_names=[IMAGES],
                output_names=[output],
                verbose=False,
            )
    except ModuleNotFoundError:
        raise
    except Exception as error:  # of many kinds, most of them the exporter's own
        raise ValueError(
            f"PyTorch's exporter cannot write this network as ONNX: {_reason(error)}"
        ) from error
    assert traced is not None
    model: onnx.ModelProto = traced.model_proto
    return model


def extend(traced: onnx.ModelProto, graph: Graph, logits: str, classes: int) -> onnx.ModelProto:
    """Return a traced model and what was written by hand to follow it, as one model that gives
    logits (B, L, classes).

    graph: its nodes may use the traced model's input and output by their names; logits: the last of
        its values.
    """
    model: onnx.ModelProto = compose.add_prefix(
        traced, "traced/", rename_inputs=False, rename_outputs=False
    )
    graph.nodes.append(helper.make_node("Identity", [logits], [LOGITS], name=LOGITS))
    model.graph.node.extend(graph.nodes)
    model.graph.initializer.extend(graph.initializers)
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", "length", classes])
    )
    return model


def exported_program(
    network: nn.Module, img_size: tuple[int, int], *, any_width: bool = False
) -> torch.export.ExportedProgram:
    """Return a network of images as a program of `torch.export`, for any B, and any W if
    `any_width`.

    Raises `ValueError` for a network whose course depends on what it reads.
    """
    sizes: dict[int, Any] = {0: Dim("batch")}
    if any_width:
        sizes[3] = WIDTH_STEP * Dim("columns", min=4, max=img_size[1] // WIDTH_STEP)
    images = torch.zeros(2, 3, img_size[0], min(img_size[1], 4 * img_size[0]))
    try:
        with torch.no_grad(), _quietly():
            return torch.export.export(network, (images,), dynamic_shapes=(sizes,), strict=False)
    except Exception as error:  # of many kinds, most of them the exporter's own
        raise ValueError(
            f"PyTorch's exporter cannot export this network: {_reason(error)}"
        ) from error


def _reason(error: BaseException) -> str:
    """Return the first line of what went wrong at the bottom of it all."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Compute attention by single operators, since the exporter's own takes only four dimensions;
    no dropout when reading.
    """
    if is_causal or enable_gqa:
        raise ValueError("causal attention and attention with grouped queries cannot be exported")
    scores = query * (query.shape[-1] ** -0.5 if scale is None else scale) @ key.transpose(-1, -2)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1) @ value


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Silence the exporter's remarks about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
