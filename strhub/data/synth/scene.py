"""What the steps of drawing work on: a word's image while it is being made, and the steps
themselves.

In: nothing. Out: `Scene`, the image of a word with all that later steps need to know of it, and
`Step`, one effect that can be used alone. A step changes its target in place; at strength 0 it
changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from PIL import Image

__all__ = ["Color", "Scene", "Step", "distance"]

Color: TypeAlias = tuple[int, int, int]
Target = TypeVar("Target")


def distance(first: Color, second: Color) -> float:
    """Return how well two colors are told apart, 0..255: by brightness or, somewhat worse, by one
    channel.
    """
    red, green, blue = (abs(one - other) for one, other in zip(first, second, strict=True))
    luma = 0.299 * first[0] + 0.587 * first[1] + 0.114 * first[2]
    luma -= 0.299 * second[0] + 0.587 * second[1] + 0.114 * second[2]
    return max(abs(luma), 0.55 * max(red, green, 0.6 * blue))


@dataclass
class Scene:
    """A word's image while it is being made.

    picture: RGB, what has been painted so far.
    cover: `L`, of the same size: how much of each pixel the word covers, 0..255.
    text, ground: the colors of both.
    em: size of the letters in pixels, as a typographer measures it.
    fill: what the letters are filled with, a color or an RGB image of the same size.
    sharpness: how much further blur the letters bear, as a radius in em; each blur takes its part
        of it.
    encoded: the bytes of `picture` as a JPEG file, if making that file was the last that happened
        to it.
    """

    image: Image.Image
    cover: Image.Image
    text: Color
    ground: Color
    em: float
    fill: Image.Image | Color = (0, 0, 0)
    sharpness: float = 0.085
    encoded: bytes | None = field(default=None, repr=False)

    @property
    def contrast(self) -> float:
        """Return the distance of text and background, 0 to 255: what noise and texture must stay
        below.
        """
        return distance(self.text, self.ground)

    def blur_allowed(self, radius: float) -> float:
        """Take a blur of up to `radius` em from what the letters bear, and return how much of it
        that allows.

        Each of several blurs may be harmless and all of them together leave nothing to read.
        """
        allowed = min(radius, self.sharpness)
        self.sharpness = max(0.0, self.sharpness**2 - allowed**2) ** 0.5
        return allowed


@dataclass(frozen=True)
class Step(Generic[Target]):
    """One effect. `apply(target, strength, rng)` brings it about; `limit` is the greatest strength
    that makes sense.

    `meaning` says what the strength measures, with its unit.
    """

    name: str
    apply: Callable[[Target, float, np.random.Generator], None]
    limit: float
    meaning: str
