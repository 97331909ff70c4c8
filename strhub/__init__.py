"""strhub reads words in pictures: scene text recognition, for research and for use.

    from strhub import Recognizer
    readings = Recognizer("strhub-tiny")(["a.png", "b.jpg"])

Importing strhub imports nothing else; each name below is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strhub.recognizer import Reading as Reading
    from strhub.recognizer import Recognizer as Recognizer
    from strhub.zoo import create_model as create_model
    from strhub.zoo import list_models as list_models
    from strhub.zoo import load as load
    from strhub.zoo import load_from_checkpoint as load_from_checkpoint
    from strhub.zoo import save as save
    from strhub.zoo import save_model as save_model

__version__ = "0.1.0"

_HOMES = {
    "Reading": "strhub.recognizer",
    "Recognizer": "strhub.recognizer",
    "create_model": "strhub.zoo",
    "list_models": "strhub.zoo",
    "load": "strhub.zoo",
    "load_from_checkpoint": "strhub.zoo",
    "save": "strhub.zoo",
    "save_model": "strhub.zoo",
}
__all__ = [
    "Reading",
    "Recognizer",
    "create_model",
    "list_models",
    "load",
    "load_from_checkpoint",
    "save",
    "save_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'strhub' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors", "yaml"):
            raise
        raise ModuleNotFoundError(
            f"{error.name} is not installed; strhub.{name} needs: pip install strhub[torch]", name=error.name
        ) from error


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
