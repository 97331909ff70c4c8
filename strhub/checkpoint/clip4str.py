"""CLIP4STR's released checkpoints (Zhao et al. 2023) as models of ours: names, sizes, and what they
read with.

Theirs is a CLIP, both towers, and two decoders of PARSeq's. The network reads as theirs does, see
`strhub.models.parseq.crossmodal`. CLIP's table of merges is in none of their files: it is taken
from beside the checkpoint, or from an installed open_clip.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from strhub.checkpoint.clip_names import (
    HEAD_SIZE,
    IMAGE_NAMES,
    TEXT_NAMES,
    as_ours,
    depth_of,
    renamed,
)
from strhub.checkpoint.merges import MERGES_FILE, bundled_merges, merges_as_ids, read_merges
from strhub.checkpoint.schema import checked_hyper_parameters
from strhub.errors import CheckpointError
from strhub.text import CHARSET_36, CHARSET_62, CHARSET_94
from strhub.utils.install import install_command

log = logging.getLogger(__name__)

__all__ = ["is_clip4str", "read_clip4str"]

MARKERS = ("clip_model.visual.conv1.weight", "visual_decoder.pos_queries")
_CHARSETS = {len(charset): charset for charset in (CHARSET_36, CHARSET_62, CHARSET_94)}
# Options that no tensor shows. Lightning checkpoints state some; for bare weights they are assumed.
_DEFAULTS: dict[str, Any] = {
    "dec_num_heads": 8,
    "decode_ar": True,
    "refine_iters": 1,
    "dropout": 0.1,
    "charset_test": CHARSET_36,
    "text_context": 16,
    "enc_activation": "quick_gelu",
}
_STATED = ("charset_train", "charset_test", "dec_num_heads", "decode_ar", "refine_iters", "dropout")
_OTHERWISE = {  # their options, as far as they change what the weights mean, as released
    "use_language_model": True,
    "use_share_dim": True,
    "cross_token_embeding": False,
    "clip_cls_eot_feature": False,
}


def is_clip4str(names: Mapping[str, Any]) -> bool:
    """Return whether weights have the names of CLIP4STR's."""
    return all(marker in names for marker in MARKERS)


def read_clip4str(
    path: Path, weights: Mapping[str, Tensor], known: Mapping[str, Any], stated: Any = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return weights by our names, and hyper-parameters.

    known: what the caller sets; `cross_modal=False` leaves the second branch out, and needs no
        table of merges. stated: hyper-parameters in the file, if it is a Lightning checkpoint.

    Raises:
        CheckpointError: it is another kind of model, tensors are missing or of shapes that do not
            go together, or the table of merges is not here; what to do is said.
    """
    stated = stated if isinstance(stated, Mapping) else {}
    for name, value in _OTHERWISE.items():
        if stated.get(name, value) != value:
            raise CheckpointError(
                f"{path} is a CLIP4STR with {name}={stated[name]!r}: only {value!r} is known here"
            )
    cross_modal = bool(known.get("cross_modal", True))
    try:
        found = _network_weights(weights, cross_modal=cross_modal)
        sizes = _sizes(found)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path} looks like the weights of a CLIP4STR, but is incomplete: {error}"
        ) from error
    said = {name: stated[name] for name in _STATED if name in stated}
    if "context_length" in stated:
        said["text_context"] = stated["context_length"]
    hparams = {**sizes, **_DEFAULTS, **said, "cross_modal": cross_modal, "clip4str": cross_modal}
    hparams |= {name: known[name] for name in known if name in hparams or name == "charset_train"}
    count = found["head.weight"].shape[0] - 1
    if "charset_train" not in hparams:
        if count not in _CHARSETS:
            raise CheckpointError(
                f"{path} knows {count} characters but does not say which: set charset_train"
            )
        hparams["charset_train"] = _CHARSETS[count]
    if cross_modal:
        found["cross.merges"] = _merges(path, sizes["text_vocab_size"])
    else:
        log.warning("%s is read without its cross-modal branch, because of cross_modal=False", path)
    return found, checked_hyper_parameters(hparams, {}, str(path))


def _network_weights(weights: Mapping[str, Tensor], *, cross_modal: bool) -> dict[str, Tensor]:
    """Return their weights by our names, without the temperature of CLIP's own objective."""
    image = renamed(weights, "clip_model.visual.", IMAGE_NAMES)
    text = renamed(weights, "clip_model.", TEXT_NAMES) if cross_modal else {}
    as_ours(image, text)
    found = {f"encoder.{name}": tensor for name, tensor in image.items()}
    found |= {f"cross.text_tower.{name}": tensor for name, tensor in text.items()}
    decoders = {"visual_decoder.": "", "cross_decoder.": "cross."}
    for prefix, ours in decoders.items():
        if ours and not cross_modal:
            continue
        for name, tensor in weights.items():
            if name.startswith(prefix):
                inner = name.removeprefix(prefix)
                of_decoder = inner.startswith(("layers.", "norm."))
                found[f"{ours}{'decoder.' if of_decoder else ''}{inner}"] = tensor
    return found


def _sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what the tensors tell, by the names of PARSeq's hyper-parameters."""
    image, text = _part(weights, "encoder."), _part(weights, "cross.text_tower.")
    width, _, *patch = image["patch_embed.proj.weight"].shape
    side = math.isqrt(image["pos_embed"].shape[1] - 1)
    embed_dim = weights["pos_queries"].shape[2]
    decoder = _part(weights, "decoder.")
    sizes = {
        "architecture": "parseq",
        "name": "clip4str",
        "encoder": "clip",
        "normalize": "clip",
        "img_size": [side * patch[0], side * patch[1]],
        "patch_size": list(patch),
        "enc_embed_dim": width,
        "enc_depth": depth_of(image),
        "enc_num_heads": max(1, width // HEAD_SIZE),
        "enc_mlp_ratio": image["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "embed_dim": embed_dim,
        "dec_depth": 1 + max(int(name.split(".")[1]) for name in decoder if "layers" in name),
        "dec_mlp_ratio": decoder["layers.0.linear1.weight"].shape[0] / embed_dim,
        "max_label_length": weights["pos_queries"].shape[1] - 1,
    }
    if text:
        vocabulary, text_width = text["token_embedding.weight"].shape
        sizes |= {
            "text_embed_dim": text_width,
            "text_depth": depth_of(text),
            "text_vocab_size": vocabulary,
        }
    return sizes


def _part(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }


def _merges(path: Path, vocabulary: int) -> Tensor:
    """Return the merges of a text tower with so many tokens: of each byte, the same at a word's
    end, and start and end of text, there are none.
    """
    wanted = vocabulary - 2 * 256 - 2
    if wanted <= 0:
        return merges_as_ids([])
    beside = path.with_name(MERGES_FILE)
    table = beside if beside.is_file() else bundled_merges()
    if table is None:
        raise CheckpointError(
            f"{path} reads words by CLIP's table of tokens, which is not in it: install "
            f"open_clip_torch, which brings it ({install_command('clip')}), or put {MERGES_FILE} "
            "beside it. Without it, its visual branch alone can be read: set cross_modal=False "
            "(cross_modal:bool=false for commands)"
        )
    try:
        return merges_as_ids(read_merges(table, wanted))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
