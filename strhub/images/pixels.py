"""Any kind of pixels to 8-bit RGB, a band of rows at a time, so that no second copy of a large
image is ever whole.

In: a decoded `PIL.Image` of any mode, or an array. Out: RGB. What has more than 8 bits is stretched
by what is there; what is transparent is laid on the ground that its visible pixels differ from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from strhub.errors import UnreadableImage

__all__ = ["array_to_rgb", "check_array", "to_rgb"]

_BAND: Final = 1 << 20  # pixels that are converted at a time
_INTEGER_WHITES: Final = (1, 255)  # of masks and of 8 bits; beyond, all of the bits that are used
_FLOAT_RANGES: Final = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 65535.0))

Array = npt.NDArray[Any]
Box = tuple[int, int, int, int]


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a decoded image as RGB; the image itself, if it is."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    # more than 8 bits a channel: Pillow would clip
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_to_rgb(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return _transparent_to_rgb(image)
    return image.convert("RGB")


def check_array(array: Any) -> tuple[int, int]:
    """Return height and width of what `array_to_rgb` takes, by its shape alone; `UnreadableImage`
    for another shape.
    """
    shape = tuple(array.shape)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)) or 0 in shape:
        hint = ""
        if len(shape) == 3 and shape[0] in (1, 3, 4):
            hint = "; channels come last: transpose(1, 2, 0), or permute(1, 2, 0) of a tensor"
        elif len(shape) == 4:
            hint = "; give the images of a batch one by one, as list(array)"
        raise UnreadableImage(
            f"an array of shape {shape} is not an image: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) "
            f"is needed{hint}"
        )
    return int(shape[0]), int(shape[1])


def array_to_rgb(array: Array) -> Image.Image:
    """Return an array of a shape by `check_array`, uint8, bool or floats in [0, 1], as an RGB
    image.

    The fourth channel is how opaque a pixel is. Raises `UnreadableImage` for other types and
    ranges.
    """
    check_array(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype == np.uint8:
        return to_rgb(Image.fromarray(np.ascontiguousarray(array)))
    if not (array.dtype == np.bool_ or np.issubdtype(array.dtype, np.floating)):
        raise UnreadableImage(
            f"an array of {array.dtype} is not an image: uint8, bool or floats in [0, 1] are "
            "needed; divide by the value of white"
        )
    pixels = np.empty(array.shape, dtype=np.uint8)
    for rows in _rows(array.shape[0], array.shape[1]):
        part = array[rows].astype(np.float32)
        if not np.isfinite(part).all() or part.min() < 0 or part.max() > 1:
            raise UnreadableImage(
                "an array of floats must lie in [0, 1]; divide by the value of white"
            )
        pixels[rows] = np.rint(part * 255)
    return to_rgb(Image.fromarray(pixels))


def _deep_to_rgb(image: Image.Image) -> Image.Image:
    """Stretch more than 8 bits a channel such that what is there has a usual contrast."""
    black, white = _black_and_white(image)
    scale = np.float32(255 / (white - black)) if white > black else np.float32(0)

    def eight_bits(band: Image.Image) -> Image.Image:
        levels = (np.asarray(band).astype(np.float32) - np.float32(black)) * scale
        return Image.fromarray(np.rint(np.nan_to_num(levels).clip(0, 255)).astype(np.uint8))

    return _by_bands(image, eight_bits)


def _black_and_white(image: Image.Image) -> tuple[float, float]:
    """Return which values to show as black and white.

    Of whole numbers from 0 on, white is what so many bits can hold: 12 bits in a file of 16 are 12.
    Of floats it is the narrowest usual range that holds all. Of anything else, what is lowest and
    highest.
    """
    low, high = np.inf, -np.inf
    for box in _bands(image.size):
        values = np.asarray(image.crop(box))
        values = values[np.isfinite(values)] if image.mode == "F" else values
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low > high:
        raise UnreadableImage("none of its values is a number")
    if image.mode == "F":
        usual = (span for span in _FLOAT_RANGES if span[0] <= low and high <= span[1])
        return next(usual, (low, high))
    if low < 0:
        return low, high
    bits = (1 << int(high).bit_length()) - 1
    return 0.0, float(next((white for white in _INTEGER_WHITES if high <= white), bits))


def _transparent_to_rgb(image: Image.Image) -> Image.Image:
    """Lay the visible pixels on white, or on black if they are light."""
    light, visible = 0.0, 0.0
    for box in _bands(image.size):
        band = image.crop(box).convert("RGBA")
        alpha = np.asarray(band.getchannel("A"), dtype=np.float32)
        light += float((np.asarray(band.convert("L"), dtype=np.float32) * alpha).sum())
        visible += float(alpha.sum())
    ground = "black" if light > 127.5 * visible else "white"

    def laid(band: Image.Image) -> Image.Image:
        return Image.alpha_composite(
            Image.new("RGBA", band.size, ground), band.convert("RGBA")
        ).convert("RGB")

    return _by_bands(image, laid)


def _by_bands(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Put an RGB image together of what bands of another one become."""
    result = Image.new("RGB", image.size)
    for box in _bands(image.size):
        part = convert(image.crop(box))
        result.paste(part if part.mode == "RGB" else part.convert("RGB"), box)
    return result


def _bands(size: tuple[int, int]) -> Iterator[Box]:
    width, height = size
    for rows in _rows(height, width):
        yield 0, rows.start, width, rows.stop


def _rows(height: int, width: int) -> Iterator[slice]:
    step = max(1, _BAND // width)
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))
