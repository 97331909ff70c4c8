"""Core ML packages, `words.mlpackage`: the program of `torch.export` as coremltools converts it.

    package = coremltools.models.MLModel("words.mlpackage")     # on a Mac
    logits = package.predict({"images": images})["logits"]

One image (1, 3, H, W) at a time, of one width; narrower ones of models that keep the aspect are
padded on the right, as `Recognizer` pads them. What a model's numbers mean is in the user-defined
metadata `strhub`, as in an ONNX file's.
"""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import strhub
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.errors import ConfigError
from strhub.export.archive import AllSteps
from strhub.export.generic import WIDTH_STEP
from strhub.export.writing import description_of
from strhub.images.options import image_options
from strhub.inference.onnx_description import LOGITS, METADATA_KEY
from strhub.utils.files import replacing_folder
from strhub.utils.install import import_extra

__all__ = ["DEFAULT_WIDTH", "convert_for_coreml", "size_for_coreml", "write_coreml"]

DEFAULT_WIDTH = 320
"""Columns of images, of models that read any width."""
_ATEN = torch.ops.aten
# What coremltools has no converter of: decomposed by PyTorch, passed over, or by another name.
_DECOMPOSED = (
    _ATEN.new_ones.default,
    _ATEN.new_zeros.default,
    _ATEN.new_full.default,
    _ATEN.ones_like.default,
    _ATEN.zeros_like.default,
    _ATEN.triu.default,
    _ATEN.tril.default,
)
_PASSED_OVER = (_ATEN.alias.default, _ATEN.detach.default, _ATEN.lift_fresh_copy.default)
_RENAMED = {
    _ATEN.__and__.Tensor: _ATEN.logical_and.default,
    _ATEN.__or__.Tensor: _ATEN.logical_or.default,
    _ATEN.bitwise_and.Tensor: _ATEN.logical_and.default,
    _ATEN.bitwise_or.Tensor: _ATEN.logical_or.default,
    _ATEN.bitwise_not.default: _ATEN.logical_not.default,
}


def write_coreml(
    model: SceneTextModel,
    path: str | Path,
    *,
    precision: str = "float32",
    width: int | None = None,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Write a model as a Core ML package, a folder; all or nothing.

    precision: float32, or float16: stored and computed in 16 bits. width: of the images in
    pixels; by default 320 for models that read any width, else the model's. card: as
    `strhub.export.export` takes it.

    Raises:
        ConfigError: another precision or suffix, a width that the model does not read, or a model
            that coremltools cannot convert.
        MissingExtra: coremltools is not installed.
    """
    path = Path(path)
    if path.suffix != ".mlpackage":
        raise ConfigError(f"{path}: Core ML packages end in .mlpackage")
    if path.exists() and not (path / "Manifest.json").is_file():
        raise ConfigError(f"{path} is there and no Core ML package: give another name")
    converted = convert_for_coreml(model, precision=precision, width=width)
    described = json.dumps(description_of(model, precision, card or {}), ensure_ascii=False)
    converted.user_defined_metadata[METADATA_KEY] = described
    converted.short_description = "Reads the text of an image of one word or line"
    converted.version = strhub.__version__
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_folder(path) as folder:
            made = folder / path.name
            converted.save(str(made))
            for entry in [*made.iterdir()]:
                shutil.move(entry, folder)
            made.rmdir()
            if path.is_dir():
                shutil.rmtree(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def convert_for_coreml(
    model: SceneTextModel, *, precision: str = "float32", width: int | None = None
) -> Any:
    """Return a model as coremltools' `MLModel`, an ML program for iOS 16 and macOS 13 or newer;
    see `write_coreml`.
    """
    if precision not in ("float32", "float16"):
        raise ConfigError(f"for Core ML: written in float32 or float16, not {precision}")
    height, columns = size_for_coreml(model, width)
    coremltools = import_extra("coremltools", "coreml", "writing for Core ML")
    program = _program_of(model, (height, columns))
    numbers = coremltools.precision
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter's own
            return coremltools.convert(
                program,
                convert_to="mlprogram",
                outputs=[coremltools.TensorType(name=LOGITS)],
                minimum_deployment_target=coremltools.target.iOS16,
                compute_precision=numbers.FLOAT32 if precision == "float32" else numbers.FLOAT16,
                skip_model_load=True,
            )
    except Exception as error:  # of many kinds, most of them the converter's own
        raise ConfigError(
            f"coremltools cannot convert this model: {error}. Models that read step by step may "
            "convert with decode_ar:bool=false refine_iters:int=0"
        ) from error


def size_for_coreml(model: SceneTextModel, width: int | None) -> tuple[int, int]:
    """Return height and width of images, in pixels. `ConfigError` for a width that cannot be."""
    height, widest = model.hparams["img_size"]
    if not image_options(model.hparams)["keep_aspect"]:
        if width not in (None, widest):
            raise ConfigError(f"the model reads images of {widest} columns, not {width}")
        return height, widest
    chosen = min(DEFAULT_WIDTH, widest) if width is None else width
    if not 0 < chosen <= widest or chosen % WIDTH_STEP:
        raise ConfigError(
            f"the width is {chosen}: it must be a multiple of {WIDTH_STEP} up to {widest}"
        )
    return height, chosen


def _program_of(model: SceneTextModel, size: tuple[int, int]) -> torch.export.ExportedProgram:
    """Return the program of one image at a time, without what coremltools has no converter of."""
    network = copy.deepcopy(model.model).eval().cpu().float()
    reader = AllSteps(network, int(model.hparams["max_label_length"]))
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's own
            program = torch.export.export(reader, (torch.zeros(1, 3, *size),), strict=False)
    except Exception as error:  # of many kinds, most of them the exporter's own
        raise ConfigError(f"PyTorch's exporter cannot export this network: {error}") from error
    known = torch.export.default_decompositions()
    chosen = {operator: known[operator] for operator in _DECOMPOSED if operator in known}
    program = program.run_decompositions(chosen)
    for node in list(program.graph.nodes):
        if node.target in _PASSED_OVER:
            node.replace_all_uses_with(node.args[0])
            program.graph.erase_node(node)
        elif node.target in _RENAMED:
            node.target = _RENAMED[node.target]
    return program
