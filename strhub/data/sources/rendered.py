"""Words rendered as they are needed: a training set with no files and no end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from strhub.data.render_options import RenderOptions
from strhub.data.sources.dataset import Found, Transform, Word, transform_words
from strhub.data.synth import RenderedWords

log = logging.getLogger(__name__)


class RenderedDataset(Dataset[Word]):
    """`size` words an epoch, others in every epoch.

    An item's key is (index, seed), as `SeededBatches` gives it: the word and its augmentation
    depend on it alone. An index alone has a seed of 0, which no epoch has: so there are words that
    are always the same, to validate with.

    options: which words, and how they look; how many is `size` here. max_label_length: of the
        labels, in characters.
    """

    def __init__(
        self,
        options: RenderOptions,
        *,
        charset: str,
        max_label_length: int,
        size: int,
        transform: Transform,
    ) -> None:
        difficulty, fonts = options.difficulty, options.fonts
        if not isinstance(difficulty, int | float):
            lowest, highest = difficulty
            difficulty = (lowest, highest)
        self.size, self.transform = size, transform
        self.words = RenderedWords(
            charset=charset,
            max_length=options.longest(max_label_length),
            seed=0,
            difficulty=difficulty,
            fonts=[fonts] if isinstance(fonts, str | Path) else fonts,
            style=options.style,
            blanks=options.blanks,
            **(options.texts or {}),
        )
        if missing := self.words.undrawable:
            log.warning(
                "no font has %d characters of the charset, which are not rendered: %.200s",
                len(missing),
                missing,
            )

    def __len__(self) -> int:
        return self.size

    def read(self, index: int) -> tuple[Image.Image, str]:
        """Return the RGB image and text of a word that is always the same, such as one validates
        with.
        """
        return self._rendered(np.random.default_rng([0, index]))

    def __getitem__(self, key: int | tuple[int, int]) -> Word:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[int | tuple[int, int]]) -> list[Word]:
        """Return the words for many keys, as torch's loaders ask for a batch."""
        pairs = [key if isinstance(key, tuple) else (key, 0) for key in keys]
        return transform_words([self._find(*pair) for pair in pairs], self.transform)

    def _find(self, index: int, seed: int) -> Found:
        rng = np.random.default_rng([seed, index])
        image, label = self._rendered(rng)
        return Found(image, label, 0, rng)

    def _rendered(self, rng: np.random.Generator) -> tuple[Image.Image, str]:
        return self.words.render(int(rng.integers(2**62)))
