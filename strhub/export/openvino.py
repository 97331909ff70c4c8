"""OpenVINO's two files, `words.xml` and `words.bin`: the ONNX graph as OpenVINO reads it.

    compiled = openvino.compile_model("words.xml", "CPU")
    logits = compiled([images])[0]

What a model's numbers mean is in the runtime information `strhub`, as in an ONNX file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.export.checking import largest_difference_of
from strhub.export.writing import export
from strhub.inference.onnx_description import METADATA_KEY, read_description
from strhub.utils.install import import_extra

__all__ = ["largest_difference_of_openvino", "write_openvino"]

_F32 = {"INFERENCE_PRECISION_HINT": "f32"}  # otherwise some processors compute in bfloat16


def write_openvino(
    model: SceneTextModel,
    path: str | Path,
    *,
    precision: str = "float32",
    card: Mapping[str, Any] | None = None,
) -> None:
    """Write a model for OpenVINO: the .xml file of that name, and the .bin file beside it.

    precision: float32, or float16: weights stored in 16 bits. card: as `strhub.export.export`
    takes it.

    Raises:
        ValueError: another precision or suffix, or a folder that cannot be written to.
        MissingExtra: OpenVINO is not installed.
    """
    path = Path(path)
    if path.suffix != ".xml":
        raise ValueError(f"{path}: OpenVINO's files end in .xml")
    if precision not in ("float32", "float16"):
        raise ValueError(f"{path}: written for OpenVINO in float32 or float16, not {precision}")
    openvino = import_extra("openvino", "openvino", "writing for OpenVINO")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as name:
            graph, made = Path(name) / "graph.onnx", Path(name) / path.name
            export(model, graph, card=card)
            # By the core itself, since OpenVINO's own converter would report its use.
            read = openvino.Core().read_model(graph)
            description = json.dumps(read_description(graph), ensure_ascii=False)
            read.set_rt_info(description, [METADATA_KEY])
            openvino.save_model(read, made, compress_to_fp16=precision == "float16")
            made.with_suffix(".bin").replace(path.with_suffix(".bin"))
            made.replace(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}") from error


def largest_difference_of_openvino(model: SceneTextModel, path: str | Path) -> float:
    """Return by how much a written file's logits differ from the model's, at most, on soft
    noise, one and three images at a time; infinity if a batch's number of steps differs.
    """
    openvino = import_extra("openvino", "openvino", "writing for OpenVINO")
    compiled = openvino.compile_model(openvino.Core().read_model(path), "CPU", _F32)
    return largest_difference_of(model, lambda images: compiled([images])[0])
