"""The ABINet network: a vision model reads, a language model corrects, a gate weighs both, several
times (figure 2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from strhub.models.abinet.backbone import STRIDE
from strhub.models.abinet.language import LanguageModel
from strhub.models.abinet.transformer import Estimate, UnitSizes
from strhub.models.abinet.vision import VisionModel
from strhub.models.layers.attention import MultiHeadAttention
from strhub.models.network import Network


class Iterations(NamedTuple):
    """What the parts make of a batch: once by sight, then by language and by both, once an
    iteration.
    """

    vision: list[Estimate]
    language: list[Estimate]
    fusion: list[Estimate]


class Fusion(nn.Module):
    """A gate between vision and language for every position and feature (section 3.3)."""

    def __init__(self, *, embed_dim: int, classes: int) -> None:
        super().__init__()
        self.w_att = nn.Linear(2 * embed_dim, embed_dim)
        self.cls = nn.Linear(embed_dim, classes)

    def forward(self, language: Tensor, vision: Tensor) -> Estimate:
        """Map features (B, T, D) of both to one estimate."""
        gate = torch.sigmoid(self.w_att(torch.cat([language, vision], dim=-1)))  # (B, T, D)
        features = gate * vision + (1 - gate) * language
        return Estimate(features, self.cls(features))


class ABINet(Network):
    """Autonomous, bidirectional and iterative.

    charset_size: characters it knows; token ids are 0 = [E], 1 to charset_size = characters.
    max_label_length: the longest text, in characters; it always reads T = one step more, for [E].
    img_size: height and width in pixels, multiples of 4.
    iter_size: corrections by the language model; can be changed at any time, 0 reads by sight
        alone.
    d_model: D, a multiple of 16; nhead, d_inner, dropout, activation ('relu', 'gelu'): of all
        transformer units.
    v_num_layers, v_backbone, v_attention, v_attention_mode: see `VisionModel`.
    l_num_layers, l_detach, l_use_self_attn: see `LanguageModel` and `ClozeUnit`.
    """

    tokenizer = "attention"
    decoding_options = ("iter_size",)
    marker = "alignment.w_att.weight"  # a parameter that only this architecture has
    not_in_weights = (
        "img_size",
        "nhead",
        "activation",
        "v_attention_mode",
    )  # hyper-parameters that no tensor shows

    def __init__(
        self,
        *,
        charset_size: int,
        max_label_length: int,
        img_size: Sequence[int],
        iter_size: int,
        d_model: int,
        nhead: int,
        d_inner: int,
        dropout: float,
        activation: str,
        v_num_layers: int,
        v_backbone: str,
        v_attention: str,
        v_attention_mode: str,
        l_num_layers: int,
        l_detach: bool,
        l_use_self_attn: bool,
    ) -> None:
        super().__init__()
        self.max_label_length, self.iter_size = max_label_length, iter_size
        steps, classes = max_label_length + 1, charset_size + 1
        sizes = UnitSizes(d_model, nhead, d_inner, dropout, activation)
        self.vision = VisionModel(
            img_size=img_size,
            steps=steps,
            classes=classes,
            sizes=sizes,
            depth=v_num_layers,
            backbone=v_backbone,
            attention=v_attention,
            attention_mode=v_attention_mode,
        )
        self.language = LanguageModel(
            steps=steps,
            classes=classes,
            sizes=sizes,
            depth=l_num_layers,
            detach=l_detach,
            self_attention=l_use_self_attn,
        )
        self.alignment = Fusion(embed_dim=d_model, classes=classes)
        initialize(self)

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read images (B, 3, H, W), normalized, to logits (B, L, charset_size + 1).

        max_length: give this many character steps and one for [E], at most the model's own number,
            which is the default.
        """
        steps = min(max_length or self.max_label_length, self.max_label_length) + 1
        by_sight, _, fused = self.iterate(images)
        return (fused or by_sight)[-1].logits[:, :steps]

    def iterate(self, images: Tensor) -> Iterations:
        """Read images (B, 3, H, W), then correct the reading again and again (section 3.2.3)."""
        vision = self.vision(images)
        best, language, fusion = vision, [], []
        for _ in range(self.iter_size):
            language.append(self.language(best.logits.softmax(-1)))
            best = self.alignment(language[-1].features, vision.features)
            fusion.append(best)
        return Iterations([vision], language, fusion)

    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the sizes that bare weights tell. What no tensor shows is as published: 3
        iterations, heads of 64 features, images 32 high, or square if that does not fit.
        """
        classes, d_model = weights["vision.cls.weight"].shape
        positions = weights.get("vision.backbone.pos_encoder.pe")
        stem = "language.model.layers.0."
        return {
            "charset_size": classes - 1,
            "max_label_length": len(weights["language.pos_encoder.pe"]) - 1,
            "img_size": [32, 128] if positions is None else _image_size(len(positions)),
            "iter_size": 3,
            "d_model": d_model,
            "nhead": max(1, d_model // 64),
            "d_inner": len(weights[f"{stem}linear1.weight"]),
            "activation": "relu",
            "v_num_layers": _depth(weights, "vision.backbone.transformer.layers."),
            "v_backbone": "resnet" if positions is None else "transformer",
            "v_attention": "position"
            if "vision.attention.project.weight" in weights
            else "attention",
            "v_attention_mode": "nearest",
            "l_num_layers": _depth(weights, "language.model.layers."),
            "l_detach": True,
            "l_use_self_attn": f"{stem}self_attn.in_proj_weight" in weights,
        }


def initialize(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Give a module fresh weights: normal ones for linear layers, He et al.'s for convolutions.

    generator: where the randomness comes from, on the module's device; torch's own by default.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(part.weight, std=0.02, generator=generator)
        elif isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(
                part.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
        elif isinstance(part, MultiHeadAttention):
            nn.init.xavier_uniform_(part.in_proj_weight, generator=generator)
        if isinstance(part, nn.Linear | nn.Conv2d) and part.bias is not None:
            nn.init.zeros_(part.bias)


def _image_size(positions: int) -> list[int]:
    rows = 32 // STRIDE
    if positions % rows:
        rows = math.isqrt(positions)
    return [rows * STRIDE, positions // rows * STRIDE]


def _depth(weights: Mapping[str, Tensor], prefix: str) -> int:
    return 1 + max(
        (
            int(name.removeprefix(prefix).split(".")[0])
            for name in weights
            if name.startswith(prefix)
        ),
        default=-1,
    )
