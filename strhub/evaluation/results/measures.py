"""What is measured of a word's image: how far its strokes lean, and how blurred it is. NumPy and
Pillow only.
"""

from __future__ import annotations

from math import radians, tan
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["sharpness_of", "slant_of"]

Array: TypeAlias = npt.NDArray[Any]

HEIGHT: Final = 32  # pixels that an image is scaled to
WIDEST: Final = 512
ANGLES: Final = tuple(range(-45, 46, 5))  # degrees
_ROWS: Final = [row - (HEIGHT - 1) / 2 for row in range(HEIGHT)]
# Of each angle, where each row begins so that strokes at that angle come to stand upright.
_SHIFTS: Final = [
    [HEIGHT // 2 + round(-tan(radians(angle)) * row) for row in _ROWS] for angle in ANGLES
]
# how much more upright the strokes must be at an angle than at 0 to be called slanted
_CLEAR: Final = 1.05


def gray_of(image: Image.Image) -> Array:
    """Return gray levels (32, W) of an image of any size, W at least 3 and at most 512."""
    width = min(WIDEST, max(3, round(image.width * HEIGHT / max(1, image.height))))
    small = image.convert("L").resize((width, HEIGHT), Image.Resampling.BICUBIC, reducing_gap=2)
    return np.asarray(small, dtype=np.float32)


def sharpness_of(gray: Array) -> float:
    """Return the deviation of the Laplacian, in gray levels: low where an image is blurred,
    whatever its size was.
    """
    inner = gray[1:-1, 1:-1]
    return float(
        (gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * inner).std()
    )


def slant_of(gray: Array) -> float | None:
    """Return how far the strokes lean to the right, in degrees; None where nothing is to be seen.

    The image is sheared by each angle; where strokes stand upright, sums along columns vary most
    (Vinciarelli & Luettin 2001).
    """
    edges = np.abs(np.diff(gray, axis=1))  # (32, W - 1)
    if float(edges.max(initial=0)) < 8:
        return None
    width = edges.shape[1] + HEIGHT
    padded = np.pad(edges, ((0, 0), (HEIGHT, HEIGHT)))  # (32, W - 1 + 64)
    energy = []
    for shifts in _SHIFTS:
        sums = np.zeros(width, dtype=np.float32)
        for row, first in enumerate(shifts):
            sums += padded[row, first : first + width]
        energy.append(float(sums @ sums))
    best = int(np.argmax(energy))
    return float(ANGLES[best]) if energy[best] > _CLEAR * energy[ANGLES.index(0)] else 0.0
