"""The names and shapes that CLIP's weights have in files, OpenAI's and open_clip's, and in
`strhub.models.layers.clip`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from strhub.errors import CheckpointError

__all__ = ["HEAD_SIZE", "IMAGE_NAMES", "TEXT_NAMES", "as_ours", "depth_of", "published_state",
           "renamed"]  # fmt: skip

HEAD_SIZE = 64  # of every published CLIP; no tensor shows it
# Ends of names after the block's number, in the files and in our towers.
_BLOCK_NAMES = {
    "ln_1.weight": "norm1.weight",
    "ln_1.bias": "norm1.bias",
    "attn.in_proj_weight": "attn.qkv.weight",
    "attn.in_proj_bias": "attn.qkv.bias",
    "attn.out_proj.weight": "attn.proj.weight",
    "attn.out_proj.bias": "attn.proj.bias",
    "ln_2.weight": "norm2.weight",
    "ln_2.bias": "norm2.bias",
    "mlp.c_fc.weight": "mlp.fc1.weight",
    "mlp.c_fc.bias": "mlp.fc1.bias",
    "mlp.c_proj.weight": "mlp.fc2.weight",
    "mlp.c_proj.bias": "mlp.fc2.bias",
}
IMAGE_NAMES = {
    "conv1.weight": "patch_embed.proj.weight",
    "class_embedding": "cls_token",
    "positional_embedding": "pos_embed",
    "ln_pre.weight": "norm_pre.weight",
    "ln_pre.bias": "norm_pre.bias",
    "ln_post.weight": "norm.weight",
    "ln_post.bias": "norm.bias",
    "proj": "projection.weight",
}
TEXT_NAMES = {
    "token_embedding.weight": "token_embedding.weight",
    "positional_embedding": "pos_embed",
    "ln_final.weight": "norm.weight",
    "ln_final.bias": "norm.bias",
    "text_projection": "projection.weight",
}


def renamed(
    state: Mapping[str, Tensor], prefix: str, names: Mapping[str, str]
) -> dict[str, Tensor]:
    """Return the weights of the tower whose names begin so, by our names."""
    found = {}
    for name, tensor in state.items():
        inner = name.removeprefix(prefix)
        block = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", inner)
        if not name.startswith(prefix):
            continue
        if block and block[2] in _BLOCK_NAMES:
            found[f"blocks.{block[1]}.{_BLOCK_NAMES[block[2]]}"] = tensor
        elif inner in names:
            found[names[inner]] = tensor
    return found


def depth_of(tower: Mapping[str, Tensor]) -> int:
    """Return how many blocks there are; `CheckpointError` if some are left out, as in a file that
    names a millionth.
    """
    numbers = {int(name.split(".")[1]) for name in tower if name.startswith("blocks.")}
    if numbers != {*range(len(numbers))}:
        raise CheckpointError(
            f"the blocks of its tower are not numbered from 0 to {len(numbers) - 1}"
        )
    return len(numbers)


def as_ours(*towers: dict[str, Tensor]) -> None:
    """Bring the weights of towers, by our names, into our shapes."""
    for tower in towers:
        if "projection.weight" in tower:
            tower["projection.weight"] = tower[
                "projection.weight"
            ].T.contiguous()  # theirs is (in, out)
        if "cls_token" in tower:  # of an image tower
            tower["cls_token"] = tower["cls_token"].reshape(1, 1, -1)
            tower["pos_embed"] = tower["pos_embed"].unsqueeze(0)


def published_state(image: Mapping[str, Tensor], text: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of both towers, by our names, by those that open_clip's files have, in
    their shapes.
    """
    in_block = {ours: theirs for theirs, ours in _BLOCK_NAMES.items()}
    state = {}
    for tower, prefix, names in ((image, "visual.", IMAGE_NAMES), (text, "", TEXT_NAMES)):
        published = {ours: theirs for theirs, ours in names.items()}
        for name, tensor in tower.items():
            block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
            inner = f"transformer.resblocks.{block[1]}.{in_block[block[2]]}" if block else ""
            if name == "cls_token":
                tensor = tensor.flatten()
            elif name == "projection.weight":
                tensor = tensor.T
            elif name == "pos_embed" and prefix:
                tensor = tensor[0]
            state[f"{prefix}{inner or published.get(name, name)}"] = tensor.contiguous().clone()
    return state
