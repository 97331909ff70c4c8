"""Checkpoint files to weights and hyper-parameters, and back. Nothing in a file is ever executed.

Read: our safetensors (configuration in the metadata), Lightning checkpoints (ours and the reference's), and bare
weights (`.pt`), whose sizes are told from the tensors. Written: safetensors.
"""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from strhub.checkpoint.scene_text_model import architectures, network_class
from strhub.errors import CheckpointError as CheckpointError
from strhub.text import CHARSET_36, CHARSET_62, CHARSET_94

FORMAT = "strhub-1"


class Checkpoint(NamedTuple):
    """weights: by the network's own parameter names; hparams: with `architecture`; card: what is known of the model.

    training: what a run had besides, such as a second loss's head.
    """

    weights: dict[str, Tensor]
    hparams: dict[str, Any]
    card: dict[str, Any]
    training: Mapping[str, Tensor] = MappingProxyType({})


def read_checkpoint(path: str | Path, known: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read a checkpoint of any known format; `CheckpointError` says what is wrong with any other file.

    known: hyper-parameters that the caller will set; bare weights need charset_train if it is not a usual one.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    if path.suffix in (".onnx", ".pt2"):
        raise CheckpointError(f"{path} is an exported model, no checkpoint: name the one that it was made from")
    if path.suffix == ".safetensors":
        return _read_safetensors(path, known or {})
    return _read_torch(path, known or {})


def write_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write safetensors with the hyper-parameters and card inside, all or nothing.

    Raises:
        OSError: if there is no room or no access; a file that was there before stays.
    """
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
    except (SafetensorError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).rpartition(": ")[2]
        raise OSError(f"{path} cannot be written: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _read_safetensors(path: Path, known: Mapping[str, Any]) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error
    written = metadata.get("format", "")
    if written.startswith("strhub-") and written != FORMAT:
        raise CheckpointError(f"{path} was written as {written}, which this strhub does not know: it reads {FORMAT}")
    if written != FORMAT:
        return _from_bare_weights(path, weights, known)
    hparams, card = read_metadata(path)
    return Checkpoint(weights, _checked(path, hparams), card)


def read_metadata(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Hyper-parameters and card of a safetensors file of ours, without its weights."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        hparams, card = json.loads(metadata["hyper_parameters"]), json.loads(metadata["card"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: its metadata cannot be read: {error}") from error
    if not isinstance(hparams, dict) or not isinstance(card, dict):
        raise CheckpointError(f"{path}: its metadata must be two mappings, hyper_parameters and card")
    return hparams, card


def load_torch_file(path: Path) -> Mapping[Any, Any]:
    """What a file of `torch.save` holds; `CheckpointError` if it is no mapping or has more than tensors and values."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, before the file is refused or read
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is refused: it holds more than tensors and plain values, so loading it could run code, "
            f"or it is no checkpoint at all ({str(error).strip().splitlines()[0][:200]})"
        ) from error
    except Exception as error:  # a damaged file makes the reader raise nearly anything
        raise CheckpointError(f"{path} is not a whole PyTorch checkpoint: {_first_line(error)}") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    return content


def _read_torch(path: Path, known: Mapping[str, Any]) -> Checkpoint:
    content = load_torch_file(path)
    if "state_dict" in content:
        return _from_lightning(path, content)
    return _from_bare_weights(path, {str(name): tensor for name, tensor in content.items()}, known)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _checked(path: Path, hparams: dict[str, Any]) -> dict[str, Any]:
    """Hyper-parameters that say at least what kind of network it is and what it reads."""
    for name in ("architecture", "charset_train", "charset_test"):
        if not isinstance(hparams.get(name), str):
            raise CheckpointError(f"{path}: its hyper-parameters do not say {name}")
    if hparams["architecture"] not in architectures():
        raise CheckpointError(
            f"{path} holds a model of the architecture {hparams['architecture']!r}, which this strhub does not have. "
            f"Known: {', '.join(architectures())}"
        )
    return hparams


def _from_lightning(path: Path, content: Mapping[str, Any]) -> Checkpoint:
    state, hparams = content["state_dict"], content.get("hyper_parameters")
    if not _is_weights(state):
        raise CheckpointError(f"{path}: its state_dict does not hold weights by name")
    if not isinstance(hparams, Mapping) or not hparams:
        raise CheckpointError(f"{path} is a Lightning checkpoint without hyper-parameters: its sizes cannot be told")
    named = {name: tensor for name, tensor in state.items() if name.startswith("model.")}
    weights = {name.removeprefix("model."): tensor for name, tensor in (named or state).items()}
    besides = {name: tensor for name, tensor in state.items() if name not in named} if named else {}
    options = {str(name): value for name, value in hparams.items()}
    options["architecture"] = options.get("architecture") or _architecture_of(path, weights)
    options.setdefault("normalize", "default")
    return Checkpoint(weights, _checked(path, options), {"source": "Lightning checkpoint"}, besides)


def _from_bare_weights(path: Path, weights: dict[str, Any], known: Mapping[str, Any]) -> Checkpoint:
    if not _is_weights(weights):
        raise CheckpointError(f"{path} holds neither bare weights nor a Lightning checkpoint")
    weights = {name.removeprefix("model."): tensor for name, tensor in weights.items()}
    architecture = _architecture_of(path, weights)
    try:
        sizes = dict(network_class(architecture).sizes_of(weights))
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path}: the sizes of this {architecture} cannot be told from its weights: {error}"
        ) from error
    charsets = {len(charset): charset for charset in (CHARSET_36, CHARSET_62, CHARSET_94)}
    count = sizes.pop("charset_size")
    if count not in charsets and "charset_train" not in known:
        raise CheckpointError(f"{path} knows {count} characters but does not say which: give charset_train")
    defaults = {"decode_ar": True, "refine_iters": 1, "dropout": 0.1, "normalize": "default"}
    hparams = {
        **defaults,
        **sizes,
        "architecture": architecture,
        "name": architecture,
        "charset_train": charsets.get(count, ""),
        "charset_test": CHARSET_36,
    }
    return Checkpoint(weights, hparams, {"source": "bare weights"})


def _is_weights(value: Any) -> bool:
    """Whether a value holds tensors by name, and nothing else."""
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
    )


def _architecture_of(path: Path, weights: Mapping[str, Any]) -> str:
    for architecture in architectures():
        marker = network_class(architecture).marker
        if marker is not None and marker in weights:
            return architecture
    raise CheckpointError(
        f"{path}: none of the known architectures ({', '.join(architectures())}) has these parameters: "
        f"{', '.join(sorted(weights)[:3])}, …"
    )
