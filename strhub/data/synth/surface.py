"""Colours and backgrounds: what a word is painted with and what it is painted on.

In: a random generator, a picture size (height, width) in pixels and a difficulty in [0, 1]. Out: colour triples and
float32 RGB arrays in 0..255. The guaranteed brightness step between text and ground is set here.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["FloatArray", "colour_at", "colour_pair", "ground", "luminance", "smooth_field"]

FloatArray: TypeAlias = npt.NDArray[np.float32]
_LUMA: FloatArray = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_EASY_STEP, _HARD_STEP = 110.0, 45.0


def luminance(colour: FloatArray) -> float:
    """Returns the perceived brightness, 0..255, of an RGB triple in 0..255."""
    return float(colour @ _LUMA)


def colour_at(brightness: float, rng: np.random.Generator) -> FloatArray:
    """Returns a random RGB triple (float32, 0..255) of the given brightness, often grey, at times vivid."""
    saturation = float(rng.choice([0.05, 0.35, 1.0], p=[0.35, 0.35, 0.3])) * rng.random()
    colour = 255.0 * np.array(colorsys.hsv_to_rgb(rng.random(), saturation, 1.0), dtype=np.float32)
    own = luminance(colour)
    # Scaling up would clip the strongest channel; mixing with white reaches the brightness exactly.
    goal, weight = (0.0, 1.0 - brightness / own) if own >= brightness else (255.0, (brightness - own) / (255.0 - own))
    result: FloatArray = colour + (np.float32(goal) - colour) * np.float32(weight)
    return result


def colour_pair(rng: np.random.Generator, difficulty: float) -> tuple[FloatArray, FloatArray, float]:
    """Returns (text colour, ground colour, brightness step between them).

    The step is at least 110 of 255 at difficulty 0 and at least 45 at difficulty 1; either may be the lighter.
    """
    least = _EASY_STEP + (_HARD_STEP - _EASY_STEP) * difficulty
    step = least + (235.0 - least) * rng.random() ** (1.0 + difficulty)
    low = 5.0 + rng.random() * (245.0 - step)
    dark, light = colour_at(low, rng), colour_at(low + step, rng)
    return (light, dark, step) if rng.random() < 0.5 else (dark, light, step)


def smooth_field(shape: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Returns a float32 array of `shape` (height, width), in -1..1, that varies smoothly over `cells` patches."""
    coarse = rng.uniform(-1.0, 1.0, size=cells).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)).clip(-1, 1)


def _flat(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    return np.zeros(shape, dtype=np.float32)


def _gradient(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    angle = rng.uniform(0.0, 2.0 * np.pi)
    rows = np.linspace(-1.0, 1.0, shape[0], dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    columns = np.linspace(-1.0, 1.0, shape[1], dtype=np.float32)[None, :] * np.float32(np.cos(angle))
    result: FloatArray = (rows + columns) / np.float32(abs(np.sin(angle)) + abs(np.cos(angle)))
    return result


def _grain(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Rough plaster or fabric: noise at one third to full resolution, often drawn out to one side like wood."""
    scale = rng.uniform(1.0, 3.0)
    stretch = float(rng.choice([1.0, 1.0, 4.0, 10.0]))
    tall = max(2, int(shape[0] / scale))
    wide = max(2, int(shape[1] / scale / stretch))
    return smooth_field(shape, (tall, wide), rng)


def _blotches(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    across = max(2, round(shape[1] / shape[0] * rng.uniform(1.5, 4.0)))
    return smooth_field(shape, (int(rng.integers(2, 5)), across), rng)


def _panel(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """A hard edge between two tones, as at the border of a sign or at a seam in a wall."""
    field = _gradient(shape, rng) - np.float32(rng.uniform(-0.7, 0.7))
    result: FloatArray = np.where(field > 0, np.float32(1.0), np.float32(-0.3))
    return result


def _stripes(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Siding, blinds, bricks' joints: a wave or narrow lines, 4..20 pixels apart."""
    period = rng.uniform(4.0, 20.0)
    position = np.arange(shape[0], dtype=np.float32)[:, None]
    if rng.random() < 0.4:
        position = np.arange(shape[1], dtype=np.float32)[None, :]
    wave = np.sin(position * np.float32(2.0 * np.pi / period) + np.float32(rng.uniform(0.0, 6.28)))
    if rng.random() < 0.5:
        wave = np.where(wave > 0.8, np.float32(1.0), np.float32(-0.2))
    return np.broadcast_to(wave, shape).astype(np.float32)


_Field: TypeAlias = Callable[[tuple[int, int], np.random.Generator], FloatArray]
_FIELDS: tuple[tuple[_Field, float, float], ...] = (
    # field, share at difficulty 0, share at difficulty 1
    (_flat, 0.6, 0.15),
    (_gradient, 0.4, 0.2),
    (_grain, 0.0, 0.2),
    (_blotches, 0.0, 0.25),
    (_panel, 0.0, 0.1),
    (_stripes, 0.0, 0.1),
)


def ground(
    shape: tuple[int, int], colour: FloatArray, step: float, rng: np.random.Generator, difficulty: float
) -> FloatArray:
    """Returns a float32 array (height, width, 3), about 0..255: a surface around `colour`.

    `step` is the brightness distance to the text; the surface strays from `colour` by at most 0.15 (difficulty 0)
    to 0.5 (difficulty 1) of it, so text and ground never meet.
    """
    shares = np.array([easy + (hard - easy) * difficulty for _, easy, hard in _FIELDS])
    field = _FIELDS[int(rng.choice(len(_FIELDS), p=shares / shares.sum()))][0](shape, rng)
    reach = step * (0.15 + 0.35 * difficulty) * rng.uniform(0.3, 1.0)
    tint = (rng.uniform(0.7, 1.0, size=3) * rng.choice([-1.0, 1.0])).astype(np.float32)
    if difficulty > 0 and rng.random() < 0.5 * difficulty:
        field = 0.7 * field + 0.3 * _grain(shape, rng)
    result: FloatArray = colour + (field * np.float32(reach))[..., None] * tint
    return result
