"""strhub reads words in images: scene text recognition, for research and for use.

    from strhub import Recognizer
    readings = Recognizer("strhub-tiny")(["a.png", "b.jpg"])

Importing strhub imports nothing else; each name below is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strhub.checkpoint.push import push as push
    from strhub.checkpoint.zoo import create_model as create_model
    from strhub.checkpoint.zoo import list_models as list_models
    from strhub.checkpoint.zoo import load as load
    from strhub.checkpoint.zoo import load_from_checkpoint as load_from_checkpoint
    from strhub.checkpoint.zoo import save as save
    from strhub.checkpoint.zoo import save_model as save_model
    from strhub.errors import CheckpointError as CheckpointError
    from strhub.errors import ConfigError as ConfigError
    from strhub.errors import DataError as DataError
    from strhub.errors import MissingExtra as MissingExtra
    from strhub.errors import MixedInstall as MixedInstall
    from strhub.errors import StrhubError as StrhubError
    from strhub.errors import TrainingError as TrainingError
    from strhub.errors import UnreadableImage as UnreadableImage
    from strhub.inference.recognizer import Reading as Reading
    from strhub.inference.recognizer import Recognizer as Recognizer
    from strhub.spotting.detector import detect as detect
    from strhub.spotting.page import Page as Page
    from strhub.spotting.spotter import Spotter as Spotter

__version__ = "0.1.0"

# Modules at the top that have moved: configurations of stored runs name their classes.
_MOVED = {
    "callbacks": "strhub.training.callbacks",
    "checkpoint_files": "strhub.training.checkpoint_io",
    "loggers": "strhub.training.loggers",
    "optimizers": "strhub.training.optimizers",
}
_HOMES = {
    "CheckpointError": "strhub.errors",
    "ConfigError": "strhub.errors",
    "DataError": "strhub.errors",
    "MissingExtra": "strhub.errors",
    "MixedInstall": "strhub.errors",
    "StrhubError": "strhub.errors",
    "TrainingError": "strhub.errors",
    "UnreadableImage": "strhub.errors",
    "Page": "strhub.spotting.page",
    "Reading": "strhub.inference.recognizer",
    "Recognizer": "strhub.inference.recognizer",
    "Spotter": "strhub.spotting.spotter",
    "create_model": "strhub.checkpoint.zoo",
    "detect": "strhub.spotting.detector",
    "list_models": "strhub.checkpoint.zoo",
    "load": "strhub.checkpoint.zoo",
    "load_from_checkpoint": "strhub.checkpoint.zoo",
    "push": "strhub.checkpoint.push",
    "save": "strhub.checkpoint.zoo",
    "save_model": "strhub.checkpoint.zoo",
}
__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "MissingExtra",
    "MixedInstall",
    "Page",
    "Reading",
    "Recognizer",
    "Spotter",
    "StrhubError",
    "TrainingError",
    "UnreadableImage",
    "create_model",
    "detect",
    "list_models",
    "load",
    "load_from_checkpoint",
    "push",
    "save",
    "save_model",
]


def __getattr__(name: str) -> Any:
    if name in _MOVED:
        return import_module(_MOVED[name])
    if name not in _HOMES:
        raise AttributeError(f"module 'strhub' has no attribute {name!r}")
    import_module("strhub.utils.clash").check_alone()
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors", "yaml"):
            raise
        from strhub.errors import MissingExtra
        from strhub.utils.install import not_installed

        raise MissingExtra(
            not_installed(error, "torch", f"strhub.{name}"), name=error.name
        ) from error


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
