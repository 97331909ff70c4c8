"""Messages between this process and the one that computes: a line of JSON, and arrays after it.

No pickles: what comes from a process that a stranger's graph may have taken over is numbers, of
known kinds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, Any, Final

import numpy as np

from strhub.utils.json_text import load_json

__all__ = ["receive", "send"]

_KINDS: Final = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()  # noqa: SIM905
)
_LONGEST_LINE: Final = 16 << 20
_MOST_BYTES: Final = 4 << 30  # of one array


def send(pipe: IO[bytes], head: dict[str, Any], arrays: Sequence[Any] = ()) -> None:
    """Send a message; `OSError` if nobody is there."""
    kept = [np.ascontiguousarray(array) for array in arrays]
    described = [[array.dtype.name, array.shape] for array in kept]
    pipe.write(json.dumps({**head, "arrays": described}).encode() + b"\n")
    for array in kept:
        if array.nbytes:
            pipe.write(array.reshape(-1).view(np.uint8).data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[dict[str, Any], list[Any]]:
    """Return the next message.

    Raises:
        EOFError: if there is no more, or only a part. ValueError: for what makes no sense.
    """
    line = pipe.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise EOFError("no more messages")
    said = load_json(line)
    if not isinstance(said, dict):
        raise ValueError("no message")
    arrays = []
    for kind, shape in said["arrays"]:
        if kind not in _KINDS or not all(isinstance(size, int) and size >= 0 for size in shape):
            raise ValueError("arrays of a strange kind")
        count = int(np.prod(shape, dtype=np.float64))
        if count * np.dtype(kind).itemsize > _MOST_BYTES:
            raise ValueError("an array is too large")
        array = np.empty(shape, dtype=kind)
        _fill(pipe, array)
        arrays.append(array)
    return said, arrays


def _fill(pipe: IO[bytes], array: Any) -> None:
    if not array.nbytes:
        return
    left = memoryview(array.reshape(-1).view(np.uint8))
    while left:
        count = pipe.readinto(left)  # type: ignore[attr-defined]
        if not count:
            raise EOFError("the message is cut off")
        left = left[count:]
