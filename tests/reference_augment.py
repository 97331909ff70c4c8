"""RandAugment written plainly with Pillow, image by image: what the fast one is compared and timed
against.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.random import Generator
from PIL import ImageEnhance, ImageFilter, ImageOps
from PIL.Image import Image, Resampling, Transform, fromarray

FILL: Final = (128, 128, 128)
"""What geometric operations put where the image doesn't reach: mid-gray, about 0 once normalized to
[-1, 1].
"""

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

Operation: TypeAlias = Callable[[Image, float, Generator], Image]
"""`(image, level, rng) -> image`, RGB in and out; `level` is the fraction of the full strength, in
[-1, 1].
"""


def _affine(image: Image, matrix: tuple[float, float, float, float, float, float]) -> Image:
    """The image on a canvas of the same size; `matrix` takes output coordinates to input ones, as
    Pillow has it.
    """
    return image.transform(
        image.size, Transform.AFFINE, matrix, resample=Resampling.BICUBIC, fillcolor=FILL
    )


def _auto_contrast(image: Image, level: float, rng: Generator) -> Image:
    return ImageOps.autocontrast(image)


def _equalize(image: Image, level: float, rng: Generator) -> Image:
    return ImageOps.equalize(image)


def _invert(image: Image, level: float, rng: Generator) -> Image:
    return ImageOps.invert(image)


def _rotate(image: Image, level: float, rng: Generator) -> Image:
    # The canvas grows with the rotation: cutting off corners would cut off letters.
    angle = level * MAX_ROTATION
    return image.rotate(angle, resample=Resampling.BICUBIC, expand=True, fillcolor=FILL)


def _posterize(image: Image, level: float, rng: Generator) -> Image:
    # Four bits down to one. At none the image would be black, whatever its label.
    return ImageOps.posterize(image, max(1, 4 - int(abs(level) * 4)))


def _solarize(image: Image, level: float, rng: Generator) -> Image:
    return ImageOps.solarize(image, 256 - int(abs(level) * 256))


def _solarize_add(image: Image, level: float, rng: Generator) -> Image:
    addition = int(abs(level) * MAX_SOLARIZE_ADDITION)
    table = [min(255, value + addition) if value < 128 else value for value in range(256)]
    return image.point(table * 3)


def _enhancement_factor(level: float, rng: Generator) -> float:
    return 1.0 + level * MAX_ENHANCEMENT


def _color(image: Image, level: float, rng: Generator) -> Image:
    return ImageEnhance.Color(image).enhance(_enhancement_factor(level, rng))


def _contrast(image: Image, level: float, rng: Generator) -> Image:
    return ImageEnhance.Contrast(image).enhance(_enhancement_factor(level, rng))


def _brightness(image: Image, level: float, rng: Generator) -> Image:
    return ImageEnhance.Brightness(image).enhance(_enhancement_factor(level, rng))


def _shear_x(image: Image, level: float, rng: Generator) -> Image:
    return _affine(image, (1, level * MAX_SHEAR_X, 0, 0, 1, 0))


def _shear_y(image: Image, level: float, rng: Generator) -> Image:
    return _affine(image, (1, 0, 0, level * MAX_SHEAR_Y, 1, 0))


def _translate_x(image: Image, level: float, rng: Generator) -> Image:
    return _affine(image, (1, 0, level * MAX_TRANSLATION_X * image.width, 0, 1, 0))


def _translate_y(image: Image, level: float, rng: Generator) -> Image:
    return _affine(image, (1, 0, 0, 0, 1, level * MAX_TRANSLATION_Y * image.height))


def _gaussian_blur(image: Image, level: float, rng: Generator) -> Image:
    return image.filter(ImageFilter.GaussianBlur(abs(level) * MAX_BLUR))


def _poisson_noise(image: Image, level: float, rng: Generator) -> Image:
    # The same noise in all three channels: it changes how bright a pixel is, not its hue.
    shape = (image.height, image.width, 1)
    noise = rng.poisson(abs(level) * MAX_NOISE, shape) * rng.choice((-1, 1), shape)  # (H, W, 1)
    return fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


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
class RandAugment:
    """Pick some operations at random and apply each with probability one half."""

    operations: int = 3
    magnitude: int = 5

    def __call__(self, image: Image, rng: Generator) -> Image:
        names = list(OPERATIONS)
        for index in rng.choice(len(names), size=self.operations, replace=False):
            if rng.random() < PROBABILITY:
                level = self.magnitude / MAX_MAGNITUDE
                image = OPERATIONS[names[index]](
                    image, level if rng.random() < 0.5 else -level, rng
                )
        return image
