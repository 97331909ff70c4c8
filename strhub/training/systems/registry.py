"""Which system trains an architecture: its own module beside this one, else the generic one of its
tokenizer.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from strhub.checkpoint.scene_text_model import network_class
from strhub.errors import ConfigError
from strhub.training.systems.base import System
from strhub.training.systems.cross_entropy import CrossEntropySystem
from strhub.training.systems.ctc import CTCSystem

_GENERIC: dict[str, type[System]] = {"attention": CrossEntropySystem, "ctc": CTCSystem}


def system_class(architecture: str) -> type[System]:
    """Return the LightningModule that trains an architecture; `ValueError` names the nearest for an
    unknown one.

    It is the class in `strhub.training.systems.<architecture>` that says so by its attribute
    `architecture`, if there is such a module. Otherwise CTC or cross-entropy, by the network's
    `tokenizer`.
    """
    network = network_class(architecture)
    address = f"{__package__}.{architecture}"
    if find_spec(address) is None:
        return _GENERIC[network.tokenizer]
    for kind in vars(import_module(address)).values():
        if (
            isinstance(kind, type)
            and issubclass(kind, System)
            and kind.architecture == architecture
        ):
            return kind
    raise ConfigError(f"{address} has no system whose `architecture` is {architecture!r}")


def create_system(*, architecture: str, **options: Any) -> System:
    """Return a system ready to train, with fresh weights: what `model._target_` is unless a file
    says otherwise.
    """
    return system_class(architecture)(architecture=architecture, **options)
