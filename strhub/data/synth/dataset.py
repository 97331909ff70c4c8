"""An endless, reproducible set of drawn words.

In: a charset, a seed and a difficulty. Out: (RGB picture, text) pairs by index, the same on every machine that has
the same fonts and drawing libraries, in any order and from any process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from strhub.data.synth.render import WordRenderer
from strhub.data.synth.text import TextSampler

__all__ = ["DrawnWords"]


class DrawnWords:
    """Drawn words by index; sample i of seed s depends on (s, i) and the settings alone.

    Args:
        charset: the characters a text may hold; see `TextSampler`.
        max_length: longest text in characters, at least 1.
        seed: at least 0; another seed gives other words and pictures.
        difficulty: 0 (clean) to 1 (hard); see `WordRenderer`.
        fonts: font files or folders of them; None takes the fonts of the package.
        size: how many samples `len` reports and `draw` allows; None for no end.

    Raises:
        ValueError: for a charset without visible characters or without any that the fonts can draw, a difficulty
            outside [0, 1], missing fonts, or a negative seed or size.
    """

    def __init__(
        self,
        *,
        charset: str,
        max_length: int,
        seed: int,
        difficulty: float = 0.5,
        fonts: Sequence[str | Path] | None = None,
        size: int | None = None,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, got {seed}")
        if size is not None and size < 0:
            raise ValueError(f"size must be 0 or more, or None for an endless set, got {size}")
        self.seed = int(seed)
        self.size = size
        self.renderer = WordRenderer(fonts=fonts, difficulty=difficulty)
        sampler = TextSampler(charset=charset, max_length=max_length)
        drawable = "".join(char for char in sampler.charset if self.renderer.shelf.drawable_part(char))
        if not drawable:
            raise ValueError(f"no font can draw any character of charset {charset!r}; pass fonts that have them")
        # Characters that no font has would otherwise stay in labels without ever being in a picture.
        self.undrawable = "".join(char for char in sampler.charset if char not in drawable)
        self.sampler = TextSampler(charset=drawable, max_length=max_length) if self.undrawable else sampler

    def __len__(self) -> int:
        if self.size is None:
            raise TypeError("endless set of drawn words has no length; pass size= to give it one")
        return self.size

    def draw(self, index: int) -> tuple[Image.Image, str]:
        """Returns (RGB picture 24..64 pixels high, its text) for `index` >= 0.

        Raises:
            IndexError: if `index` is negative or not below `size`.
        """
        if index < 0 or (self.size is not None and index >= self.size):
            raise IndexError(f"index {index} outside 0..{'' if self.size is None else self.size - 1}")
        rng = np.random.default_rng([self.seed, index])
        text = self.sampler(rng)
        if not self.renderer.shelf.fitting(text):
            # Each character is in some font, yet no font has all of them: keep what the best font can draw.
            text = self.renderer.shelf.drawable_part(text)
        return self.renderer(text, rng), text
