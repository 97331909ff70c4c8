"""A stronger augmentation for scene text: what light, weather, lens, sensor and file do to a word,
and bends of it.

In: an RGB image (or its pixels) and a NumPy generator. Out: the same, perhaps up to twice as high.
All randomness is drawn from the generator. The families are those of STRAug (Atienza 2021, "Data
Augmentation for Scene Text Recognition"), with ranges of our own; all sizes are in heights of the
image unless said otherwise.
"""

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.random import Generator
from PIL.Image import Resampling, fromarray
from PIL.Image import open as open_image

from strhub.data.augment.filters import Pixels, gaussian_blur, to_uint8
from strhub.data.augment.operations import OPERATIONS, ArrayAugmentation, to_pixels
from strhub.data.augment.warp import WARPS, grid, resample
from strhub.data.augment.weather import PATTERNS, WEATHER

__all__ = ["DISTORTIONS", "FAMILIES", "Distortion", "SceneAugment"]

Distortion: TypeAlias = Callable[[Pixels, float, Generator], Pixels]
"""`(pixels, level, rng) -> pixels`, uint8 (H, W, 3), the input left as it is and the size kept.
`level` in [0, 1] is the fraction of the range that the docstring gives."""

WARP_CHANCE: Final = 0.3
"""How likely each of the warps is."""
CHANCE: Final = 0.6
"""How likely a family, once picked, is to be applied."""


def _shifted(pixels: Pixels, offsets: list[tuple[int, int]]) -> Pixels:
    """Return the mean of copies moved by (rows, columns); the edges go on outside."""
    height, width = pixels.shape[:2]
    reach = max(max(abs(row), abs(column)) for row, column in offsets)
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="edge").astype(np.uint16)
    flat = padded.reshape(height + 2 * reach, -1)
    total = np.zeros((height, width * 3), dtype=np.uint32)
    for row, column in offsets:
        total += flat[
            reach + row : reach + row + height, 3 * (reach + column) : 3 * (reach + column + width)
        ]
    return (
        ((total + len(offsets) // 2) // np.uint32(len(offsets)))
        .astype(np.uint8)
        .reshape(pixels.shape)
    )


def _soft_focus(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Blur by a Gaussian with a standard deviation of up to 0.06."""
    return gaussian_blur(pixels, 0.06 * level * len(pixels))


def _defocus(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Blur by the disc of a lens, with a radius of up to 0.09 and at most 5 pixels."""
    radius = min(5.0, 0.09 * level * len(pixels))
    reach = range(-math.ceil(radius), math.ceil(radius) + 1)
    return _shifted(pixels, [(y, x) for y in reach for x in reach if math.hypot(x, y) <= radius])


def _motion(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Blur as if the camera had moved by up to 0.3, at most 20 pixels, in any direction."""
    length, angle = min(20.0, 0.3 * level * len(pixels)), rng.uniform(0, np.pi)
    steps = np.linspace(-length / 2, length / 2, 1 + math.ceil(length)).tolist()
    return _shifted(
        pixels, [(round(step * math.sin(angle)), round(step * math.cos(angle))) for step in steps]
    )


def _low_resolution(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Scale down to as little as 0.25 of the pixels per side, never below a height of 9, and up
    again, smoothly or in blocks.
    """
    height, width = pixels.shape[:2]
    fraction = max(1 - 0.75 * level, min(1.0, 9 / height))
    small = fromarray(pixels).resize(
        (max(1, round(fraction * width)), max(1, round(fraction * height))), Resampling.BOX
    )
    way = Resampling.BICUBIC if rng.random() < 0.7 else Resampling.NEAREST
    return to_pixels(small.resize((width, height), way))


def _jpeg(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Compress as JPEG with a quality from 70 down to 8."""
    file = io.BytesIO()
    fromarray(pixels).save(file, "JPEG", quality=round(70 - 62 * level))
    return to_pixels(open_image(file).convert("RGB"))


def _gaussian_noise(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Add Gaussian noise with a standard deviation of up to 45 gray levels to each channel."""
    return to_uint8(
        pixels + rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(45 * level)
    )


def _shot_noise(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Add shot noise, which grows with the square root of brightness, up to a standard deviation of
    60 gray levels in white.
    """
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.sqrt(pixels, dtype=np.float32)
    return to_uint8(pixels + noise * np.float32(60 * level / math.sqrt(255)))


def _impulse_noise(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Make up to 0.15 of the pixels white or black."""
    draws = rng.random((*pixels.shape[:2], 1), dtype=np.float32)
    fraction = 0.15 * level
    return np.where(
        draws < fraction, np.where(draws < fraction / 2, np.uint8(0), np.uint8(255)), pixels
    )


def _speckle_noise(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Multiply brightness by a factor with a standard deviation of up to 0.35, the same in all
    channels.
    """
    factor = rng.standard_normal((*pixels.shape[:2], 1), dtype=np.float32) * np.float32(
        0.35 * level
    )
    return to_uint8(pixels * (1 + factor))


def _less_contrast(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Reduce contrast down to 0.25 of it, around the mean."""
    factor = np.float32(1 - 0.75 * level)
    return to_uint8(pixels * factor + np.float32((1 - float(factor)) * float(pixels.mean())))


def _brightness(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Change brightness by up to 90 gray levels either way."""
    return to_uint8(pixels + np.float32(rng.choice((-90.0, 90.0)) * level))


def _gamma(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Change exposure by an exponent from 1/2.5 to 2.5."""
    exponent = 2.5 ** (level * rng.uniform(-1, 1))
    table = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return table.take(pixels)


def _color_shift(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Change each channel by a gain from 0.5 to 1.5 and an offset from -40 to 40 gray levels."""
    gain, offset = rng.uniform(-1, 1, (2, 3)).astype(np.float32) * np.float32(level)
    return to_uint8(pixels * (1 + gain / 2) + 40 * offset)


def _sharpen(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    """Add up to 3 times the difference from a blurred copy."""
    detail = pixels.astype(np.float32) - gaussian_blur(pixels, 1.0)
    return to_uint8(pixels + detail * np.float32(3 * level))


FAMILIES: Final[Mapping[str, Mapping[str, Distortion]]] = MappingProxyType(
    {
        # An invert and the like first: they are other signs, everything after is the same sign seen
        # worse.
        "process": {
            **{
                name: OPERATIONS[name]
                for name in ("invert", "posterize", "solarize", "equalize", "auto_contrast")
            },
            "sharpen": _sharpen,
        },
        "pattern": PATTERNS,
        "weather": WEATHER,
        "blur": {"soft_focus": _soft_focus, "defocus": _defocus, "motion": _motion},
        "light": {
            "less_contrast": _less_contrast,
            "brightness": _brightness,
            "gamma": _gamma,
            "color_shift": _color_shift,
        },
        "noise": {
            "gaussian_noise": _gaussian_noise,
            "shot_noise": _shot_noise,
            "impulse_noise": _impulse_noise,
            "speckle_noise": _speckle_noise,
        },
        "file": {"low_resolution": _low_resolution, "jpeg": _jpeg},
    }
)
"""Distortions that keep the image's shape, by family and name, in the order in which they happen to
a word.
"""

DISTORTIONS: Final = MappingProxyType(
    {name: call for family in FAMILIES.values() for name, call in family.items()}
)
"""All of them by name."""


@dataclass(frozen=True, kw_only=True)
class SceneAugment(ArrayAugmentation):
    """Some warps together, then one distortion each of a few families.

    Args:
        strength: 0 (images stay as they are) to 1; the level of a distortion is a random one from a
            fifth of this up to this. Those without a range, such as inverting, are as likely
            whatever the strength.
        families: how many different families are picked for an image, 0 to `len(FAMILIES)`; each is
            then applied with probability 0.6, one distortion of it. Each warp has probability 0.3.
        operations: names, of `WARPS` and of those in `FAMILIES`, to choose from; None for all.

    Raises:
        ValueError: if one is out of its range, or a name is not known.
    """

    strength: float = 0.5
    families: int = 3
    operations: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"SceneAugment: strength must be 0 to 1, not {self.strength}")
        if not 0 <= self.families <= len(FAMILIES):
            raise ValueError(
                f"SceneAugment: families must be 0 to {len(FAMILIES)}, not {self.families}"
            )
        known = [*WARPS, *DISTORTIONS]
        for name in self.operations or ():
            if name not in known:
                raise ValueError(
                    f"SceneAugment: there is no operation {name!r}; known: {', '.join(known)}"
                )

    def plan(self, rng: Generator) -> list[tuple[str, float]]:
        """Return what to apply to an image, in order: names with levels in [0, `strength`]; warps
        come first.
        """
        if not self.strength:
            return []
        chances = rng.random((len(WARPS) + len(FAMILIES), 4)).tolist()
        planned = [
            (name, self._level(level))
            for name, (chance, level, *_) in zip(WARPS, chances, strict=False)
            if chance < WARP_CHANCE and self._allows(name)
        ]
        rest = list(zip(FAMILIES.values(), chances[len(WARPS) :], strict=True))
        picked = sorted(
            sorted(range(len(rest)), key=lambda index: rest[index][1][3])[: self.families]
        )
        for index in picked:
            family, (chance, level, choice, _) = rest[index]
            names = [name for name in family if self._allows(name)]
            if names and chance < CHANCE:
                planned.append((names[int(choice * len(names))], self._level(level)))
        return planned

    def distort(self, pixels: Pixels, rng: Generator) -> Pixels:
        """Distort uint8 (H, W, 3), which is left as it is; the result may be up to twice as
        high.
        """
        planned = self.plan(rng)
        warps = [(WARPS[name], level) for name, level in planned if name in WARPS]
        if warps:
            aspect, nodes = pixels.shape[1] / pixels.shape[0], grid()
            for warp, level in warps:
                nodes = warp(nodes, level, aspect, rng)
            pixels = resample(pixels, nodes)
        for name, level in planned:
            if name in DISTORTIONS:
                pixels = DISTORTIONS[name](pixels, level, rng)
        return pixels

    def _level(self, fraction: float) -> float:
        return self.strength * (0.2 + 0.8 * fraction)

    def _allows(self, name: str) -> bool:
        return self.operations is None or name in self.operations
