"""Weights without hyper-parameters: what their tensors tell, and what has to be assumed of them,
each with a warning.

Prefixes of wrappers (DataParallel, torch.compile, Lightning) and the mappings that scripts put
weights into are taken off first. Nothing is assumed in silence but of the reference's published
files, which are known by their hashes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from strhub.checkpoint.download import sha256
from strhub.checkpoint.released import RELEASED_FILES
from strhub.checkpoint.scene_text_model import architectures, network_class
from strhub.checkpoint.schema import checked_hyper_parameters
from strhub.errors import CheckpointError
from strhub.text import CHARSET_36, CHARSET_62, CHARSET_94

log = logging.getLogger(__name__)

WRAPPERS = ("state_dict", "model_state_dict", "model", "weights", "network", "net", "params")
_WRAPPING = ("module.", "_orig_mod.")  # of all names at once
# Defaults that read as published; none of them changes the meaning of the weights.
_DEFAULTS = {"decode_ar": True, "refine_iters": 1, "dropout": 0.1}
_CHARSETS = {len(charset): charset for charset in (CHARSET_36, CHARSET_62, CHARSET_94)}

Value = TypeVar("Value")


def unwrapped(content: Mapping[str, Any], kind: type) -> Mapping[str, Any]:
    """Return the weights that a mapping holds under a usual name, or the mapping itself; kind: of a
    tensor in it.
    """
    for name in WRAPPERS:
        inner = content.get(name)
        if (
            isinstance(inner, Mapping)
            and inner
            and all(isinstance(value, kind) for value in inner.values())
        ):
            return inner
    return content


def own_names(weights: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return weights by the network's own names, and apart from them what a run had besides, such
    as a second loss.
    """
    names = {
        name: name.replace("._orig_mod.", ".") for name in weights
    }  # prefix of the names of compiled parts
    while prefix := _shared(names.values(), _WRAPPING):
        names = {name: short.removeprefix(prefix) for name, short in names.items()}
    network = {name: short for name, short in names.items() if short.startswith("model.")}
    if network:
        inside = {name: short.removeprefix("model.") for name, short in network.items()}
        while prefix := _shared(inside.values(), _WRAPPING):
            inside = {name: short.removeprefix(prefix) for name, short in inside.items()}
    else:
        inside = names
    if len({*inside.values()}) < len(inside):
        raise CheckpointError("two of its weights have the same name")
    besides = {name: weights[name] for name in weights if name not in inside}
    return {short: weights[name] for name, short in inside.items()}, besides


def _shared(names: Any, prefixes: tuple[str, ...]) -> str:
    listed = list(names)
    return next(
        (
            prefix
            for prefix in prefixes
            if listed and all(name.startswith(prefix) for name in listed)
        ),
        "",
    )


def architecture_of(path: Path, weights: Mapping[str, Any]) -> str:
    """Return the architecture that has a parameter which the weights have; a folder that is no
    model is passed over.
    """
    for architecture in architectures():
        if marker_of(architecture) in weights:
            return architecture
    raise CheckpointError(
        f"{path}: none of the known architectures ({', '.join(architectures())}) has these "
        "parameters: "
        f"{', '.join(sorted(map(ascii, weights))[:3])}, …"
    )


def marker_of(architecture: str) -> str | None:
    """Return the name of a parameter that only this architecture has, if it says one.

    A half-written folder in `strhub/models` must not keep others from being read, whatever is wrong
    with it.
    """
    try:
        marker = network_class(architecture).marker
    except Exception as error:  # anything that importing unfinished code can raise
        log.debug("the architecture %s cannot be used: %s", architecture, error)
        return None
    return marker if isinstance(marker, str) else None


def described(
    path: Path, weights: Mapping[str, Tensor], known: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return hyper-parameters for bare weights: told by the tensors, set by the caller, or assumed
    with a warning.

    The second mapping has those that were assumed.

    known: what the caller sets, by name. Raises `CheckpointError` if what is needed cannot be told.
    """
    architecture = architecture_of(path, weights)
    network = network_class(architecture)
    try:
        sizes = dict(network.sizes_of(weights))
        count = sizes.pop("charset_size")
    except Exception as error:  # of tensors that are missing or have other shapes than theirs
        raise CheckpointError(
            f"{path}: the sizes of this {architecture} cannot be told from its weights: "
            f"{_reason(error)}"
        ) from error
    assumed = {
        name: sizes[name] for name in network.not_in_weights if name in sizes and name not in known
    }
    if "charset_train" not in known:
        if count not in _CHARSETS:
            raise CheckpointError(
                f"{path} knows {count} characters but does not say which: set charset_train"
            )
        assumed["charset_train"] = _CHARSETS[count]
    elif len(known["charset_train"]) != count:
        raise CheckpointError(
            f"{path}: charset_train has {len(known['charset_train'])} characters, but the weights "
            f"are of {count}"
        )
    if "normalize" not in known:
        assumed["normalize"] = "default"
    stated = {
        name: known[name]
        for name in (*network.not_in_weights, "charset_train", "normalize")
        if name in known
    }
    released = _released(path)
    scored = CHARSET_36 if released else {**assumed, **stated}["charset_train"]
    hparams = {
        **_DEFAULTS,
        **sizes,
        **assumed,
        **stated,
        "architecture": architecture,
        "name": architecture,
        "charset_test": scored,
    }
    if not released:
        for name, value in assumed.items():
            log.warning(
                "%s does not say its %s: taken to be %r. If it is another, set %s",
                path,
                name,
                value,
                name,
            )
    return checked_hyper_parameters(hparams, {}, str(path)), assumed


def _released(path: Path) -> bool:
    """Return whether a file is one that the reference has published."""
    prefixes = tuple(Path(name).stem.rpartition("-")[2] for name in RELEASED_FILES.values())
    return sha256(path).startswith(prefixes)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__} {lines[0][:200]!a}" if lines else type(error).__name__
