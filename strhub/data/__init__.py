"""Data sets, rendered words and their loading."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "texts":  # configurations of stored runs name a class of it by this address
        return import_module("strhub.data.sources.texts")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
