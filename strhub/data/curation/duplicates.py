"""Images that occur twice: exactly, or re-encoded, resized, made brighter or cropped by a few
pixels.

In: decoded images and their labels, one at a time, then arrays of what was kept of each. Out: pairs
of records. Pairs are looked for in two steps. First, those whose labels agree and whose prints (the
coarse pattern of light and dark) differ in few bits; the time this takes grows with the number of
records, not with its square. Then, by `similarity`, those are left out whose images show the same
word but are not the same.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import numpy as np
from PIL import Image

from strhub.text.charset import fold_to_ascii

__all__ = [
    "MAX_DISTANCE",
    "MIN_SIMILARITY",
    "PAIR",
    "PRINTS_SHAPE",
    "content_hash",
    "distance",
    "first_with_same",
    "image_prints",
    "label_key",
    "near_pairs",
    "pixel_hash",
    "repeats_to_drop",
    "similarity",
]

Array: TypeAlias = np.ndarray[Any, Any]
Crop: TypeAlias = tuple[int, int, int, int]

PAIR: Final = np.dtype([("first", "i8"), ("second", "i8"), ("similarity", "f4")])
"""Two records, the lower number first, and how alike they are, 0 to 1."""

MAX_DISTANCE: Final = 28
"""Differing bits of 127 up to which a pair is looked at closely: the nearest of 239,000 pairs of
different rendered words differed by 30."""

MIN_SIMILARITY: Final = 0.95
"""What two images must reach to count as one. Both steps together, measured with 400 rendered words
of difficulty 0.5 that are at least 24 pixels high: copies as JPEG of quality 60, resized by 0.8 and
1.2, with 10 % more or less light, or cropped by 2 pixels at one side or all are found 98 to 100
times of 100, copies that underwent all of that 94 times, and the same word drawn anew never."""

CROPS: Final = ((0, 0, 0, 0), (2, 2, 2, 2), (2, 2, 0, 0), (0, 0, 2, 2), (2, 0, 0, 2), (0, 2, 2, 0))
"""Pixels taken off left, top, right, bottom before a print is made. A crop moves every stroke,
which a print of the whole image alone would not forgive."""

PATTERN_SIZE: Final = (96, 32)  # width, height at which `similarity` compares
FAR: Final = 0.7  # images less similar than this after a coarse crop are not compared more finely

PRINTS_SHAPE: Final = (len(CROPS), 2)
GRID: Final = (32, 64)  # height, width that an image is reduced to
FREQUENCIES: Final = (
    8,
    16,
)  # vertical, horizontal ones that are kept: low ones survive re-encoding and resizing
TABLES: Final = 8  # orders in which prints are sorted
NEIGHBORS: Final = 24  # prints that each is compared with in each order
CHUNK: Final = 1 << 17  # records compared at a time: bounds the memory


def content_hash(content: bytes) -> int:
    """Return 64 bits of a hash of bytes. Two of ten million different contents have the same with a
    probability of 3e-6.
    """
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


def pixel_hash(image: Image.Image) -> int:
    """Return 64 bits of a hash of an RGB image's size and pixels, whatever format it was stored
    in.
    """
    return content_hash(b"%dx%d" % image.size + image.tobytes())


def label_key(label: str) -> int:
    """Return 64 bits that agree for labels that differ only in case, accents and punctuation."""
    decomposed = unicodedata.normalize("NFKD", fold_to_ascii(label))
    text = "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()
    return content_hash(
        ("".join(filter(str.isalnum, text)) or text).encode("utf-8", "surrogatepass")
    )


def image_prints(image: Image.Image) -> Array:
    """Return an image's prints, (6, 2) uint64: of the whole, then with 2 pixels cropped in five
    ways.

    Each is 127 bits, the signs of the low spatial frequencies (the discrete cosine transform) of
    the gray image.
    """
    gray = image.convert("L")
    rows, columns = _cosines(FREQUENCIES[0], GRID[0]), _cosines(FREQUENCIES[1], GRID[1])
    bits = np.zeros((len(CROPS), FREQUENCIES[0] * FREQUENCIES[1]), dtype=bool)
    for number, crop in enumerate(CROPS):
        small = gray.resize(GRID[::-1], Image.Resampling.BILINEAR, box=_cropped(gray.size, crop))
        spectrum = rows @ np.asarray(small, dtype=np.float64) @ columns.T
        bits[number, :-1] = (
            spectrum.ravel()[1:] > 1e-6
        )  # without the mean; values that are zero except for rounding stay zero
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64)


def distance(first: Array, second: Array) -> Array:
    """Return the number of differing bits of prints (..., 2) and (..., 2)."""
    return _bit_count(first[..., 0] ^ second[..., 0]) + _bit_count(first[..., 1] ^ second[..., 1])


def first_with_same(values: Array) -> Array:
    """Map values (N,) to the number of the first one that equals each, its own if there is no
    earlier one.
    """
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.reshape(-1)])


def near_pairs(
    prints: Array, keys: Array, *, sides: Array | None = None, max_distance: int = MAX_DISTANCE
) -> Array:
    """Find pairs of records whose labels agree and whose prints differ in few bits: the first step.

    Every print is compared with those that follow it in eight sorted orders, each beginning at
    another bit. So among a great many images with the same label some pairs may be missed; among a
    few none is.

    Args:
        prints: (N, 6, 2) uint64 of `image_prints`. keys: (N,) uint64 of `label_key`.
        sides: (N,) bool; only pairs with one record of each side are wanted. None: all pairs.
        max_distance: differing bits up to which two prints are near, 0 to 127.

    Returns (P, 3) int64, sorted: record number, a higher record number, differing bits.
    """
    order = np.argsort(keys, kind="stable")
    _, inverse, sizes = np.unique(keys[order], return_inverse=True, return_counts=True)
    groups = inverse.reshape(-1)
    shared = sizes[groups] > 1
    order, groups = order[shared], groups[shared]
    ends = np.append(np.flatnonzero(np.diff(groups)) + 1, len(groups))
    found, start = [np.empty((0, 3), dtype=np.int64)], 0
    while start < len(order):
        end = int(
            ends[min(int(np.searchsorted(ends, start + CHUNK)), len(ends) - 1)]
        )  # never within a group
        members = order[start:end]
        pairs = _near_in_chunk(
            prints[members],
            groups[start:end],
            None if sides is None else sides[members],
            max_distance,
        )
        ends_of_pair = np.sort(members[pairs[:, :2]], axis=1)
        found.append(np.column_stack([ends_of_pair, pairs[:, 2]]))
        start = end
    everything = np.concatenate(found)
    everything = everything[np.lexsort((everything[:, 2], everything[:, 1], everything[:, 0]))]
    fresh = np.ones(len(everything), dtype=bool)  # the first of each pair has its lowest distance
    fresh[1:] = (everything[1:, :2] != everything[:-1, :2]).any(axis=1)
    return everything[fresh]


def similarity(first: Image.Image, second: Image.Image) -> float:
    """Return how alike two images are, 0 to 1, wherever one may be cropped by up to 3 pixels a
    side: the second step.

    The correlation of their gray pixels at a common size, highest among the crops tried; brightness
    and contrast don't matter.
    """
    grays = first.convert("L"), second.convert("L")
    best = 0.0
    for cropped, whole in (grays, grays[::-1]):
        target = _pattern(whole, CROPS[0])
        value, crop = max((float(_pattern(cropped, crop) @ target), crop) for crop in CROPS)
        if value > FAR:
            value = _refined(cropped, crop, target, value)
        best = max(best, value)
    return best


def repeats_to_drop(pixels: Array, pairs: Array) -> Array:
    """Return which records to leave out so that of each image the first copy stays: (N,) bool.

    pixels: (N,) of `pixel_hash`, 0 for an image that can't be read. pairs: (P,) of `PAIR`. A record
    goes if it is near one that stays, so of a chain of ever less alike images not all but the first
    go.
    """
    dropped = (first_with_same(pixels) != np.arange(len(pixels))) & (pixels != 0)
    for pair in pairs[np.lexsort((pairs["first"], pairs["second"]))]:
        if not dropped[pair["first"]]:
            dropped[pair["second"]] = True
    return np.asarray(dropped)


@lru_cache
def _cosines(frequencies: int, length: int) -> Array:
    positions = (2 * np.arange(length) + 1) / (2 * length)
    return np.asarray(np.cos(np.pi * np.arange(frequencies)[:, None] * positions))


def _cropped(size: tuple[int, int], crop: Crop) -> tuple[float, float, float, float]:
    (width, height), (left, top, right, bottom) = size, crop
    if width <= left + right or height <= top + bottom:
        return 0, 0, width, height  # nothing would be left of so small an image
    return left, top, width - right, height - bottom


def _pattern(gray: Image.Image, crop: Crop) -> Array:
    """Return the pixels of a cropped image at a common size, with mean 0 and length 1 (0 if all are
    the same).
    """
    small = gray.resize(PATTERN_SIZE, Image.Resampling.BILINEAR, box=_cropped(gray.size, crop))
    values = np.asarray(small, dtype=np.float64).ravel()
    values = values - values.mean()
    return np.asarray(values / max(np.linalg.norm(values), 1e-9))


def _refined(gray: Image.Image, crop: Crop, target: Array, value: float) -> float:
    """Return the highest correlation found by changing a crop side by side, twice round."""
    for side in (0, 1, 2, 3) * 2:
        for pixels in range(4):
            left, top, right, bottom = (
                pixels if other == side else crop[other] for other in range(4)
            )
            changed = float(_pattern(gray, (left, top, right, bottom)) @ target)
            if changed > value:
                value, crop = changed, (left, top, right, bottom)
    return value


def _near_in_chunk(prints: Array, groups: Array, sides: Array | None, max_distance: int) -> Array:
    """Find the pairs of `near_pairs` in some whole groups; a pair may occur several times."""
    entries = prints.reshape(-1, 2)
    owner = np.repeat(np.arange(len(prints)), len(CROPS))
    whole = np.tile(np.arange(len(CROPS)) == 0, len(prints))
    group = groups[owner]
    found = [np.empty((0, 3), dtype=np.int64)]
    for table in range(TABLES):
        high, low = _rotated(entries, table * 128 // TABLES)
        order = np.lexsort((low, high, group))
        for step in range(1, NEIGHBORS + 1):
            one, other = order[:-step], order[step:]
            same_group = group[one] == group[other]
            if not same_group.any():
                break
            # Two cropped prints would make images near that share the middle only.
            wanted = same_group & (owner[one] != owner[other]) & (whole[one] | whole[other])
            if sides is not None:
                wanted &= sides[owner[one]] != sides[owner[other]]
            one, other = one[wanted], other[wanted]
            bits = distance(entries[one], entries[other])
            near = bits <= max_distance
            pairs = np.sort(np.column_stack([owner[one[near]], owner[other[near]]]), axis=1)
            found.append(np.column_stack([pairs, bits[near]]).astype(np.int64))
    return np.concatenate(found)


def _rotated(entries: Array, bits: int) -> tuple[Array, Array]:
    """Return prints (E, 2) as high and low words, rotated so that bit number `bits` comes first."""
    high, low = entries[:, 0], entries[:, 1]
    if bits >= 64:
        high, low, bits = low, high, bits - 64
    if not bits:
        return high, low
    up, down = np.uint64(bits), np.uint64(64 - bits)
    return (high << up) | (low >> down), (low << up) | (high >> down)


def _bit_count(words: Array) -> Array:
    """Return how many bits of each uint64 are set. NumPy has this from 2.0 only."""
    pairs = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + (
        (pairs >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    bytes_ = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    with np.errstate(over="ignore"):  # the sum of all bytes ends up in the highest one
        return ((bytes_ * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)
