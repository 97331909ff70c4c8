"""YAML of a stranger: a few lines of it may stand for terabytes, or compute for minutes.

A part that is named and repeated by its name may hold ten others that are, and so on; a plain word
may be a number of a million digits of base 60.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from strhub.utils.regular_files import read_regular_text

__all__ = ["read_yaml", "read_yaml_text"]

_DEEPEST: Final = 100
_LONGEST_PLAIN: Final = 10_000  # characters of a value without quotes


def read_yaml_text(path: Path, *, max_bytes: int) -> str:
    """Return the text of a YAML file that any reader makes in a time that grows as the text.

    Raises:
        OSError: see `read_regular`. ValueError: if it is no YAML, refers to parts of itself, or is
            nested too deeply.
    """
    import yaml

    text = read_regular_text(path, max_bytes=max_bytes)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"it refers to a part of itself: *{ascii(event.anchor)[1:60]}")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _DEEPEST:
                    raise ValueError("it is nested too deeply")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif (
                isinstance(event, yaml.ScalarEvent)
                and not event.style
                and len(event.value) > _LONGEST_PLAIN
            ):
                raise ValueError("it has a word that is too long: put it in quotes")
    except yaml.YAMLError as error:
        raise ValueError(_reason(error)) from error
    return text


def read_yaml(path: Path, *, max_bytes: int) -> Any:
    """Return what a YAML file holds: plain values; the errors are those of `read_yaml_text`."""
    import yaml

    text = read_yaml_text(path, max_bytes=max_bytes)
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(_reason(error)) from error


def _reason(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return f"it is not YAML: {ascii(lines[0])[1:-1][:200]}"
