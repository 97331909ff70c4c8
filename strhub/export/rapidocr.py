"""A finished graph as RapidOCR takes recognizers (`Rec.model_path`).

RapidOCR gives BGR images of one height, of any width, padded with zeros on the right. It expects
probabilities (B, T, C): the blank first, the space last; and it takes the characters between them
from the file's metadata, `character`, one a line.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.errors import ConfigError
from strhub.images.options import image_options
from strhub.inference.onnx_description import IMAGES, LOGITS

__all__ = ["CHARACTERS_KEY", "as_rapidocr", "check_model"]

CHARACTERS_KEY = "character"
PROBABILITIES = "probabilities"


def check_model(model: SceneTextModel) -> None:
    """Raise `ConfigError` unless RapidOCR can read with a model: CTC, images of any width, padded
    with zeros as light_ctc's are.
    """
    architecture = model.hparams["architecture"]
    if architecture != "light_ctc":
        raise ConfigError(
            "RapidOCR reads CTC models that keep the aspect of images and that may be padded: "
            "architecture light_ctc, such as strhub-small and what is fine-tuned from it, not "
            f"{architecture}"
        )
    if image_options(model.hparams)["normalize"] != "default":
        raise ConfigError("RapidOCR passes images in [-1, 1]: normalize must be default")
    characters = _characters(model)
    if "\n".join(characters).splitlines() != characters:
        raise ConfigError(
            "RapidOCR reads the characters from lines of text: a charset with characters that end "
            "a line cannot be told to it"
        )


def as_rapidocr(proto: onnx.ModelProto, model: SceneTextModel) -> dict[str, str]:
    """Change a graph from images (B, 3, H, W) RGB and logits (B, T, C) into one that takes BGR and
    gives probabilities in RapidOCR's order of classes; return the metadata that it reads.
    """
    graph, charset = proto.graph, model.tokenizer.charset
    rgb, logits = f"{IMAGES}_rgb", f"{LOGITS}_own"
    for node in graph.node:
        node.input[:] = [rgb if name == IMAGES else name for name in node.input]
        node.output[:] = [logits if name == LOGITS else name for name in node.output]
    order = [0, *(1 + charset.index(character) for character in _characters(model))]
    if " " in charset:
        order.append(1 + charset.index(" "))
    temperature = float(model.hparams.get("temperature", 1.0))
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([2, 1, 0], np.int64), "bgr_to_rgb"),
            numpy_helper.from_array(np.array(order, np.int64), "order_of_classes"),
            numpy_helper.from_array(np.array(temperature, np.float32), "temperature"),
        ]
    )
    graph.node.insert(0, helper.make_node("Gather", [IMAGES, "bgr_to_rgb"], [rgb], axis=1))
    graph.node.extend(
        [
            helper.make_node("Gather", [logits, "order_of_classes"], ["ordered"], axis=2),
            helper.make_node("Div", ["ordered", "temperature"], ["calibrated"]),
            helper.make_node("Softmax", ["calibrated"], [PROBABILITIES], axis=2),
        ]
    )
    shape = ["batch", "length", len(order)]
    graph.output[0].CopyFrom(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, shape))
    return {CHARACTERS_KEY: "\n".join(_characters(model))}


def _characters(model: SceneTextModel) -> list[str]:
    """Return its characters without the space, which RapidOCR adds."""
    return [character for character in model.tokenizer.charset if character != " "]
