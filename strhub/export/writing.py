"""From a model to a finished ONNX file: graph, precision, metadata, checks."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

import strhub
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.checkpoint.zoo import load, model_card
from strhub.export import rapidocr
from strhub.export.calibration import ENOUGH, quantize
from strhub.export.graph import Graph
from strhub.export.precision import compute_in_8_bits, store_in_8_bits, store_in_half
from strhub.export.stored import StoredWeights
from strhub.images.open import UnreadableImage, open_image
from strhub.images.options import image_options, image_to_array
from strhub.inference.onnx_description import FORMAT, IMAGES, LOGITS, METADATA_KEY
from strhub.inference.reading import ImageArray
from strhub.inference.rereading import CALIBRATION, CORRECTION, Calibration, Correction
from strhub.models.layers.backbones import ColumnEncoder
from strhub.models.layers.clip import ClipImageTower
from strhub.models.layers.light_conv import HEIGHT
from strhub.models.layers.vision_transformer import VisionTransformer
from strhub.models.light_ctc.model import LightCTC
from strhub.models.network import Network
from strhub.models.parseq.model import PARSeq
from strhub.models.trba.model import TRBA
from strhub.utils.files import replacing
from strhub.utils.options import warn_renamed

TOKENS = "tokens"  # what a traced encoder's output is called
PRECISIONS = ("float32", "float16", "int8", "int8-weights", "int8-static")
SUFFIXES = (".onnx", ".pt2")
RAPIDOCR = "rapidocr"
LAYOUTS = ("strhub", RAPIDOCR)
DEFAULT_OPSET = 20
_LOWEST_OPSET = 17  # of what is written here: LayerNormalization
_LOWEST_TRACED_OPSET = 18  # PyTorch's exporter


def export(
    model: SceneTextModel,
    path: str | Path,
    *,
    precision: str = "float32",
    opset: int = DEFAULT_OPSET,
    card: Mapping[str, Any] | None = None,
    calibration_images: Iterable[Any] = (),
    layout: str = "strhub",
    pictures: Iterable[Any] | None = None,
) -> None:
    """Write a model as one ONNX file, or as a `torch.export` archive if the path ends in .pt2; all
    or nothing.

    The file takes `images` (B, 3, H, W), float32, normalized, and gives `logits` (B, L, C),
    float32, as the model does, and decodes as it is set. Autoregressive reading stops when every
    row has read [E], so L depends on the batch.

    precision: float32; float16 and int8-weights, which store large weights in 16 or 8 bits and
    compute in 32; int8, whose products with weights are in 8 bits; int8-static, the same with the
    activations scaled by what `calibration_images` cause: some hundred paths, PIL images or arrays
    of words as they will be read. pictures: their former name.
    layout: "strhub", or "rapidocr" for a recognizer that RapidOCR takes instead, see
    `strhub.export.rapidocr`.
    opset: of the standard operators, 17 (others than PARSeq: 18) or more. card: what is known of
    the model, see `strhub.checkpoint.zoo.model_card`. An archive is always float32 and has no
    opset.

    Raises:
        ValueError: for another suffix or precision, an opset out of range, or an architecture that
            cannot be exported.
    """
    if pictures is not None:
        warn_renamed("pictures", "calibration_images")
        calibration_images = pictures
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: models are exported as .onnx or .pt2")
    if precision not in PRECISIONS:
        raise ValueError(f"there is no precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if layout not in LAYOUTS:
        raise ValueError(f"there is no layout {layout!r}; known: {', '.join(LAYOUTS)}")
    if layout == RAPIDOCR:
        if path.suffix != ".onnx":
            raise ValueError(f"{path}: RapidOCR takes .onnx files")
        rapidocr.check_model(model)
    if path.suffix == ".pt2":
        from strhub.export.archive import write_archive

        if precision != "float32":
            raise ValueError(
                f"{path}: an archive of torch.export is written in float32, not {precision}"
            )
        write_archive(model, description_of(model, precision, card or {}), path)
        return
    _check_opset(model, opset)
    proto = _build(model, opset)
    if precision == "float16":
        store_in_half(proto.graph)
    elif precision == "int8-weights":
        store_in_8_bits(proto.graph)
    elif precision == "int8-static":
        proto = quantize(proto, _arrays(model, calibration_images))
    if precision in ("int8", "int8-static"):
        compute_in_8_bits(proto.graph)
    if layout == RAPIDOCR:
        _write(proto, rapidocr.as_rapidocr(proto, model), path)
        return
    _write(proto, _metadata(description_of(model, precision, card or {})), path)


def export_beside(weights: str | Path, *, opset: int = DEFAULT_OPSET, **decoding: Any) -> Path:
    """Write the graph of a PARSeq or LightCTC saved as safetensors beside that file; its path.

    The graph, `<name>.onnx`, has no weights: it points at those in the file, so both must stay
    together, under their names. decoding: options such as refine_iters; by default as the file
    says.

    Raises:
        ValueError: for another architecture or suffix, or an opset out of range.
    """
    source = Path(weights)
    if source.suffix != ".safetensors":
        raise ValueError(f"{source}: a graph points at weights in a .safetensors file")
    model = load(source, **decoding)
    network = model.model.eval()
    if not isinstance(network, PARSeq | LightCTC):
        raise ValueError(
            f"{source} holds {model.hparams['architecture']}: only graphs of parseq and light_ctc "
            "can point at weights"
        )
    _check_opset(model, opset)
    stored = StoredWeights(network, source)
    described = {
        **description_of(model, "float32", model_card(source)),
        "weights": stored.description(),
    }
    target = source.with_suffix(".onnx")
    if isinstance(network, LightCTC):
        proto = _light_ctc(network, opset, stored)
    else:
        proto = _parseq(network, opset, stored)
    _write(proto, _metadata(described), target)
    return target


def _check_opset(model: SceneTextModel, opset: int) -> None:
    architecture, highest = model.hparams["architecture"], onnx.defs.onnx_opset_version()
    lowest = _LOWEST_OPSET if _is_written_here(model.model) else _LOWEST_TRACED_OPSET
    if not lowest <= opset <= highest:
        raise ValueError(
            f"opset is {opset}: for {architecture} it must be {lowest} to {highest}, with onnx "
            f"{onnx.__version__}"
        )


def _is_written_here(network: Network) -> bool:
    """Return whether the whole graph is written operator by operator; else PyTorch's exporter
    traces a part of it or all.
    """
    if isinstance(network, LightCTC):
        return True
    written = VisionTransformer | ClipImageTower | ColumnEncoder
    return isinstance(network, PARSeq) and isinstance(network.encoder, written)


def _metadata(description: Mapping[str, Any]) -> dict[str, str]:
    return {METADATA_KEY: json.dumps(description, ensure_ascii=False)}


def _write(proto: onnx.ModelProto, metadata: dict[str, str], path: Path) -> None:
    proto.producer_name, proto.producer_version = "strhub", strhub.__version__
    helper.set_model_props(proto, metadata)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            onnx.save(proto, partial)
            onnx.checker.check_model(
                str(partial)
            )  # as a file, beside which the weights it points at are
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}") from error


def _arrays(model: SceneTextModel, calibration_images: Iterable[Any]) -> list[ImageArray]:
    """Yield images as the model takes them, without the unreadable ones."""
    options = image_options(model.hparams)
    arrays = []
    for image in islice(calibration_images, ENOUGH):
        with contextlib.suppress(UnreadableImage):
            arrays.append(image_to_array(open_image(image), options))
    return arrays


def _build(model: SceneTextModel, opset: int) -> onnx.ModelProto:
    network = copy.deepcopy(model.model).eval().cpu().float()
    if isinstance(network, PARSeq) and network.cross is not None and network.cross.clip4str:
        raise ValueError(
            "a CLIP4STR with its cross-modal branch cannot be exported: what it has read is split "
            "into CLIP's tokens between its branches, for which ONNX has no operator. Load it with "
            "cross_modal=False to export its visual branch"
        )
    if isinstance(network, LightCTC):
        return _light_ctc(network, opset)
    if isinstance(network, PARSeq) and _is_written_here(network):
        return _parseq(network, opset)
    from strhub.export import generic, trba

    height, width = model.hparams["img_size"]
    if isinstance(network, PARSeq):  # with an encoder of another kind
        from strhub.export.parseq import read

        graph = Graph(opset)
        traced = generic.trace(
            network.encoder, (height, width), any_width=False, opset=opset, output=TOKENS
        )
        return generic.extend(
            traced, graph, read(graph, IMAGES, network, TOKENS), network.head.out_features
        )
    if isinstance(network, TRBA):
        return trba.read(network, (height, width), opset)
    return generic.trace(
        network, (height, width), any_width=image_options(model.hparams)["keep_aspect"], opset=opset
    )


def _parseq(network: PARSeq, opset: int, stored: StoredWeights | None = None) -> onnx.ModelProto:
    from strhub.export.parseq import read

    graph = Graph(opset, stored=stored)
    if isinstance(network.encoder, ColumnEncoder):
        from strhub.export.light_ctc import tokens

        logits = read(graph, IMAGES, network, tokens(graph, IMAGES, network.encoder))
        return _finished(graph, logits, "parseq", (HEIGHT, "width"), network.head.out_features)
    assert isinstance(network.encoder, VisionTransformer | ClipImageTower)
    logits = read(graph, IMAGES, network)
    return _finished(
        graph, logits, "parseq", network.encoder.patch_embed.img_size, network.head.out_features
    )


def _light_ctc(
    network: LightCTC, opset: int, stored: StoredWeights | None = None
) -> onnx.ModelProto:
    from strhub.export.light_ctc import read

    graph = Graph(opset, stored=stored)
    logits = read(graph, IMAGES, network)
    return _finished(graph, logits, "light_ctc", (HEIGHT, "width"), network.head.out_features)


def _finished(
    graph: Graph, logits: str, name: str, img_size: Sequence[int | str], classes: int
) -> onnx.ModelProto:
    graph.nodes.append(helper.make_node("Identity", [logits], [LOGITS], name=LOGITS))
    images = helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, ["batch", 3, *img_size])
    output = helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", "length", classes])
    opsets = [helper.make_opsetid("", graph.opset)]
    return helper.make_model(
        helper.make_graph(graph.nodes, name, [images], [output], graph.initializers),
        opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(
            opsets
        ),  # the newest would need the newest runtime
    )


def description_of(
    model: SceneTextModel, precision: str, card: Mapping[str, Any]
) -> dict[str, Any]:
    hparams, images = model.hparams, image_options(model.hparams)
    padding = model.model.padding
    return {
        "format": FORMAT,
        "architecture": hparams["architecture"],
        "tokenizer": type(model.model).tokenizer,
        "charset": model.tokenizer.charset,
        **images,
        "img_size": list(images["img_size"]),
        **({"padding": list(padding)} if padding else {}),
        **({"reread_below": hparams["reread_below"]} if "reread_below" in hparams else {}),
        "temperature": float(hparams.get("temperature", 1.0)),
        CORRECTION: list(Correction.of(hparams)),
        **({CALIBRATION: list(Calibration.of(hparams))} if CALIBRATION in hparams else {}),
        "max_label_length": hparams["max_label_length"],
        "decoding": model.model.decoding,
        "precision": precision,
        "card": dict(card),
    }
