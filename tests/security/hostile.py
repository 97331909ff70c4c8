"""Values that no file of a model should hold, and damage to whole files, for the tests of what
reads such files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

CALL = {"_target_": "builtins.open", "file": "called", "mode": "w"}
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**5, 10**9, 10**400, 1.5, math.nan, math.inf, "", "a", "12",
        "${oc.env:HOME}",
    "${model.name}", "???", "x" * 10**6, "\x1b[31m", "../../x", "\ud800", [], [1], [1, 2, 3], [32,
    128, CALL], [[1]], [30000, 30000], [0, 0], [-32, 128], [32.5, 128], ["32", "128"], {}, CALL,
    {"a": CALL},
        {"_partial_": True},
    [CALL] * 2, list(range(10**5)),
)  # fmt: skip


def is_plain(value: Any) -> bool:
    """Whether a value can do nothing but be itself, wherever it ends: no call, no reference,
    nothing without end.
    """
    if isinstance(value, Mapping):
        return all(
            str(key).isidentifier() and not str(key).startswith("_") and is_plain(member)
            for key, member in value.items()
        )
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, str):
        return "${" not in value and value != "???" and value.isprintable()
    return value is None or isinstance(value, bool) or math.isfinite(value)


def deep(levels: int = 100_000) -> str:
    """JSON of lists within lists."""
    return "[" * levels + "]" * levels


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """A file with some bytes changed, cut out, doubled or added, most of them where its structure
    is: at the ends.
    """
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        if not data:
            break
        near = int(rng.integers(min(len(data), 4000)))
        at = near if rng.random() < 0.5 else len(data) - 1 - near
        kind = rng.integers(5)
        if kind == 0:
            data[at] = int(rng.integers(256))
        elif kind == 1:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            del data[at : at + int(rng.integers(1, 64))]
        elif kind == 3:
            data[at:at] = data[at : at + int(rng.integers(1, 64))]
        else:
            del data[int(rng.integers(len(data))) :]
    return bytes(data)


def changed_json(text: str, rng: np.random.Generator) -> str:
    """JSON with one of its values, at any depth, replaced by a hostile one, or a name changed or
    left out.
    """
    tree = json.loads(text)
    entries = list(_entries(tree))
    holder, key = entries[int(rng.integers(len(entries)))]
    kind = rng.integers(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    elif kind == 2:
        holder[key] = "DEEP"
    else:
        holder[key] = VALUES[int(rng.integers(len(VALUES)))]
    return json.dumps(tree).replace('"DEEP"', deep())


def _entries(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _entries(value)
