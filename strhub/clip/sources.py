"""Where CLIP's weights come from: a file, OpenAI's release by an encoder's name, or one of
open_clip's names.

OpenAI's files are fetched once to torch's cache, checked by their published SHA-256 each time, and
read without running the code in them. open_clip's are fetched by that package (extra `clip`), to
its cache.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import torch

from strhub.checkpoint.download import SUFFIXES, RemoteFile, fetch
from strhub.checkpoint.formats import CheckpointError
from strhub.utils.install import install_command
from strhub.utils.telemetry import switch_off_telemetry

OPENAI = "openai"
_OPENAI_FOLDER = "https://openaipublic.azureedge.net/clip/models/"
# As published with OpenAI's code: the SHA-256 of each file is part of its address.
_OPENAI_FILES = {
    "clip_vit_b32": (
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        "ViT-B-32.pt",
    ),
    "clip_vit_b16": (
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
        "ViT-B-16.pt",
    ),
    "clip_vit_l14": (
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
        "ViT-L-14.pt",
    ),
}
_OPEN_CLIP_MODELS = {
    "clip_vit_b32": "ViT-B-32",
    "clip_vit_b16": "ViT-B-16",
    "clip_vit_l14": "ViT-L-14",
}
_HELP = (
    "Give a file of yours by pretrained_encoder=<path> (OpenAI's .pt, or open_clip's .safetensors, "
    ".bin or .pt), "
    "or start from random weights by pretrained_encoder=null"
)


class ClipSource(NamedTuple):
    """A CLIP on this machine. activation: what its towers have, None where nothing tells."""

    path: Path
    activation: str | None


def is_local(source: str) -> bool:
    """Return whether a source is a file's path rather than a name."""
    return Path(source).suffix in SUFFIXES or Path(source).is_file()


def decides_sizes(source: str) -> bool:
    """Return whether a source has sizes of its own, whatever the encoder is called: a file, or
    `model:tag` of open_clip.
    """
    return is_local(source) or ":" in source


def find_clip(source: str, encoder: str) -> ClipSource:
    """Return the file of a CLIP, fetched if it has to be.

    source: a path; `openai`, for OpenAI's weights of the encoder; a tag of open_clip's for it, such
    as laion2b_s34b_b79k; or `model:tag` of open_clip's, such as ViT-B-16:datacomp_xl_s13b_b90k.
    encoder: `clip_vit_b32` and the like; `clip` stands for no release.

    Raises `CheckpointError` that says how to get weights if these are not to be had.
    """
    if is_local(source):
        if not Path(source).is_file():
            raise CheckpointError(f"pretrained_encoder: there is no file {source}. {_HELP}")
        return ClipSource(Path(source), None)
    if source == OPENAI:
        if encoder not in _OPENAI_FILES:
            raise CheckpointError(
                f"OpenAI has no weights of an encoder called {encoder!r}. {_HELP}"
            )
        digest, name = _OPENAI_FILES[encoder]
        remote = RemoteFile(f"{_OPENAI_FOLDER}{digest}/{name}", digest, name)
        try:
            return ClipSource(
                fetch(remote, Path(torch.hub.get_dir()) / "checkpoints"), "quick_gelu"
            )
        except CheckpointError as error:
            raise CheckpointError(
                f"CLIP's weights for {encoder} are not available: {error}. {_HELP}"
            ) from error
    return _find_by_open_clip(source, encoder)


def _find_by_open_clip(source: str, encoder: str) -> ClipSource:
    model, _, tag = source.rpartition(":")
    model = model or _OPEN_CLIP_MODELS.get(encoder, "")
    switch_off_telemetry()
    try:
        names: Any = importlib.import_module("open_clip.pretrained")
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch raises the latter
        raise CheckpointError(
            f"pretrained_encoder={source} is not a file, and open_clip, which knows such names, "
            "cannot be imported "
            f"({error}): {install_command('clip')}, with a torchvision that belongs to your torch. "
            f"{_HELP}"
        ) from error
    settings = names.get_pretrained_cfg(model, tag)
    if not settings:
        known = ", ".join(names.list_pretrained_tags_by_model(model))
        raise CheckpointError(
            f"open_clip has no weights {tag!r} of {model or encoder!r}. It has: {known or 'none'}"
        )
    quick = bool(settings.get("quick_gelu")) or model.endswith("-quickgelu")
    try:
        path = names.download_pretrained(settings)
    except Exception as error:  # of the hub's client, of urllib, of the file system
        raise CheckpointError(
            f"open_clip could not fetch {model}:{tag}: {error}. {_HELP}"
        ) from error
    return ClipSource(Path(path), "quick_gelu" if quick else "gelu")
