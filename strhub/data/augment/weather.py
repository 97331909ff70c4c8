"""What is between the camera and a word: rain, snow, fog, frost, shadow, glare, and things that
hide parts of it.

In and out: uint8 images (H, W, 3) of one size; the input is left as it is. Every function takes a
level in [0, 1], the fraction of the range its docstring gives; sizes are in heights of the image,
so that large ones get as much.
"""

import math
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from PIL import ImageDraw
from PIL.Image import Image, Resampling, fromarray, new

from strhub.data.augment.filters import Pixels, gaussian_blur, to_uint8

__all__ = ["PATTERNS", "WEATHER", "smooth_field"]

Floats = npt.NDArray[np.float32]


def smooth_field(height: int, width: int, rng: Generator, *, cell: float) -> Floats:
    """Return a field (H, W, 1) from 0 to 1 that changes over `cell` pixels."""
    nodes = rng.random(
        (max(2, math.ceil(height / cell) + 1), max(2, math.ceil(width / cell) + 1)),
        dtype=np.float32,
    )
    field = fromarray(nodes).resize((width, height), Resampling.BICUBIC)
    return np.clip(np.asarray(field), 0, 1)[..., None]


def _blend(pixels: Pixels, color: float | Floats, fraction: Floats) -> Pixels:
    """Blend the image with `color`, whose fraction is `share` (H, W, 1) in [0, 1]."""
    return to_uint8(pixels + (color - pixels.astype(np.float32)) * fraction)


def _mask(image: Image) -> Floats:
    return np.asarray(image, dtype=np.float32)[..., None] / np.float32(255)


def rain(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Add slanted bright streaks, up to 3 per square of the height and up to 0.7 opaque, in
    slightly darker light.
    """
    height, width = pixels.shape[:2]
    count = 1 + round(3 * level * width / height)
    slant = rng.uniform(-0.5, 0.5)
    canvas = new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    for x, y, length in (rng.random((count, 3)) * [width, height, 0.6 * height]).tolist():
        length += 0.2 * height
        draw.line(
            (x, y - length / 2, x + slant * length, y + length / 2),
            fill=255,
            width=1 + height // 50,
        )
    streaks = _mask(canvas) * np.float32(0.3 + 0.4 * level)
    return _blend(to_uint8(pixels * np.float32(1 - 0.2 * level)), 210, streaks)


def snow(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Add white flakes, up to 12 per square of the height, 0.02 to 0.08 of the height wide, in a
    haze of up to 0.25.
    """
    height, width = pixels.shape[:2]
    count = 1 + round(12 * level * width / height)
    canvas = new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    for x, y, size in rng.random((count, 3)).tolist():
        radius = (0.01 + 0.03 * size) * height
        x, y = x * width, y * height
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    flakes = np.asarray(canvas)[..., None].repeat(3, axis=2)
    soft = gaussian_blur(flakes, 0.015 * height)[..., :1].astype(np.float32) / 255
    return _blend(
        _blend(pixels, 235, np.full((1, 1, 1), 0.25 * level, np.float32)),
        250,
        soft * np.float32(0.9),
    )


def fog(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Add light gray clouds, up to 0.75 opaque where they are thickest and two thirds of that where
    thinnest.
    """
    height, width = pixels.shape[:2]
    clouds = smooth_field(height, width, rng, cell=0.8 * height)
    return _blend(pixels, rng.uniform(170, 235), (0.5 + 0.25 * clouds) * np.float32(level))


def frost(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Add ice crystals: bright ridges between cells of two sizes, up to 0.75 opaque, thicker toward
    the edges.
    """
    height, width = pixels.shape[:2]
    ridges = np.zeros((height, width, 1), np.float32)
    for cell in (0.35 * height, 0.12 * height):
        field = smooth_field(height, width, rng, cell=max(2.0, cell))
        ridges = np.maximum(ridges, 1 - np.abs(field - 0.5) * 8)
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    edge = np.maximum(np.abs(x) ** 6, y**2).astype(np.float32)[..., None]
    fraction = (ridges * (0.4 + 0.6 * edge) + 0.5 * edge) * np.float32(0.75 * level)
    return _blend(pixels, np.array([215, 228, 240], np.float32), np.clip(fraction, 0, 1))


def shadow(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Darken one side of a slanted line, by up to 0.7, with a soft edge."""
    height, width = pixels.shape[:2]
    angle, position = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8)
    y, x = np.ogrid[:height, :width]
    distance = (x - position * width) * math.cos(angle) + (y - 0.5 * height) * math.sin(angle)
    side = np.clip(distance / (0.15 * height + 1) + 0.5, 0, 1).astype(np.float32)
    return to_uint8(pixels * (1 - np.float32(rng.uniform(0.4, 0.7) * level) * side)[..., None])


def flare(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Add the sun or a lamp: a warm spot up to a height wide, 0.9 opaque in its middle, with one to
    three fainter rings.
    """
    height, width = pixels.shape[:2]
    y, x = np.ogrid[:height, :width]
    at_x, at_y, size = rng.random(3)
    square = (x - at_x * width) ** 2 + (y - at_y * height) ** 2
    spread = (0.15 + 0.35 * size) * height
    light = 0.9 * level * np.exp(-square / (2 * spread**2))
    for along, radius in rng.random((int(rng.integers(1, 4)), 2)).tolist():
        # The rings are on the line through the light and the middle of the image.
        ring_x, ring_y = (
            (at_x + 2 * along * (0.5 - at_x)) * width,
            (at_y + 2 * along * (0.5 - at_y)) * height,
        )
        distance = np.sqrt((x - ring_x) ** 2 + (y - ring_y) ** 2) - (0.1 + 0.2 * radius) * height
        light = np.maximum(light, 0.25 * level * (distance < 0))
    return _blend(
        pixels, np.array([255, 250, 225], np.float32), light.astype(np.float32)[..., None]
    )


def _lines(length: int, spacing: float, thickness: int, rng: Generator) -> npt.NDArray[np.bool_]:
    phase = rng.uniform(0, spacing)
    return (np.arange(length) + phase) % spacing < thickness


def _lattice(pixels: Pixels, level: float, rng: Generator, *, across: bool, down: bool) -> Pixels:
    height, width = pixels.shape[:2]
    spacing, thickness = height * rng.uniform(0.25, 0.6), 1 + height // 48
    hidden = np.zeros((height, width), dtype=np.bool_)
    if across:
        hidden |= _lines(height, spacing, thickness, rng)[:, None]
    if down:
        hidden |= _lines(width, spacing, thickness, rng)
    fraction = hidden.astype(np.float32)[..., None] * np.float32(0.2 + 0.7 * level)
    return _blend(pixels, rng.integers(0, 256, 3).astype(np.float32), fraction)


def horizontal_lines(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Add horizontal lines of one color, 0.25 to 0.6 heights apart, 0.2 to 0.9 opaque."""
    return _lattice(pixels, level, rng, across=True, down=False)


def vertical_lines(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Add vertical lines of one color, 0.25 to 0.6 heights apart, 0.2 to 0.9 opaque."""
    return _lattice(pixels, level, rng, across=False, down=True)


def wire_grid(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Add horizontal and vertical lines, as behind a fence."""
    return _lattice(pixels, level, rng, across=True, down=True)


def dots(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Add a regular pattern of round dots that take up to a tenth of the area, 0.2 to 0.9
    opaque.
    """
    height, width = pixels.shape[:2]
    spacing = max(3.0, height * rng.uniform(0.2, 0.4))
    phase = rng.uniform(0, spacing, 2)
    y, x = np.ogrid[:height, :width]
    square = ((x + phase[0]) % spacing - spacing / 2) ** 2 + (
        (y + phase[1]) % spacing - spacing / 2
    ) ** 2
    fraction = (square < (0.18 * spacing) ** 2).astype(np.float32)[..., None] * np.float32(
        0.2 + 0.7 * level
    )
    return _blend(pixels, rng.integers(0, 256, 3).astype(np.float32), fraction)


def patches(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Hide parts behind one to three rectangles of one color each, up to 0.35 of the height in
    either direction.
    """
    height, width = pixels.shape[:2]
    result = pixels.copy()
    for x, y, wide, high, *color in rng.random((int(rng.integers(1, 4)), 7)).tolist():
        across, down = (
            max(1, round((0.1 + 0.25 * size) * level * height)) for size in (wide, high)
        )
        left, top = int(x * width), int(y * height)
        result[top : top + down, left : left + across] = [int(256 * value) for value in color]
    return result


WEATHER: Final = MappingProxyType(
    {"rain": rain, "snow": snow, "fog": fog, "frost": frost, "shadow": shadow, "flare": flare}
)
PATTERNS: Final = MappingProxyType(
    {
        "horizontal_lines": horizontal_lines,
        "vertical_lines": vertical_lines,
        "wire_grid": wire_grid,
        "dots": dots,
        "patches": patches,
    }
)
