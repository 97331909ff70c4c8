"""Any network without a loop that depends on what it reads, to an ONNX graph through PyTorch's own exporter."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from strhub.onnx import IMAGES, LOGITS

WIDTH_STEP = 4  # pixels of a column, of networks that take any width


def trace(network: nn.Module, img_size: tuple[int, int], *, any_width: bool, opset: int) -> onnx.ModelProto:
    """A network of pictures (B, 3, H, W) to logits (B, L, C), as a model of any B, and of any W if `any_width`.

    Raises `ValueError` for a network whose course depends on what it reads.
    """
    sizes: dict[int, Any] = {0: Dim("batch")}
    if any_width:
        sizes[3] = WIDTH_STEP * Dim("columns", min=4, max=img_size[1] // WIDTH_STEP)
    pictures = torch.zeros(2, 3, img_size[0], min(img_size[1], 4 * img_size[0]))
    try:
        with torch.no_grad(), _quietly():
            program = torch.export.export(network, (pictures,), dynamic_shapes=(sizes,), strict=False)
            attention = torch.ops.aten.scaled_dot_product_attention.default
            program = program.run_decompositions({attention: _plain_attention})
            traced = torch.onnx.export(
                program, dynamo=True, opset_version=opset, input_names=[IMAGES], output_names=[LOGITS], verbose=False
            )
    except ModuleNotFoundError:
        raise
    except Exception as error:  # of many kinds, most of them the exporter's own
        raise ValueError(f"PyTorch's exporter cannot export this network: {str(error).splitlines()[0]}") from error
    assert traced is not None
    model: onnx.ModelProto = traced.model_proto
    return model


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
    """Attention in single operators, since the exporter's own takes four dimensions alone; when reading, no dropout."""
    if is_causal or enable_gqa:
        raise ValueError("attention that is causal by itself, or with grouped queries, is not exported")
    scores = query * (query.shape[-1] ** -0.5 if scale is None else scale) @ key.transpose(-1, -2)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1) @ value


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's remarks on itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
