"""An endless, reproducible set of rendered words.

In: a charset, a seed and a difficulty. Out: (RGB image, text) pairs by index, the same on every
machine that has the same fonts and drawing libraries, in any order and from any process.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from strhub.data.synth.render import Difficulty, WordRenderer
from strhub.data.synth.scene import Scene
from strhub.data.synth.text import TextSampler

__all__ = ["RenderedWords"]


class RenderedWords:
    """Rendered words by index; sample i of seed s depends on (s, i) and the settings alone.

    Args:
        charset: the characters a text may hold; see `TextSampler`. Those that no font has are left
            out of texts; they are in the attribute `undrawable`.
        max_length: longest text in characters, at least 1.
        seed: at least 0; another seed gives other words and images.
        difficulty: 0 (clean) to 1 (hard), or (lowest, highest) for an even mixture; see
            `WordRenderer`.
        fonts: font files or folders of them; None takes the fonts of the package.
        size: how many samples `len` reports and `render` allows; None for no end.
        style: what the images look like; see `strhub.data.synth.settings.load_style`.
        corpus, corpus_case, mixture, lengths: which texts are drawn; see `TextSampler`.
        blanks: fraction of images with nothing to read, whose text is empty.

    Raises:
        ValueError: for a charset without visible characters or without any that the fonts can draw,
            a difficulty or fraction of blanks outside [0, 1], missing fonts, a bad style, or a
            negative seed or size.
    """

    def __init__(
        self,
        *,
        charset: str,
        max_length: int,
        seed: int,
        difficulty: Difficulty = 0.5,
        fonts: Sequence[str | Path] | None = None,
        size: int | None = None,
        style: str | Path | Mapping[str, Any] = "default",
        corpus: str | Path | None = None,
        corpus_case: Literal["keep", "mix"] = "keep",
        mixture: Mapping[str, float] | None = None,
        lengths: Sequence[int] | None = None,
        blanks: float = 0.0,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, got {seed}")
        if size is not None and size < 0:
            raise ValueError(f"size must be 0 or more, or None for an endless set, got {size}")
        if not 0 <= blanks <= 1:
            raise ValueError(f"blanks is a fraction in [0, 1], not {blanks}")
        self.blanks = blanks
        self.seed = int(seed)
        self.size = size
        self.renderer = WordRenderer(fonts=fonts, difficulty=difficulty, style=style)
        sampler = TextSampler(
            charset=charset,
            max_length=max_length,
            corpus=corpus,
            corpus_case=corpus_case,
            mixture=mixture,
            lengths=lengths,
        )
        drawable = "".join(
            char for char in sampler.charset if self.renderer.shelf.drawable_part(char)
        )
        if not drawable:
            raise ValueError(
                f"no font can draw any character of charset {charset!r}; pass fonts that have them"
            )
        # Characters that no font has would otherwise stay in labels without ever being in an image.
        self.undrawable = "".join(char for char in sampler.charset if char not in drawable)
        if self.undrawable:
            sampler = TextSampler(
                charset=drawable + (" " if sampler.spaces else ""),
                max_length=max_length,
                corpus=sampler.corpus,
                corpus_case=corpus_case,
                mixture=mixture,
                lengths=lengths,
            )
        self.sampler = sampler

    def __len__(self) -> int:
        if self.size is None:
            raise TypeError(
                "endless set of rendered words has no length; pass size= to give it one"
            )
        return self.size

    def render(self, index: int) -> tuple[Image.Image, str]:
        """Return (RGB image, its text) for `index` >= 0; most images are 20..80 pixels high.

        Raises:
            IndexError: if `index` is negative or not below `size`.
        """
        scene, text = self._scene(index)
        return scene.image, text

    def render_encoded(self, index: int) -> tuple[bytes, str]:
        """Return the image of `draw(index)` as a file, and its text.

        A word that the JPEG step has struck is that very file, so nothing is compressed twice. The
        others are JPEG of quality 95 without loss of color resolution, two fifths of what PNG
        takes, for PNG keeps every grain of noise.
        """
        scene, text = self._scene(index)
        if scene.encoded is not None:
            return scene.encoded, text
        file = io.BytesIO()
        scene.image.save(file, format="JPEG", quality=95, subsampling=0)
        return file.getvalue(), text

    def _scene(self, index: int) -> tuple[Scene, str]:
        if index < 0 or (self.size is not None and index >= self.size):
            raise IndexError(
                f"index {index} outside 0..{'' if self.size is None else self.size - 1}"
            )
        rng = np.random.default_rng([self.seed, index])
        text = self.sampler(rng)
        if not self.renderer.shelf.fitting(text):
            # Each character is in some font, yet no font has all of them: keep what the best font
            # can draw.
            text = " ".join(self.renderer.shelf.drawable_part(text).split())
        blank = bool(self.blanks) and rng.random() < self.blanks
        return self.renderer.scene(text, rng, blank=blank), "" if blank else text
