"""What a word stands on: plain, shaded and textured grounds.

In: a color, a size (width, height) in pixels and a random generator. Out: RGB images of that size.
The textures are drawn once per process from a fixed seed, as large gray tiles; each ground takes a
piece of one, at some scale, and blends two colors by it, which costs microseconds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from strhub.data.synth.colors import any_color, clip_color
from strhub.data.synth.scene import Color

__all__ = ["BACKDROPS", "coarse_field", "ground", "photo_like", "piece", "slope", "texture_bank"]

_Field = npt.NDArray[np.float32]
_TALL, _WIDE = 192, 640
_SEED: Final = 20_260
BACKDROPS: Final = (
    "flat", "gradient", "clouds", "plaster", "grain", "wood", "bricks", "foliage", "blocks",
        "metal", "stripes", "weave"
)  # fmt: skip
"""Kinds of ground; all but the first two are textures."""


def _resized(coarse: _Field, shape: tuple[int, int] = (_TALL, _WIDE)) -> _Field:
    return np.asarray(
        Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    )


def _octaves(
    rng: np.random.Generator, first: int, count: int, fall: float, stretch: float = 1.0
) -> _Field:
    """Return noise of `count` octaves; the coarsest has `first` cells over the height, each further
    one `fall` times the size.
    """
    total, size = np.zeros((_TALL, _WIDE), dtype=np.float32), 1.0
    for octave in range(count):
        tall = min(_TALL, first * 2**octave)
        wide = max(2, min(_WIDE, round(tall * _WIDE / _TALL / stretch)))
        total += np.float32(size) * _resized(rng.standard_normal((tall, wide), dtype=np.float32))
        size *= fall
    return total


def _tile(field: _Field) -> Image.Image:
    """Return a field as an `L` image with mean 128 and a deviation of 56."""
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    return Image.fromarray((field * 56 + 128.5).clip(0, 255).astype(np.uint8))


def _wood(rng: np.random.Generator) -> _Field:
    rings = np.arange(_TALL, dtype=np.float32)[:, None] * 0.25 + 2.5 * _octaves(
        rng, 3, 2, 0.4, stretch=8.0
    )
    boards = np.repeat(rng.standard_normal(_TALL // 48 + 1).astype(np.float32), 48)[:_TALL, None]
    return np.sin(rings) * 0.6 + _octaves(rng, 48, 2, 0.7, stretch=12.0) * 0.5 + boards * 0.6


def _bricks(rng: np.random.Generator) -> _Field:
    field = _octaves(rng, 24, 3, 0.7) * 0.35
    for row, top in enumerate(range(0, _TALL, 24)):
        for left in range(-(row % 2) * 28, _WIDE, 56):
            field[top + 2 : top + 24, max(left + 2, 0) : left + 56] += (
                1.6 + 0.5 * rng.standard_normal()
            )
    return field


def _foliage(rng: np.random.Generator) -> _Field:
    coarse, fine = _octaves(rng, 8, 3, 0.8), _octaves(rng, 32, 2, 0.9)
    return np.tanh(2.5 * coarse) + np.tanh(2.0 * fine) * 0.8


def _blocks(rng: np.random.Generator) -> _Field:
    """Draw edges of objects: boxes, frames and windows over each other."""
    field = _octaves(rng, 2, 3, 0.6) * 0.3
    for _ in range(70):
        top, left = int(rng.integers(-20, _TALL)), int(rng.integers(-40, _WIDE))
        bottom, right = top + int(rng.integers(8, 110)), left + int(rng.integers(8, 150))
        field[max(top, 0) : bottom, max(left, 0) : right] = 1.3 * rng.standard_normal()
    return field + _octaves(rng, 64, 2, 0.8) * 0.1


def _stripes(rng: np.random.Generator) -> _Field:
    """Draw siding, blinds or planks: bands of two or three widths."""
    rows = np.arange(_TALL, dtype=np.float32)[:, None]
    bands = np.where((rows % 16) < 4, np.float32(-1.5), np.float32(0.6)) + np.float32(0.02) * (
        rows % 16
    )
    return np.broadcast_to(bands, (_TALL, _WIDE)) + _octaves(rng, 32, 2, 0.7, stretch=4.0) * 0.25


def _weave(rng: np.random.Generator) -> _Field:
    rows, columns = (
        np.arange(_TALL, dtype=np.float32)[:, None],
        np.arange(_WIDE, dtype=np.float32)[None, :],
    )
    return np.sin(rows * 1.26) * np.sin(columns * 1.26) + _octaves(rng, 16, 3, 0.8) * 0.5


@lru_cache(maxsize=1)
def texture_bank() -> dict[str, tuple[Image.Image, ...]]:
    """Return `L` tiles (640 x 192 pixels, mean 128) by kind, the same in every process."""
    rng = np.random.default_rng(_SEED)
    fields: dict[str, tuple[_Field, ...]] = {
        "clouds": (_octaves(rng, 2, 4, 0.5), _octaves(rng, 3, 5, 0.65)),
        "plaster": (_octaves(rng, 12, 4, 0.8), _octaves(rng, 24, 3, 0.9)),
        "grain": (_octaves(rng, 96, 2, 1.0), _octaves(rng, 64, 2, 1.0, stretch=4.0)),
        "wood": (_wood(rng), _wood(rng)),
        "bricks": (_bricks(rng),),
        "foliage": (_foliage(rng), _foliage(rng)),
        "blocks": (_blocks(rng), _blocks(rng), _blocks(rng)),
        "metal": (_octaves(rng, 64, 2, 0.9, stretch=40.0),),
        "stripes": (_stripes(rng),),
        "weave": (_weave(rng),),
    }
    return {kind: tuple(map(_tile, members)) for kind, members in fields.items()}


def piece(
    tile: Image.Image, size: tuple[int, int], scale: float, rng: np.random.Generator
) -> Image.Image:
    """Return a random part of `tile` at `size`; `scale` is how many of the tile's pixels go into
    one of these.
    """
    across, down = rng.random(2).tolist()
    scale = min(scale, tile.width / size[0], tile.height / size[1])
    # Rounding may exceed the edge slightly, which Pillow refuses.
    wide, tall = min(size[0] * scale, tile.width), min(size[1] * scale, tile.height)
    left, top = across * (tile.width - wide), down * (tile.height - tall)
    box = (left, top, min(left + wide, tile.width), min(top + tall, tile.height))
    return tile.resize(size, Image.Resampling.BILINEAR, box=box)


@lru_cache(maxsize=1)
def _ramp() -> Image.Image:
    return Image.linear_gradient("L")


def slope(size: tuple[int, int], angle: float) -> Image.Image:
    """Return an `L` image that rises evenly from 0 to 255 along `angle` (radians, 0 is to the
    right).
    """
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    across, down = cos * size[0], sin * size[1]
    steep = 252.0 / max(abs(across) + abs(down), 1.0)
    start = 1.0 - steep * (min(across, 0.0) + min(down, 0.0))
    return _ramp().transform(
        size, Image.Transform.AFFINE, (0, 0, 128, steep * cos, steep * sin, start)
    )


def coarse_field(
    size: tuple[int, int],
    cells: tuple[int, int],
    rng: np.random.Generator,
    *,
    low: int = 0,
    high: int = 255,
) -> Image.Image:
    """Return an `L` image that varies smoothly in low..high over `cells` (across, down) random
    patches.
    """
    coarse = rng.integers(low, high + 1, size=(cells[1], cells[0]), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def ground(
    kind: str,
    size: tuple[int, int],
    color: Color,
    reach: float,
    em: float,
    rng: np.random.Generator,
) -> Image.Image:
    """Return a surface of one of `BACKDROPS` around `color`.

    Args:
        kind: one of `BACKDROPS`.
        size: (width, height) in pixels.
        color: the middle of the surface.
        reach: how far from it the surface may stray, 0..255; 0 is plain.
        em: size of the letters in pixels: bricks and boards keep some proportion to them.
        rng: where all chance comes from.
    """
    if kind == "flat" or reach < 0.5:
        return Image.new("RGB", size, color)
    tint = rng.uniform(0.6, 1.0, size=3).tolist()
    light = clip_color(*(value + reach * part for value, part in zip(color, tint, strict=True)))
    dark = clip_color(*(value - reach * part for value, part in zip(color, tint, strict=True)))
    if kind == "gradient":
        field = slope(size, 6.2832 * rng.random())
    else:
        tiles = texture_bank()[kind]
        rolls = rng.random(2).tolist()
        field = piece(tiles[int(rolls[0] * len(tiles))], size, (16.0 + 24.0 * rolls[1]) / em, rng)
    return Image.composite(Image.new("RGB", size, light), Image.new("RGB", size, dark), field)


def photo_like(size: tuple[int, int], em: float, rng: np.random.Generator) -> Image.Image:
    """Return what may be seen around a sign: two surfaces of any colors, one showing through the
    other.
    """
    kinds = BACKDROPS[2:]
    rolls = rng.random(5).tolist()
    first = ground(
        kinds[int(rolls[0] * len(kinds))], size, any_color(30 + 190 * rolls[1], rng), 50.0, em, rng
    )
    if rolls[2] < 0.4:
        return first
    second = ground(
        kinds[int(rolls[3] * len(kinds))], size, any_color(30 + 190 * rolls[4], rng), 40.0, em, rng
    )
    tiles = texture_bank()["blocks"]
    cut = piece(tiles[int(rng.integers(len(tiles)))], size, 24.0 / em, rng)
    return Image.composite(first, second, cut.point(_STEEP))


_STEEP: Final = [max(0, min(255, (value - 128) * 8 + 128)) for value in range(256)]
