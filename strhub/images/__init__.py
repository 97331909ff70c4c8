"""Open images of any kind, bring them to a size, normalize and pad them: NumPy and Pillow only."""

from strhub.images.find import SUFFIXES, find_images
from strhub.images.limits import MAX_BYTES, MAX_PIXELS, UnreadableImage
from strhub.images.open import FORMATS, open_bytes, open_image

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "UnreadableImage",
    "find_images",
    "open_bytes",
    "open_image",
]
