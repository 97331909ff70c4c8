"""Models for `torch.hub.load`, one function each.

    model = torch.hub.load(".", "parseq", source="local", pretrained=True).eval()

Each takes `pretrained` (load trained weights) and options of the model by keyword, such as
decode_ar=False or refine_iters=2, and returns a
`strhub.checkpoint.scene_text_model.SceneTextModel`: `model(images)` gives logits,
`model.tokenizer.decode(logits.softmax(-1))` text, `model.hparams` its sizes. Parameters are counted
at 94 characters.
"""

from typing import Any

from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.checkpoint.zoo import create_model

dependencies = ["torch", "numpy", "PIL", "safetensors", "yaml"]


def strhub_small(pretrained: bool = True, **options: Any) -> SceneTextModel:
    """Return the default of the models in the package; with fresh weights if not `pretrained`."""
    return create_model("strhub-small", pretrained, **options)


def strhub_tiny(pretrained: bool = True, **options: Any) -> SceneTextModel:
    """Return the fastest of the models in the package; with fresh weights if not `pretrained`."""
    return create_model("strhub-tiny", pretrained, **options)


def parseq_tiny(pretrained: bool = False, **options: Any) -> SceneTextModel:
    """Return PARSeq, tiny: 6.02 M parameters (Bautista & Atienza 2022, table 2: PARSeq-Ti)."""
    return create_model("parseq-tiny", pretrained, **options)


def parseq(pretrained: bool = False, **options: Any) -> SceneTextModel:
    """Return PARSeq, base: 23.83 M parameters (Bautista & Atienza 2022: PARSeq-S)."""
    return create_model("parseq", pretrained, **options)


def parseq_patch16_224(pretrained: bool = False, **options: Any) -> SceneTextModel:
    """Return PARSeq, base, on 224 x 224 images in patches of 16 x 16: 24.12 M parameters."""
    return create_model("parseq-patch16-224", pretrained, **options)


def abinet(pretrained: bool = False, **options: Any) -> SceneTextModel:
    """Return ABINet: 36.86 M parameters (Fang et al. 2021)."""
    return create_model("abinet", pretrained, **options)


def trba(pretrained: bool = False, **options: Any) -> SceneTextModel:
    """Return TRBA: 49.82 M parameters (Baek et al. 2019)."""
    return create_model("trba", pretrained, **options)


def vitstr(pretrained: bool = False, **options: Any) -> SceneTextModel:
    """Return ViTSTR, small: 21.42 M parameters (Atienza 2021)."""
    return create_model("vitstr", pretrained, **options)


def crnn(pretrained: bool = False, **options: Any) -> SceneTextModel:
    """Return CRNN: 8.36 M parameters (Shi, Bai & Yao 2015)."""
    return create_model("crnn", pretrained, **options)
