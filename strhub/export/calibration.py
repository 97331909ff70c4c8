"""Weights and activations in 8 bits, the activations' ranges settled beforehand by what real images
cause.

What is in a loop is not seen when images are run for their ranges: products there find theirs as
they go, see `strhub.export.precision.compute_in_8_bits`.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from strhub.export.precision import graphs_of, set_nodes
from strhub.inference.onnx_description import IMAGES
from strhub.inference.onnx_engine import group_by_shape
from strhub.inference.reading import ImageArray
from strhub.utils.telemetry import switch_off_telemetry

BATCH = 8
ENOUGH = 512  # images, of which the ranges hardly change any more


def quantize(proto: onnx.ModelProto, arrays: Sequence[ImageArray]) -> onnx.ModelProto:
    """Return a model of float32 with its products with weights in 8 bits; convolutions in 8 bits
    would cost accuracy.

    arrays: normalized images (3, H, W) of the kind that will be read; `ENOUGH` of them are looked
    at, together those of one width.
    Raises `ValueError` without images.
    """
    if not arrays:
        raise ValueError(
            "8 bits for weights and activations need images to calibrate on: some hundred words"
        )
    switch_off_telemetry()
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.remaining = _batches(arrays[:ENOUGH])

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.remaining, None)
            return None if batch is None else {IMAGES: batch}

    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # advice on preparing a model, which has been done
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "quantized.onnx"
            quantize_static(
                proto,
                target,
                Batches(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                reduce_range=True,  # processors without VNNI add products in 16 bits
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
            quantized: onnx.ModelProto = onnx.load(target)
            _sort(quantized.graph)
            return quantized
    finally:
        logger.setLevel(level)


def _batches(arrays: Sequence[ImageArray]) -> Iterator[ImageArray]:
    """Yield images (3, H, W) in batches (B, 3, H, W) of one width."""
    for indices in group_by_shape(arrays):
        for start in range(0, len(indices), BATCH):
            yield np.stack([arrays[index] for index in indices[start : start + BATCH]])


def _sort(graph: onnx.GraphProto) -> None:
    """Put nodes in an order in which each comes after what it uses, also within its loops, where
    quantizing forgets.
    """
    makers = {name: number for number, node in enumerate(graph.node) for name in node.output}
    order: dict[int, None] = {}

    def visit(number: int) -> None:
        if number in order:
            return
        node = graph.node[number]
        inner = [one for part in graphs_of(onnx.GraphProto(node=[node])) for one in part.node]
        for name in (name for one in inner for name in one.input):
            if name in makers and makers[name] != number:
                visit(makers[name])
        order[number] = None

    for number in range(len(graph.node)):
        visit(number)
    set_nodes(graph, [graph.node[number] for number in order])
