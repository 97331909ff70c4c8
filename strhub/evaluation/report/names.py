"""What readers are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["described"]


def described(reader: Mapping[str, Any]) -> str:
    """Return a reader's name, from its description."""
    return str(reader.get("name") or reader.get("model") or "a reader")
