"""Random distortions of word pictures for training: RandAugment with the settings of the PARSeq paper.

In: an RGB picture of any size and a NumPy generator. Out: an RGB picture, larger than the one put in if it was rotated.
Nothing here resizes to the model's input or makes tensors; that comes after. All randomness is drawn from the generator
passed in, so a picture and a seed always give the same result.

The operations are the "increasing" ones of RandAugment as timm has them (the larger the magnitude, the stronger the
distortion), less sharpness, plus Gaussian blur and Poisson noise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.random import Generator
from PIL import ImageEnhance, ImageFilter, ImageOps
from PIL.Image import Image, Resampling, Transform, fromarray

__all__ = ["FILL", "OPERATIONS", "Operation", "RandAugment"]

FILL: Final = (128, 128, 128)
"""What geometric operations put where the picture doesn't reach: mid-grey, about 0 once normalised to [-1, 1]."""

MAX_MAGNITUDE: Final = 10
PROBABILITY: Final = 0.5
"""How likely an operation, once picked, is to be applied."""

# How far each operation goes at full magnitude. Shears and translations are tuned to words: wide and low.
MAX_ROTATION: Final = 30.0  # degrees
MAX_SHEAR_X: Final = 0.9  # pixels sideways per pixel down
MAX_SHEAR_Y: Final = 0.2
MAX_TRANSLATION_X: Final = 0.10  # of the width
MAX_TRANSLATION_Y: Final = 0.30  # of the height
MAX_ENHANCEMENT: Final = 0.9  # factors of 0.1 and 1.9
MAX_SOLARIZE_ADDITION: Final = 110  # grey levels
MAX_BLUR: Final = 4.0  # standard deviation in pixels
MAX_NOISE: Final = 40.0  # mean size of the noise in grey levels

Operation: TypeAlias = Callable[[Image, float, Generator], Image]
"""`(image, level, rng) -> image`, RGB in and out; `level` is the share of the full strength, in [0, 1]."""


def _signed(value: float, rng: Generator) -> float:
    return value if rng.random() < 0.5 else -value


def _affine(image: Image, matrix: tuple[float, float, float, float, float, float]) -> Image:
    """The picture on a canvas of the same size; `matrix` takes output coordinates to input ones, as Pillow has it."""
    return image.transform(image.size, Transform.AFFINE, matrix, resample=Resampling.BICUBIC, fillcolor=FILL)


def _auto_contrast(image: Image, level: float, rng: Generator) -> Image:
    return ImageOps.autocontrast(image)


def _equalize(image: Image, level: float, rng: Generator) -> Image:
    return ImageOps.equalize(image)


def _invert(image: Image, level: float, rng: Generator) -> Image:
    return ImageOps.invert(image)


def _rotate(image: Image, level: float, rng: Generator) -> Image:
    # The canvas grows with the rotation: cutting off corners would cut off letters.
    angle = _signed(level * MAX_ROTATION, rng)
    return image.rotate(angle, resample=Resampling.BICUBIC, expand=True, fillcolor=FILL)


def _posterize(image: Image, level: float, rng: Generator) -> Image:
    # Four bits down to one. At none the picture would be black, whatever its label.
    return ImageOps.posterize(image, max(1, 4 - int(level * 4)))


def _solarize(image: Image, level: float, rng: Generator) -> Image:
    return ImageOps.solarize(image, 256 - int(level * 256))


def _solarize_add(image: Image, level: float, rng: Generator) -> Image:
    addition = int(level * MAX_SOLARIZE_ADDITION)
    table = [min(255, value + addition) if value < 128 else value for value in range(256)]
    return image.point(table * 3)


def _enhancement_factor(level: float, rng: Generator) -> float:
    return 1.0 + _signed(level * MAX_ENHANCEMENT, rng)


def _color(image: Image, level: float, rng: Generator) -> Image:
    return ImageEnhance.Color(image).enhance(_enhancement_factor(level, rng))


def _contrast(image: Image, level: float, rng: Generator) -> Image:
    return ImageEnhance.Contrast(image).enhance(_enhancement_factor(level, rng))


def _brightness(image: Image, level: float, rng: Generator) -> Image:
    return ImageEnhance.Brightness(image).enhance(_enhancement_factor(level, rng))


def _shear_x(image: Image, level: float, rng: Generator) -> Image:
    return _affine(image, (1, _signed(level * MAX_SHEAR_X, rng), 0, 0, 1, 0))


def _shear_y(image: Image, level: float, rng: Generator) -> Image:
    return _affine(image, (1, 0, 0, _signed(level * MAX_SHEAR_Y, rng), 1, 0))


def _translate_x(image: Image, level: float, rng: Generator) -> Image:
    return _affine(image, (1, 0, _signed(level * MAX_TRANSLATION_X, rng) * image.width, 0, 1, 0))


def _translate_y(image: Image, level: float, rng: Generator) -> Image:
    return _affine(image, (1, 0, 0, 0, 1, _signed(level * MAX_TRANSLATION_Y, rng) * image.height))


def _gaussian_blur(image: Image, level: float, rng: Generator) -> Image:
    return image.filter(ImageFilter.GaussianBlur(level * MAX_BLUR))


def _poisson_noise(image: Image, level: float, rng: Generator) -> Image:
    # The same noise in all three channels: it changes how bright a pixel is, not its hue.
    shape = (image.height, image.width, 1)
    noise = rng.poisson(level * MAX_NOISE, shape) * rng.choice((-1, 1), shape)  # (H, W, 1)
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
    """Pick some operations at random and apply each with probability one half.

    Args:
        operations: how many different ones are picked for a picture, 0 to `len(OPERATIONS)`.
        magnitude: how strong they are, 0 to 10; a rotation of 30 degrees at 10 is one of 15 degrees at 5. Rotations,
            shears, translations and enhancements go either way with equal chance.

    Raises:
        ValueError: if either is out of its range.
    """

    operations: int = 3
    magnitude: int = 5

    def __post_init__(self) -> None:
        if not 0 <= self.operations <= len(OPERATIONS):
            raise ValueError(f"RandAugment: operations must be 0 to {len(OPERATIONS)}, not {self.operations}")
        if not 0 <= self.magnitude <= MAX_MAGNITUDE:
            raise ValueError(f"RandAugment: magnitude must be 0 to {MAX_MAGNITUDE}, not {self.magnitude}")

    def pick(self, rng: Generator) -> list[str]:
        """Names of `operations` different operations, all equally likely, in the order to apply them in."""
        names = list(OPERATIONS)
        return [names[index] for index in rng.choice(len(names), size=self.operations, replace=False)]

    def __call__(self, image: Image, rng: Generator) -> Image:
        """Distort a picture. The one passed in is left as it is.

        Args:
            image: RGB, of any size from 1x1 pixels.
            rng: all randomness comes from it.

        Returns:
            An RGB picture, of another size if it was rotated.

        Raises:
            ValueError: if the picture isn't RGB.
        """
        if image.mode != "RGB":
            raise ValueError(f"RandAugment takes RGB pictures, not {image.mode}: call image.convert('RGB') first")
        for name in self.pick(rng):
            if rng.random() < PROBABILITY:
                image = OPERATIONS[name](image, self.magnitude / MAX_MAGNITUDE, rng)
        return image
