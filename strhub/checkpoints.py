"""Checkpoint files to weights and hyper-parameters, and back. Nothing in a file is ever executed.

Read: our safetensors (configuration in the metadata), Lightning checkpoints (ours and the reference's), and bare
weights (`.pt`), whose sizes are told from the tensors. Written: safetensors.
"""

from __future__ import annotations

import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from strhub.scene_text_model import architectures, network_class
from strhub.text import CHARSET_36, CHARSET_62, CHARSET_94

FORMAT = "strhub-1"


class CheckpointError(ValueError):
    """A file that is not a checkpoint of ours or of a published recogniser, or not a safe one."""


class Checkpoint(NamedTuple):
    """weights: by the network's own parameter names; hparams: with `architecture`; card: what is known of the model."""

    weights: dict[str, Tensor]
    hparams: dict[str, Any]
    card: dict[str, Any]


def read_checkpoint(path: str | Path, known: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read a checkpoint of any known format; `CheckpointError` says what is wrong with any other file.

    known: hyper-parameters that the caller will set; bare weights need charset_train if it is not a usual one.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_torch(path, known or {})


def write_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write safetensors with the hyper-parameters and card inside, all or nothing."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: models are saved as .safetensors")
    metadata = {
        "format": FORMAT,
        "hyper_parameters": json.dumps(checkpoint.hparams, ensure_ascii=False),
        "card": json.dumps(checkpoint.card, ensure_ascii=False),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # safetensors would leave the file to its owner alone
        save_file({name: tensor.contiguous() for name, tensor in checkpoint.weights.items()}, temporary, metadata)
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is a safetensors file, but not one that strhub saved: its metadata has format "
            f"{metadata.get('format')!r} instead of {FORMAT!r}"
        )
    try:
        return Checkpoint(weights, json.loads(metadata["hyper_parameters"]), json.loads(metadata["card"]))
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: its metadata cannot be read: {error}") from error


def _read_torch(path: Path, known: Mapping[str, Any]) -> Checkpoint:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, before the file is refused or read
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is refused: it holds more than tensors and plain values, so loading it could run code, "
            f"or it is no checkpoint at all ({str(error).strip().splitlines()[0][:200]})"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, zipfile.BadZipFile, KeyError) as error:
        raise CheckpointError(f"{path} is not a whole PyTorch checkpoint: {error}") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    if "state_dict" in content:
        return _from_lightning(path, content)
    return _from_bare_weights(path, {str(name): tensor for name, tensor in content.items()}, known)


def _from_lightning(path: Path, content: Mapping[str, Any]) -> Checkpoint:
    # What is beside the network, such as a second loss's head, serves training only.
    named = {name: tensor for name, tensor in content["state_dict"].items() if name.startswith("model.")}
    weights = {name.removeprefix("model."): tensor for name, tensor in (named or content["state_dict"]).items()}
    hparams = dict(content.get("hyper_parameters") or {})
    if not hparams:
        raise CheckpointError(f"{path} is a Lightning checkpoint without hyper-parameters: its sizes cannot be told")
    hparams["architecture"] = hparams.get("architecture") or _architecture_of(path, weights)
    hparams.setdefault("normalize", "default")
    return Checkpoint(weights, hparams, {"source": "Lightning checkpoint"})


def _from_bare_weights(path: Path, weights: dict[str, Any], known: Mapping[str, Any]) -> Checkpoint:
    if not weights or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise CheckpointError(f"{path} holds neither bare weights nor a Lightning checkpoint")
    weights = {name.removeprefix("model."): tensor for name, tensor in weights.items()}
    architecture = _architecture_of(path, weights)
    network = network_class(architecture)
    sizes: dict[str, Any] = {**network.sizes_of(weights), "architecture": architecture, "name": architecture}
    charsets = {len(charset): charset for charset in (CHARSET_36, CHARSET_62, CHARSET_94)}
    count = sizes.pop("charset_size")
    if count not in charsets and "charset_train" not in known:
        raise CheckpointError(f"{path} knows {count} characters but does not say which: give charset_train")
    defaults = {"decode_ar": True, "refine_iters": 1, "dropout": 0.1, "normalize": "default"}
    charset = charsets.get(count, "")
    return Checkpoint(
        weights,
        {**defaults, **sizes, "charset_train": charset, "charset_test": CHARSET_36},
        {"source": "bare weights"},
    )


def _architecture_of(path: Path, weights: Mapping[str, Any]) -> str:
    for architecture in architectures():
        if network_class(architecture).marker in weights:
            return architecture
    raise CheckpointError(
        f"{path}: none of the known architectures ({', '.join(architectures())}) has these parameters: "
        f"{', '.join(sorted(weights)[:3])}, …"
    )
