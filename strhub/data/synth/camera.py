"""What light, lens and file format do to a picture of a word.

In: a float32 array (height, width, 3) around 0..255, or an RGB picture, a random generator and a difficulty in
[0, 1] that scales how often and how strongly each step strikes. Out: the same kind of thing, same size. Each step
can be used alone; `photograph` chains all of them.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from strhub.data.synth.surface import FloatArray, smooth_field

__all__ = ["add_noise", "blur", "compress", "light", "lose_resolution", "motion_blur", "photograph"]


def light(pixels: FloatArray, rng: np.random.Generator, difficulty: float) -> FloatArray:
    """Uneven light: a smooth factor of 1 +- 0.45 at most, and a shift of the exposure by 0.75..1.15 at most."""
    if rng.random() >= 0.7 * difficulty:
        return pixels
    depth = rng.uniform(0.05, 0.45) * difficulty
    field = smooth_field(pixels.shape[:2], (2, int(rng.integers(2, 5))), rng)
    exposure = 1.0 + rng.uniform(-0.25, 0.15) * difficulty
    result: FloatArray = pixels * ((1.0 + np.float32(depth) * field) * np.float32(exposure))[..., None]
    return result


def blur(picture: Image.Image, rng: np.random.Generator, difficulty: float, stroke: float) -> Image.Image:
    """Lens blur with a radius of up to 0.4 `stroke`, where `stroke` is a typical stem width in pixels."""
    if rng.random() >= 0.6 * difficulty:
        return picture
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.0) * difficulty * 0.4 * stroke))


def motion_blur(picture: Image.Image, rng: np.random.Generator, difficulty: float, stroke: float) -> Image.Image:
    """Camera shake: the mean of copies along a straight path of up to 1.1 `stroke` pixels, any direction."""
    if rng.random() >= 0.2 * difficulty:
        return picture
    length = rng.uniform(0.3, 1.1) * difficulty * stroke
    angle = rng.uniform(0.0, np.pi)
    steps = max(2, round(length) + 1)
    path = np.linspace(-length / 2, length / 2, steps)
    pixels = np.asarray(picture, dtype=np.float32)
    reach = int(np.ceil(length / 2)) + 1
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    total = np.zeros_like(pixels)
    for at in path:
        row, column = reach + round(at * np.sin(angle)), reach + round(at * np.cos(angle))
        total += padded[row : row + pixels.shape[0], column : column + pixels.shape[1]]
    return Image.fromarray((total / steps + 0.5).astype(np.uint8))


def lose_resolution(picture: Image.Image, rng: np.random.Generator, difficulty: float, em: float) -> Image.Image:
    """Scales down by up to 1 + 2.2 * difficulty and up again; letters keep an em of at least 11 pixels."""
    if rng.random() >= 0.45 * difficulty:
        return picture
    factor = min(1.0 + 2.2 * difficulty * rng.random(), em / 11.0)
    if factor <= 1.05:
        return picture
    small = (max(2, round(picture.width / factor)), max(2, round(picture.height / factor)))
    ways = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST)
    up = ways[int(rng.choice(3, p=[0.5, 0.42, 0.08]))]
    return picture.resize(small, Image.Resampling.BILINEAR).resize(picture.size, up)


def add_noise(picture: Image.Image, rng: np.random.Generator, difficulty: float, step: float) -> Image.Image:
    """Sensor noise, grey or per channel, with a deviation of up to 14 of 255 and never above a fifth of `step`."""
    if rng.random() >= 0.7 * difficulty:
        return picture
    deviation = min(rng.uniform(1.0, 14.0) * difficulty, 0.2 * step)
    pixels = np.asarray(picture, dtype=np.float32)
    channels = 1 if rng.random() < 0.4 else 3
    noise = rng.standard_normal((*pixels.shape[:2], channels), dtype=np.float32)
    return Image.fromarray((pixels + noise * np.float32(deviation)).clip(0, 255).astype(np.uint8))


def compress(picture: Image.Image, rng: np.random.Generator, difficulty: float) -> Image.Image:
    """A JPEG round trip at quality 95 down to 95 - 65 * difficulty."""
    if rng.random() >= 0.6 * difficulty:
        return picture
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=int(95 - 65 * difficulty * rng.random()))
    return Image.open(file).convert("RGB")


def photograph(
    pixels: FloatArray, rng: np.random.Generator, difficulty: float, *, em: float, step: float
) -> Image.Image:
    """Returns the RGB picture a camera makes of `pixels`; `em` is the letter size in pixels.

    `step` is the brightness distance of text and ground, 0..255: it bounds how much noise is bearable.
    """
    stroke = 0.11 * em
    picture = Image.fromarray((light(pixels, rng, difficulty) + 0.5).clip(0, 255).astype(np.uint8))
    picture = blur(picture, rng, difficulty, stroke)
    picture = motion_blur(picture, rng, difficulty, stroke)
    picture = lose_resolution(picture, rng, difficulty, em)
    picture = add_noise(picture, rng, difficulty, step)
    return compress(picture, rng, difficulty)
