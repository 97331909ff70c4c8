"""What is read at most, and the error of an image that is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from strhub.errors import UnreadableImage

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_REMOTE_BYTES",
    "MAX_SECONDS",
    "OnSize",
    "TooManyPixels",
    "UnreadableImage",
    "check_size",
    "damage",
]

# a word's image is far smaller; a larger one is a mistake or a decompression bomb
MAX_PIXELS: Final = 64_000_000
MAX_BYTES: Final = 256 << 20  # of a file
MAX_REMOTE_BYTES: Final = 64 << 20  # of one that is fetched
MAX_SECONDS: Final = 30.0  # seconds to download one


class TooManyPixels(UnreadableImage):
    """An image claims more pixels than are read."""


OnSize: TypeAlias = Callable[[int, int], object]


def check_size(width: int, height: int, on_size: OnSize | None = None) -> None:
    """Raise `UnreadableImage` for no pixels or too many of them; else tell `on_size`."""
    if width * height > MAX_PIXELS:
        raise TooManyPixels(
            f"{width} x {height} pixels, over {MAX_PIXELS}, the largest image that is read"
        )
    if min(width, height) < 1:
        raise UnreadableImage("the image has no pixels")
    if on_size is not None:
        on_size(width, height)


def damage(error: BaseException) -> str:
    """Return why an image could not be decoded; there always is a reason."""
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    return f"damaged: {str(error) or type(error).__name__}"
