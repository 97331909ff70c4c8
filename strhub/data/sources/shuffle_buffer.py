"""A stream put in another order with a limited memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

BUFFER_BYTES: Final = 1 << 30  # of images held to draw from


class Record(NamedTuple):
    encoded: bytes
    label: str
    key: tuple[int, int, int]
    """Seeds what is random about it: the pass, the shard, its number there."""


def _shuffled(
    records: Iterator[Record], size: int, rng: np.random.Generator
) -> Iterator[tuple[Record, list[Record]]]:
    """Yield records drawn uniformly from up to `size`, or BUFFER_BYTES, in memory, each with those
    that stay there.
    """
    held: list[Record] = []
    filled = 0  # bytes
    for record in records:
        while held and filled + len(record.encoded) > BUFFER_BYTES:
            sampled = _taken(held, rng)
            filled -= len(sampled.encoded)
            yield sampled, held
        filled += len(record.encoded)
        if len(held) < size:
            held.append(record)
            continue
        spot = int(rng.integers(size))
        sampled, held[spot] = held[spot], record
        filled -= len(sampled.encoded)
        yield sampled, held
    while held:
        yield _taken(held, rng), held


def _taken(held: list[Record], rng: np.random.Generator) -> Record:
    """Take a record out of a list, any as likely."""
    spot = int(rng.integers(len(held)))
    held[spot], held[-1] = held[-1], held[spot]
    return held.pop()
