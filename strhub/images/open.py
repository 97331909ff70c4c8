"""Whatever a user has as a picture, to an RGB `PIL.Image`; what cannot be read is `UnreadableImage` with the reason."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from strhub.errors import UnreadableImage as UnreadableImage

MAX_PIXELS = 64_000_000  # a word's picture is far smaller; a larger one is a mistake or a decompression bomb
MAX_BYTES = 256 << 20
# Named one by one because Pillow would also take formats that run other programs, such as PostScript.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2"})


def open_image(source: Any, *, at_least: tuple[int, int] | None = None) -> Image.Image:
    """A path, a PIL image or an array to RGB.

    Arrays are (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, uint8, or floats in [0, 1]. A file's orientation
    tag is followed; what is transparent is laid on white. at_least: see `open_bytes`. Raises `UnreadableImage`.
    """
    if isinstance(source, str | os.PathLike):
        return _open_file(source, at_least)
    try:
        if isinstance(source, Image.Image):
            return _to_rgb(source)
        if hasattr(source, "__array__"):
            return _to_rgb(_from_array(np.asarray(source)))
    except UnreadableImage:
        raise
    except Exception as error:  # a file that Pillow opened but cannot decode, a closed one, a tensor not on the CPU
        raise UnreadableImage(f"damaged: {error}") from error
    raise UnreadableImage(f"a picture is a path, a PIL image or an array, not a {type(source).__name__}")


def find_images(patterns: list[str]) -> list[Path]:
    """Files, folders (their pictures, at any depth) and globs to paths, sorted within each, none twice.

    A name that matches nothing stays as it is, to be reported when it is read.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if not os.path.exists(path) and any(sign in pattern for sign in "*?["):
            matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        else:
            matches = [path]
        found.update(dict.fromkeys(picture for match in matches for picture in _pictures_of(match)))
    return list(found)


def _pictures_of(path: Path) -> list[Path]:
    """Those of a folder, at any depth, or the path itself. By `os.path`, which says no where a name cannot be."""
    if not os.path.isdir(path):
        return [path]
    return sorted(item for item in path.rglob("*") if item.suffix.lower() in SUFFIXES and os.path.isfile(item))


def open_bytes(content: bytes | memoryview, *, at_least: tuple[int, int] | None = None) -> Image.Image:
    """An encoded picture to RGB.

    at_least: (width, height) in pixels that are enough. A JPEG may then come at a half, a quarter or an eighth of its
    size, but no smaller than that, which saves most of the time that a large one takes. Raises `UnreadableImage`.
    """
    if not content:
        raise UnreadableImage("the file is empty")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            _within_limit(picture)
            if at_least is not None and picture.format in ("JPEG", "MPO"):
                turned = picture.height > picture.width or _is_turned(picture)
                picture.draft(None, (max(at_least),) * 2 if turned else at_least)  # if tall: enough for any way up
            picture.load()
            return _to_rgb(ImageOps.exif_transpose(picture) if _is_turned(picture) else picture)  # it copies, else
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage("not a picture in any known format") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage(f"over {MAX_PIXELS} pixels, the largest picture that is read") from error
    except Exception as error:  # Pillow's decoders raise many kinds, OSError and SyntaxError among them
        raise UnreadableImage(f"damaged: {error}") from error


def _open_file(path: str | os.PathLike[str], at_least: tuple[int, int] | None) -> Image.Image:
    try:
        with open(path, "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise UnreadableImage(f"the file is over {MAX_BYTES >> 20} MiB")
            content = file.readall()
    except OSError as error:
        raise UnreadableImage(error.strerror or str(error)) from error
    except ValueError as error:  # no file can have such a name
        raise UnreadableImage(str(error)) from error
    return open_bytes(content, at_least=at_least)


def _is_turned(picture: Image.Image) -> bool:
    """Whether the orientation tag says that a picture is to be shown in another way than it is stored."""
    return bool(picture.getexif().get(ExifTags.Base.Orientation, 1) != 1)


def _within_limit(picture: Image.Image) -> Image.Image:
    if picture.width * picture.height > MAX_PIXELS:
        raise UnreadableImage(
            f"{picture.width} x {picture.height} pixels, over {MAX_PIXELS}, the largest picture that is read"
        )
    return picture


def _to_rgb(picture: Image.Image) -> Image.Image:
    _within_limit(picture)
    if min(picture.size) < 1:
        raise UnreadableImage("the picture has no pixels")
    if picture.mode == "RGB":
        picture.load()
        return picture
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        foreground = picture.convert("RGBA")
        background = Image.new("RGBA", foreground.size, "white")
        return Image.alpha_composite(background, foreground).convert("RGB")
    if picture.mode.startswith("I") or picture.mode == "F":  # more than 8 bits a channel: Pillow would clip
        return _from_array(_to_unit_range(np.asarray(picture, dtype=np.float64))).convert("RGB")
    return picture.convert("RGB")


def _to_unit_range(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    top = 65535.0 if values.max(initial=0) > 255 else 255.0
    return np.clip(values / top, 0, 1)


def _from_array(array: np.ndarray[Any, Any]) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise UnreadableImage(
            f"an array of shape {array.shape} is no picture: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) is needed"
        )
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise UnreadableImage("an array of floats must lie in [0, 1]")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    if array.dtype != np.uint8:
        raise UnreadableImage(f"an array of {array.dtype} is no picture: uint8, bool or floats in [0, 1] are needed")
    return Image.fromarray(np.ascontiguousarray(array))
