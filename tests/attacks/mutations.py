"""Damage to bytes, drawn at random: what transfers, disks and attackers do to a file."""

from __future__ import annotations

import random

EXTREMES = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
)
LARGEST = 4 << 20  # bytes of a damaged file


def mutated(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Return content with one to six damages; others: files of its kind, of which parts may come
    in.
    """
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        rng.choice((_flip, _cut, _repeat, _insert, _extreme, _swap, _splice))(damaged, rng, others)
    return bytes(damaged[:LARGEST])


def _index(damaged: bytearray, rng: random.Random) -> int:
    """Return an index, more often near the beginning, where headers are."""
    if not damaged:
        return 0
    end = len(damaged) if rng.random() < 0.5 else min(len(damaged), 512)
    return rng.randrange(end)


def _flip(damaged: bytearray, rng: random.Random, others: list[bytes]) -> None:
    for _ in range(rng.randint(1, 16)):
        if damaged:
            damaged[_index(damaged, rng)] ^= 1 << rng.randrange(8)


def _cut(damaged: bytearray, rng: random.Random, others: list[bytes]) -> None:
    if rng.random() < 0.3:
        del damaged[_index(damaged, rng) :]
    else:
        at = _index(damaged, rng)
        del damaged[at : at + rng.choice((1, 4, 64, 4096))]


def _repeat(damaged: bytearray, rng: random.Random, others: list[bytes]) -> None:
    at = _index(damaged, rng)
    part = damaged[at : at + rng.choice((1, 8, 512, 4096))]
    damaged[at:at] = part * rng.randint(1, 8)


def _insert(damaged: bytearray, rng: random.Random, others: list[bytes]) -> None:
    at = _index(damaged, rng)
    damaged[at:at] = rng.randbytes(rng.choice((1, 4, 100)))


def _extreme(damaged: bytearray, rng: random.Random, others: list[bytes]) -> None:
    size = rng.choice((1, 2, 4, 8))
    number = rng.choice(EXTREMES) & (256**size - 1)
    at = _index(damaged, rng)
    damaged[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))


def _swap(damaged: bytearray, rng: random.Random, others: list[bytes]) -> None:
    size = rng.choice((1, 4, 512))
    first, second = _index(damaged, rng), _index(damaged, rng)
    if abs(first - second) >= size and max(first, second) + size <= len(damaged):
        kept = damaged[first : first + size]
        damaged[first : first + size] = damaged[second : second + size]
        damaged[second : second + size] = kept


def _splice(damaged: bytearray, rng: random.Random, others: list[bytes]) -> None:
    other = rng.choice(others)
    at, start = _index(damaged, rng), rng.randrange(max(1, len(other)))
    damaged[at : at + 512] = other[start : start + 512]
