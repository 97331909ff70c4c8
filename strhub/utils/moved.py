"""Old addresses of modules that have moved: they go on working, and import nothing until they are
used.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def moved(old: str, *new: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of the module `old`, with the names of the modules `new`, in that
    order.

    >>> __getattr__ = moved(__name__, "strhub.training.systems.parseq")
    """

    def get(name: str) -> Any:
        if name.startswith("__"):  # what Python itself asks of a module, such as __path__
            raise AttributeError(f"module {old!r} has no attribute {name!r}")
        for address in new:
            module = import_module(address)
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"module {old!r} has no attribute {name!r}")

    return get
