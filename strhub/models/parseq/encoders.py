"""Which encoder PARSeq reads with: its own vision transformer, CLIP's image tower of a named or
free size, the network of strhub-small, a backbone of timm's, or one of a module beside this one.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from strhub.models.layers.backbones import (
    CELLS,
    BackboneEncoder,
    ColumnEncoder,
    CustomEncoder,
    TimmEncoder,
    usual_input,
)
from strhub.models.layers.clip import ClipImageTower
from strhub.models.layers.light_conv import COLUMN_WIDTH, HEIGHT
from strhub.models.layers.timm_models import TIMM
from strhub.models.layers.vision_transformer import VisionTransformer
from strhub.models.parseq.crossmodal import spell

Encoder = VisionTransformer | ClipImageTower | ColumnEncoder | TimmEncoder | CustomEncoder
OWN, FREE, COLUMNS = "vit", "clip", "ppocrv6_small"
OWN_SIZE, CLIP_SIZE, COLUMNS_SIZE = (
    (32, 128),
    (224, 224),
    (HEIGHT, 1600),
)  # of images, where none is set
_BASE = {
    "embed_dim": 512,
    "enc_embed_dim": 768,
    "enc_depth": 12,
    "enc_num_heads": 12,
    "dec_num_heads": 16,
}
_BASE_TEXT = {"text_embed_dim": 512, "text_depth": 12, "text_vocab_size": 49408}
_LARGE = {
    "embed_dim": 768,
    "enc_embed_dim": 1024,
    "enc_depth": 24,
    "enc_num_heads": 16,
    "dec_num_heads": 24,
}
_LARGE_TEXT = {**_BASE_TEXT, "text_embed_dim": 768}
# The sizes that each name stands for (Radford et al. 2021, table 20). `embed_dim` is the decoder's,
# which is the size of the space that CLIP projects to; `enc_embed_dim` that of the tower's own
# tokens. The decoder has as many heads for its width as the published ones.
CLIP_SIZES: dict[str, dict[str, Any]] = {
    "clip_vit_b32": {**_BASE, "patch_size": [32, 32]},
    "clip_vit_b16": {**_BASE, "patch_size": [16, 16]},
    "clip_vit_l14": {**_LARGE, "patch_size": [14, 14]},
}
TEXT_SIZES = {
    "clip_vit_b32": _BASE_TEXT,
    "clip_vit_b16": _BASE_TEXT,
    "clip_vit_l14": _LARGE_TEXT,
}  # of their text towers
_CLIP4STR_SCORED = "0123456789abcdefghijklmnopqrstuvwxyz"
ENCODERS = (OWN, COLUMNS, *CLIP_SIZES, FREE)

# What says how an encoder is made and takes images, which another encoder has its own of.
ENCODER_OPTIONS = (
    "img_size",
    "keep_aspect",
    "patch_size",
    "enc_embed_dim",
    "enc_depth",
    "enc_num_heads",
    "enc_mlp_ratio",
    "enc_stem",
    "enc_activation",
)


def is_of_encoder(name: str) -> bool:
    """Return whether a parameter of a PARSeq belongs to its encoder."""
    return name.startswith("encoder.")


def custom_encoder(name: str) -> type[CustomEncoder] | None:
    """Return the class `Encoder` of the module `encoder_<name>` beside this one; None if there is
    no such module.
    """
    address = f"{__package__}.encoder_{name}"
    if not name.isidentifier() or find_spec(address) is None:
        return None
    found: type[CustomEncoder] = import_module(address).Encoder
    return found


def is_clip(encoder: str) -> bool:
    """Return whether an encoder's name stands for CLIP's image tower; `ValueError` names the
    nearest for an unknown one.
    """
    known = encoder in ENCODERS or encoder.startswith(TIMM)
    if not known and custom_encoder(encoder) is None:
        nearest = difflib.get_close_matches(encoder, ENCODERS, n=1, cutoff=0.3)
        meant = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(
            f"there is no encoder {encoder!r}.{meant} Known: {', '.join(ENCODERS)}, {TIMM}<name>"
        )
    return encoder in (*CLIP_SIZES, FREE)


def complete(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Complete hyper-parameters by what the encoder's name stands for: its sizes, and how it takes
    images where none is set.

    Raises `ValueError` for an unknown name, for CLIP's tower with images that are not normalized as
    CLIP saw them, and for `clip` without sizes.
    """
    encoder = hparams.get("encoder", OWN)
    clip = is_clip(encoder)
    if not clip and hparams.get("cross_modal"):
        raise ValueError(
            "cross_modal goes with an encoder of CLIP's: set model.encoder=clip_vit_b32 or another"
        )
    if hparams.get("keep_aspect") not in (None, encoder == COLUMNS):
        takes = "keeps the aspect of images" if encoder == COLUMNS else "takes images of one size"
        raise ValueError(f"keep_aspect is {hparams['keep_aspect']}: the encoder {encoder} {takes}")
    completed = {**hparams, "keep_aspect": encoder == COLUMNS}

    def set_default(name: str, value: Any) -> None:
        completed[name] = value if completed.get(name) is None else completed[name]

    if encoder.startswith(TIMM):
        if hparams.get("img_size") is None or hparams.get("normalize") is None:
            reduction, normalize = usual_input(encoder.removeprefix(TIMM))
            set_default("img_size", [reduction * cells for cells in CELLS])
            set_default("normalize", normalize)
        return completed
    if custom := custom_encoder(encoder):
        set_default("img_size", list(custom.image_size))
        set_default("normalize", custom.normalize)
        return completed
    set_default("img_size", list({OWN: OWN_SIZE, COLUMNS: COLUMNS_SIZE}.get(encoder, CLIP_SIZE)))
    set_default("normalize", "clip" if clip else "default")
    if not clip:
        if encoder == COLUMNS:
            completed["patch_size"] = [HEIGHT, COLUMN_WIDTH]
        return completed
    if completed["normalize"] != "clip":
        raise ValueError(
            f"the encoder {encoder} sees images with CLIP's mean and deviation: set "
            "data.normalize=clip "
            f"(normalize='clip') or leave it out, not {completed['normalize']!r}"
        )
    completed |= CLIP_SIZES.get(encoder, {})
    completed["enc_activation"] = completed.get("enc_activation") or "quick_gelu"
    if not completed.get("enc_embed_dim"):
        raise ValueError(
            f"the encoder {FREE!r} has the sizes that it is given: set enc_embed_dim, enc_depth, "
            "enc_num_heads, "
            "patch_size and embed_dim, or a pretrained_encoder that has them, or name one of "
            f"{', '.join(CLIP_SIZES)}"
        )
    if completed.get("cross_modal"):
        completed |= TEXT_SIZES.get(encoder, {})
        # CLIP4STR gives the text tower what is left of a reading in the charset that it scores.
        scored = (
            (completed.get("charset_test") or _CLIP4STR_SCORED)
            if completed.get("clip4str")
            else None
        )
        completed["spelling"] = spell(completed["charset_train"], scored)
    return completed


def build_encoder(
    *,
    encoder: str,
    img_size: Sequence[int],
    patch_size: Sequence[int],
    output_dim: int,
    embed_dim: int | None,
    depth: int,
    num_heads: int,
    mlp_ratio: float,
    activation: str | None,
    stem: Sequence[int],
) -> Encoder:
    """Build the encoder from an image (B, 3, H, W) to tokens (B, N, output_dim), with random
    weights.

    embed_dim: of CLIP's own tokens, before their projection; PARSeq's encoder has none of its own.
    """
    height, width = img_size
    clip = is_clip(encoder)
    if encoder not in (OWN, FREE) and stem:
        raise ValueError(f"enc_stem is {list(stem)}: the encoder {encoder} has no stem")
    if encoder == COLUMNS:
        return ColumnEncoder(img_size=img_size, output_dim=output_dim)
    if encoder.startswith(TIMM):
        return TimmEncoder(
            name=encoder.removeprefix(TIMM), img_size=img_size, output_dim=output_dim
        )
    if custom := custom_encoder(encoder):
        build: Callable[..., CustomEncoder] = custom
        return build(img_size=img_size, output_dim=output_dim)
    if not clip:
        return VisionTransformer(
            img_size=(height, width),
            patch_size=(patch_size[0], patch_size[1]),
            embed_dim=output_dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            stem=stem,
        )
    if not embed_dim:
        raise ValueError(f"the encoder {encoder} needs enc_embed_dim, the size of its own tokens")
    return ClipImageTower(
        img_size=img_size,
        patch_size=patch_size,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=num_heads,
        output_dim=output_dim,
        mlp_ratio=mlp_ratio,
        activation=activation or "quick_gelu",
        stem=stem,
    )


def grid_size(encoder: Encoder, images: Tensor) -> tuple[int, int]:
    """Return the rows and columns of what an encoder's last tokens stand for, of images (B, 3, H,
    W), or of what the trunk of an encoder of columns has made of them (B, N, D).
    """
    if images.ndim == 3 and isinstance(encoder, ColumnEncoder):
        return 1, images.shape[1]
    return (
        encoder.grid_size(images)
        if isinstance(encoder, BackboneEncoder)
        else encoder.patch_embed.grid_size
    )
