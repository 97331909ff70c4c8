"""What an .onnx file says of itself, and which other files it points at, before a runtime is given
it.

ONNX is protocol buffers: fields, each with a number and a kind. Only the few are followed that lead
to the metadata, to the shapes of inputs and to tensors; all lengths are held against what is there.
Python alone.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["OnnxFile", "fields_of", "read_onnx_file", "varint"]

_MOST_FIELDS = 5_000_000
_DEEPEST = 20  # graphs within nodes within graphs
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # kinds of fields
# Numbers of the fields that lead on, by message; what they hold; from the format's published
# definition.
_INNER: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 14: "entry", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 11: "input", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "place"},
}


class OnnxFile(NamedTuple):
    """metadata: texts by name; locations: files that tensors are in; values: that its initial
    tensors are to have.

    stored: bytes of all these files, once somebody has looked.
    """

    metadata: dict[str, str]
    locations: frozenset[str]
    values: int
    stored: int = 0


def read_onnx_file(path: Path) -> OnnxFile:
    """Read a file's metadata and locations; `ValueError` if it is not an ONNX file, or damaged."""
    metadata: dict[str, str] = {}
    locations: set[str] = set()
    values = 0
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise ValueError(f"{path} is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            waiting = [("model", 0, len(data), 0)]
            budget = _MOST_FIELDS
            while waiting:
                message, start, stop, depth = waiting.pop()
                if message in ("entry", "place"):
                    name, text = _pair(data, start, stop)
                    if message == "entry":
                        metadata[name] = text
                    elif name == "location":
                        locations.add(text)
                    continue
                inner = _INNER.get(message, {})
                size = 1
                for number, first, last in fields_of(data, start, stop):
                    budget -= 1
                    if budget < 0 or depth > _DEEPEST:
                        raise ValueError(
                            f"{path} is not an ONNX file of a model: it is too large or too deep"
                        )
                    if message == "tensor" and number == 1:
                        size *= _dimensions(data, first, last)
                    if number in inner and last > first:
                        waiting.append((inner[number], first, last, depth + 1))
                values += size if message == "tensor" else 0
    return OnnxFile(metadata, frozenset(locations), values)


def fields_of(data: mmap.mmap, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield the fields of a message: number, and where what it holds begins and ends; of numbers,
    their own bytes.
    """
    while start < stop:
        key, at = varint(data, start, stop)
        kind = key & 7
        if kind == _VARINT:
            _, end = varint(data, at, stop)
        elif kind == _BYTES:
            length, at = varint(data, at, stop)
            end = at + length
        elif kind in (_FIXED64, _FIXED32):
            end = at + (8 if kind == _FIXED64 else 4)
        else:
            raise ValueError("it is not an ONNX file, or damaged")
        if end > stop:
            raise ValueError("it is cut off, or not an ONNX file")
        yield key >> 3, at, end
        start = end


def varint(data: mmap.mmap, at: int, stop: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, and where it ends."""
    value = shift = 0
    while at < stop and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("it is cut off, or not an ONNX file")


def _pair(data: mmap.mmap, start: int, stop: int) -> tuple[str, str]:
    """Return a name and a text."""
    found = {
        number: data[first:last]
        for number, first, last in fields_of(data, start, stop)
        if number in (1, 2)
    }
    return found.get(1, b"").decode("utf-8", "replace"), found.get(2, b"").decode(
        "utf-8", "replace"
    )


def _dimensions(data: mmap.mmap, first: int, last: int) -> int:
    """Return the product of a tensor's sizes: one number, or several packed one after the other."""
    product = 1
    while first < last:
        size, first = varint(data, first, last)
        product *= size
    return product
