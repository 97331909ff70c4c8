"""Large images: one map of probabilities out of overlapping tiles, so that small text is found, and
no line is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from PIL import Image

from strhub.spotting.regions import Floats, Region, sides_of

MULTIPLE: Final = 32  # the network halves its input five times
_OVERLAP: Final = 0.15  # of tiles, of their side
_FLAT: Final = 6  # gray levels between neighboring pixels, below which there is no text
_LOOKED_AT: Final = 320  # pixels of the longer side, of what is looked at for that
# pixels of a region's height in the whole image, from which it is not looked for in tiles
_LARGE: Final = 20.0
_SAME: Final = 0.4  # fraction of the smaller region's box from which two regions are one
# fraction of a region's area that lower ones fill if it is lines run together
_FILLED: Final = 0.35

Box = tuple[int, int, int, int]
Size = tuple[int, int]


def tiled_size(size: Size, side: int, most: int) -> Size:
    """Return (width, height) to which an image is brought so that at most so many tiles cover it;
    never enlarged.

    The sides are multiples of 32, as `side` is. most: at least 1.
    """
    ratio = 1.0
    while True:
        width, height = (max(1, round(length * ratio / MULTIPLE)) * MULTIPLE for length in size)
        if _count(width, side) * _count(height, side) <= most:
            return width, height
        ratio *= 0.97


def tile_boxes(size: Size, side: int) -> Iterator[Box]:
    """Yield boxes (left, top, right, bottom) of overlapping tiles that cover an image of (width,
    height).
    """
    width, height = size
    for row in range(_count(height, side)):
        for column in range(_count(width, side)):
            left = _start(column, width, side)
            top = _start(row, height, side)
            yield left, top, min(width, left + side), min(height, top + side)


def _count(length: int, side: int) -> int:
    return 1 if length <= side else 1 + -(-(length - side) // max(1, int(side * (1 - _OVERLAP))))


def _start(index: int, length: int, side: int) -> int:
    count = _count(length, side)
    return 0 if count == 1 else round(index * (length - side) / (count - 1))


def tiled_map(
    image: Image.Image,
    side: int,
    probabilities: Callable[[Image.Image], Floats],
    on_tile: Callable[[int, int], object] | None = None,
) -> Floats:
    """Return the map (H, W) of an RGB image whose sides are multiples of 32, the greatest of
    overlapping tiles' values.

    probabilities: gives the map of a tile; on_tile: called with the number of tiles done and of
        all.
    """
    whole: Floats = np.zeros((image.height, image.width), dtype=np.float32)
    boxes = list(tile_boxes(image.size, side))
    for number, (left, top, right, bottom) in enumerate(boxes, 1):
        tile = image.crop((left, top, right, bottom))
        if not is_flat(tile):
            part = whole[top:bottom, left:right]
            np.maximum(part, probabilities(tile), out=part)
        if on_tile is not None:
            on_tile(number, len(boxes))
    return whole


def is_flat(image: Image.Image) -> bool:
    """Return whether an RGB image has no edges, as sky and empty paper have none: there is no text
    in it.
    """
    small = image.convert("L")
    small.thumbnail((_LOOKED_AT, _LOOKED_AT), Image.Resampling.BOX, reducing_gap=1)
    gray = np.asarray(small, dtype=np.int16)
    steps = [np.abs(np.diff(gray, axis=axis)).max(initial=0) for axis in (0, 1)]
    return max(steps) < _FLAT


def merged(whole: Sequence[Region], tiled: Sequence[Region], scale: float) -> list[Region]:
    """Return the regions found in a whole image made smaller, and in its tiles, each of them once.

    Large ones are taken from the whole image, since tiles cut them; small ones from the tiles,
    since the whole image runs them together. scale: how many of the image's pixels one pixel of the
    whole image made smaller is.
    """
    large = [
        region
        for region in whole
        if min(sides_of(region.quad)) >= _LARGE * scale and not _are_lines(region, tiled)
    ]
    small = [region for region in whole if min(sides_of(region.quad)) < _LARGE * scale]
    found = large
    for regions in (tiled, small):
        found = [*found, *(one for one in regions if not any(_same(one, other) for other in found))]
    return found


def _are_lines(region: Region, tiled: Sequence[Region]) -> bool:
    """Return whether a region is several lines run together: lower ones that fill much of it."""
    height = min(sides_of(region.quad))
    lines = [one for one in tiled if _same(one, region) and min(sides_of(one.quad)) < height / 2]
    filled = sum(float(np.prod(sides_of(one.quad))) for one in lines)
    return len(lines) > 1 and filled > _FILLED * float(np.prod(sides_of(region.quad)))


def _same(one: Region, other: Region) -> bool:
    """Return whether the upright boxes of two regions have much of the smaller one in common."""
    low = np.maximum(one.quad.min(0), other.quad.min(0))
    high = np.minimum(one.quad.max(0), other.quad.max(0))
    common = float(np.prod(np.maximum(high - low, 0)))
    smaller = min(float(np.prod(np.ptp(region.quad, axis=0))) for region in (one, other))
    return common > _SAME * max(smaller, 1e-6)
