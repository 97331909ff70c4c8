"""What a value from a file may be, before anything uses it: no file decides more than numbers,
names and texts.

Hyper-parameters of a checkpoint end in configurations, which Hydra instantiates and OmegaConf
resolves, and in sizes of what is allocated. So each is checked here when a file is read: its type,
by the network's own annotations, and its range. Mappings, interpolations and whatever else is not
listed never get further. Python only, no PyTorch.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin

from strhub.errors import CheckpointError
from strhub.images.preprocess import NORMALIZATIONS
from strhub.text import check_charset

__all__ = ["checked", "checked_card", "checked_hyper_parameters", "parse_json", "with_new_names"]

# Lowest and highest of numbers whose names end so, the first that fits: they bound what a file
# makes others compute.
_RANGES: tuple[tuple[tuple[str, ...], float, float], ...] = (
    (("max_label_length",), 1, 2000),
    (("refine_iters", "iter_size"), 0, 50),
    (("depth", "depths", "num_layers"), 0, 100),
    (("num_heads", "nhead"), 1, 256),
    (("patch_size", "height_strides"), 1, 1024),
    (("img_size",), 1, 8192),
    (("num_fiducial",), 4, 400),
    (("mlp_ratio",), 1e-3, 64),
    (("temperature",), 0.01, 100),
    (("reread_correction", "calibration"), -100, 100),
    (("dropout", "reread_below"), 0, 1),
    (("vocab_size",), 1, 1 << 20),
    (("spelling",), -1, 1 << 20),
    (("warmup_steps", "refresh_every", "vocabulary_size", "seed"), 0, 1 << 63),
)
_ANY = (-65536, 65536)  # of all other numbers
MOST_PIXELS = 1 << 20  # of an image as a network takes it
_LONGEST_CHARSET = 65536
_LONGEST_TEXT = 1000
_LONGEST_LIST = 64
# Options of every model, whatever its network defines. `None`: of any plain type.
_TYPES: dict[str, Any] = {
    "name": str,
    "architecture": str,
    "charset_train": str,
    "charset_test": str | None,
    "normalize": str,
    "img_size": Sequence[int],
    "max_label_length": int,
    "keep_aspect": bool,
    "temperature": float,
    "decode_ar": bool,
    "refine_iters": int,
    "reread_below": float | None,
    "reread_correction": Sequence[float] | None,
    "calibration": Sequence[float] | None,
}
_RENAMED = {"second_look": "reread_below"}  # files of the previous version have the old names
LARGEST_JSON = 16 << 20  # characters


def with_new_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says of itself, under the names that it has now."""
    return {_RENAMED.get(name, name): value for name, value in values.items()}


def checked_hyper_parameters(values: Any, kinds: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return those hyper-parameters of a file that may be used, as Python's own numbers, texts and
    lists.

    kinds: annotations of the network's options, by name. What neither these nor the schema know is
        left out unless it is plain: such as the optimizer that a run had. source: the file, for
        messages.
    Raises `CheckpointError` for a known one of another type or out of range, or a charset that
    cannot be.
    """
    if not isinstance(values, Mapping):
        raise CheckpointError(f"{source}: its hyper-parameters are not a mapping")
    values = with_new_names(values)
    known = {**kinds, **_TYPES}
    found: dict[str, Any] = {}
    for name, value in values.items():
        if (
            not isinstance(name, str)
            or not name.isidentifier()
            or name.startswith("_")
            or len(name) > 100
        ):
            continue
        if name in known:
            found[name] = checked(name, value, known[name], source)
        elif (kept := _unlisted(name, value, source)) is not None:
            found[name] = kept
    return found


def checked(name: str, value: Any, kind: Any, source: str) -> Any:
    """Return a value as its kind has it; `CheckpointError` if it is of another, or out of range."""
    try:
        return _special(name, _of_kind(name, value, kind))
    except ValueError as error:
        raise CheckpointError(f"{source}: its {name} is {_shown(value)}: {error}") from error


def _of_kind(name: str, value: Any, kind: Any) -> Any:
    """Return the value, if it is of the kind: an annotation such as `int`, `Sequence[int]` or
    `float | None`.
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        members = get_args(kind)
        if value is None and type(None) in members:
            return None
        return _of_kind(name, value, next(member for member in members if member is not type(None)))
    if isinstance(origin, type) and issubclass(origin, Sequence | list | tuple):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError("it must be a list")
        if len(value) > (_LONGEST_CHARSET if name == "spelling" else _LONGEST_LIST):
            raise ValueError("it is too long a list")
        return [_of_kind(name, member, (*get_args(kind), Any)[0]) for member in value]
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError("it must be true or false")
        return value
    if kind in (int, float):
        return _number(name, value, whole=kind is int)
    if kind is str:
        return _text(
            value, longest=_LONGEST_CHARSET if name.startswith("charset") else _LONGEST_TEXT
        )
    return _plain(name, value)


def _number(name: str, value: Any, *, whole: bool) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("it must be a number")
    if isinstance(value, float) and not (value.is_integer() if whole else math.isfinite(value)):
        raise ValueError("it must be a whole number" if whole else "it must be a finite number")
    lowest, highest = next((ends for names, *ends in _RANGES if name.endswith(names)), _ANY)
    if not lowest <= value <= highest:
        raise ValueError(f"it must be from {lowest:g} to {highest:g}")
    return int(value) if whole else value


def _text(value: Any, *, longest: int = _LONGEST_TEXT) -> str:
    """Return a text that no configuration takes for more than that."""
    if not isinstance(value, str):
        raise ValueError("it must be a text")
    if len(value) > longest:
        raise ValueError(f"it has more than {longest} characters")
    if "${" in value or value.strip() == "???":
        raise ValueError("it would be interpreted as a reference")
    if any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in value):
        raise ValueError("it has characters that cannot be printed")
    return value


def _plain(name: str, value: Any) -> Any:
    """Return a value of a kind that is not known: nothing, a number, a text, or a list of such."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(name, value, whole=False)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Sequence) and len(value) <= _LONGEST_LIST:
        if any(isinstance(member, Sequence) and not isinstance(member, str) for member in value):
            raise ValueError("it must not be lists within lists")
        return [_plain(name, member) for member in value]
    raise ValueError("it must be a number, a text or a list of them")


def _special(name: str, value: Any) -> Any:
    """Check further conditions on some options."""
    if name == "img_size" and (len(value) != 2 or math.prod(value) > MOST_PIXELS):
        raise ValueError(
            f"it must be a height and a width, of at most {MOST_PIXELS} pixels together"
        )
    if name in ("charset_train", "charset_test", "charset") and value is not None:
        check_charset(value)
    if name == "normalize" and value not in NORMALIZATIONS:
        raise ValueError(f"known are {', '.join(NORMALIZATIONS)}")
    if name == "name" and any(character in value for character in "/\\:"):
        raise ValueError("it must not name a folder")
    return value


def _unlisted(name: str, value: Any, source: str) -> Any:
    """Return an option of training or of another version, as far as it is plain, one level deep;
    None if it is not.
    """
    if isinstance(value, Mapping):
        members = {
            key: _unlisted(str(key), member, source)
            for key, member in value.items()
            if not isinstance(member, Mapping)
        }
        hostile = any(
            not isinstance(key, str) or not key.isidentifier() or key.startswith("_")
            for key in value
        )
        return (
            None if hostile or len(members) < len(value) or len(value) > _LONGEST_LIST else members
        )
    try:
        return _plain(name, value)
    except ValueError:
        return None


def checked_card(card: Any, source: str) -> dict[str, Any]:
    """Return what a file says of its model: texts, numbers, lists and mappings, of bounded depth
    and number.

    Under `measured` only fractions in [0, 1] are kept. Raises `CheckpointError` for another kind of
    value.
    """
    if not isinstance(card, Mapping):
        raise CheckpointError(f"{source}: its card is not a mapping")
    left = [20_000]

    def copied(value: Any, depth: int) -> Any:
        left[0] -= 1
        if depth > 12 or left[0] < 0:
            raise CheckpointError(f"{source}: its card is too deep or too large")
        if isinstance(value, Mapping):
            return {str(key): copied(member, depth + 1) for key, member in value.items()}
        if isinstance(value, list | tuple):
            return [copied(member, depth + 1) for member in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise CheckpointError(f"{source}: its card holds a {type(value).__name__}")

    found: dict[str, Any] = copied(card, 0)
    measured = found.get("measured")
    if measured is not None:
        found["measured"] = {
            name: value
            for name, value in (measured if isinstance(measured, dict) else {}).items()
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
        }
    return found


def parse_json(text: Any, what: str) -> Any:
    """Parse JSON of a file; `CheckpointError` that says what of it is damaged, too long or too
    deep.
    """
    try:
        if len(text) > LARGEST_JSON:
            raise ValueError("it is too long")
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{what} cannot be read: {error}") from error


def _shown(value: Any) -> str:
    """Return a value for a message: short, in one line."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**18:
        return "a very large number"
    if isinstance(value, str):
        return ascii(value[:60]) + ("…" if len(value) > 60 else "")
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    return f"a {type(value).__name__}"
