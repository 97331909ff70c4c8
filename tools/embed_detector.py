#!/usr/bin/env python
"""Make the embedded detector, strhub/weights/detector.onnx, from an exported network with
differentiable binarization.

    python tools/embed_detector.py PP-OCRv6_det_small.onnx strhub/weights/detector.onnx

Its weights are stored in 8 bits, with a scale for each output channel, or in 16 bits where they are
few; it computes in 32. Operators that do nothing are removed. The original is part of the
`rapidocr` wheel (Apache-2.0); NOTICE credits it.
"""

from __future__ import annotations

import argparse

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEAST = 64  # numbers from which a tensor is stored in 16 bits
LEAST_IN_8 = 20000


def shrink(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its weights in 8 or 16 bits, each brought to 32 before it is used, and
    without Identity.
    """
    graph = model.graph
    renamed: dict[str, str] = {}
    outputs = {output.name for output in graph.output}
    kept = []
    for node in graph.node:
        if node.op_type == "Identity" and node.output[0] not in outputs:
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
            continue
        kept.append(node)
    for node in kept:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    casts, initializers = [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.size < LEAST:
            initializers.append(tensor)
            continue
        if array.size >= LEAST_IN_8 and array.ndim == 4:
            scale = np.abs(array).max(axis=(1, 2, 3), keepdims=True) / 127 + 1e-12
            small, size = f"{tensor.name}_8", f"{tensor.name}_scale"
            initializers.append(
                numpy_helper.from_array(np.round(array / scale).astype(np.int8), small)
            )
            initializers.append(numpy_helper.from_array(scale.astype(np.float32), size))
            casts.append(helper.make_node("Cast", [small], [f"{small}_32"], to=TensorProto.FLOAT))
            casts.append(helper.make_node("Mul", [f"{small}_32", size], [tensor.name]))
            continue
        half = f"{tensor.name}_16"
        initializers.append(numpy_helper.from_array(array.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [tensor.name], to=TensorProto.FLOAT))
    made = helper.make_graph([*casts, *kept], "detector", graph.input, graph.output, initializers)
    small = helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.checker.check_model(small)
    return small


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="the exported network, an .onnx file")
    parser.add_argument("target", help="the file to write")
    args = parser.parse_args()
    onnx.save(shrink(onnx.load(args.source)), args.target)


if __name__ == "__main__":
    main()
