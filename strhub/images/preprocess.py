"""An image of a word to the array that a model takes: NumPy and Pillow only, so that every reader
can share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

# widths of images that keep their aspect are multiples of so many pixels: the networks' columns
COLUMN = 4


class Normalization(NamedTuple):
    """Mean and standard deviation of the colors, red, green, blue, each in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


NORMALIZATIONS = {
    "default": Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "clip": Normalization(
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    ),
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # as MobileCLIP takes them
}


def normalization(name: str) -> Normalization:
    """Return the preset of that name."""
    if name not in NORMALIZATIONS:
        raise ValueError(f"there is no normalization {name!r}; known: {', '.join(NORMALIZATIONS)}")
    return NORMALIZATIONS[name]


def image_to_pixels(
    image: Image.Image, img_size: Sequence[int], *, spare: float | None = None
) -> Pixels:
    """Resize an RGB image of any size to pixels (H, W, 3), bicubically, without keeping its aspect
    ratio.

    spare: first take means of whole pixels, where that leaves at least so many times `img_size`:
    several times as fast for large images, and the same to within a gray level or two.
    """
    height, width = img_size
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=spare))


def normalize_pixels(pixels: Pixels, normalize: Normalization) -> npt.NDArray[np.float32]:
    """Normalize pixels (..., H, W, 3), 0 to 255, to arrays (..., 3, H, W): many images at once take
    the least time.
    """
    planes = np.moveaxis(pixels, -1, -3)
    scale, shift = scale_and_shift(normalize)
    result = np.empty(planes.shape, dtype=np.float32)
    np.multiply(planes, scale, out=result, dtype=np.float32)
    np.subtract(result, shift, out=result)
    return result


def image_to_resized_array(
    image: Image.Image, img_size: Sequence[int], normalize: Normalization
) -> npt.NDArray[np.float32]:
    """Resize an RGB image of any size to a normalized array (3, H, W), bicubically, without keeping
    its aspect ratio.
    """
    return normalize_pixels(image_to_pixels(image, img_size), normalize)


def kept_width(size: tuple[int, int], img_size: Sequence[int]) -> int:
    """Return the width to which an image of `size`, (width, height), is brought, in pixels: a
    multiple of 4.

    img_size: [height, greatest width]. An image that would be wider than that is squeezed, one that
    would be narrower than it is high is stretched to a square.
    """
    height, widest = img_size
    columns = round(height * size[0] / size[1] / COLUMN)
    return min(max(columns, height // COLUMN), widest // COLUMN) * COLUMN


def image_to_kept_pixels(
    image: Image.Image, img_size: Sequence[int], *, spare: float | None = None
) -> Pixels:
    """Resize an RGB image to pixels (H, W, 3), with H of `img_size` and W by `kept_width`; spare:
    see `image_to_pixels`.
    """
    return image_to_pixels(image, (img_size[0], kept_width(image.size, img_size)), spare=spare)


def image_to_kept_array(
    image: Image.Image, img_size: Sequence[int], normalize: Normalization
) -> npt.NDArray[np.float32]:
    """Resize an RGB image to a normalized array (3, H, W), with H of `img_size` and W by
    `kept_width`.
    """
    return normalize_pixels(image_to_kept_pixels(image, img_size), normalize)


def scale_and_shift(
    normalize: Normalization,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return what to multiply pixels of 0 to 255 by and what to subtract then, (3, 1, 1) each."""
    mean, std = (np.asarray(values, dtype=np.float32)[:, None, None] for values in normalize)
    return np.float32(1 / 255) / std, mean / std
