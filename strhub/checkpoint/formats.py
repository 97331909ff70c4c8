"""Checkpoint files to weights and hyper-parameters, and back. Nothing in a file is ever executed.

Read: our safetensors (configuration in the metadata), Lightning checkpoints (ours and the
reference's), and bare weights (`.pt`), whose sizes are told from the tensors. Written: safetensors.
"""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor

from strhub.checkpoint.bare import architecture_of, described, own_names, unwrapped
from strhub.checkpoint.clip4str import is_clip4str, read_clip4str
from strhub.checkpoint.hub_config import CONFIG_FILE, config_beside
from strhub.checkpoint.pickled import StoredTensor, plain
from strhub.checkpoint.scene_text_model import architectures, network_class
from strhub.checkpoint.schema import checked_card, checked_hyper_parameters, parse_json
from strhub.checkpoint.torch_files import open_torch_file
from strhub.errors import CheckpointError as CheckpointError
from strhub.text import scored_charset
from strhub.utils.files import write_whole

__all__ = [
    "FORMAT",
    "Checkpoint",
    "CheckpointError",
    "read_checkpoint",
    "read_metadata",
    "write_checkpoint",
]

FORMAT = "strhub-1"


class Checkpoint(NamedTuple):
    """weights: by the network's own parameter names; hparams: with `architecture`; card: what is
    known of the model.

    training: what a run had besides, such as a second loss's head.
    """

    weights: dict[str, Tensor]
    hparams: dict[str, Any]
    card: dict[str, Any]
    training: Mapping[str, Tensor] = MappingProxyType({})


def read_checkpoint(path: str | Path, known: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read a checkpoint of any known format; `CheckpointError` says what is wrong with any other
    file.

    known: hyper-parameters that the caller will set; bare weights need charset_train if it is not a
    usual one. Every hyper-parameter has been checked, see `strhub.checkpoint.schema`, and every
    weight is a finite number.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    if path.suffix in (".onnx", ".pt2"):
        raise CheckpointError(
            f"{path} is an exported model, not a checkpoint: pass the one that it was made from"
        )
    read = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    checkpoint = read(path, known or {})
    _check_finite(path, checkpoint.weights)
    return checkpoint


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
    try:
        tensors = {name: tensor.contiguous() for name, tensor in checkpoint.weights.items()}
        # Not by `save_file`, which writes to a temporary name that a kill would leave behind.
        write_whole(path, serialized(tensors, metadata))
    except (SafetensorError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).rpartition(": ")[2]
        raise OSError(f"{path} cannot be written: {reason}") from error


def _read_safetensors(path: Path, known: Mapping[str, Any]) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except Exception as error:  # safetensors' own, and what Python makes of impossible names
        raise CheckpointError(
            f"{path} is not a whole safetensors file: {_first_line(error)}"
        ) from error
    written = metadata.get("format", "")
    if written.startswith("strhub-") and written != FORMAT:
        raise CheckpointError(
            f"{path} was written as {written[:40]!a}, which this strhub does not know: it reads "
            f"{FORMAT}"
        )
    if written != FORMAT:
        return _from_config(path, weights, known)
    hparams, card = read_metadata(path)
    return Checkpoint(weights, _checked(path, hparams), card)


def read_metadata(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the hyper-parameters and the card of one of our safetensors files, without reading its
    weights.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        texts = [metadata[name] for name in ("hyper_parameters", "card")]
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: its metadata cannot be read: {_first_line(error)}"
        ) from error
    hparams, card = (parse_json(text, f"{path}: its metadata") for text in texts)
    if not isinstance(hparams, dict) or not isinstance(card, dict):
        raise CheckpointError(
            f"{path}: its metadata must be two mappings, hyper_parameters and card"
        )
    return _checked(Path(path), hparams), checked_card(card, str(path))


def _read_torch(path: Path, known: Mapping[str, Any]) -> Checkpoint:
    with open_torch_file(path) as file:
        content = file.content
        if not isinstance(content, Mapping):
            kind = "Tensor" if isinstance(content, StoredTensor) else type(plain(content)).__name__
            raise CheckpointError(f"{path} holds a {kind}, not a checkpoint")
        stored = unwrapped(content, StoredTensor)
        if "state_dict" in content and not _is_weights(content["state_dict"]):
            raise CheckpointError(f"{path}: its state_dict does not hold weights by name")
        if not _is_weights(stored):
            plain(stored)  # refuses everything that is not a plain value, naming its class
            raise CheckpointError(f"{path} holds neither bare weights nor a Lightning checkpoint")
        hparams = plain(content["hyper_parameters"]) if "hyper_parameters" in content else None
        names, besides = own_names(stored)
        weights, training = file.tensors(names), file.tensors(besides)
    if is_clip4str(weights):
        own, stated = read_clip4str(path, weights, known, hparams)
        return Checkpoint(own, _checked(path, stated), {"source": "CLIP4STR checkpoint"})
    if "state_dict" in content and hparams:
        return _from_lightning(path, weights, hparams, training)
    if "pytorch-lightning_version" in content:
        raise CheckpointError(
            f"{path} is a Lightning checkpoint without hyper-parameters: its sizes cannot be told"
        )
    return _from_bare_weights(path, {**weights, **training}, known)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return ascii(lines[0][:200])[1:-1] if lines else type(error).__name__


def _checked(path: Path, values: Any) -> dict[str, Any]:
    """Return the hyper-parameters once their types are checked, and that they say which network it
    is and what it reads.
    """
    stated = values if isinstance(values, dict) else {}
    for name in ("architecture", "charset_train"):
        if not isinstance(stated.get(name), str):
            raise CheckpointError(f"{path}: its hyper-parameters do not say {name}")
    if stated.get("charset_test") is None:
        stated = {**stated, "charset_test": scored_charset(stated["charset_train"], None)}
    if stated["architecture"] not in architectures():
        raise CheckpointError(
            f"{path} holds a model of the architecture {ascii(stated['architecture'])[:60]}, which "
            "this strhub does "
            f"not have. Known: {', '.join(architectures())}"
        )
    return checked_hyper_parameters(stated, _kinds(stated["architecture"]), str(path))


def _kinds(architecture: str) -> dict[str, Any]:
    """Return the annotations of a network's options, which its hyper-parameters are held to."""
    try:
        kinds = typing.get_type_hints(network_class(architecture).__init__)
    except NameError:  # annotations of a custom network that are imported only for type checkers
        return {}
    return {name: kind for name, kind in kinds.items() if name != "return"}


def _from_lightning(
    path: Path, weights: dict[str, Tensor], hparams: Any, training: Mapping[str, Tensor]
) -> Checkpoint:
    if not isinstance(hparams, Mapping):
        raise CheckpointError(f"{path}: its hyper-parameters are not a mapping")
    options = {str(name): value for name, value in hparams.items()}
    options["architecture"] = options.get("architecture") or architecture_of(path, weights)
    options.setdefault("normalize", "default")
    return Checkpoint(
        weights, _checked(path, options), {"source": "Lightning checkpoint"}, training
    )


def _from_config(path: Path, weights: Mapping[str, Tensor], known: Mapping[str, Any]) -> Checkpoint:
    """Read bare weights with a `config.json` beside them, which says what tensors do not; without
    one, bare weights alone.
    """
    config = config_beside(path)
    if not config or not weights:
        return _from_bare_weights(path, weights, known)
    source = path.with_name(CONFIG_FILE)
    own, besides = own_names(weights)
    if config.get("architecture") not in architectures():
        config["architecture"] = architecture_of(path, own)
    if "charset_train" in config:
        hparams = _checked(source, {"normalize": "default", **config})
        return Checkpoint(own, hparams, {"source": CONFIG_FILE}, besides)
    stated = checked_hyper_parameters(config, _kinds(config["architecture"]), str(source))
    checkpoint = _from_bare_weights(path, weights, {**stated, **known})
    return checkpoint._replace(hparams={**checkpoint.hparams, **stated})


def _from_bare_weights(
    path: Path, weights: Mapping[str, Tensor], known: Mapping[str, Any]
) -> Checkpoint:
    if not weights:
        raise CheckpointError(f"{path} holds neither bare weights nor a Lightning checkpoint")
    own, besides = own_names(weights)
    hparams, assumed = described(path, own, known)
    return Checkpoint(own, hparams, {"source": "bare weights", "assumed": assumed}, besides)


def _is_weights(value: Any) -> bool:
    """Return whether a value holds tensors by name, and nothing else."""
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(
            isinstance(name, str) and isinstance(tensor, StoredTensor)
            for name, tensor in value.items()
        )
    )


def _check_finite(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError` that names the first weight that is not finite: such a model reads
    nothing.
    """
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.numel():
            ends = torch.stack(torch.aminmax(tensor.detach().float())).tolist()
            if not all(map(math.isfinite, ends)):
                raise CheckpointError(
                    f"{path}: its weight {name!a} has numbers that are infinite or NaN"
                )
