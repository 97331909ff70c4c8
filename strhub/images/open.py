"""Whatever a user has as an image, to an RGB `PIL.Image`; what cannot be read is `UnreadableImage`
with the reason.
"""

from __future__ import annotations

import importlib.util
import io
from typing import Any, Final

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from strhub.images.limits import (
    MAX_BYTES,
    MAX_PIXELS,
    OnSize,
    TooManyPixels,
    UnreadableImage,
    check_size,
    damage,
)
from strhub.images.pixels import array_to_rgb, check_array, to_rgb
from strhub.images.sources import Encoded, load, take

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "UnreadableImage",
    "open_bytes",
    "open_encoded",
    "open_image",
]

# Named one by one because Pillow would also take formats that run other programs, such as
# PostScript.
FORMATS: Final = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP") + (
    ("AVIF",)
    if importlib.util.find_spec("PIL._avif")
    else ()  # since Pillow 11.3, where it was built with it
)


def open_image(
    source: Any, *, at_least: tuple[int, int] | None = None, on_size: OnSize | None = None
) -> Image.Image:
    """Return any kind of image as RGB.

    source: a path; an address, `http://` or `https://`, if it is a `str`; an image's file as bytes
    or as a file object, which is read from its start; a PIL image, which stays as it is, loaded or
    not; or an array (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, uint8, or floats in [0, 1].
    A file's orientation tag is followed, and what is transparent is laid on white, or on black if
    the rest is light.
    at_least: see `open_bytes`. on_size: called with width and height, in pixels, before memory for
        them is taken. Raises `UnreadableImage`.
    """
    try:
        source = load(take(source).source)
        if isinstance(source, Encoded):
            return open_encoded(source, at_least=at_least, on_size=on_size)[0]
        if isinstance(source, Image.Image):
            check_size(source.width, source.height, on_size)
            source.load()
            return to_rgb(source)
        height, width = check_array(source)
        check_size(width, height, on_size)
        return array_to_rgb(np.asarray(source))
    except UnreadableImage:
        raise
    except Exception as error:  # a path object, an array or a file object may raise anything
        raise UnreadableImage(damage(error)) from error


def open_bytes(
    content: bytes | memoryview, *, at_least: tuple[int, int] | None = None
) -> Image.Image:
    """Return an encoded image as RGB.

    at_least: (width, height) in pixels that are enough. A JPEG may then come at a half, a quarter
    or an eighth of its size, but no smaller than that, which saves most of the time that a large
    one takes. Raises `UnreadableImage`.
    """
    return open_encoded(Encoded(content), at_least=at_least)[0]


def open_encoded(
    encoded: Encoded, *, at_least: tuple[int, int] | None = None, on_size: OnSize | None = None
) -> tuple[Image.Image, str | None]:
    """Return an encoded image as RGB, and its format by Pillow's name; the rest as for
    `open_image`.
    """
    content = encoded.content
    if not content:
        raise UnreadableImage("the file is empty")
    try:
        with Image.open(io.BytesIO(content), formats=encoded.formats or FORMATS) as image:
            smaller = image.format in ("JPEG", "MPO")  # the formats that can be decoded at a part
            # Asking a PNG for its orientation decodes it.
            check_size(image.width, image.height, None if smaller else on_size)
            turned = encoded.upright and _is_turned(image)
            if at_least is not None and smaller:
                either_way = turned or image.height > image.width  # if tall: enough for any way up
                image.draft(None, (max(at_least),) * 2 if either_way else at_least)
            if smaller:
                check_size(image.width, image.height, on_size)
            image.load()
            return to_rgb(
                ImageOps.exif_transpose(image) if turned else image
            ), image.format  # it copies, else
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage("not an image in any known format") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(f"over {MAX_PIXELS} pixels, the largest image that is read") from error
    except (
        Exception
    ) as error:  # Pillow's decoders raise many kinds, OSError and SyntaxError among them
        raise UnreadableImage(damage(error)) from error


def _is_turned(image: Image.Image) -> bool:
    """Return whether the orientation tag says that an image is to be shown in another way than it
    is stored.
    """
    return bool(image.getexif().get(ExifTags.Base.Orientation, 1) != 1)
