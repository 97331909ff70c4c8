"""Steps of the camera: exposure, color, blur, resolution, noise and the file format.

In: a `Scene`, a strength and a random generator. Out: the same scene with an image of the same
size; strength 0 changes nothing.
"""

from __future__ import annotations

import io
from functools import lru_cache
from math import ceil, cos, pi, sin
from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from strhub.data.synth.scene import Color, Scene, Step

__all__ = ["CAMERA_STEPS"]

_NOISE_SEED: Final = 20_261
_NOISE_DEVIATION: Final = 32.0
_LEAST_CONTRAST: Final = 18.0  # gray levels that have to be left between text and ground
_LEAST_EM: Final = 8.5  # pixels an em that have to be left for letters to be told apart


def _tone(scene: Scene, tables: list[list[int]]) -> None:
    """Pass every channel through its table, and the colors that say how much noise the letters
    bear.
    """
    scene.image = scene.image.point([value for table in tables for value in table])
    scene.text, scene.ground = _passed(scene.text, tables), _passed(scene.ground, tables)


def _passed(color: Color, tables: list[list[int]]) -> Color:
    return tables[0][color[0]], tables[1][color[1]], tables[2][color[2]]


def _under_exposure(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    if strength > 0:
        factor = max(1.0 - strength, min(1.0, _LEAST_CONTRAST / max(scene.contrast, 1.0)))
        _tone(scene, [[round(value * factor) for value in range(256)]] * 3)


def _over_exposure(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    if strength > 0:
        # Never so far that the darker of text and background burns out, too.
        lower = max(40.0, min(max(scene.text), max(scene.ground)))
        factor = min(1.0 + strength, max(1.0, 215.0 / lower))
        _tone(scene, [[min(255, round(value * factor)) for value in range(256)]] * 3)


def _gamma(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    if strength > 0:
        power = (1.0 + strength) ** (1.0 if rng.random() < 0.5 else -1.0)
        _tone(scene, [[round(255 * (value / 255) ** power) for value in range(256)]] * 3)


def _cast(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Apply lamps and white balance: a factor for each channel, warm more often than not."""
    if strength > 0:
        rolls = rng.random(3).tolist()
        warm = rolls[0] - 0.35
        factors = (
            1 + strength * min(warm, 0.0),
            1 - 0.5 * strength * rolls[1],
            1 - strength * max(warm, 0.0) * 1.5,
        )
        _tone(
            scene, [[round(value * max(0.0, factor)) for value in range(256)] for factor in factors]
        )


def _pale(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    if strength > 0:
        scene.image = Image.blend(scene.image, scene.image.convert("L").convert("RGB"), strength)


def _defocus(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    radius = scene.blur_allowed(strength) * scene.em
    if radius > 0.1:
        soft = (
            ImageFilter.GaussianBlur(radius)
            if rng.random() < 0.4
            else ImageFilter.BoxBlur(1.5 * radius)
        )
        scene.image = scene.image.filter(soft)


def _motion(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Average copies along a straight path, mostly horizontal."""
    rolls = rng.random(2).tolist()
    angle = pi * rolls[0] if rolls[1] < 0.5 else 0.4 * (rolls[0] - 0.5)
    length = (
        3.0 * scene.blur_allowed(strength / 3.0) * scene.em
    )  # an even path has 0.29 of its length as deviation
    if length < 0.8:
        return
    steps = max(2, round(length) + 1)
    pixels = np.asarray(scene.image)
    height, width = pixels.shape[:2]
    reach = ceil(length / 2) + 1
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    total = np.full(pixels.shape, steps // 2, dtype=np.uint16)
    for number in range(steps):
        along = length * (number / (steps - 1) - 0.5)
        row, column = reach + round(along * sin(angle)), reach + round(along * cos(angle))
        total += padded[row : row + height, column : column + width]
    scene.image = Image.fromarray((total // np.uint16(steps)).astype(np.uint8))


def _low_resolution(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Scale down and up again, as a crop of a small word is; a minimum of pixels per letter is
    always left.
    """
    factor = min(1.0 + strength, scene.em / _LEAST_EM)
    factor = (
        2.0 * scene.blur_allowed(0.5 * factor / scene.em) * scene.em
    )  # half a pixel blurs like a radius
    if factor <= 1.05:
        return
    width, height = scene.image.size
    small = scene.image.resize(
        (max(2, round(width / factor)), max(2, round(height / factor))), Image.Resampling.BOX
    )
    roll = rng.random()
    way = Image.Resampling.BILINEAR if roll < 0.55 else Image.Resampling.BICUBIC
    scene.image = small.resize((width, height), Image.Resampling.NEAREST if roll > 0.98 else way)


def _sharpen(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Add the halo that cameras draw around edges."""
    if strength > 0:
        radius = 0.6 + 1.2 * rng.random()
        scene.image = scene.image.filter(ImageFilter.UnsharpMask(radius, round(100 * strength), 2))


@lru_cache(maxsize=1)
def _noise_bank() -> tuple[Image.Image, ...]:
    """Return RGB images of noise around 128: per channel, gray, and both again in coarser
    grains.
    """
    rng = np.random.default_rng(_NOISE_SEED)
    shape = (160, 700)
    tiles = []
    for grain in (1.0, 1.6, 2.4):
        for channels in (3, 1):
            field = rng.standard_normal((*shape, channels), dtype=np.float32)
            bands = [Image.fromarray(field[..., band]) for band in range(channels)]
            small = (round(shape[1] / grain), round(shape[0] / grain))
            bands = [
                band.resize(small).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
                for band in bands
            ]
            noise = [
                np.asarray(band) / np.asarray(band).std() * _NOISE_DEVIATION + 128.5
                for band in bands
            ]
            gray = [Image.fromarray(band.clip(0, 255).astype(np.uint8)) for band in noise]
            tiles.append(Image.merge("RGB", (gray * 3)[:3]))
    return tuple(tiles)


def _noise(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Add noise of the sensor, never above a sixth of the contrast of text and background."""
    deviation = min(strength, scene.contrast / 6.0)
    if deviation < 0.3:
        return
    tiles = _noise_bank()
    size = scene.image.size
    rolls = rng.random(3).tolist()
    tile = tiles[int(rolls[0] * len(tiles))]
    if tile.width < size[0] or tile.height < size[1]:
        tile = tile.resize(
            (max(tile.width, size[0]), max(tile.height, size[1])), Image.Resampling.NEAREST
        )
    left, top = (
        int(rolls[1] * (tile.width - size[0] + 1)),
        int(rolls[2] * (tile.height - size[1] + 1)),
    )
    fraction = deviation / _NOISE_DEVIATION
    grain = tile.crop((left, top, left + size[0], top + size[1]))
    grain = grain.point(
        [max(0, min(255, round(128 + (value - 128) * fraction))) for value in range(256)] * 3
    )
    scene.image = ImageChops.add(scene.image, grain, 1.0, -128)


def _jpeg(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Compress as a JPEG file, which is kept: writing it out needs no second compression."""
    if strength < 1:
        return
    file = io.BytesIO()
    subsampling = 2 if rng.random() < 0.7 else 0
    scene.image.save(file, format="JPEG", quality=round(96 - strength), subsampling=subsampling)
    scene.encoded = file.getvalue()
    scene.image = Image.open(file).convert("RGB")


CAMERA_STEPS: Final[tuple[Step[Scene], ...]] = (
    Step("gamma", _gamma, 1.5, "how far the exponent, or one over it, is above 1"),
    Step("under_exposure", _under_exposure, 0.9, "fraction of the light that is missing"),
    Step("over_exposure", _over_exposure, 1.5, "fraction of the light that there is too much"),
    Step("cast", _cast, 0.8, "how far a colored lamp changes the channels; 0.5 halves one"),
    Step("pale", _pale, 1.0, "fraction of the color that is lost; 1 is gray"),
    Step("defocus", _defocus, 0.12, "radius of the blur, in em"),
    Step("motion", _motion, 0.25, "length of the shake, in em"),
    Step(
        "low_resolution",
        _low_resolution,
        4.0,
        "how many times too few pixels, less 1; 8.5 an em are always left",
    ),
    Step("noise", _noise, 30.0, "deviation in gray levels of 255"),
    Step("sharpen", _sharpen, 2.5, "strength of the halo around edges; 1 doubles a step"),
    Step("jpeg", _jpeg, 80.0, "96 less the quality of the JPEG file"),
)
