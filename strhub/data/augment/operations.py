"""Random distortions of word images for training: RandAugment with the settings of the PARSeq
paper.

In: an RGB image of any size and a NumPy generator. Out: an RGB image, larger than the one put in if
it was rotated. Nothing here resizes to the model's input or makes tensors; that comes after. All
randomness is drawn from the generator passed in, so an image and a seed always give the same
result.

The operations are the "increasing" ones of RandAugment as timm has them (the larger the magnitude,
the stronger the distortion), less sharpness, plus Gaussian blur and Poisson noise.
`strhub.data.augment.scene` has a stronger preset.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from PIL.Image import Image, Resampling, fromarray

from strhub.data.augment.filters import (
    FILL,
    Pixels,
    gaussian_blur,
    poisson_noise,
    shift_columns,
    shift_rows,
    to_uint8,
)

__all__ = ["FILL", "OPERATIONS", "ArrayAugmentation", "Operation", "RandAugment", "to_pixels"]

MAX_MAGNITUDE: Final = 10
PROBABILITY: Final = 0.5
"""How likely an operation, once picked, is to be applied."""

# How far each operation goes at full magnitude. Shears and translations are tuned to words: wide
# and low.
MAX_ROTATION: Final = 30.0  # degrees
MAX_SHEAR_X: Final = 0.9  # pixels sideways per pixel down
MAX_SHEAR_Y: Final = 0.2
MAX_TRANSLATION_X: Final = 0.10  # of the width
MAX_TRANSLATION_Y: Final = 0.30  # of the height
MAX_ENHANCEMENT: Final = 0.9  # factors of 0.1 and 1.9
MAX_SOLARIZE_ADDITION: Final = 110  # gray levels
MAX_BLUR: Final = 4.0  # standard deviation in pixels
MAX_NOISE: Final = 40.0  # mean size of the noise in gray levels

GRAY: Final = np.array(
    [0.299, 0.587, 0.114], dtype=np.float32
)  # fractions of red, green and blue in brightness

Operation: TypeAlias = Callable[[Pixels, float, Generator], Pixels]
"""`(pixels, level, rng) -> pixels`, uint8 (H, W, 3), the input left as it is. `level` is the
fraction of the full strength, in [-1, 1]; its sign is the direction, and of no meaning to
operations that have none."""


class ArrayAugmentation(ABC):
    """A random distortion of images, for images and for arrays."""

    @abstractmethod
    def distort(self, pixels: Pixels, rng: Generator) -> Pixels:
        """Distort uint8 (H, W, 3), from 1x1 pixels, which is left as it is; the result may be of
        another size.
        """

    def __call__(self, image: Image, rng: Generator) -> Image:
        """Distort an image. The one passed in is left as it is.

        Args:
            image: RGB, of any size from 1x1 pixels.
            rng: all randomness comes from it.

        Returns:
            An RGB image, perhaps of another size.

        Raises:
            ValueError: if the image isn't RGB.
        """
        return fromarray(self.distort(to_pixels(image), rng))


def to_pixels(image: Image) -> Pixels:
    """Return the pixels (H, W, 3) of an RGB image, as a copy that may be written to; `ValueError`
    for other images.
    """
    if image.mode != "RGB":
        raise ValueError(
            f"augmentation takes RGB images, not {image.mode}: call image.convert('RGB') first"
        )
    # Half the time that np.array(image) takes.
    return np.frombuffer(bytearray(image.tobytes()), dtype=np.uint8).reshape(
        image.height, image.width, 3
    )


def _auto_contrast(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    height, width = pixels.shape[:2]
    # Along the height first: reducing both at once would be a loop over runs of three numbers.
    lowest = pixels.min(axis=0).min(axis=0).astype(np.float32)
    highest = pixels.max(axis=0).max(axis=0).astype(np.float32)
    flat = highest <= lowest
    lowest[flat], highest[flat] = 0, 255
    scaled = pixels.reshape(height, width * 3) - np.tile(lowest, width)
    scaled *= np.tile(255 / (highest - lowest), width)
    scaled += np.float32(
        0.001
    )  # so that whole numbers with rounding errors stay whole when truncated
    return to_uint8(scaled).reshape(pixels.shape)


def _equalize(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    height, width = pixels.shape[:2]
    # Each channel has its own 256 entries, in the counts and in the table.
    indices = pixels.reshape(height, width * 3) + np.tile([0, 256, 512], width)
    counts = np.bincount(indices.ravel(), minlength=768).reshape(3, 256)
    table = np.empty((3, 256), dtype=np.uint8)
    for row, count in zip(table, counts, strict=True):
        step = (height * width - int(count[count.nonzero()[0][-1]])) // 255
        below = count.cumsum() - count
        row[:] = np.minimum((below + step // 2) // step, 255) if step else np.arange(256)
    return table.ravel().take(indices).reshape(pixels.shape)


def _invert(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    return ~pixels


def _rotate(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    # The canvas grows with the rotation: cutting off corners would cut off letters.
    angle = level * MAX_ROTATION
    return to_pixels(
        fromarray(pixels).rotate(angle, resample=Resampling.BICUBIC, expand=True, fillcolor=FILL)
    )


def _posterize(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    # Four bits down to one. At none the image would be black, whatever its label.
    bits = max(1, 4 - int(abs(level) * 4))
    return pixels & np.uint8(256 - (1 << (8 - bits)))


def _solarize(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    return np.where(pixels < 256 - int(abs(level) * 256), pixels, ~pixels)


def _solarize_add(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    addition = np.uint8(
        int(abs(level) * MAX_SOLARIZE_ADDITION)
    )  # the other summand is under 128, so nothing overflows
    return pixels + (pixels < 128).view(np.uint8) * addition


def _color(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    factor = np.float32(1 + level * MAX_ENHANCEMENT)
    mixing = factor * np.eye(3, dtype=np.float32) + (1 - factor) * GRAY[:, None]
    return to_uint8(pixels.astype(np.float32).reshape(-1, 3) @ mixing).reshape(pixels.shape)


def _contrast(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    factor = np.float32(1 + level * MAX_ENHANCEMENT)
    height, width = pixels.shape[:2]
    mean = round(float(pixels.sum(axis=0, dtype=np.uint32).sum(axis=0) @ GRAY) / (height * width))
    return to_uint8(pixels * factor + np.float32((1 - factor) * mean))


def _brightness(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    return to_uint8(pixels * np.float32(1 + level * MAX_ENHANCEMENT))


def _middles(count: int) -> npt.NDArray[np.float64]:
    """Return the positions of the centers of that many pixels."""
    return np.arange(count, dtype=np.float64) + np.float64(0.5)


def _shear_x(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    return shift_rows(pixels, level * MAX_SHEAR_X * _middles(pixels.shape[0]))


def _shear_y(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    return shift_columns(pixels, level * MAX_SHEAR_Y * _middles(pixels.shape[1]))


def _translate_x(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    height, width = pixels.shape[:2]
    return shift_rows(pixels, np.full(height, level * MAX_TRANSLATION_X * width))


def _translate_y(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    height, width = pixels.shape[:2]
    return shift_columns(pixels, np.full(width, level * MAX_TRANSLATION_Y * height))


def _gaussian_blur(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    return gaussian_blur(pixels, abs(level) * MAX_BLUR)


def _poisson_noise(pixels: Pixels, level: float, rng: Generator) -> Pixels:
    # The same noise in all three channels: it changes how bright a pixel is, not its hue.
    return poisson_noise(pixels, abs(level) * MAX_NOISE, rng)


OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        "auto_contrast": _auto_contrast,
        "equalize": _equalize,
        "invert": _invert,
        "rotate": _rotate,
        "posterize": _posterize,
        "solarize": _solarize,
        "solarize_add": _solarize_add,
        "color": _color,
        "contrast": _contrast,
        "brightness": _brightness,
        "shear_x": _shear_x,
        "shear_y": _shear_y,
        "translate_x": _translate_x,
        "translate_y": _translate_y,
        "gaussian_blur": _gaussian_blur,
        "poisson_noise": _poisson_noise,
    }
)
"""Every operation by name. The order is part of what a seed means: append, don't sort."""


@dataclass(frozen=True, kw_only=True)
class RandAugment(ArrayAugmentation):
    """Pick some operations at random and apply each with probability one half.

    Args:
        operations: how many different ones are picked for an image, 0 to `len(OPERATIONS)`.
        magnitude: how strong they are, 0 to 10; a rotation of 30 degrees at 10 is one of 15 degrees
            at 5. Rotations, shears, translations and enhancements go either way with equal chance.

    Raises:
        ValueError: if either is out of its range.
    """

    operations: int = 3
    magnitude: int = 5

    def __post_init__(self) -> None:
        if not 0 <= self.operations <= len(OPERATIONS):
            raise ValueError(
                f"RandAugment: operations must be 0 to {len(OPERATIONS)}, not {self.operations}"
            )
        if not 0 <= self.magnitude <= MAX_MAGNITUDE:
            raise ValueError(
                f"RandAugment: magnitude must be 0 to {MAX_MAGNITUDE}, not {self.magnitude}"
            )

    def plan(self, rng: Generator) -> list[tuple[str, float]]:
        """Return what to apply to an image, in order: names of different operations with levels in
        [-1, 1].

        Every operation is as likely as any other to be picked, and those picked are applied with
        probability one half.
        """
        names, level = list(OPERATIONS), self.magnitude / MAX_MAGNITUDE
        planned = []
        # All numbers in one draw: each call to the generator costs as much as drawing a hundred of
        # them.
        for choice, chance in rng.random((self.operations, 2)).tolist():
            name = names.pop(math.floor(choice * len(names)))
            if chance < PROBABILITY:
                planned.append((name, level if chance < PROBABILITY / 2 else -level))
        return planned

    def distort(self, pixels: Pixels, rng: Generator) -> Pixels:
        """Distort uint8 (H, W, 3), which is left as it is; the result is of another size if it was
        rotated.
        """
        for name, level in self.plan(rng):
            pixels = OPERATIONS[name](pixels, level, rng)
        return pixels
