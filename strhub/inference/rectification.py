"""Other ways to look at a word that was read with doubt: its line made level, cut closer, with more
around it.

In: an image and how many letters were read in it. Out: other images of the same word, and how far
    each was turned.

A box around a word is as high as its letters if the line is level, and higher the steeper it is.
Letters are about 0.62 times as wide as they are high; so the number of letters and the shape of the
box tell how steep the line is, and the image's edges whether it climbs or falls. Whether the
letters stand upright on it, as on a sign seen from a side, or are turned with it, neither tells. A
model shrinks the whole box to its few rows of pixels, so what is steep loses most of its letters'
height; made level first, it keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import atan, ceil, degrees, floor, radians, tan
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

__all__ = ["View", "other_views"]

Affine: TypeAlias = tuple[float, float, float, float, float, float]
"""Where each pixel (x, y) of a view comes from: (a x + b y + c, d x + e y + f) of the image."""

LETTER: Final = 0.62  # width over height, the gap to the next one included
MIN_SLOPE: Final = tan(radians(8))  # below that, a box is loose rather than a line steep
ROOM: Final = (1.08, 1.3)  # a turned view's width and height over those of the line in it
WIDER: Final = 1.25  # how many times as wide a stretched view is
MIN_CORRELATION: Final = 0.1  # below that, the edges do not tell whether a line climbs or falls
_SIDE: Final = 48  # pixels, of the image whose edges are looked at
TALLEST: Final = 20  # height over width above which an image shows no word
SHARP: Final = 2  # how many times the model's height a view keeps


class View(NamedTuple):
    """rotation: degrees counter-clockwise by which the line was turned, [0, 360); picture: what it
    then looks like;
    cut: whether it lacks a part of the image.
    """

    rotation: int
    image: Image.Image
    cut: bool


def other_views(
    image: Image.Image, letters: int, *, height: int, keep_aspect: bool = False
) -> Iterator[View]:
    """Return further views of a word: two of any word, or one, two more of one that looks steep,
    four if either way.

    picture: RGB, at least 1 x 1; letters: how many were read, at least 1; height: of the model's
        images, in pixels;
    keep_aspect: whether the model's images are as wide as their aspect makes them, so that a wider
    one looks otherwise; more room around a word brings nothing to such a model, as measured. There
    are none of an image over 100 times as wide as high or 20 times as high as wide, which shows no
    word.
    """
    width, tall = image.size
    if not tall / TALLEST <= width <= 100 * tall:
        return
    if keep_aspect:
        yield View(0, _stretched(image, height), cut=False)
    else:
        yield View(0, _framed(image, 0.94, 0.8, height), cut=True)
        yield View(0, _framed(image, 1.08, 1.25, height), cut=False)
    slope = slope_of(width, tall, letters)
    if slope is None:
        return
    angle = round(degrees(atan(slope)))
    correlation = slope_correlation(image)
    for sign in (1, -1) if abs(correlation) < MIN_CORRELATION else (1 if correlation > 0 else -1,):
        yield View(-sign * angle % 360, _turned(image, sign * slope, letters, height), cut=True)
        yield View(-sign * angle % 360, _sheared(image, sign, letters, height), cut=True)


def ratio_of(letters: int) -> float:
    """Return how many times as long as high a line of so many letters is, at least 1."""
    return max(1.0, LETTER * letters)


def slope_of(width: float, height: float, letters: int) -> float | None:
    """Return how far the line of a box's word climbs or falls per width, at least 0.14; None if it
    is not to be called steep.

    A word whose length is r times its height, turned by t = tan(angle), has a box of (r + t) : (r t
    + 1).
    """
    ratio, box = ratio_of(letters), height / width
    if box >= ratio:  # higher than the whole word is long
        return None
    slope = (box * ratio - 1) / (ratio - box)
    return slope if slope >= MIN_SLOPE else None


def slope_correlation(image: Image.Image) -> float:
    """Return whether what is in an image climbs (up to 1) or falls (down to -1): the correlation of
    its edges' places.
    """
    small = image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR).convert("L")
    gray = np.asarray(small, dtype=np.float32)
    edges = (
        np.abs(np.diff(gray, axis=1))[:-1] + np.abs(np.diff(gray, axis=0))[:, :-1]
    )  # (rows, columns)
    edges = np.maximum(edges - edges.mean(), 0)
    total = float(edges.sum())
    if total == 0:
        return 0.0
    positions = np.arange(_SIDE - 1)
    across, down = (positions - (edges.sum(axis) @ positions) / total for axis in (0, 1))
    spread = (edges.sum(0) @ across**2) * (edges.sum(1) @ down**2)
    return float(-(down @ edges @ across) / spread**0.5) if spread > 0 else 0.0


def _framed(image: Image.Image, across: float, down: float, height: int) -> Image.Image:
    """Return the middle of an image, or more than all of it, by fractions of its sides."""
    width, tall = image.size
    size = (max(1, round(width * across)), max(1, round(tall * down)))
    return _through(image, size, (1, 0, (width - size[0]) / 2, 0, 1, (tall - size[1]) / 2), height)


def _stretched(image: Image.Image, height: int) -> Image.Image:
    """Return an image with wider letters, at most twice as high as the model's."""
    shrink = max(1, image.height // (SHARP * height))
    size = (max(1, round(WIDER * image.width / shrink)), max(1, image.height // shrink))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)


def _turned(image: Image.Image, slope: float, letters: int, height: int) -> Image.Image:
    """Return an image turned so that a line climbing by so much lies level, and cut to that
    line.
    """
    width, tall = image.size
    cos, sin = (1 + slope**2) ** -0.5, slope * (1 + slope**2) ** -0.5
    ratio = ratio_of(letters)
    letter = width / (ratio * cos + abs(sin))  # its height
    size = (max(8, round(ROOM[0] * ratio * letter)), max(8, round(ROOM[1] * letter)))
    x, y = (
        width / 2 - (cos * size[0] + sin * size[1]) / 2,
        tall / 2 + (sin * size[0] - cos * size[1]) / 2,
    )
    return _through(image, size, (cos, sin, x, -sin, cos, y), height)


def _sheared(image: Image.Image, sign: int, letters: int, height: int) -> Image.Image:
    """Return an image whose columns are moved so that a climbing (1) or falling (-1) line of
    upright letters lies level.
    """
    width, tall = image.size
    letter = min(tall, 1.15 * width / ratio_of(letters))
    slope = sign * (tall - letter) / width
    size = (width, max(8, round(1.15 * letter)))
    return _through(image, size, (1, 0, 0, -slope, 1, (tall - size[1] + slope * width) / 2), height)


def _through(image: Image.Image, size: tuple[int, int], affine: Affine, height: int) -> Image.Image:
    """Return a view of so many pixels of an image.

    height: of the model's images; a view that is much higher is computed smaller.
    """
    shrink = max(1, size[1] // (SHARP * height))
    if shrink > 1:
        a, b, c, d, e, f = affine
        image = image.reduce(shrink)
        size, affine = (
            (max(1, size[0] // shrink), size[1] // shrink),
            (a, b, c / shrink, d, e, f / shrink),
        )
    a, b, c, d, e, f = affine
    corners = [(a * x + b * y + c, d * x + e * y + f) for x in (0, size[0]) for y in (0, size[1])]
    left, top = (
        floor(min(values)) - 1 for values in zip(*corners, strict=True)
    )  # the filter sees one pixel more
    right, bottom = (ceil(max(values)) + 1 for values in zip(*corners, strict=True))
    seen = _rectangle(image, (left, top), (right - left, bottom - top))
    return seen.transform(
        size, Image.Transform.AFFINE, (a, b, c - left, d, e, f - top), Image.Resampling.BICUBIC
    )


def _rectangle(image: Image.Image, corner: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """Cut that many pixels of an image from a corner (x, y) on. Beyond the image its edge is
    repeated.
    """
    (left, top), (columns, rows) = corner, size
    pixels = np.asarray(image)
    for axis, first, count in ((0, top, rows), (1, left, columns)):
        positions = np.arange(first, first + count).clip(0, pixels.shape[axis] - 1)
        pixels = pixels.take(positions, axis)
    return Image.fromarray(pixels)
