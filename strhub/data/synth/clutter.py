"""Images of things that are no text, as a detector of text is fooled by them: foliage, gravel,
bricks, folds, clouds.

In: a size and a random generator. Out: an RGB image of that size. All are made of what photographs
    are made of by
statistics: shapes of all sizes that hide one another ("dead leaves", Lee et al. 2001), strokes,
rows, and noise whose power falls with its frequency. They teach a reader that edges alone are no
letters.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin
from typing import Final, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from strhub.data.synth.colors import any_color, clip_color, mix
from strhub.data.synth.scene import Color

__all__ = ["clutter"]

Size: TypeAlias = tuple[int, int]


def clutter(size: Size, rng: np.random.Generator) -> Image.Image:
    """Return an image of `size` (width, height) with nothing to read."""
    kind = _KINDS[int(rng.random() * len(_KINDS))]
    image = kind(size, _Palette(rng), rng)
    blur = 0.02 * size[1] * rng.random() ** 2
    return image.filter(ImageFilter.GaussianBlur(blur)) if blur > 0.3 else image


class _Palette:
    """Colors of one thing: about one color, or between two, more or less alike."""

    def __init__(self, rng: np.random.Generator) -> None:
        dark, light = sorted((255 * rng.random(2)).tolist())
        self._ends = any_color(dark, rng), any_color(max(light, dark + 25), rng)
        self._spread = 10 + 40 * rng.random()
        self._rng = rng

    def __call__(self) -> Color:
        """Return one of them."""
        base = mix(*self._ends, float(self._rng.random()))
        shift = float(self._spread * self._rng.standard_normal())
        red, green, blue = base
        return clip_color(red + shift, green + shift, blue + shift)


def _outline(
    x: float, y: float, radius: float, corners: int, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Return the corners of a crooked, often longish shape about (x, y)."""
    angles = np.sort(rng.random(corners)) * 2 * pi
    turn, flat = rng.random() * pi, 0.3 + 0.7 * rng.random()
    reach = radius * (0.6 + 0.4 * rng.random(corners))
    points = []
    for angle, far in zip(angles.tolist(), reach.tolist(), strict=True):
        along, across = far * cos(angle), flat * far * sin(angle)
        points.append(
            (x + along * cos(turn) - across * sin(turn), y + along * sin(turn) + across * cos(turn))
        )
    return points


def _leaves(size: Size, color: _Palette, rng: np.random.Generator) -> Image.Image:
    """Draw shapes of all sizes, the later ones over the earlier: gravel, foliage, crowds of
    things.
    """
    width, height = size
    image = Image.new("RGB", size, color())
    pen = ImageDraw.Draw(image)
    smallest = height * (0.03 + 0.12 * rng.random())
    largest = max(height * (0.2 + 0.8 * rng.random()), 1.5 * smallest)
    count = min(250, int(2.5 * width * height / (smallest * smallest * 6)) + 5)
    # The number of shapes falls with the cube of their size, as that of things seen from all
    # distances does.
    radii = (smallest**-2 - rng.random(count) * (smallest**-2 - largest**-2)) ** -0.5
    edged = rng.random() < 0.4
    for radius, x, y in zip(
        radii.tolist(), *(rng.random((2, count)) * [[width], [height]]).tolist(), strict=True
    ):
        outline = _outline(x, y, radius, 3 + int(rng.random() * 6), rng)
        pen.polygon(outline, fill=color(), outline=color() if edged else None)
    return image


def _strokes(size: Size, color: _Palette, rng: np.random.Generator) -> Image.Image:
    """Draw bent strokes, all in about one direction or in any: grass, hair, twigs, wires,
    cracks.
    """
    width, height = size
    image = Image.new("RGB", size, color())
    pen = ImageDraw.Draw(image)
    direction, disorder = rng.random() * pi, rng.random() ** 2 * pi
    length = height * (0.15 + 1.2 * rng.random())
    thick = max(1.0, 0.08 * height * rng.random())
    for _ in range(int(6 + rng.random() ** 2 * 250)):
        x, y, angle = (
            rng.random() * width,
            rng.random() * height,
            direction + disorder * (rng.random() - 0.5),
        )
        bend, points = 0.6 * (rng.random() - 0.5), [(x, y)]
        for _ in range(4):
            x, y = x + length / 4 * cos(angle), y + length / 4 * sin(angle)
            points.append((x, y))
            angle += bend
        pen.line(
            points, fill=color(), width=max(1, round(thick * (0.5 + rng.random()))), joint="curve"
        )
    return image


def _rows(size: Size, color: _Palette, rng: np.random.Generator) -> Image.Image:
    """Return rows of oblongs with joints between, seen a little askew: bricks, windows, tiles,
    boards, bars, fences.
    """
    width, height = size
    high = max(3.0, height * (0.12 + 0.7 * rng.random()))
    wide = max(3.0, high * (0.2 + 3 * rng.random() ** 2))
    joint = max(1.0, 0.15 * min(high, wide) * rng.random())
    reach = int(1.5 * max(width, height))
    image = Image.new("RGB", (reach, reach), color())
    pen = ImageDraw.Draw(image)
    same_color, shifted, disorder = (
        rng.random() < 0.4,
        0.5 * (rng.random() < 0.5),
        0.1 * rng.random(),
    )
    one = color()
    for row in range(int(reach / high) + 1):
        for column in range(-1, int(reach / wide) + 1):
            if (row + 1) * (column + 2) > 900:
                break
            x = (column + shifted * (row % 2) + disorder * rng.random()) * wide
            y = (row + disorder * rng.random()) * high
            pen.rectangle(
                (x, y, x + wide - joint, y + high - joint), fill=one if same_color else color()
            )
    turned = image.rotate(float(rng.normal(0, 12)), Image.Resampling.BILINEAR)
    left, top = (reach - width) // 2, (reach - height) // 2
    return turned.crop((left, top, left + width, top + height))


def _clouds(size: Size, color: _Palette, rng: np.random.Generator) -> Image.Image:
    """Return noise whose amplitude falls with a power of its frequency: skin, stone, water, clouds,
    the sky at night.
    """
    width, height = size
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = 1.0
    spectrum = rng.standard_normal((height, width // 2 + 1)) * np.exp(
        2j * pi * rng.random((height, width // 2 + 1))
    )
    field = np.fft.irfft2(spectrum * frequency ** -(0.6 + 1.6 * rng.random()), s=(height, width))
    field = (field - field.mean()) / (field.std() + 1e-9)
    if rng.random() < 0.4:
        field = np.abs(field) - 1  # ridges and veins
    fraction = (0.5 + 0.25 * field * (0.3 + rng.random())).clip(0, 1)[..., None]
    low, high = (np.array(color(), dtype=np.float32) for _ in range(2))
    return Image.fromarray((low + (high - low) * fraction).astype(np.uint8))


def _things(size: Size, color: _Palette, rng: np.random.Generator) -> Image.Image:
    """Return a few large, round, shaded things: cups, fruit, wheels, faces, limbs, and the edges
    between them.
    """
    width, height = size
    image = _clouds(size, color, rng) if rng.random() < 0.5 else Image.new("RGB", size, color())
    for _ in range(1 + int(rng.random() * 5)):
        radius = height * (0.15 + 1.2 * rng.random() ** 2)
        x, y = rng.random() * width, rng.random() * height
        mask = Image.new("L", size)
        pen = ImageDraw.Draw(mask)
        if rng.random() < 0.5:
            pen.ellipse((x - radius, y - radius * 0.7, x + radius, y + radius * 0.7), fill=255)
            if rng.random() < 0.4:  # a rim
                inner = radius * (0.6 + 0.35 * rng.random())
                pen.ellipse((x - inner, y - inner * 0.7, x + inner, y + inner * 0.7), fill=0)
        else:
            pen.polygon(_outline(x, y, 1.5 * radius, 4 + int(rng.random() * 4), rng), fill=255)
        shade = Image.linear_gradient("L").rotate(360 * rng.random()).resize(size)
        image = Image.composite(
            Image.composite(
                Image.new("RGB", size, color()), Image.new("RGB", size, color()), shade
            ),
            image,
            mask,
        )
    return image


_KINDS: Final[tuple[Callable[[Size, _Palette, np.random.Generator], Image.Image], ...]] = (
    _leaves,
    _strokes,
    _rows,
    _clouds,
    _things,
)
