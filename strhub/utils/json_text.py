"""JSON of a stranger: what is nested too deeply is as damaged as what is no JSON."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["load_json"]


def load_json(text: str | bytes | bytearray, **options: Any) -> Any:
    """Return what a text holds; `ValueError` that says why if it cannot be parsed.

    options: those of `json.loads`. Deep nesting would raise RecursionError there, which callers
    that expect damage do not.
    """
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
